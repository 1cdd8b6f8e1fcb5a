//! Starting the server, and waiting until it answers.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;
use tokio_postgres::NoTls;

use super::account::Account;
use super::binaries::Binaries;
use super::error::ClusterError;
use super::home::{Home, USER, last_lines};
use super::postmaster::{PidFile, Postmaster};
use super::{ClusterOptions, DEADLINE};

/// How often to knock while the server starts.
const KNOCK_EVERY: Duration = Duration::from_millis(20);

/// How often to start anew after a failure that passes: the port was taken in the meantime, or
/// the processes of a killed server are still going.
const ATTEMPTS: usize = 10;

/// The pause before such another attempt.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(300);

/// The log begins anew at a start when it is larger than this.
const MAX_LOG_BYTES: u64 = 10 * 1024 * 1024;

/// What the log says of failures that pass.
const PASSING: [&str; 3] = ["Address already in use", "pre-existing shared memory", "lock file"];

/// Settings of every private cluster. Durability is the server's default: full.
const SETTINGS: [(&str, &str); 6] = [
    ("listen_addresses", "127.0.0.1"),
    // No socket files: a path may be too long for them, and one way in is enough.
    ("unix_socket_directories", ""),
    // Several pools per process, and in tests several processes.
    ("max_connections", "200"),
    // Short statements only: compiling one takes longer than running it.
    ("jit", "off"),
    // Queues fill and empty within seconds, so look at them more often than every minute.
    ("autovacuum_naptime", "10s"),
    // Nobody restores this cluster to a point in time. `wal_level` stays as it is all the same: with
    // `minimal`, Postgres forgets in a crash what a sequence gave out that was made and used in one
    // transaction, as that of the queue's messages is, and gives the same numbers out again.
    ("max_wal_senders", "0"),
];

/// Settings of a cluster whose data nobody will miss.
const EPHEMERAL_SETTINGS: [(&str, &str); 3] =
    [("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off")];

/// All settings as `name=value`, the caller's last, so that they win.
pub(super) fn settings(options: &ClusterOptions) -> Vec<String> {
    let ephemeral: &[_] = if options.ephemeral { &EPHEMERAL_SETTINGS } else { &[] };
    let ours = SETTINGS.iter().chain(ephemeral).map(|(name, value)| format!("{name}={value}"));
    let given = options.settings.iter().map(|(name, value)| format!("{name}={value}"));
    ours.chain(given).collect()
}

/// The URL of a database; its name is written such that any name works.
pub(super) fn url(port: u16, password: &str, database: &str) -> String {
    let mut name = String::new();
    for byte in database.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02X}")),
        }
    }
    format!("postgres://{USER}:{password}@127.0.0.1:{port}/{name}")
}

/// Picks up a running server of this folder, or starts one. Returns it with its port.
pub(super) async fn run(
    home: &Home,
    binaries: &Binaries,
    account: Option<Account>,
    settings: &[String],
) -> Result<(Postmaster, u16), ClusterError> {
    if let Some(found) = pick_up(home, settings).await? {
        return Ok(found);
    }
    let mut attempt = 1;
    loop {
        match start(home, binaries, account, settings).await {
            Err(ClusterError::Exited { log, .. })
                if attempt < ATTEMPTS && PASSING.iter().any(|text| log.contains(text)) =>
            {
                tracing::debug!(attempt, log, "the server did not start; trying again");
                attempt += 1;
                tokio::time::sleep(ATTEMPT_PAUSE).await;
            }
            result => return result,
        }
    }
}

/// The server that a killed process left behind, if it runs with these settings; one with other
/// settings is stopped.
async fn pick_up(
    home: &Home,
    settings: &[String],
) -> Result<Option<(Postmaster, u16)>, ClusterError> {
    let data = home.data();
    let Some(file) = PidFile::read(&data) else { return Ok(None) };
    if !file.is_of(&data) {
        // Postgres would take any process of this number for a server that still runs.
        let path = data.join("postmaster.pid");
        let removed = std::fs::remove_file(&path);
        return removed.map(|()| None).map_err(ClusterError::folder("remove", path));
    }
    let mut postmaster = Postmaster::Adopted { pid: file.pid };
    let is_same = home.read("settings").is_ok_and(|text| text == settings.join("\n"));
    if is_same && answers(home, &mut postmaster, file.port).await.is_ok() {
        tracing::debug!(pid = file.pid, "picked up the server that was left running");
        return Ok(Some((postmaster, file.port)));
    }
    if !postmaster.has_ended() {
        postmaster.stop().await?;
    }
    Ok(None)
}

async fn start(
    home: &Home,
    binaries: &Binaries,
    account: Option<Account>,
    settings: &[String],
) -> Result<(Postmaster, u16), ClusterError> {
    let port = free_port(home)?;
    home.write("settings", &settings.join("\n"))?;
    home.write("port", &port.to_string())?;
    let log = home.log();
    let begin_anew = std::fs::metadata(&log).is_ok_and(|log| log.len() > MAX_LOG_BYTES);
    let mut options = OpenOptions::new();
    let file = options.create(true).write(true).append(!begin_anew).truncate(begin_anew).open(&log);
    let file = file.map_err(ClusterError::folder("write", &log))?;
    let twin = file.try_clone().map_err(ClusterError::folder("write", &log))?;

    let mut command = Command::new(binaries.postgres());
    command.arg("-D").arg(home.data()).args(["-c", &format!("port={port}")]);
    settings.iter().for_each(|setting| {
        command.args(["-c", setting]);
    });
    command.current_dir(home.data()).stdin(Stdio::null()).stdout(file).stderr(twin);
    command.env_remove("PGDATA").env_remove("PGPORT").env_remove("PGHOST");
    // Out of our process group: the terminal's Ctrl-C is for us, and we stop the server in order.
    command.process_group(0);
    Account::run(account, &mut command);
    let program = binaries.postgres();
    let child = command.spawn().map_err(|source| ClusterError::Program { program, source })?;
    let pid = child.id().unwrap_or_default();
    let mut postmaster = Postmaster::Child { child, pid };
    match answers(home, &mut postmaster, port).await {
        Ok(()) => {
            tracing::debug!(pid, port, version = binaries.major(), "started the server");
            Ok((postmaster, port))
        }
        Err(error) => {
            postmaster.ask_to_stop();
            Err(error)
        }
    }
}

/// The port of the last time if it is free, so that a URL somebody noted stays good; else any.
fn free_port(home: &Home) -> Result<u16, ClusterError> {
    let last = home.read("port").ok().and_then(|text| text.parse().ok()).unwrap_or(0_u16);
    let listener = TcpListener::bind(("127.0.0.1", last))
        .or_else(|_taken| TcpListener::bind(("127.0.0.1", 0)))
        .and_then(|listener| listener.local_addr());
    listener
        .map(|address| address.port())
        .map_err(ClusterError::folder("find a port for", home.path()))
}

/// Waits until the server answers our password, and no longer than it lives.
async fn answers(home: &Home, postmaster: &mut Postmaster, port: u16) -> Result<(), ClusterError> {
    let folder = home.path().to_owned();
    let url = url(port, &home.password()?, "postgres");
    let deadline = Instant::now() + DEADLINE;
    let log_tail = || last_lines(&std::fs::read_to_string(home.log()).unwrap_or_default(), 5);
    loop {
        if let Ok((_client, connection)) = tokio_postgres::connect(&url, NoTls).await {
            // Dropping both ends is as good as saying goodbye.
            drop(connection);
            return Ok(());
        }
        if postmaster.has_ended() {
            return Err(ClusterError::Exited { folder, log: log_tail() });
        }
        if Instant::now() > deadline {
            let seconds = DEADLINE.as_secs();
            return Err(ClusterError::NotReady { folder, seconds, log: log_tail() });
        }
        tokio::time::sleep(KNOCK_EVERY).await;
    }
}
