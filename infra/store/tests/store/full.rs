//! Full tables, and what of them was read.

use fluxus_postgres::Options;
use fluxus_schema::ClaimId;
use fluxus_store::Store;

use crate::sample::{Done, TestStore, root, store_with};

/// Claims in the tables. So many that reading a whole table is never the cheapest way.
pub const CLAIMS: i32 = 20_000;

/// A store with one connection, so that its counters are settled when a query returns, and with
/// `CLAIMS` running claims: each with a root and a child, some history, and a timer.
pub async fn filled() -> anyhow::Result<TestStore> {
    let store = store_with(Options { max_connections: 1, ..Options::default() }).await;
    fill(&store).await?;
    store.session().await?.batch("VACUUM ANALYZE").await?;
    Ok(store)
}

pub async fn fill(store: &Store) -> Done {
    let fill = format!(
        "INSERT INTO claim (claim_id, tenant, claim_type, status, subject, body, recipe,
                recipe_version, idempotency_key, priority, attributes, seed, received_at, started_at)
         SELECT id(n), 'default', 't' || n % 50, 'RUNNING', 's' || n % 1000, '{{}}', 'r', 1, 'k' || n,
                0, jsonb_build_object('n', n::text), '0123456789abcdef', now(), now()
           FROM generate_series(1, {CLAIMS}) AS n;
         UPDATE claim SET origin = json_build_object(
                'parent', id({CLAIMS}), 'recipe', 'r', 'version', 1, 'depth', 1)
          WHERE claim_id < id(9);
         UPDATE claim SET status = 'SUCCEEDED', output = '1', ended_at = now()
          WHERE claim_id < id({CLAIMS} - 200);
         INSERT INTO branch (claim_id, branch_id, tenant, parent, parent_revision, position,
                revision, status, failed, state, changed_at)
         SELECT id(n), '/', 'default', NULL, 0, 0, 1, 'OPEN', false, '{{}}'::json, now()
           FROM generate_series(1, {CLAIMS}) AS n
          UNION ALL
         SELECT id(n), '/1.0', 'default', '/', 1, 0, 0,
                CASE n % 3 WHEN 0 THEN 'ENDED' WHEN 1 THEN 'OPEN' ELSE 'PENDING' END, false, '{{}}'::json,
                now()
           FROM generate_series(1, {CLAIMS}) AS n;
         INSERT INTO history (claim_id, recorded_at, branch_id, revision, tenant, events)
         SELECT id(n), now(), '/', 0, 'default', '[]' FROM generate_series(1, {CLAIMS}) AS n;
         INSERT INTO timer (claim_id, timer_key, tenant, due_at, queue, body)
         SELECT id(n), 'k', 'default', now() + n * interval '1 hour', 'q', '{{}}'
           FROM generate_series(1, {CLAIMS}) AS n;
         INSERT INTO idempotency (token, tenant, status, lease_until, created_at)
         SELECT 'token' || n, 'default', 'STARTED', now(), now() - interval '1 day'
           FROM generate_series(1, {CLAIMS}) AS n;
         INSERT INTO outbox (tenant, claim_id, queue, body, delay_ms, created_at)
         SELECT 'default', id(n), 'q', '{{}}', 0, now() FROM generate_series(1, {CLAIMS}) AS n;
         INSERT INTO recipe SELECT 'default', 'r' || n, 1 FROM generate_series(1, {CLAIMS}) AS n;
         INSERT INTO recipe_version SELECT 'default', 'r' || n, 1, '{{}}', now()
           FROM generate_series(1, {CLAIMS}) AS n;
         INSERT INTO claim_type SELECT 'default', 't' || n, NULL, 'r' || n
           FROM generate_series(1, {CLAIMS}) AS n;
         INSERT INTO fluxling (tenant, name, manifest, enabled, registered_at)
         SELECT 'default', 'f' || n, '{{}}', true, now() FROM generate_series(1, {CLAIMS}) AS n;"
    );
    let session = store.session().await?;
    session
        .batch(
            "CREATE FUNCTION id(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS
             $$ SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$",
        )
        .await?;
    session.batch(&fill).await?;
    Ok(())
}

/// Ends the name of an index whose entries are counted.
pub const INDEX: &str = " (index)";

/// The claim with this number.
pub fn id(n: u128) -> ClaimId {
    ClaimId(uuid::Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000 + n))
}

/// A root that [`filled`] made, at its revision.
pub fn row(n: u128) -> fluxus_store::BranchRow {
    fluxus_store::BranchRow { revision: 1, ..root(id(n)) }
}

/// What was read while something ran: names of indexes, and of tables that were read whole.
pub async fn scans(store: &Store, before: &mut Vec<(String, i64)>) -> anyhow::Result<Vec<String>> {
    let sql = "SELECT indexrelname::text AS name, idx_scan AS scans FROM pg_stat_user_indexes
                UNION ALL
               SELECT 'all of ' || indexrelname || ' (index)', idx_tup_read FROM pg_stat_user_indexes
                UNION ALL
               SELECT 'all of ' || relname, seq_scan FROM pg_stat_user_tables
                WHERE relname !~ '^history_(2|default)' OR seq_tup_read > 0
                ORDER BY 1";
    let session = store.session().await?;
    session.batch("SELECT pg_stat_force_next_flush()").await?;
    session.batch("SELECT pg_stat_clear_snapshot()").await?;
    let rows = session.query(sql, &[]).await?;
    let now: Vec<(String, i64)> = rows
        .iter()
        .map(|row| (row.get("name"), row.get::<_, Option<i64>>("scans").unwrap_or(0)))
        .collect();
    let used = now.iter().filter(|(name, scans)| {
        let before = before.iter().find(|(known, _)| known == name).map_or(0, |(_, scans)| *scans);
        // A few entries of an index may be read, all of them may not.
        let allowed =
            if name.starts_with("all of ") && name.ends_with(INDEX) { CLAIMS - 1 } else { 0 };
        scans - before > i64::from(allowed)
    });
    // One name for the partitions' indexes.
    let mut names: Vec<String> =
        used.map(|(name, _)| {
            if name.starts_with("history") { "history_pkey".to_owned() } else { name.clone() }
        })
        .collect();
    names.dedup();
    *before = now;
    Ok(names)
}
