//! Large payloads, from the client through states and fluxlings and back, stored once.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use fluxling::{Fluxling, Task};
use fluxus_local::System;
use fluxus_postgres::{Database, Options as PoolOptions};
use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use fluxus_store::{Activity, Store};
use serde_json::{Value, json};

use support::{Client, database, options};

/// Gives back what it gets; `large.grow` gives twice as much.
fn parrot() -> Fluxling {
    Fluxling::new("parrot")
        .capability("large.echo", async |task: Task<Value>| Ok(task.input))
        .capability("large.count", async |task: Task<Vec<Value>>| Ok(task.input.len()))
        .capability("large.grow", async |task: Task<Value>| Ok(json!([task.input, task.input])))
}

struct World {
    system: System,
    client: Client,
    database: Database,
    _own: fluxus_test_support::TestDatabase,
}

async fn world(definition: &Value) -> World {
    let own = database().await;
    let mut options = options(&own);
    options.fluxlings.push(parrot());
    let system = System::start(options).await.expect("starts");
    let client = Client::new(&system);
    let recipe = json!({ "definition": definition, "claim_types": ["large"] });
    client.put("recipes/large", &recipe).await;
    let database = Database::connect(own.url(), PoolOptions::default()).await.expect("connects");
    World { system, client, database, _own: own }
}

impl World {
    async fn count(&self, sql: &str) -> i64 {
        let rows = self.database.session().await.expect("a session").query(sql, &[]).await;
        rows.expect("an answer")[0].get(0)
    }

    /// Submits a claim and gives it as it ended. It looks at the list, which shows no large document:
    /// an unoptimized build takes its time for those.
    async fn fulfil(&self, claim: &Value) -> Value {
        let id = self.client.submit(claim).await;
        let ended = |page: &Value| {
            let claims = page["claims"].as_array()?;
            claims.iter().any(|claim| claim["claim_id"] == *id).then_some(())
        };
        let path = "claims?status=SUCCEEDED,FAILED,ABORTED,TIMED_OUT,REJECTED";
        self.client.until_patiently(path, ended).await;
        self.client.get(&format!("claims/{id}")).await
    }

    async fn end(self) {
        let audited =
            fluxus_store::audit(&Store::new(self.database.clone()), Activity::Drained).await;
        assert_eq!(audited.expect("looks"), vec![]);
        self.system.shutdown().await.expect("stops");
    }
}

fn body_of(bytes: usize) -> Value {
    let around = json!({ "text": "" }).to_string().len();
    json!({ "text": "x".repeat(bytes - around) })
}

#[tokio::test]
async fn a_large_payload_goes_through_and_is_stored_once() {
    let echo = |next: Value| {
        let mut state = json!({ "Type": "Task", "Resource": "fluxling:large.echo" });
        state.as_object_mut().unwrap().extend(next.as_object().unwrap().clone());
        state
    };
    let branch =
        |name: &str| json!({ "StartAt": name, "States": { name: echo(json!({ "End": true })) } });
    let world = world(&json!({ "StartAt": "Pass", "States": {
        "Pass": { "Type": "Pass", "Next": "Alone" },
        "Alone": echo(json!({ "Next": "Both" })),
        "Both": { "Type": "Parallel", "Branches": [branch("One"), branch("Two")],
                  "ResultSelector": { "marked": true }, "ResultPath": "$.done", "Next": "Marked" },
        "Marked": { "Type": "Pass", "Result": true, "ResultPath": "$.marked", "End": true },
    }}))
    .await;
    let body = body_of(5_900_000);
    let claim = world.fulfil(&json!({ "type": "large", "body": body })).await;
    assert_eq!(claim["status"], "SUCCEEDED", "{}", claim["error"]);
    assert_eq!(claim["body"], body);
    assert_eq!(
        (&claim["output"]["text"], &claim["output"]["marked"]),
        (&body["text"], &json!(true))
    );

    // The text is one payload, whatever states put beside it, and no row holds a copy.
    assert_eq!(world.count("SELECT count(*) FROM payload").await, 1);
    let rows = "SELECT greatest(
        (SELECT max(octet_length(events::text)) FROM history),
        (SELECT max(octet_length(body::text) + octet_length(output::text)) FROM claim),
        (SELECT max(octet_length(outcome::text)) FROM idempotency))::bigint";
    assert!(world.count(rows).await < 10_000, "{}", world.count(rows).await);
    let queued = world.count("SELECT count(*) FROM fluxus_queue.message").await;
    assert_eq!(queued, 0);
    // Every event shows the whole document, page by page.
    let id = claim["claim_id"].as_str().unwrap();
    let mut seen = 0;
    let mut cursor = String::new();
    loop {
        let path = format!("claims/{id}/history?limit=1000{cursor}");
        let page = world.client.get(&path).await;
        for event in page["events"].as_array().unwrap() {
            let text = event.to_string();
            assert!(!text.contains("fluxus:payload"), "{}", &text[..500]);
            seen += usize::from(text.len() > 5_900_000);
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(seen > 10, "{seen}");
    // A list does not.
    let page = world.client.get("claims").await;
    assert_eq!(page["claims"][0]["body"]["text"]["bytes"], 5_899_991);
    world.end().await;
}

#[tokio::test]
async fn a_map_over_a_large_list_keeps_one_list() {
    let item = json!({ "StartAt": "Pass", "States": { "Pass": { "Type": "Pass", "End": true } } });
    let world = world(&json!({ "StartAt": "Count", "States": {
        "Count": { "Type": "Task", "Resource": "fluxling:large.count", "InputPath": "$.list",
                   "ResultPath": "$.count", "Next": "Each" },
        "Each": { "Type": "Map", "ItemsPath": "$.list", "ItemProcessor": item, "End": true },
    }}))
    .await;
    let list: Vec<_> = (0..2000).map(|n| json!({ "n": n, "text": "x".repeat(1000) })).collect();
    let claim = json!({ "type": "large", "body": { "list": list } });
    let claim = world.fulfil(&claim).await;
    assert_eq!(claim["output"], json!(list), "{}", claim["status"]);
    assert_eq!(world.count("SELECT count(*) FROM payload").await, 1);
    world.end().await;
}

#[tokio::test]
async fn past_the_bound_there_is_an_error_that_names_it() {
    let world = world(&json!({ "StartAt": "Grow", "States": {
        "Grow": { "Type": "Task", "Resource": "fluxling:large.grow", "End": true },
    }}))
    .await;
    let post = |bytes| {
        let claim = json!({ "type": "large", "body": body_of(bytes) });
        async { world.client.post("claims", &{ claim }).await }
    };
    assert_eq!(post(MAX_PAYLOAD_BYTES + 1).await, 413);
    assert_eq!(post(MAX_PAYLOAD_BYTES).await, 202);
    let claim = json!({ "type": "large", "body": body_of(MAX_PAYLOAD_BYTES / 2 + 10) });
    let ended = world.fulfil(&claim).await;
    assert_eq!(ended["error"], "States.DataLimitExceeded", "{}", ended["status"]);
    assert!(ended["cause"].as_str().unwrap().contains("MAX_PAYLOAD_BYTES = 6291456"));
    world
        .client
        .until("claims?status=RUNNING", |page| {
            page["claims"].as_array().unwrap().is_empty().then_some(())
        })
        .await;
    world.end().await;
}

#[tokio::test]
async fn a_document_that_looks_like_a_reference_is_no_reference() {
    let world = world(&json!({ "StartAt": "Echo", "States": {
        "Echo": { "Type": "Task", "Resource": "fluxling:large.echo", "End": true },
    }}))
    .await;
    let like = json!({ "fluxus:payload": "0".repeat(64), "bytes": 7 });
    let body = json!({ "like": like, "odd": { "fluxus:payloads": [] } });
    let claim = world.fulfil(&json!({ "type": "large", "body": body })).await;
    assert_eq!((&claim["body"], &claim["output"]), (&body, &body));
    world.end().await;
}
