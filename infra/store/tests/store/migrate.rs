//! Migrations: applied once, whoever comes first.

use fluxus_postgres::{Database, Options};
use fluxus_store::{MIGRATIONS, Store, StoreError};

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
