//! Starting, stopping, starting again.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex};

use fluxling::idempotency::conformance;
use fluxus_local::{
    ApiKeys, Auth, DatabaseChoice, ListenError, Options, Progress, StoreIdempotency, System,
    migrate,
};
use fluxus_postgres::{Database, Listener, Notification, Options as PoolOptions};
use fluxus_queue::{Outgoing, PostgresQueue, PostgresQueueOptions, Queue as _, QueueName};
use fluxus_schema::message::{CLAIM_ENDED_CHANNEL, INGEST_QUEUE};
use fluxus_store::Store;
use serde_json::{Value, json};

use support::{Client, PATIENCE, claim, database, options};

#[tokio::test]
async fn migrating_twice_applies_nothing_the_second_time() {
    let empty = fluxus_test_support::database().await;
    let database = Database::connect(empty.url(), PoolOptions::default()).await.expect("connects");
    let applied = migrate(&database).await.expect("migrates");
    assert_eq!(applied.len(), fluxus_store::MIGRATIONS.len());
    assert_eq!(migrate(&database).await.expect("migrates"), Vec::<String>::new());
}

#[tokio::test]
async fn the_record_conforms() {
    let database = database().await;
    let pool = Database::connect(database.url(), PoolOptions::default()).await.expect("connects");
    conformance::check(&StoreIdempotency::new(Store::new(pool)), "run").await;
}

#[tokio::test]
async fn a_shutdown_drains_and_the_next_start_goes_on() {
    const CLAIMS: usize = 50;
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let client = Client::new(&system);
    let mut ids = Vec::new();
    for n in 0..CLAIMS {
        let claim = claim("order-saga", |claim| claim["body"]["order"] = json!(n.to_string()));
        ids.push(client.submit(&claim).await);
    }
    system.shutdown().await.expect("stops");

    let told = Arc::new(Mutex::new(Vec::new()));
    let mut options = options(&database);
    let heard = told.clone();
    options.progress = Arc::new(move |progress| heard.lock().unwrap().push(progress.clone()));
    let system = System::start(options).await.expect("starts again");
    let client = Client::new(&system);
    for (n, id) in ids.iter().enumerate() {
        let ended = client.ended(id).await;
        assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
        assert_eq!(ended["output"]["reservation"]["reservation_id"], format!("r-{n}"));
    }
    let told = told.lock().unwrap().clone();
    assert!(told.contains(&Progress::Migrated { applied: vec![] }), "{told:?}");
    // Every order is flaky, so none had ended after the few milliseconds.
    assert!(told.iter().any(|told| matches!(told, Progress::Resuming { .. })), "{told:?}");
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn a_crash_loses_nothing() {
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let client = Client::new(&system);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(client.submit(&claim("order-saga", |_| {})).await);
    }
    // Nothing is drained: whatever is in hand is cut off where it stands.
    drop(system);
    let system = System::start(options(&database)).await.expect("starts again");
    let client = Client::new(&system);
    for id in &ids {
        let ended = client.ended(id).await;
        assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
    }
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn the_users_own_version_of_an_example_stays() {
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let own = json!({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}});
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let put = http.put(format!("{}/v1/recipes/order-saga", system.url()));
    let put = put.json(&json!({"definition": own})).send().await.expect("an answer");
    assert!(put.status().is_success(), "{}", put.text().await.unwrap_or_default());
    system.shutdown().await.expect("stops");
    let system = System::start(options(&database)).await.expect("starts again");
    let recipe = Client::new(&system).get("recipes/order-saga").await;
    assert_eq!((&recipe["version"], &recipe["definition"]), (&json!(2), &own));
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn a_taken_address_is_found_before_anything_is_started() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let nowhere = std::env::temp_dir().join("fluxus-never-made");
    let options = Options::new(DatabaseChoice::Private(nowhere.clone()), address);
    let error = System::start(options).await.expect_err("refused");
    assert!(matches!(error.downcast_ref(), Some(ListenError::InUse { .. })), "{error}");
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn a_claim_on_the_ingest_queue_is_fulfilled() {
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let queue = PostgresQueue::new(
        Database::connect(database.url(), PoolOptions::ONE).await.expect("connects"),
        PostgresQueueOptions::default(),
    );
    let order = claim("order-saga", |claim| {
        claim["body"]["flaky"] = json!(false);
        claim["subject"] = json!("by-queue");
    });
    let ingest = QueueName::new(INGEST_QUEUE).expect("a name");
    let message = Outgoing::new(ingest, order.to_string());
    queue.await.expect("a queue").send(vec![message]).await.expect("sends");
    let find = |page: &Value| page["claims"][0]["claim_id"].as_str().map(str::to_owned);
    let client = Client::new(&system);
    let id = client.until("claims?subject=by-queue", find).await;
    assert_eq!(client.ended(&id).await["status"], "SUCCEEDED");
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn keys_are_asked_for_where_there_are_any() {
    let database = database().await;
    let mut options = options(&database);
    options.auth = Auth::Keys(ApiKeys::parse("0123456789abcdef:acme").expect("keys"));
    options.tenants = vec!["acme".parse().expect("a tenant")];
    let system = System::start(options).await.expect("starts");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let submit = || {
        let order = claim("order-saga", |claim| claim["body"]["flaky"] = json!(false));
        http.post(format!("{}/v1/claims", system.url())).header("prefer", "wait=30").json(&order)
    };
    assert_eq!(submit().send().await.expect("an answer").status(), 401);
    let answer = submit().bearer_auth("0123456789abcdef").send().await.expect("an answer");
    let claim: Value = answer.json().await.expect("JSON");
    assert_eq!(claim["status"], "SUCCEEDED", "{claim}");
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn ends_are_told_to_the_api_of_another_process() {
    let database = database().await;
    let pool = Database::connect(database.url(), PoolOptions::default()).await.expect("connects");
    let one = System::start(options(&database)).await.expect("starts");
    let other = System::start(options(&database)).await.expect("starts");
    let mut told = Listener::listen(&pool, &[CLAIM_ENDED_CHANNEL]).await.expect("listens");
    // The two learn of each other after a moment.
    let (client, order) = (Client::new(&one), claim("order-saga", |_| {}));
    let submitting = async {
        loop {
            let id = client.submit(&order).await;
            assert_eq!(Client::new(&other).ended(&id).await["status"], "SUCCEEDED");
        }
    };
    let heard = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            heard = told.recv() => heard,
            heard = submitting => heard,
        }
    });
    let heard = heard.await.expect("is told");
    assert!(matches!(heard, Notification::Received { .. }), "{heard:?}");
    for system in [one, other] {
        system.shutdown().await.expect("stops");
    }
}

/// Whoever waits for a claim is told of its end by the core, without a look at the table.
#[tokio::test]
async fn a_claim_as_it_is_told_is_the_claim_as_it_is_read() {
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let client = Client::new(&system);
    let cases = [
        ("passes", json!({ "Type": "Pass", "Output": "{% $states.input %}", "End": true })),
        ("fails", json!({ "Type": "Fail", "Error": "Shop.Closed", "Cause": "after \u{0}hours" })),
    ];
    for (name, state) in cases {
        let machine =
            json!({ "QueryLanguage": "JSONata", "StartAt": "Only", "States": { "Only": state } });
        let recipe = json!({ "definition": machine, "claim_types": [name] });
        client.put(&format!("recipes/{name}"), &recipe).await;
    }
    let small = json!({ "n": 1 });
    let large = json!({ "text": "x".repeat(100_000) });
    for (claim_type, body, status) in [
        ("passes", &small, "SUCCEEDED"),
        ("passes", &large, "SUCCEEDED"),
        ("fails", &small, "FAILED"),
        ("nobody.knows", &small, "REJECTED"),
    ] {
        let claim = json!({
            "type": claim_type, "body": body, "subject": "told", "priority": 3,
            "attributes": { "shop": "north" }, "idempotency_key": format!("{claim_type}-{}", body["n"]),
        });
        let told = client.fulfil(&claim).await;
        assert_eq!(told["status"], status, "{told}");
        let id = told["claim_id"].as_str().expect("an id");
        let mut read = client.get(&format!("claims/{id}")).await;
        // Told where a claim is asked for.
        for field in ["redrive_status", "redrive_status_reason"] {
            read.as_object_mut().expect("a claim").remove(field);
        }
        assert_eq!(told, read);
    }
    system.shutdown().await.expect("stops");
}
