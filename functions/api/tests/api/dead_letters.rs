//! Dead letters: whose they are, and by which names their queues are known.

use fluxus_api::{ApiKeys, Auth};
use fluxus_queue::{Burial, Outgoing, Queue as _, QueueName, Receive};
use fluxus_schema::Tenant;
use fluxus_schema::message::{CORE_QUEUE, CoreMessage};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Api, api, api_with, with_json};
use crate::tasks::waiting;

const RUNNER: &str = "0123456789abcdef";
const ALPHA: &str = "fedcba9876543210";

/// Puts a dead letter into a queue.
async fn bury(api: &Api, queue: &str, body: &str) {
    let queue = QueueName::new(queue).expect("a name");
    api.queue.send(vec![Outgoing::new(queue.clone(), body)]).await.expect("sends");
    let request = Receive {
        max: 1,
        wait: std::time::Duration::ZERO,
        visibility: std::time::Duration::from_secs(60),
    };
    let received = api.queue.receive(&queue, request).await.expect("receives");
    let burials = received.into_iter().map(|one| Burial::new(one, "poison")).collect();
    api.queue.bury(&queue, burials).await.expect("buries");
}

fn shop() -> Value {
    json!({
        "name": "shop", "queue": "fluxling-shop", "concurrency": 1, "timeout_ms": 1000,
        "capabilities": [{"name": "shop.ship"}],
    })
}

fn ids(listed: &Value) -> Vec<String> {
    let letters = listed["letters"].as_array().expect("a list");
    letters.iter().map(|one| one["message_id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn dead_letters_are_listed_redriven_and_purged() {
    let api = api().await;
    let (claim_id, token) = waiting(&api).await;
    let failed = CoreMessage::TaskHeartbeat { token };
    let body = serde_json::to_string(&failed).expect("JSON");
    for (queue, body) in [(CORE_QUEUE, body.as_str()), ("ingest", "{}")] {
        bury(&api, queue, body).await;
    }
    let listed = api.get("/v1/dead-letters").await.expect(200).body;
    let queues: Vec<_> = listed["letters"].as_array().expect("a list").iter().collect();
    assert_eq!(queues.len(), 2, "{listed}");
    assert_eq!(queues[0]["queue"], "core");
    assert_eq!(queues[0]["claim_id"], json!(claim_id));
    let paged = api.get("/v1/dead-letters?limit=1").await.expect(200).body;
    let cursor = paged["next_cursor"].as_str().expect("a cursor");
    let rest = api.get(&format!("/v1/dead-letters?limit=1&cursor={cursor}")).await.expect(200).body;
    assert_eq!(rest["letters"][0]["queue"], "ingest");
    assert!(rest["next_cursor"].is_null());

    let id = queues[0]["message_id"].as_str().expect("an id");
    let one = api.get(&format!("/v1/dead-letters/core/{id}")).await.expect(200).body;
    assert_eq!((&one["body"]["type"], &one["reason"]), (&json!("TaskHeartbeat"), &json!("poison")));
    assert_eq!(one["attempts"].as_array().map(Vec::len), Some(1));
    let gone = api.get("/v1/dead-letters/core/999").await;
    gone.problem(404, "dead-letter-does-not-exist");

    let neither = api.post("/v1/dead-letters/core/purge", &json!({})).await;
    neither.problem(422, "invalid-document");
    let these = json!({"message_ids": [id]});
    let answer = api.post("/v1/dead-letters/core/redrive", &these).await.expect(200);
    assert_eq!(answer.body, json!({"queue": "core", "count": 1}));
    assert_eq!(api.messages().await, [failed]);
}

#[tokio::test]
async fn a_queue_is_known_by_its_fluxling_and_an_unknown_one_is_refused() {
    let api = api().await;
    api.put("/v1/fluxlings/shop", &shop()).await.expect(201);
    for body in ["no JSON", "none either"] {
        bury(&api, "fluxling-shop", body).await;
    }
    let listed = api.get("/v1/dead-letters?queue=shop").await.expect(200).body;
    assert_eq!(listed, api.get("/v1/dead-letters?queue=fluxling-shop").await.expect(200).body);
    let ids = ids(&listed);
    assert_eq!(ids.len(), 2);
    let one = api.get(&format!("/v1/dead-letters/shop/{}", ids[0])).await.expect(200).body;
    assert_eq!(one["queue"], "fluxling-shop");

    let all = json!({"all": true});
    for answer in [
        api.get("/v1/dead-letters?queue=shopp").await,
        api.get("/v1/dead-letters/no%20name/1").await,
        api.post("/v1/dead-letters/shopp/purge", &all).await,
        api.post("/v1/dead-letters/shopp/redrive", &all).await,
    ] {
        let refused = answer.problem(404, "queue-does-not-exist");
        assert!(
            refused.detail().ends_with("known are `core`, `fluxling-shop` (of `shop`), `ingest`"),
            "{}",
            refused.detail()
        );
    }
    for done in ["redrive", "purge"] {
        let some = json!({"message_ids": [ids[0], "999", "x"]});
        let answer = api.post(&format!("/v1/dead-letters/shop/{done}"), &some).await;
        let refused = answer.problem(404, "dead-letter-does-not-exist");
        assert!(refused.detail().contains("no dead letter `999`, `x`;"), "{}", refused.detail());
    }
    let these = json!({"message_ids": [ids[0]]});
    let answer = api.post("/v1/dead-letters/shop/purge", &these).await.expect(200);
    assert_eq!(answer.body, json!({"queue": "fluxling-shop", "count": 1}));
    let answer = api.post("/v1/dead-letters/shop/purge", &all).await.expect(200);
    assert_eq!(answer.body, json!({"queue": "fluxling-shop", "count": 1}));

    // Of a fluxling that is there no more.
    bury(&api, "fluxling-gone", "no JSON").await;
    let answer = api.post("/v1/dead-letters/fluxling-gone/purge", &all).await.expect(200);
    assert_eq!(answer.body["count"], 1);
}

async fn as_who(api: &Api, key: &str, method: Method, path: &str, body: &Value) -> Answer {
    let mut request = with_json(method, path, body);
    request.headers_mut().insert("x-api-key", key.parse().expect("a header"));
    api.send(request).await
}

#[tokio::test]
async fn a_tenant_sees_its_letters_of_fluxlings_that_all_share_and_those_fluxlings() {
    let keys = format!("{RUNNER}:{},{ALPHA}:alpha", Tenant::default());
    let keys = ApiKeys::parse(&keys).expect("keys");
    let api = api_with(Auth::Keys(keys)).await;
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    as_who(&api, RUNNER, put.clone(), "/v1/fluxlings/shop", &shop()).await.expect(201);
    let mut own = shop();
    (own["name"], own["queue"]) = (json!("mine"), json!("fluxling-mine"));
    as_who(&api, ALPHA, put, "/v1/fluxlings/mine", &own).await.expect(201);
    let load = "UPDATE fluxling SET answered = 7, in_flight = 3";
    let session = api.store.session().await.expect("a session");
    session.execute(load, &[]).await.expect("updates");
    drop(session);

    let claim = json!({"type": "order.placed"});
    let mut letters = Vec::new();
    for key in [ALPHA, RUNNER] {
        let answer = as_who(&api, key, post.clone(), "/v1/claims", &claim).await.expect(202);
        let message = json!({"type": "ClaimSubmitted", "claim_id": answer.body["claim_id"]});
        let message: CoreMessage = serde_json::from_value(message).expect("a message");
        letters.push(serde_json::to_string(&message).expect("JSON"));
    }
    let _submitted = api.messages().await;
    for letter in &letters {
        bury(&api, "fluxling-shop", letter).await;
    }
    let none = json!(null);
    let path = "/v1/dead-letters";
    let own = as_who(&api, ALPHA, get.clone(), path, &none).await.expect(200).body;
    let all = as_who(&api, RUNNER, get.clone(), path, &none).await.expect(200).body;
    let (own, all) = (ids(&own), ids(&all));
    assert_eq!((own.len(), all.len()), (1, 2));
    let others =
        json!({"message_ids": all.iter().filter(|id| !own.contains(id)).collect::<Vec<_>>()});
    let path = "/v1/dead-letters/shop/purge";
    let answer = as_who(&api, ALPHA, post.clone(), path, &others).await;
    answer.problem(404, "dead-letter-does-not-exist");
    let answer = as_who(&api, ALPHA, post, path, &json!({"all": true})).await.expect(200);
    assert_eq!(answer.body["count"], 1);

    let seen = as_who(&api, ALPHA, get.clone(), "/v1/fluxlings", &none).await.expect(200).body;
    let names: Vec<_> = (0..2).map(|at| &seen["fluxlings"][at]["manifest"]["name"]).collect();
    assert_eq!(names, ["mine", "shop"]);
    assert_eq!(seen["shared"], json!(["shop"]));
    let answered: Vec<_> = (0..2).map(|at| &seen["fluxlings"][at]["load"]["answered"]).collect();
    assert_eq!(answered, [&json!(7), &json!(0)]);
    let shop = as_who(&api, ALPHA, get.clone(), "/v1/fluxlings/shop", &none).await.expect(200).body;
    assert_eq!(shop, seen["fluxlings"][1]);
    let seen = as_who(&api, RUNNER, get, "/v1/fluxlings", &none).await.expect(200).body;
    assert_eq!(seen["fluxlings"].as_array().map(Vec::len), Some(1), "another's is not for all");
    assert!(seen["shared"].is_null());
}
