//! Databases of tests: made, copied, dropped.

#![allow(clippy::expect_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use fluxus_postgres::{Database, Options};
use fluxus_test_support::{TestDatabase, database};

async fn connect(test: &TestDatabase) -> Database {
    Database::connect(test.url(), Options::default()).await.expect("a connection")
}

async fn count(database: &Database, sql: &str) -> usize {
    let session = database.session().await.expect("a session");
    session.query(sql, &[]).await.expect("rows").len()
}

#[tokio::test]
async fn a_template_is_migrated_once_and_copied_for_each_test() {
    let migrated = AtomicUsize::new(0);
    let template = format!("support_{}", std::process::id());
    let migrate = async |url: String| {
        migrated.fetch_add(1, Ordering::SeqCst);
        let database = Database::connect(&url, Options::default()).await?;
        // Left open on purpose: a careless caller must not spoil the template.
        let session = database.session().await?;
        Ok(session.batch("CREATE TABLE item AS SELECT 1 AS id").await?)
    };
    let (one, two) =
        tokio::join!(TestDatabase::new(&template, migrate), TestDatabase::new(&template, migrate),);
    assert_eq!(migrated.load(Ordering::SeqCst), 1);
    let (one, two) = (connect(&one).await, connect(&two).await);
    one.session().await.expect("a session").batch("DELETE FROM item").await.expect("a deletion");
    assert_eq!(count(&one, "SELECT FROM item").await, 0);
    assert_eq!(count(&two, "SELECT FROM item").await, 1, "each test has its own");

    let server = database().await;
    let drop = format!(
        "ALTER DATABASE {template} IS_TEMPLATE false; DROP DATABASE {template} WITH (FORCE)"
    );
    for statement in drop.split("; ") {
        let server = connect(&server).await;
        server.session().await.expect("a session").batch(statement).await.expect("a drop");
    }
}

#[tokio::test]
async fn a_database_is_gone_after_its_test() {
    let other = database().await;
    let test = database().await;
    let sql = format!("SELECT FROM pg_database WHERE datname = '{}'", test.name());
    let still_open = connect(&test).await;
    assert_eq!(count(&still_open, "SELECT 1").await, 1);
    let other = connect(&other).await;
    assert_eq!(count(&other, &sql).await, 1);
    drop(test);
    assert_eq!(count(&other, &sql).await, 0, "although somebody was connected");
}
