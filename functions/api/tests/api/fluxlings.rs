//! Fluxlings.

use serde_json::{Value, json};

use crate::support::api;

fn manifest() -> Value {
    json!({
        "name": "payments-eu", "version": "1.2.0", "description": "Moves money.",
        "queue": "payments-eu", "capabilities": [{"name": "payments.refund"}],
        "concurrency": 10, "timeout_ms": 30000, "labels": {"region": "eu"},
    })
}

#[tokio::test]
async fn a_fluxling_registers_and_is_read() {
    let api = api().await;
    let path = "/v1/fluxlings/payments-eu";
    api.get(path).await.problem(404, "fluxling-does-not-exist");
    let new = api.put(path, &manifest()).await.expect(201).body;
    assert_eq!(new["manifest"]["weight"], 100);
    assert_eq!(new["enabled"], true);
    let mut changed = manifest();
    changed["version"] = json!("1.3.0");
    assert_eq!(api.put(path, &changed).await.expect(200).body["manifest"]["version"], "1.3.0");
    let read = api.get(path).await.expect(200).body;
    assert_eq!(read["registered_at"], new["registered_at"]);
    let list = api.get("/v1/fluxlings").await.expect(200).body;
    assert_eq!(list["fluxlings"], json!([read]));
}

#[tokio::test]
async fn every_fault_of_a_manifest_is_named() {
    let api = api().await;
    let wrong = json!({
        "name": "other", "queue": "no queue", "concurrency": 0, "timeout_ms": 0, "weight": 1001,
        "cost": -1.0, "capabilities": [{"name": "a", "input_schema": {"type": "objekt"}}],
    });
    let answer =
        api.put("/v1/fluxlings/payments-eu", &wrong).await.problem(422, "invalid-document");
    let pointers = answer.pointers();
    let expected = ["/name", "/queue", "/concurrency", "/timeout_ms", "/weight", "/cost"];
    assert_eq!(pointers[..6], expected, "{}", answer.text);
    assert!(pointers[6].starts_with("/capabilities/0/input_schema"), "{}", answer.text);
}
