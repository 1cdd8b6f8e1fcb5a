//! `kill -9` at any moment: no claim is lost, none ends twice, nothing is recorded twice.
//!
//! `FLUXUS_KILL_ROUNDS` says how often (20), `FLUXUS_KILL_SEED` repeats the moments and the claims
//! of a run.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fluxus_postgres::{Cluster, ClusterOptions};
use fluxus_store::Activity;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep_until, timeout};

use crate::client::{Client, claim, endpoint};
use crate::load::{Accepted, Load, ORDERS_IN_BATCH};
use crate::process::{Dev, Draws, EVERY, PATIENCE, command};
use crate::{expect_sound, store, violations};

/// How many milliseconds after the first claim the process is killed.
const KILLED_AFTER_MS: (u64, u64) = (20, 600);

/// A start takes about as long: some processes are killed before they are ready.
const STARTING_MS: u64 = 400;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

fn in_ms(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

#[tokio::test]
async fn nothing_is_lost_however_often_the_process_is_killed() {
    let rounds = from_environment("FLUXUS_KILL_ROUNDS").unwrap_or(20);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").subsec_nanos();
    let seed = from_environment("FLUXUS_KILL_SEED").unwrap_or_else(|| now().into());
    println!("FLUXUS_KILL_SEED={seed} FLUXUS_KILL_ROUNDS={rounds}");
    let mut draws = Draws::new(seed);
    let endpoint = endpoint().await;
    let database = fluxus_test_support::database().await;
    let options = ["--http-allow", &endpoint];
    let store = store(database.url()).await;
    let mut load = Load::start(seed, &endpoint);
    for round in 0..rounds {
        // Every fourth time already while it starts; the first time while it makes the tables.
        if round % 4 == 0 {
            // It may get as far as to take tasks up, or to submit its example.
            let mut args = vec!["dev", "--no-example", "--listen", "127.0.0.1:0"];
            args.extend(["--database-url", database.url()]);
            args.extend(options);
            let mut child = command(&args).spawn().expect("starts");
            sleep_until(in_ms(draws.below(STARTING_MS))).await;
            child.kill().await.expect("killed");
        }
        let dev = Dev::on(database.url(), &options).await;
        load.go_to(dev.url()).await;
        let (from, to) = KILLED_AFTER_MS;
        let after = from + draws.below(to - from);
        sleep_until(in_ms(after)).await;
        dev.kill().await;
        let found = violations(&store, Activity::UnderWay).await;
        let found = found.join("\n");
        assert_eq!(found, "", "killed after {after} ms in round {round}, seed {seed}");
    }
    let dev = Dev::on(database.url(), &options).await;
    load.go_to(dev.url()).await;
    let accepted = load.stop().await;
    println!("{} claims", accepted.len());
    expect_ends(&Client::new(dev.url()), &accepted).await;
    expect_sound(&store).await;
}

/// Waits for the end of all claims, and expects each to be there, once, as it must be.
async fn expect_ends(client: &Client, accepted: &BTreeMap<String, Accepted>) {
    let nothing_open = async {
        let mut ticks = interval(EVERY);
        loop {
            ticks.tick().await;
            let open = client.get("claims?status=RECEIVED,RUNNING&limit=1").await;
            if open["claims"].as_array().is_some_and(Vec::is_empty) {
                return;
            }
        }
    };
    let in_time = timeout(PATIENCE, nothing_open).await;
    let claims = client.claims().await;
    let by_id: BTreeMap<&str, &Value> =
        claims.iter().map(|claim| (claim["claim_id"].as_str().expect("an id"), claim)).collect();
    assert_eq!(by_id.len(), claims.len(), "a claim is listed twice");
    let mut wrong = Vec::new();
    for (key, Accepted { id, end }) in accepted {
        match by_id.get(&**id) {
            Some(claim) if claim["idempotency_key"] != **key => {
                wrong.push(format!("{key}: {claim}"));
            }
            Some(claim) => wrong.extend(end.unlike(claim).map(|what| format!("{key} {what}"))),
            None => wrong.push(format!("{key}: the claim {id} is lost")),
        }
    }
    // Each order of a batch is a claim too, once.
    let mut orders: BTreeMap<&str, usize> = BTreeMap::new();
    let parents = claims.iter().filter_map(|claim| claim["parent"].as_str());
    parents.for_each(|parent| *orders.entry(parent).or_default() += 1);
    for claim in &claims {
        let id = claim["claim_id"].as_str().expect("an id");
        let wanted = usize::from(claim["type"] == "orders.placed") * ORDERS_IN_BATCH;
        let started = orders.get(id).copied().unwrap_or(0);
        if started != wanted {
            wrong.push(format!("{id} started {started} executions, not {wanted}"));
        }
    }
    let more = wrong.len();
    wrong.truncate(20);
    assert!(wrong.is_empty(), "{more} claims are wrong:\n{}", wrong.join("\n"));
    let started: usize = orders.values().sum();
    assert_eq!(claims.len(), accepted.len() + started, "claims that nobody submitted");
    in_time.expect("all claims end in time");
}

#[tokio::test]
async fn a_private_postgres_is_found_or_recovered_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    // Root's Postgres runs as another account, which must be able to get there.
    let reachable = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), reachable).expect("permissions");
    let dir = folder.path().join("fluxus");
    let mut accepted = BTreeMap::new();
    for round in 0..3 {
        let dev = Dev::in_folder(&dir, &[]).await;
        let client = Client::new(dev.url());
        for n in 0..10 {
            let key = format!("{round}-{n}");
            let order = claim("order-saga", |claim| claim["body"]["order"] = json!(key));
            let (id, duplicate) = client.try_submit(&order, &key).await.expect("an answer");
            assert!(!duplicate);
            accepted.insert(key, id);
        }
        dev.kill().await;
        if round == 1 {
            // As after a power cut: Postgres goes too, and recovers at the next start.
            kill_postgres(&dir).await;
        }
    }
    let dev = Dev::in_folder(&dir, &[]).await;
    let client = Client::new(dev.url());
    for (key, id) in &accepted {
        let ended = |claim: &Value| claim["ended_at"].is_string().then(|| claim.clone());
        let ended = client.until(&format!("claims/{id}"), ended).await;
        assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
        assert_eq!(ended["output"]["order"], **key);
    }
    let (ended, told) = dev.interrupt().await;
    assert_eq!(ended.code(), Some(0), "{told}");
    let cluster = Cluster::start(&dir.join("postgres"), ClusterOptions::default()).await;
    let cluster = cluster.expect("starts");
    expect_sound(&store(&cluster.url("fluxus")).await).await;
    cluster.stop().await.expect("stops");
}

/// `kill -9` for the Postgres that a killed process left running.
async fn kill_postgres(dir: &Path) {
    let file = dir.join("postgres/data/postmaster.pid");
    let text = std::fs::read_to_string(file).expect("Postgres still runs");
    let pid = text.lines().next().expect("a process id").trim();
    let mut kill = tokio::process::Command::new("kill");
    assert!(kill.args(["-KILL", pid]).status().await.expect("kill runs").success());
}
