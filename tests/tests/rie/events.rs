//! The functions around the core, each with its sample events.

use fluxus_queue::BodyReference;
use serde_json::{Value, json};

use crate::footing::Footing;
use crate::outside::Outside;
use crate::sample;

#[tokio::test]
async fn the_core_migrates_registers_steps_and_sweeps() {
    let footing = Footing::migrated().await;
    let core = footing.core().await;
    assert_eq!(core.answer(&sample("migrate")).await, json!({ "applied": [] }));
    for changed in [true, false] {
        let recipes = json!([{ "name": "greet", "version": 1, "changed": changed }]);
        let expected = json!({ "fluxlings": 1, "recipes": recipes, "faults": [] });
        assert_eq!(core.answer(&sample("register")).await, expected);
    }
    core.works_on(&sample("core")).await;
    let partial = core.answer(&sample("core-partial")).await;
    let failed = &sample("core-partial")["Records"][1]["messageId"];
    assert_eq!(partial, json!({ "batchItemFailures": [{ "itemIdentifier": failed }] }));
    let swept = core.answer(&sample("sweep")).await;
    assert_eq!(swept, json!({ "timers": 0, "outbox": 0, "dead_letters": 0, "unserved": 0 }));
    core.has_told(&["ColdStarts", "MessageAge", "MessagesFailed"]);

    let unknown = core.invoke(&json!({ "what": "ever" })).await.unwrap();
    assert!(unknown["errorMessage"].as_str().unwrap().contains("migrate"), "{unknown}");
}

#[tokio::test]
async fn a_stack_is_told_that_its_tables_are_there() {
    let footing = Footing::new().await.unwrap();
    let stack = Outside::start().await;
    let mut event = sample("migration");
    event["ResponseURL"] = json!(format!("http://{}/answer?signed", stack.address()));
    let migrate = footing.run("MigrateFunction", "fluxus-core", &[]).await;
    let answer = migrate.answer(&event).await;
    assert_eq!((&answer["Status"], &answer["Reason"]), (&json!("SUCCESS"), &json!("")), "{answer}");
    let told = stack.requests().concat();
    assert!(told.starts_with("PUT /answer?signed") && told.contains("SUCCESS"), "{told}");
}

#[tokio::test]
async fn the_api_answers_events_of_the_http_api() {
    let footing = Footing::migrated().await;
    let jwt = [("FLUXUS_TENANT_CLAIM", "tenant")];
    let api = footing.run("ApiFunction", "fluxus-api", &jwt).await;
    let iam = footing.run("ApiFunction", "fluxus-api", &[("FLUXUS_AUTH", "iam")]).await;
    for (function, event, tenant) in [(&api, "api", "acme"), (&iam, "api-iam", "default")] {
        let answer = function.answer(&sample(event)).await;
        // Nobody has put a recipe for it, which does not keep a claim from being taken.
        assert_eq!(answer["statusCode"], 202, "{answer}");
        let claim: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(claim["status"], "RECEIVED", "{claim}");
        let again = function.answer(&sample(event)).await;
        let again: Value = serde_json::from_str(again["body"].as_str().unwrap()).unwrap();
        assert_eq!(again["claim_id"], claim["claim_id"], "the key was used before");
        let mut read = sample(event);
        read["requestContext"]["http"]["method"] = json!("GET");
        read["rawPath"] = json!(format!("/v1/claims/{}", claim["claim_id"].as_str().unwrap()));
        let found = function.answer(&read).await;
        let found: Value = serde_json::from_str(found["body"].as_str().unwrap()).unwrap();
        assert_eq!(found["tenant"], tenant, "{found}");
        let submitted = footing.take("core").await;
        assert!(!submitted.is_empty(), "the core is told");
        function.has_told(&["ColdStarts", "ClaimsReceived"]);
    }
    let mut nobody = sample("api");
    nobody["requestContext"]["authorizer"].take();
    assert_eq!(api.answer(&nobody).await["statusCode"], 401);
}

#[tokio::test]
async fn the_ingest_takes_claims_in_and_buries_the_rest() {
    let footing = Footing::migrated().await;
    let ingest = footing.run("IngestFunction", "fluxus-ingest", &[]).await;
    ingest.works_on(&sample("ingest")).await;
    assert_eq!(footing.take("core").await.len(), 2);
    assert_eq!(footing.take("ingest-dlq").await.len(), 1);
    ingest.has_told(&["ColdStarts", "ClaimsReceived", "ClaimsRejected", "MessageAge"]);

    // A body that cannot be got just now: this message comes again, and its neighbours do not.
    let away = [("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")];
    let ingest = footing.run("IngestFunction", "fluxus-ingest", &away).await;
    let mut partial = sample("ingest");
    let body = BodyReference::to(&footing.bucket(), "a large body").to_text();
    partial["Records"][0]["body"] = json!(body);
    let answer = ingest.answer(&partial).await;
    let failed = &partial["Records"][0]["messageId"];
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": failed }] }));
}

#[tokio::test]
async fn observe_tells_how_things_stand() {
    let footing = Footing::migrated().await;
    let api = footing.run("ApiFunction", "fluxus-api", &[]).await;
    api.answer(&sample("api")).await;
    let observe = footing.run("ObserveFunction", "fluxus-observe", &[]).await;
    let seen = observe.answer(&sample("observe")).await;
    assert_eq!(seen["claims_open"], json!({ "RECEIVED": 1, "RUNNING": 0 }), "{seen}");
    assert_eq!(seen["queues_ready"], json!({ "core": 1, "ingest": 0 }));
    observe.has_told(&["ColdStarts", "ClaimsOpen", "StuckClaims", "OldestReceivedAge"]);
    observe.has_told(&["TimersDue", "TimerLag", "OutboxMessages", "OutboxAge", "QueueMessages"]);
}

#[tokio::test]
async fn a_function_ends_in_order_when_it_is_taken_down() {
    let footing = Footing::migrated().await;
    let core = footing.core().await;
    core.works_on(&json!({ "Records": [] })).await;
    let said = core.shut_down().await.unwrap();
    assert!(said.contains("shut down in order"), "{said}");
    // The emulator gives what has an extension a moment, and kills it then.
    assert!(!said.contains("SIGKILL"), "{said}");
}
