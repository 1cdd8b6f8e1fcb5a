//! Claims on the ingest queue.

use std::sync::Arc;
use std::time::Duration;

use fluxus_api::ingest::Ingest;
use fluxus_api::lambda::ingest_batch;
use fluxus_api::{Auth, BacklogBounds};
use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, Options};
use fluxus_queue::sqs_event::SqsEvent;
use fluxus_queue::{DeadLetter, MemoryQueue, Outgoing, Queue, QueueName, Receive, Received};
use fluxus_schema::message::{CORE_QUEUE, INGEST_QUEUE};
use fluxus_store::{ClaimFilter, Outbound};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{Api, api, api_on};

/// The time that an invocation has.
const TIME: Duration = Duration::from_secs(30);

fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("a name")
}

/// The ingest as a Lambda function has it: one connection, the queues elsewhere.
async fn function() -> (Api, Ingest, Arc<dyn Queue>) {
    function_bounded(BacklogBounds::default()).await
}

async fn function_bounded(bounds: BacklogBounds) -> (Api, Ingest, Arc<dyn Queue>) {
    let api = api_on(Auth::Open, Options::ONE).await;
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new());
    let outbound = Outbound::Relayed { queue: queue.clone(), store: api.store.clone() };
    let (core, ingest) = (name(CORE_QUEUE), name(INGEST_QUEUE));
    let ingest = Ingest::new(api.store.clone(), outbound, core, queue.clone(), ingest, bounds);
    (api, ingest, queue)
}

async fn put(queue: &dyn Queue, documents: &[&str]) {
    let message = |text: &&str| Outgoing::new(name(INGEST_QUEUE), *text);
    queue.send(documents.iter().map(message).collect()).await.expect("sends");
}

async fn take(queue: &dyn Queue, from: &str) -> Vec<Received> {
    let request = Receive { max: 100, wait: Duration::ZERO, visibility: TIME };
    queue.receive(&name(from), request).await.expect("receives")
}

async fn dead(queue: &dyn Queue) -> Vec<DeadLetter> {
    queue.dead_letters(&[name(INGEST_QUEUE)], 100).await.expect("dead letters")
}

async fn claims(api: &Api, tenant: &str) -> Vec<Value> {
    let tenant = tenant.parse().expect("a tenant");
    let filter = ClaimFilter { tenant, limit: 100, ..ClaimFilter::default() };
    let claims = api.store.list_claims(&filter).await.expect("claims");
    claims.iter().map(|claim| serde_json::to_value(claim).expect("JSON")).collect()
}

#[tokio::test]
async fn good_claims_are_taken_in_and_bad_ones_buried_with_their_reason() {
    let (api, ingest, queue) = function().await;
    let documents = [
        r#"{"type":"order.placed","body":{"total":1},"idempotency_key":"one"}"#,
        r#"{"type":"order.placed","body":{"total":2},"tenant":"acme"}"#,
        "this is no JSON",
        r#"{"type":"order.placed","priority":11}"#,
        r#"{"type":"order.placed","unheard":true}"#,
        r#"{"type":"order.placed","tenant":"a b"}"#,
        "[]",
        r#"{"type":"order.placed","body":{"total":1},"idempotency_key":"one"}"#,
    ];
    put(&*queue, &documents).await;
    let before = api.store.database().statements_sent();
    let ingested = ingest.handle(take(&*queue, INGEST_QUEUE).await, None).await;
    assert_eq!((ingested.done.len(), ingested.buried, ingested.failed.len()), (3, 5, 0));
    let statements = api.store.database().statements_sent() - before;
    assert!(statements <= 6, "one transaction for all: {statements}");

    let own = claims(&api, "default").await;
    assert_eq!((own.len(), &own[0]["idempotency_key"]), (1, &json!("one")));
    assert_eq!(claims(&api, "acme").await[0]["body"], json!({ "total": 2 }));
    assert_eq!(take(&*queue, CORE_QUEUE).await.len(), 2, "the core was told of each once");

    let letters = dead(&*queue).await;
    assert_eq!(letters.len(), 5);
    let reason_of = |body: &str| {
        let letter = letters.iter().find(|letter| letter.body == body).expect("a letter");
        letter.reason.clone()
    };
    assert!(reason_of("this is no JSON").contains("not JSON"));
    assert!(reason_of(documents[3]).contains("/priority"));
    assert!(reason_of(documents[4]).contains("unheard"));
}

#[tokio::test]
async fn a_message_that_comes_twice_is_one_claim() {
    let (api, ingest, queue) = function().await;
    put(&*queue, &[r#"{"type":"order.placed"}"#]).await;
    let batch = take(&*queue, INGEST_QUEUE).await;
    for _ in 0..2 {
        let ingested = ingest.handle(batch.clone(), None).await;
        assert_eq!((ingested.done.len(), ingested.failed.len()), (1, 0));
    }
    assert_eq!(claims(&api, "default").await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_taken_in_now_comes_again() {
    let (api, ingest, queue) = function().await;
    put(&*queue, &[r#"{"type":"order.placed"}"#, "bad"]).await;
    let batch = take(&*queue, INGEST_QUEUE).await;
    let others = Database::connect(api.store.database().url(), Options::ONE).await.expect("one");
    let mut session = others.session().await.expect("a session");
    let tx = session.begin().await.expect("begins");
    tx.batch("LOCK TABLE claim IN ACCESS EXCLUSIVE MODE").await.expect("locks");
    let until = Instant::now() + Duration::from_millis(200);
    let ingested = ingest.handle(batch.clone(), Some(until)).await;
    // There was no time left to bury the bad one either.
    assert_eq!((ingested.done.len(), ingested.buried, ingested.failed.len()), (0, 0, 2));
    tx.rollback().await.expect("lets go");
    let ingested = ingest.handle(batch, Some(Instant::now() + TIME)).await;
    assert_eq!((ingested.done.len(), ingested.buried, ingested.failed.len()), (1, 1, 0));
}

#[tokio::test]
async fn claims_without_room_go_back_and_never_die() {
    let (api, ingest, queue) = function_bounded(BacklogBounds { tenant: 2, all: 100 }).await;
    put(&*queue, &[r#"{"type":"order.placed"}"#; 5]).await;
    let batch = take(&*queue, INGEST_QUEUE).await;
    let ids: Vec<_> = batch.iter().map(|message| format!("ingest:{}", message.id)).collect();
    let ingested = ingest.handle(batch, None).await;
    assert_eq!((ingested.done.len(), ingested.put_back, ingested.failed.len()), (5, 3, 0));
    queue.delete(&name(INGEST_QUEUE), &ingested.done).await.expect("deletes");
    assert_eq!(claims(&api, "default").await.len(), 2);
    let depth = &queue.depth(&[name(INGEST_QUEUE)]).await.expect("a depth")[0];
    assert_eq!((depth.ready, depth.delayed, depth.dead), (0, 3, 0));
    // Another tenant has room, whatever this one did.
    put(&*queue, &[r#"{"type":"order.placed","tenant":"acme"}"#]).await;
    let ingested = ingest.handle(take(&*queue, INGEST_QUEUE).await, None).await;
    assert_eq!((ingested.done.len(), ingested.put_back), (1, 0));
    // The copies carry the keys of their originals.
    let taken = claims(&api, "default").await;
    assert!(
        taken.iter().all(
            |claim| ids.contains(&claim["idempotency_key"].as_str().expect("a key").to_owned())
        )
    );
}

#[tokio::test]
async fn the_sample_event_is_taken_in() {
    let (api, ingest, _queue) = function().await;
    let path = format!("{}/../../tests/events/ingest.json", env!("CARGO_MANIFEST_DIR"));
    let event: SqsEvent =
        serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("an event");
    let response = ingest_batch(&ingest, event, None, Instant::now() + TIME).await;
    assert_eq!(json!(response), json!({ "batchItemFailures": [] }));
    assert_eq!((claims(&api, "default").await.len(), claims(&api, "acme").await.len()), (1, 1));
}

#[tokio::test]
async fn a_worker_takes_claims_in_from_the_queue_in_postgres() {
    let api = api().await;
    let queue: Arc<dyn Queue> = Arc::new(api.queue.clone());
    let outbound = Outbound::Joined(api.queue.clone());
    let (core, own) = (name(CORE_QUEUE), name(INGEST_QUEUE));
    let ingest = Ingest::new(
        api.store.clone(),
        outbound,
        core,
        queue.clone(),
        own,
        BacklogBounds::default(),
    );
    let stop = CancellationToken::new();
    let working = tokio::spawn(ingest.run(stop.clone()));
    put(&*queue, &[r#"{"type":"order.placed"}"#, "bad"]).await;
    while dead(&*queue).await.is_empty() || claims(&api, "default").await.is_empty() {
        tokio::task::yield_now().await;
    }
    let left = "SELECT count(*) FROM fluxus_queue.message WHERE queue = $1";
    loop {
        let session = api.store.session().await.expect("a session");
        let rows = session.query(left, &[(&INGEST_QUEUE, Type::TEXT)]).await.expect("a count");
        if rows[0].get::<_, i64>(0) == 0 {
            break;
        }
    }
    stop.cancel();
    working.await.expect("ends");
    assert!(dead(&*queue).await[0].reason.contains("not JSON"));
}
