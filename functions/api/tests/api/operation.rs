//! Health and metrics.

use serde_json::json;

use crate::support::api;

#[tokio::test]
async fn it_says_whether_it_works() {
    let api = api().await;
    assert_eq!(api.get("/healthz").await.expect(200).body["status"], "ok");
}

#[tokio::test]
async fn metrics_tell_of_the_shared_state() {
    let api = api().await;
    api.submit(&json!({"type": "order.placed"})).await;
    let running = api.submit(&json!({"type": "order.placed"})).await;
    api.start(running).await;
    let ended = api.submit(&json!({"type": "order.placed"})).await;
    api.start(ended).await;
    api.end(ended).await;
    let manifest = json!({
        "name": "f", "queue": "f-queue", "capabilities": [{"name": "a"}], "concurrency": 1,
        "timeout_ms": 1000,
    });
    api.put("/v1/fluxlings/f", &manifest).await.expect(201);
    let answer = api.get("/metrics").await.expect(200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        r#"fluxus_claims_open{tenant="default",type="order.placed",status="RECEIVED"} 1"#,
        r#"fluxus_claims_open{tenant="default",type="order.placed",status="RUNNING"} 1"#,
        r#"fluxus_claims_ended_total{tenant="default",type="order.placed",status="SUCCEEDED"} 1"#,
        r#"fluxus_queue_messages{queue="core",state="ready"} 3"#,
        r#"fluxus_queue_messages{queue="f-queue",state="ready"} 0"#,
        r#"fluxus_fluxling_in_flight{fluxling="f"} 0"#,
        r#"fluxus_http_requests_total{method="POST",route="/v1/claims",status="202"} 3"#,
        "fluxus_timers_due 0",
        "fluxus_outbox_unsent 0",
    ] {
        assert!(answer.text.lines().any(|known| known == line), "{line}\n{}", answer.text);
    }
    // Each family is announced once, and before its samples.
    let mut announced = std::collections::BTreeSet::new();
    for line in answer.text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(announced.insert(rest.split(' ').next().expect("a name").to_owned()), "{line}");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().expect("a name");
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end).filter(|name| announced.contains(*name)));
            assert!(announced.contains(family.unwrap_or(name)), "{line}");
        }
    }
}
