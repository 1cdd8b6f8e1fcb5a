//! Connections, transactions and notifications against a real server.

#![allow(clippy::expect_used)]

use std::error::Error;

use fluxus_postgres::types::Type;
use fluxus_postgres::{
    Database, DatabaseError, Listener, Notification, Options, SqlState, Statement, Statements,
};
use fluxus_test_support::TestDatabase;

async fn open(statements: Statements) -> (TestDatabase, Database) {
    let test = fluxus_test_support::database().await;
    let options = Options { statements, ..Options::default() };
    let database = Database::connect(test.url(), options).await.expect("a connection");
    (test, database)
}

async fn refused(url: &str) -> DatabaseError {
    Database::connect(url, Options::default()).await.expect_err("an error")
}

/// The error and its causes, as a log shows them.
fn chain(error: &dyn Error) -> String {
    let cause = error.source().map(chain).map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{error}{cause}")
}

#[tokio::test]
async fn a_failure_to_connect_says_why_and_keeps_the_password() {
    let test = fluxus_test_support::database().await;
    let wrong = test.url().replacen("fluxus:", "fluxus:hunter2", 1);
    let missing = test.url().replace(test.name(), "no_such_database");
    let cases = [
        ("postgres://me:hunter2@127.0.0.1:1/x", "`127.0.0.1:1/x`: nothing listens there", true),
        (wrong.as_str(), "wrong password for user `fluxus`", false),
        (missing.as_str(), "there is no database `no_such_database`", false),
        ("postgres://me:hunter2@h:port/x", "URL cannot be read", false),
        ("hunter2", "URL cannot be read", false),
    ];
    for (url, expected, is_transient) in cases {
        let error = refused(url).await;
        let text = chain(&error);
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("hunter2") && !text.contains('\n'), "{text}");
        assert_eq!(error.is_transient(), is_transient, "{text}");
    }
}

#[tokio::test]
async fn statements_are_counted_in_both_modes() {
    for statements in [Statements::Prepared, Statements::Unnamed] {
        let (_test, database) = open(statements).await;
        assert_eq!(database.statements_sent(), 0);
        let mut session = database.session().await.expect("a session");
        session.batch("CREATE TABLE item (id bigint PRIMARY KEY)").await.expect("a table");
        let tx = session.begin().await.expect("a transaction");
        let insert = "INSERT INTO item SELECT * FROM unnest($1::bigint[])";
        let (some, others) = (vec![1_i64, 2], vec![3_i64]);
        let (some, others) = ([(&some as _, Type::INT8_ARRAY)], [(&others as _, Type::INT8_ARRAY)]);
        let (a, b) = futures::join!(tx.execute(insert, &some), tx.execute(insert, &others));
        assert_eq!((a.expect("rows"), b.expect("rows")), (2, 1));
        assert_eq!(tx.statements(), 2);
        tx.commit().await.expect("a commit");
        let rows = session.query("SELECT id FROM item ORDER BY id", &[]).await.expect("rows");
        assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [1, 2, 3]);
        assert_eq!(database.clone().statements_sent(), 3);
    }
}

#[tokio::test]
async fn a_transaction_dropped_or_rolled_back_leaves_nothing() {
    let (_test, database) = open(Statements::Prepared).await;
    let mut session = database.session().await.expect("a session");
    session.batch("CREATE TABLE item (id bigint PRIMARY KEY)").await.expect("a table");
    let tx = session.begin().await.expect("a transaction");
    tx.execute("INSERT INTO item VALUES (1)", &[]).await.expect("a row");
    drop(tx);
    let tx = session.begin().await.expect("a transaction");
    tx.execute("INSERT INTO item VALUES (2)", &[]).await.expect("a row");
    tx.rollback().await.expect("a rollback");
    assert!(session.query("SELECT FROM item", &[]).await.expect("rows").is_empty());
}

#[tokio::test]
async fn statements_that_are_sent_with_the_commit_take_effect_together_or_not_at_all() {
    const INSERT: &str = "INSERT INTO t SELECT count(*) + $1 FROM t";
    let insert = |by: i64| Statement::new(INSERT).with(by, Type::INT8);
    // One that the server refuses, and one that cannot even be sent to it.
    let refused = || Statement::new("SELECT 1 / ($1 - 1)").with(1_i64, Type::INT8);
    let unwritable = || Statement::new(INSERT).with("five", Type::INT8);
    for statements in [Statements::Prepared, Statements::Unnamed] {
        let (_test, database) = open(statements).await;
        let mut session = database.session().await.expect("a connection");
        session.batch("CREATE TABLE t (n bigint)").await.expect("created");
        for bad in [refused(), unwritable()] {
            let tx = session.begin().await.expect("a transaction");
            let sent = tx.commit_with(&[insert(1), bad, insert(2)]).await;
            sent.expect_err("one of them fails");
            let left = session.query("SELECT FROM t", &[]).await.expect("rows");
            assert!(left.is_empty(), "{statements:?}");
        }
        let tx = session.begin().await.expect("a transaction");
        tx.run(&[insert(10)]).await.expect("runs");
        tx.commit_with(&[insert(10), insert(10)]).await.expect("commits");
        let rows = session.query("SELECT n FROM t ORDER BY n", &[]).await.expect("rows");
        let found: Vec<i64> = rows.iter().map(|row| row.get("n")).collect();
        assert_eq!(found, [10, 11, 12], "each sees what those before did");
    }
}

#[tokio::test]
async fn only_a_relaxed_database_does_not_wait_for_the_disk() {
    let (test, database) = open(Statements::Prepared).await;
    let options = Options { durable: false, ..Options::default() };
    let careless = Database::connect(test.url(), options).await.expect("a connection");
    // The test server is careless itself, so ask where the value comes from.
    let sql = "SELECT setting, source FROM pg_settings WHERE name = 'synchronous_commit'";
    for (database, from_us) in [(&database, false), (&database.relaxed(), true), (&careless, true)]
    {
        let session = database.session().await.expect("a session");
        let rows = session.query(sql, &[]).await.expect("a setting");
        assert_eq!(rows[0].get::<_, &str>("source") == "client", from_us);
    }
    assert_eq!(database.statements_sent(), 2, "counted together");
}

#[tokio::test]
async fn settings_hold_on_every_connection() {
    let (_test, database) = open(Statements::Prepared).await;
    let settings = [("enable_seqscan", "off"), ("search_path", "a, b")];
    let special = database.with_settings(&settings).expect("a database");
    for database in [&special, &special.relaxed()] {
        let session = database.session().await.expect("a session");
        for (name, value) in settings {
            let rows = session.query(&format!("SHOW {name}"), &[]).await.expect("a setting");
            assert_eq!(rows[0].get::<_, &str>(0), value);
        }
    }
}

#[tokio::test]
async fn an_error_names_the_statement_and_whether_to_try_again() {
    let (_test, database) = open(Statements::Prepared).await;
    let session = database.session().await.expect("a session");
    session.batch("CREATE TABLE item (id bigint CONSTRAINT one PRIMARY KEY)").await.expect("table");
    let insert = "\n -- add an item\n INSERT INTO item VALUES (1)";
    session.execute(insert, &[]).await.expect("a row");
    let error = session.execute(insert, &[]).await.expect_err("a duplicate");
    assert_eq!(error.to_string(), "cannot add an item");
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));
    assert_eq!(error.constraint(), Some("one"));
    assert!(!error.is_transient());
    assert_eq!(error.during("store an order").to_string(), "cannot store an order");

    let ended = session.query("SELECT pg_terminate_backend(pg_backend_pid())", &[]).await;
    assert!(ended.expect_err("a lost connection").is_transient());
    let lost = session.query("SELECT 1", &[]).await;
    assert!(lost.expect_err("a lost connection").is_transient());
    drop(session);
    let again = database.session().await.expect("another connection");
    again.query("SELECT 1", &[]).await.expect("an answer");
}

#[tokio::test]
async fn a_listener_hears_and_comes_back_after_a_loss() {
    let (_test, database) = open(Statements::Prepared).await;
    let mut listener = Listener::listen(&database, &["one", "two"]).await.expect("a listener");
    let session = database.session().await.expect("a session");
    let heard = |channel: &str, payload: &str| {
        let (channel, payload) = (channel.to_owned(), payload.to_owned());
        Notification::Received { channel, payload }
    };
    session.batch("NOTIFY two, 'hello'; NOTIFY three; NOTIFY one").await.expect("notify");
    assert_eq!(listener.recv().await, heard("two", "hello"));
    assert_eq!(listener.recv().await, heard("one", ""));

    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    assert_eq!(session.query(end, &[]).await.expect("an end").len(), 1);
    assert_eq!(listener.recv().await, Notification::Resumed);
    session.batch("NOTIFY one, 'again'").await.expect("notify");
    assert_eq!(listener.recv().await, heard("one", "again"));
}
