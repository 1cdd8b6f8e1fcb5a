//! Every example, over HTTP and by the ingest queue: the outcome and the history of the embedded
//! run, to the event.

use std::path::Path;

use fluxus_local::{DatabaseChoice, Options, System};
use serde_json::{Value, json};

use crate::client::Client;
use crate::history::told;
use crate::stack::{Stack, stack};

/// The claim of an example, changed.
fn claim(example: &str, change: impl FnOnce(&mut Value)) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example);
    let text = std::fs::read_to_string(file.join("claim.json")).expect("a claim");
    let mut claim: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut claim["body"]);
    claim
}

/// How a claim comes in.
enum Way {
    Http,
    Queue,
}

/// Every example, some in several ways.
fn claims(stack: &Stack) -> Vec<(&'static str, Value)> {
    let outside = stack.network().outside();
    vec![
        ("an order", claim("order-saga", |_| {})),
        ("a card that is declined", claim("order-saga", |body| body["card"] = json!("declined"))),
        (
            "nobody ships there",
            claim("order-saga", |body| body["address"]["country"] = json!("XX")),
        ),
        ("a body that breaks its schema", claim("order-saga", |body| body["amount"] = json!(-1))),
        ("a batch of orders", claim("order-batch", |_| {})),
        ("documents", claim("document-intake", |_| {})),
        ("an approval", claim("approval", |_| {})),
        (
            "an endpoint",
            claim("http-check", |body| body["url"] = json!(format!("http://{outside}/hello"))),
        ),
    ]
}

/// Waits for the end, approving what is to be approved, and tells what happened.
async fn story(client: &Client, what: &str, id: &str) -> (Value, Vec<String>) {
    if what == "an approval" {
        client.approve(id).await;
    }
    let claim = client.ended(id).await;
    let outcome = json!([claim["status"], claim["output"], claim["error"], claim["cause"]]);
    (outcome, told(&client.history(id).await))
}

#[tokio::test]
async fn examples_go_as_they_do_in_one_process() {
    let stack = stack().await;
    let database = stack.another_database().await;
    let choice = DatabaseChoice::Url(database.url().to_owned());
    let mut options = Options::new(choice, "127.0.0.1:0".parse().expect("an address"));
    options.http_allow = vec![stack.network().outside().parse().expect("an endpoint")];
    let system = System::start(options).await.expect("starts");
    let (here, there) = (Client::new(&system.url(), None), stack.client());

    let mut expected = Vec::new();
    for (what, claim) in claims(&stack) {
        // Executions are idempotent by name, and their names have the orders' numbers.
        let renamed = claim.to_string().replace("200", "300");
        let ingested: Value = serde_json::from_str(&renamed).expect("JSON");
        for (claim, way) in [(claim, Way::Http), (ingested, Way::Queue)] {
            let id = here.submit(&claim).await;
            let story = story(&here, what, &id).await;
            expected.push((what, claim, way, story));
        }
    }
    system.shutdown().await.expect("stops");

    for (what, mut claim, way, (outcome, history)) in expected {
        let id = match way {
            Way::Http => there.submit(&claim).await,
            Way::Queue => {
                claim["attributes"]["ingested"] = json!(what);
                stack.ingest(&claim).await;
                let find = |page: &Value| page["claims"][0]["claim_id"].as_str().map(str::to_owned);
                let path = format!("claims?attribute.ingested={}", what.replace(' ', "%20"));
                there.until(&path, find).await
            }
        };
        let (got, told) = story(there, what, &id).await;
        assert_eq!(got, outcome, "{what}");
        for (told, expected) in told.iter().zip(&history) {
            assert_eq!(told, expected, "{what}");
        }
        assert_eq!(told.len(), history.len(), "{what}");
    }
    assert_eq!(stack.violations().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_message_that_is_no_claim_is_a_dead_letter_with_its_reason() {
    let stack = stack().await;
    stack.ingest(&json!({ "subject": "a claim without a type" })).await;
    let letter = stack.dead_letter("ingest").await;
    assert!(letter.body.contains("a claim without a type"), "{letter:?}");
    assert!(letter.reason.contains("type"), "{letter:?}");
}
