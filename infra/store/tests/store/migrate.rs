//! Migrations: applied once, whoever comes first.

use std::time::Duration;

use fluxus_postgres::{Database, Options};
use fluxus_store::{MIGRATIONS, Store, StoreError};
use tokio::time::{interval, timeout};

use crate::sample::Done;

async fn empty() -> anyhow::Result<(fluxus_test_support::TestDatabase, Store)> {
    let database = fluxus_test_support::database().await;
    let store = Store::new(Database::connect(database.url(), Options::default()).await?);
    Ok((database, store))
}

fn names() -> Vec<String> {
    MIGRATIONS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

#[tokio::test]
async fn migrations_apply_once() -> Done {
    let (_database, store) = empty().await?;
    let status = store.migration_status().await?;
    assert!(status.iter().all(|migration| migration.applied_at.is_none()));
    assert_eq!(store.migrate().await?, names());
    assert_eq!(store.migrate().await?, [""; 0]);
    let status = store.migration_status().await?;
    assert_eq!(status.iter().map(|migration| migration.name.clone()).collect::<Vec<_>>(), names());
    assert!(status.iter().all(|migration| migration.applied_at.is_some()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_processes_at_once_one_migrates() -> Done {
    let (_database, store) = empty().await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        tasks.spawn(async move { store.migrate().await });
    }
    let applied: Result<Vec<_>, _> = tasks.join_all().await.into_iter().collect();
    assert_eq!(applied?.concat(), names());
    Ok(())
}

#[tokio::test]
async fn an_edited_migration_is_refused_and_a_newer_one_is_not() -> Done {
    let (_database, store) = empty().await?;
    store.migrate().await?;
    let session = store.session().await?;
    session
        .batch(
            "INSERT INTO fluxus_migration SELECT 1000, 'later', applied_on, checksum
                  FROM fluxus_migration WHERE version = 1",
        )
        .await?;
    assert_eq!(store.migrate().await?, [""; 0]);
    session.batch("UPDATE fluxus_migration SET checksum = '1' WHERE version = 2").await?;
    let error = store.migrate().await.expect_err("refused");
    assert!(matches!(error, StoreError::Migration { .. }) && !error.is_transient());
    Ok(())
}

/// The migrations there are, and one of the test's own.
fn and(name: &'static str, sql: &'static str) -> Vec<(&'static str, &'static str)> {
    MIGRATIONS.into_iter().chain([(name, sql)]).collect()
}

/// How long a statement of a test may take, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_gets_no_lock_keeps_nobody_waiting_behind_it() -> Done {
    let (database, store) = empty().await?;
    store.migrate().await?;
    let table = "V900__lock";
    let all = and(table, "ALTER TABLE claim_tally ADD COLUMN note text");
    // Somebody is in the midst of a long transaction, and has the table.
    let holder = Database::connect(database.url(), Options::ONE).await?;
    let mut holding = holder.session().await?;
    let long = holding.begin().await?;
    long.batch("LOCK TABLE claim_tally IN ROW EXCLUSIVE MODE").await?;
    let migrating = tokio::spawn({
        let store = store.clone();
        async move { store.apply_migrations(&all).await }
    });
    // The migration asks for the table, and gives way, more than once.
    let writer = Database::connect(database.url(), Options::ONE).await?;
    let session = writer.session().await?;
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted
        AND relation = 'claim_tally'::regclass AND mode = 'AccessExclusiveLock'";
    let (mut asked, mut was_waiting) = (0, false);
    let mut looks = interval(Duration::from_millis(5));
    let mut writes = 0;
    while asked < 3 {
        looks.tick().await;
        let waiting: i64 = session.query(waits, &[]).await?[0].get(0);
        asked += usize::from(waiting > 0 && !was_waiting);
        was_waiting = waiting > 0;
        // Whoever comes behind it gets through while the long transaction still holds.
        let write = session.batch(
            "INSERT INTO claim_tally (tenant, claim_type, status, slot, ended)
             VALUES ('t', 'x', 'FAILED', 1, 1)
             ON CONFLICT (tenant, claim_type, status, slot) DO UPDATE SET ended = 2",
        );
        timeout(PATIENCE, write).await.expect("a writer is not kept waiting")?;
        writes += 1;
    }
    assert!(!migrating.is_finished(), "{writes} writes");
    long.commit().await?;
    assert_eq!(timeout(PATIENCE, migrating).await???, [table]);
    Ok(())
}

#[tokio::test]
async fn an_index_of_a_large_table_is_built_while_others_write() -> Done {
    let (database, store) = empty().await?;
    store.migrate().await?;
    let name = "V900__index";
    let sql = "-- online: outside of a transaction\n-- For nobody.\n\
               DROP INDEX CONCURRENTLY IF EXISTS claim_by_nothing;\n\
               CREATE INDEX CONCURRENTLY claim_by_nothing ON claim (received_at);\n";
    // An interrupted run left half an index behind.
    let session = store.session().await?;
    session.batch("CREATE INDEX claim_by_nothing ON claim (ended_at)").await?;
    // A writer who has the table does not keep it from beginning, nor waits for it.
    let holder = Database::connect(database.url(), Options::ONE).await?;
    let mut holding = holder.session().await?;
    let long = holding.begin().await?;
    long.batch("LOCK TABLE claim IN ROW EXCLUSIVE MODE").await?;
    let migrating = tokio::spawn({
        let store = store.clone();
        async move { store.apply_migrations(&and(name, sql)).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND wait_event_type = 'Lock' AND query LIKE '%INDEX CONCURRENTLY%'";
    let mut looks = interval(Duration::from_millis(5));
    let waiting = async {
        loop {
            looks.tick().await;
            let found = session.query(waits, &[]).await.expect("answers");
            if found[0].get::<_, i64>(0) > 0 {
                return;
            }
        }
    };
    timeout(PATIENCE, waiting).await?;
    let write = session.batch("UPDATE claim SET subject = 'x' WHERE false");
    timeout(PATIENCE, write).await.expect("a writer is not kept waiting")?;
    long.commit().await?;
    assert_eq!(timeout(PATIENCE, migrating).await???, [name]);
    let definition = "SELECT indexdef FROM pg_indexes WHERE indexname = 'claim_by_nothing'";
    let definition: String = session.query(definition, &[]).await?[0].get(0);
    assert!(definition.ends_with("(received_at)"), "{definition}");
    assert_eq!(store.apply_migrations(&and(name, sql)).await?, [""; 0]);
    Ok(())
}
