//! Every hot query goes by its index: counted by Postgres itself while the real function runs.

use std::time::Duration;

use fluxus_postgres::Options;
use fluxus_schema::{BranchId, ClaimId, ClaimStatus, TaskToken, Tenant};
use fluxus_store::branch::{Join, Pending};
use fluxus_store::{
    BranchKey, BranchStatus, Changes, ClaimFilter, TimerRow, branch, changes, claim, fluxling,
    idempotency, outbox, recipe, timer,
};

use crate::full::{fill, filled, id, row, scans};
use crate::sample::{
    Done, at, child, end, intake, key, new_claim, record, root, save, start, stepped, store_with,
    tenant,
};

macro_rules! in_tx {
    ($store:expr, |$tx:ident| $work:expr) => {{
        let mut session = $store.session().await?;
        let $tx = session.begin().await?;
        $work;
        $tx.commit().await?;
    }};
}

#[tokio::test]
async fn every_hot_query_goes_by_its_index() -> Done {
    let store = filled().await?;
    let (mut seen, mut wrong) = (Vec::new(), Vec::<String>::new());
    scans(&store, &mut seen).await?;
    macro_rules! check {
        ($expected:expr) => {
            let used = scans(&store, &mut seen).await?;
            let expected: &[&str] = &$expected;
            if used != expected {
                wrong.push(format!("line {}: {used:?}, not {expected:?}", line!()));
            }
        };
    }
    let keys: Vec<BranchKey> = (1..100).map(|n| key(&row(n * 7))).collect();
    let ids: Vec<ClaimId> = keys.iter().map(|key| key.claim_id).collect();

    in_tx!(store, |tx| branch::lock(&tx, &keys[..50], &keys[50..]).await?);
    check!(["branch_pkey", "claim_pkey"]);
    in_tx!(store, |tx| branch::lock(&tx, &keys, &[]).await?);
    check!(["branch_pkey", "claim_pkey"]);
    let parents: Vec<_> = keys
        .iter()
        .map(|key| Join { claim_id: key.claim_id, parent: BranchId::root(), parent_revision: 1 })
        .collect();
    in_tx!(store, |tx| branch::join(&tx, &parents).await?);
    check!(["branch_not_ended", "branch_pkey"]);
    let wanted: Vec<_> = parents
        .into_iter()
        .map(|Join { claim_id, parent, parent_revision }| Pending {
            claim_id,
            parent,
            parent_revision,
            how_many: 2,
        })
        .collect();
    in_tx!(store, |tx| branch::take_pending(&tx, &wanted).await?);
    check!(["branch_not_ended", "branch_pkey"]);
    in_tx!(store, |tx| branch::still_pending(&tx, wanted).await?);
    check!(["branch_not_ended"]);
    let capability = ["c".parse()?];
    branch::unserved(&store.session().await?, &capability, 10).await?;
    check!(["branch_unserved"]);
    in_tx!(store, |tx| branch::take_unserved(&tx, &tenant(), &capability[0]).await?);
    check!(["branch_unserved"]);
    store.waiting(id(9)).await?;
    store.children(id(9)).await?;
    check!(["branch_pkey"]);

    let intakes: Vec<_> = (0..50).map(|ms| intake(ms, new_claim("t"))).collect();
    in_tx!(store, |tx| claim::insert(&tx, &intakes).await?);
    check!(["claim_pkey"]);
    in_tx!(store, |tx| claim::insert(&tx, &intakes).await?);
    check!(["claim_pkey"]);
    in_tx!(store, |tx| claim::lock_received(&tx, &ids).await?);
    claim::find(&store.session().await?, &tenant(), &ids).await?;
    store.ended(&ids).await?;
    check!(["claim_by_tenant", "claim_pkey"]);

    let waiters: Vec<_> = ids
        .iter()
        .map(|claim_id| claim::Waiter {
            claim_id: *claim_id,
            token: TaskToken::from_text("t"),
            tenant: tenant(),
            as_json: false,
        })
        .collect();
    in_tx!(store, |tx| claim::hold(&tx, &ids).await?);
    check!(["claim_pkey"]);
    in_tx!(store, |tx| claim::wait(&tx, &waiters).await?);
    in_tx!(store, |tx| claim::take_waiters(&tx, &ids[..50]).await?);
    check!(["waiter_pkey"]);

    let update: Vec<_> = (1..100).map(|n| stepped(&row(n * 7))).collect();
    let timer_of = |n: u128| TimerRow {
        priority: 5,
        claim_id: id(n),
        key: "new".to_owned(),
        tenant: tenant(),
        due_at: at(1),
        queue: "q".to_owned(),
        body: "{}".to_owned(),
    };
    let all = Changes {
        accept: Default::default(),
        delete_trees: Vec::new(),
        redrive: Vec::new(),
        start: intakes.iter().map(|intake| start(intake.claim_id)).collect(),
        end: (19_900..19_950).map(|n| end(id(n), ClaimStatus::Succeeded, true)).collect(),
        insert: update.iter().map(|row| child(row, 0, BranchStatus::Open)).collect(),
        delete: (3000..3100)
            .map(|n| BranchKey { claim_id: id(n), branch_id: BranchId::root().child(1, 0) })
            .collect(),
        history: update.iter().map(|row| record(row, 0, &[])).collect(),
        set_timers: (1..50).map(timer_of).collect(),
        clear_timers: (50..100).map(|n| (id(n), "k".to_owned())).collect(),
        update,
        payloads: Vec::new(),
    };
    in_tx!(store, |tx| changes::save(&tx, &all).await?);
    check!(["branch_pkey", "claim_pkey", "claim_tally_pkey", "timer_pkey"]);

    in_tx!(store, |tx| timer::take_due(&tx, at(0), 100).await?);
    timer::next_due(&store.session().await?).await?;
    check!(["timer_due"]);
    let tokens: Vec<String> = (0..50).map(|n| format!("token{}", n * 399)).collect();
    let owner = Tenant::default();
    let begin: Vec<_> = tokens.iter().map(|token| (token.as_str(), &owner)).collect();
    let texts: Vec<_> = tokens.iter().map(String::as_str).collect();
    let done: Vec<_> = texts.iter().map(|token| (*token, &owner, "{}")).collect();
    let session = store.session().await?;
    idempotency::begin(&session, &begin, Duration::from_secs(1), at(0)).await?;
    idempotency::extend(&session, &texts, Duration::from_secs(1), at(0)).await?;
    idempotency::complete(&session, &done, at(0)).await?;
    idempotency::release(&session, &texts).await?;
    drop(session);
    check!(["idempotency_pkey"]);
    idempotency::purge_older(&store.session().await?, at(-100_000_000_000), 10).await?;
    check!(["idempotency_by_age"]);
    in_tx!(store, |tx| outbox::take_unsent(&tx, at(100_000_000_000), 10).await?);
    outbox::delete(&store.session().await?, &[1, 2, 3]).await?;
    check!(["outbox_pkey"]);

    let claims: Vec<_> = (1..20).map(id).collect();
    let versions: Vec<_> =
        (1..20).map(|n| (tenant(), format!("r{n}").parse().expect("a name"), 1)).collect();
    let session = store.session().await?;
    recipe::for_claims(&session, &claims).await?;
    recipe::definitions(&session, &versions).await?;
    let asked = versions.into_iter().map(|(tenant, name, version)| (tenant, name, Some(version)));
    recipe::versions(&session, &asked.collect::<Vec<_>>()).await?;
    drop(session);
    check!(["claim_pkey", "claim_type_pkey", "recipe_pkey", "recipe_version_pkey"]);
    let delta = fluxus_store::LoadDelta {
        tenant: tenant(),
        fluxling: "f7".parse()?,
        in_flight: 1,
        answered: 0,
        failed: 0,
        latency_ms: 0.0,
        circuit_open_until: None,
    };
    fluxling::record_load(&store.session().await?, &[delta]).await?;
    check!(["fluxling_pkey"]);

    let list = async |filter| store.list_claims(&filter).await.map(drop);
    let page = ClaimFilter { limit: 50, ..ClaimFilter::default() };
    list(page.clone()).await?;
    list(ClaimFilter { before: Some(id(500)), ..page.clone() }).await?;
    check!(["claim_by_tenant"]);
    list(ClaimFilter { claim_type: Some("t7".parse()?), ..page.clone() }).await?;
    check!(["claim_by_type"]);
    list(ClaimFilter { subject: Some("s7".to_owned()), ..page.clone() }).await?;
    check!(["claim_by_subject"]);
    list(ClaimFilter { status: vec![ClaimStatus::Running], ..page.clone() }).await?;
    check!(["claim_open"]);
    list(ClaimFilter { status: vec![ClaimStatus::Failed], ..page.clone() }).await?;
    check!(["claim_unfulfilled"]);
    let attributes = [("n".to_owned(), "77".to_owned())].into();
    list(ClaimFilter { attributes, ..page.clone() }).await?;
    check!(["claim_by_attribute"]);
    list(ClaimFilter { parent: Some(id(1)), ..page }).await?;
    check!(["claim_by_parent"]);
    store.history(&tenant(), id(7), None, 100).await?;
    store.decisions(&tenant(), id(7)).await?;
    check!(["claim_pkey", "history_pkey"]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Prepared statements keep their plan until somebody analyzes the tables: what was planned while
/// they were all but empty must not read them whole when they are full.
#[tokio::test]
async fn a_plan_made_on_empty_tables_fits_full_ones() -> Done {
    let store = store_with(Options { max_connections: 1, ..Options::default() }).await;
    let timer_of = |row: &fluxus_store::BranchRow| TimerRow {
        priority: 5,
        claim_id: row.claim_id,
        key: "t".to_owned(),
        tenant: tenant(),
        due_at: at(1_000_000_000_000),
        queue: "q".to_owned(),
        body: "{}".to_owned(),
    };
    let work = async || -> Done {
        let ids = crate::sample::running(&store, 3).await?;
        let keys: Vec<_> = ids.iter().map(|id| key(&root(*id))).collect();
        let update: Vec<_> = ids.iter().map(|id| stepped(&root(*id))).collect();
        let insert: Vec<_> =
            update.iter().map(|row| child(row, 0, BranchStatus::Pending)).collect();
        let joins: Vec<_> = ids
            .iter()
            .map(|id| Join { claim_id: *id, parent: BranchId::root(), parent_revision: 1 })
            .collect();
        let pending: Vec<_> = ids
            .iter()
            .map(|id| Pending {
                claim_id: *id,
                parent: BranchId::root(),
                parent_revision: 1,
                how_many: 1,
            })
            .collect();
        in_tx!(store, |tx| {
            branch::lock(&tx, &keys[..2], &keys[2..]).await?;
            let set_timers = update.iter().map(timer_of).collect();
            let history = update.iter().map(|row| record(row, 0, &[])).collect();
            let changes = Changes {
                update,
                insert: insert.clone(),
                set_timers,
                history,
                ..Changes::default()
            };
            changes::save(&tx, &changes).await?;
        });
        in_tx!(store, |tx| {
            branch::join(&tx, &joins).await?;
            branch::take_pending(&tx, &pending).await?;
            let changes = Changes {
                end: ids.iter().map(|id| end(*id, ClaimStatus::Succeeded, true)).collect(),
                clear_timers: ids.iter().map(|id| (*id, "t".to_owned())).collect(),
                ..Changes::default()
            };
            changes::save(&tx, &changes).await?;
        });
        in_tx!(store, |tx| {
            let changes = Changes {
                delete: insert.iter().map(key).collect(),
                clear_timers: ids.iter().map(|id| (*id, "t".to_owned())).collect(),
                ..Changes::default()
            };
            changes::save(&tx, &changes).await?;
        });
        Ok(())
    };
    for _ in 0..20 {
        work().await?;
    }
    fill(&store).await?;
    let mut seen = Vec::new();
    scans(&store, &mut seen).await?;
    work().await?;
    let used = scans(&store, &mut seen).await?;
    assert!(!used.iter().any(|name| name.starts_with("all of")), "{used:?}");
    Ok(())
}

/// A step that changes no indexed column stays on its page (HOT); so does a claim that starts.
#[tokio::test]
async fn a_step_touches_no_index() -> Done {
    let store = store_with(Options { max_connections: 1, ..Options::default() }).await;
    let mut row = root(crate::sample::running(&store, 1).await?[0]);
    for _ in 0..50 {
        row = stepped(&row);
        save(&store, &Changes { update: vec![row.clone()], ..Changes::default() }).await?;
    }
    let session = store.session().await?;
    session.batch("SELECT pg_stat_force_next_flush()").await?;
    let sql = "SELECT relname::text, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
                WHERE relname IN ('branch', 'claim') ORDER BY 1";
    for counted in session.query(sql, &[]).await? {
        let (table, updates, hot): (String, i64, i64) =
            (counted.get(0), counted.get(1), counted.get(2));
        assert!(updates > 0 && updates == hot, "{table}: {hot} of {updates}");
    }
    Ok(())
}
