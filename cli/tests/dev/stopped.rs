//! How `fluxus dev` ends: at Ctrl-C, and where it cannot start.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fluxus_store::Activity;
use tokio::time::timeout;

use crate::client::{Client, claim};
use crate::process::{Dev, PATIENCE, command};
use crate::{store, violations};

#[tokio::test]
async fn ctrl_c_finishes_what_is_in_hand() {
    let database = fluxus_test_support::database().await;
    let dev = Dev::on(database.url(), &[]).await;
    let client = Client::new(dev.url());
    for n in 0..20 {
        let submitted = client.try_submit(&claim("order-saga", |_| {}), &n.to_string()).await;
        submitted.expect("an answer");
    }
    let (ended, told) = dev.interrupt().await;
    assert_eq!(ended.code(), Some(0), "{told}");
    assert!(told.contains("Stopped") && !told.contains("WARN"), "{told}");
    let store = store(database.url()).await;
    assert_eq!(violations(&store, Activity::UnderWay).await.join("\n"), "");
}

#[tokio::test]
async fn ctrl_c_leaves_no_process_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let reachable = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), reachable).expect("permissions");
    let dev = Dev::in_folder(folder.path(), &[]).await;
    assert!(!processes(folder.path()).await.is_empty(), "Postgres runs in the folder");
    let (ended, told) = dev.interrupt().await;
    assert_eq!(ended.code(), Some(0), "{told}");
    assert_eq!(processes(folder.path()).await, [""; 0]);
    assert!(!folder.path().join("postgres/data/postmaster.pid").exists());
}

/// Command lines of processes that name this folder.
async fn processes(folder: &Path) -> Vec<String> {
    let listed = tokio::process::Command::new("ps").args(["-eww", "-o", "args="]).output().await;
    let text = String::from_utf8_lossy(&listed.expect("ps runs").stdout).into_owned();
    let folder = folder.to_str().expect("text");
    text.lines().filter(|line| line.contains(folder)).map(str::to_owned).collect()
}

/// Expects a start to fail, and one line on stderr that names all of `words`.
async fn check_failure(args: &[&str], words: &[&str]) {
    let output = timeout(PATIENCE, command(&[&["dev", "--no-example"], args].concat()).output());
    let output = output.await.expect("it ends in time").expect("runs");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {told}");
    assert!(told.starts_with("error: ") && told.trim_end().lines().count() == 1, "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    for word in ["backtrace", "panicked", "Os {", "Error {", "Some(", "Kind("] {
        assert!(!told.contains(word), "`{word}` is in: {told}");
    }
}

#[tokio::test]
async fn a_busy_port_is_told_in_a_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let database = fluxus_test_support::database().await;
    let args = ["--listen", &address, "--database-url", database.url()];
    check_failure(&args, &[&address, "in use", "--listen"]).await;
}

#[tokio::test]
async fn a_database_that_cannot_be_had_is_told_in_a_line() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let listen = ["--listen", "127.0.0.1:0", "--database-url"];
    let refused = format!("postgres://me:secret@127.0.0.1:{port}/fluxus");
    let database = fluxus_test_support::database().await;
    let missing = database.url().replace(database.name(), "no_such_database");
    for (url, words) in [
        (refused.as_str(), vec!["127.0.0.1", "nothing listens there"]),
        (missing.as_str(), vec!["no_such_database"]),
        ("postgres://[", vec![]),
        ("nonsense", vec![]),
    ] {
        let words = [&words[..], &["--database-url"]].concat();
        check_failure(&[&listen[..], &[url]].concat(), &words).await;
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_in_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    // Not a folder: root, who may write anywhere else, cannot write there either.
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("writes");
    let dir = file.join("fluxus");
    let dir = dir.to_str().expect("text");
    check_failure(&["--listen", "127.0.0.1:0", "--dir", dir], &[dir, "--dir"]).await;
}
