//! A queue in a database of the test's own.

use fluxus_postgres::{Database, Options};
use fluxus_queue::{MIGRATION, PostgresQueue, PostgresQueueOptions};
use fluxus_test_support::{TestDatabase, template_name};

/// An empty queue, with its database. Keep the first value: it drops the database.
pub async fn queue() -> (TestDatabase, PostgresQueue, Database) {
    queue_with(PostgresQueueOptions::default()).await
}

pub async fn queue_with(options: PostgresQueueOptions) -> (TestDatabase, PostgresQueue, Database) {
    let template = template_name("queue", &[MIGRATION]);
    let test = TestDatabase::new(&template, |url| async move {
        let database = Database::connect(&url, Options::default()).await?;
        PostgresQueue::setup(&database).await?;
        database.close().await;
        Ok(())
    });
    let test = test.await;
    let database = Database::connect(test.url(), Options::default()).await.expect("a database");
    let queue = PostgresQueue::new(database.clone(), options).await.expect("a queue");
    (test, queue, database)
}
