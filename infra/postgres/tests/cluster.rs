//! A private cluster from its first start to its recovery, with real servers.

#![allow(clippy::expect_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fluxus_postgres::{Cluster, ClusterError, ClusterOptions, Database, Options};
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// A folder that any account can reach.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().expect("a folder");
    let reachable = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(parent.path(), reachable).expect("permissions");
    let path = parent.path().join("cluster");
    (parent, path)
}

async fn start(folder: &Path) -> Cluster {
    let options = ClusterOptions { ephemeral: true, ..ClusterOptions::default() };
    Cluster::start(folder, options).await.expect("a cluster")
}

async fn fail(folder: &Path) -> ClusterError {
    Cluster::start(folder, ClusterOptions::default()).await.expect_err("an error")
}

async fn connect(cluster: &Cluster) -> Database {
    cluster.create_database_if_missing("orders").await.expect("a database");
    Database::connect(&cluster.url("orders"), Options::default()).await.expect("a connection")
}

async fn batch(database: &Database, sql: &str) {
    database.session().await.expect("a session").batch(sql).await.expect("a batch");
}

async fn count(database: &Database) -> i64 {
    let session = database.session().await.expect("a session");
    session.query("SELECT count(*) FROM kept", &[]).await.expect("a count")[0].get(0)
}

#[tokio::test]
async fn data_outlives_a_stop_and_a_crash_of_the_server() {
    let (_parent, folder) = folder();
    let start = async |folder: &Path| {
        Cluster::start(folder, ClusterOptions::default()).await.expect("a durable cluster")
    };
    let cluster = start(&folder).await;
    let port = cluster.url("");
    let database = connect(&cluster).await;
    batch(&database, "CREATE TABLE kept AS SELECT 1").await;
    database.close().await;
    cluster.stop().await.expect("a stop");

    let cluster = start(&folder).await;
    assert_eq!(cluster.url(""), port, "the URL stays the same while its port is free");
    let database = connect(&cluster).await;
    assert_eq!(count(&database).await, 1);
    batch(&database, "INSERT INTO kept VALUES (2)").await;
    let pid = Pid::from_raw(cluster.postmaster_pid().cast_signed()).expect("a pid");
    kill_process(pid, Signal::KILL).expect("a kill");
    drop(cluster);

    let cluster = start(&folder).await;
    assert_eq!(count(&connect(&cluster).await).await, 2);
    cluster.stop().await.expect("a stop");
}

#[tokio::test]
async fn a_server_left_running_is_picked_up() {
    let (_parent, folder) = folder();
    let cluster = start(&folder).await;
    let pid = cluster.postmaster_pid();
    cluster.leave_running();

    let cluster = start(&folder).await;
    assert_eq!(cluster.postmaster_pid(), pid);
    connect(&cluster).await;
    cluster.leave_running();

    let settings = vec![("work_mem".to_owned(), "8MB".to_owned())];
    let options = ClusterOptions { settings, ephemeral: true };
    let cluster = Cluster::start(&folder, options).await.expect("a cluster");
    assert_ne!(cluster.postmaster_pid(), pid, "other settings need another server");
    cluster.stop().await.expect("a stop");
}

#[tokio::test]
async fn a_folder_in_use_is_refused() {
    let (_parent, folder) = folder();
    let cluster = start(&folder).await;
    let error = fail(&folder).await;
    assert!(matches!(error, ClusterError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    cluster.stop().await.expect("a stop");
}

#[tokio::test]
async fn a_stale_pid_file_does_not_stop_a_start() {
    let (_parent, folder) = folder();
    start(&folder).await.stop().await.expect("a stop");
    // As after a restart of the machine, when the number belongs to somebody else: to us.
    let data = folder.join("data");
    let text = format!("{}\n{}\n1700000000\n5432\n\n\n", std::process::id(), data.display());
    std::fs::write(data.join("postmaster.pid"), text).expect("a file");
    start(&folder).await.stop().await.expect("a stop");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let (parent, _) = folder();
    let file = parent.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let error = fail(&file.join("cluster")).await;
    assert!(matches!(error, ClusterError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("/file/cluster"), "{error}");

    let error = fail(parent.path()).await;
    assert!(matches!(error, ClusterError::NotACluster { .. }), "{error}");
}

#[tokio::test]
async fn a_setting_the_server_does_not_know_is_told() {
    let (_parent, folder) = folder();
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let options = ClusterOptions { settings, ephemeral: true };
    let error = Cluster::start(&folder, options).await.expect_err("an error");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn what_is_durable_by_default_is_only_lost_when_asked() {
    let (_parent, folder) = folder();
    let cluster = Cluster::start(&folder, ClusterOptions::default()).await.expect("a cluster");
    let database = connect(&cluster).await;
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let session = database.session().await.expect("a session");
        let rows = session.query(&format!("SHOW {setting}"), &[]).await.expect("a setting");
        assert_eq!(rows[0].get::<_, String>(0), "on", "{setting}");
    }
    cluster.stop().await.expect("a stop");
}

/// Only root has the trouble, and the means to look: elsewhere there is nothing to test.
#[tokio::test]
async fn root_runs_it_as_another_account_even_in_a_closed_folder() {
    if !geteuid().is_root() {
        return;
    }
    let closed = tempfile::tempdir().expect("a folder");
    let only_root = PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(closed.path(), only_root).expect("permissions");
    let folder = closed.path().join("cluster");
    let cluster = start(&folder).await;
    connect(&cluster).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.postmaster_pid()));
    let status = status.expect("a status");
    assert!(!status.contains("\nUid:\t0\t"), "the server runs as root");
    let home = std::fs::read_link(format!("/proc/{}/cwd", cluster.postmaster_pid()));
    let home = home.expect("a folder");
    cluster.stop().await.expect("a stop");
    assert!(home.starts_with("/var/lib/fluxus"), "{}", home.display());
    assert!(!folder.exists(), "nothing is left where nothing can be");
    std::fs::remove_dir_all(home.parent().expect("a parent")).expect("a removal");
}

#[tokio::test]
async fn a_sequence_gives_nothing_out_twice_after_a_crash() {
    // As the queue's tables are made: used in the transaction that makes them.
    const MAKE: &str = "BEGIN;
        CREATE TABLE kept (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
        INSERT INTO kept DEFAULT VALUES;
        COMMIT";
    let (_parent, folder) = folder();
    let durable = async || {
        Cluster::start(&folder, ClusterOptions::default()).await.expect("a durable cluster")
    };
    let cluster = durable().await;
    let database = connect(&cluster).await;
    batch(&database, MAKE).await;
    batch(&database, "INSERT INTO kept DEFAULT VALUES").await;
    let pid = i32::try_from(cluster.postmaster_pid()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), Signal::KILL).expect("killed");
    database.close().await;
    drop(cluster);
    let cluster = durable().await;
    let database = connect(&cluster).await;
    batch(&database, "INSERT INTO kept DEFAULT VALUES").await;
    assert_eq!(count(&database).await, 3);
    database.close().await;
    cluster.stop().await.expect("a stop");
}
