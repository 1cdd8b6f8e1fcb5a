//! The OpenAPI document is whole, and tells of every route.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::api;

const ROUTES: [&str; 30] = [
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /v1/claims",
    "GET /v1/claims/{claim_id}",
    "GET /v1/claims/{claim_id}/explain",
    "GET /v1/claims/{claim_id}/history",
    "GET /v1/dead-letters",
    "GET /v1/dead-letters/{queue}/{message_id}",
    "GET /v1/export",
    "GET /v1/fluxlings",
    "GET /v1/fluxlings/{name}",
    "GET /v1/recipes",
    "GET /v1/recipes/{name}",
    "GET /v1/recipes/{name}/versions",
    "GET /v1/recipes/{name}/versions/{version}",
    "POST /v1/activities/{name}/poll",
    "POST /v1/claims",
    "POST /v1/claims/{claim_id}/cancel",
    "POST /v1/claims/{claim_id}/redrive",
    "POST /v1/claims/{claim_id}/retry",
    "POST /v1/claims/{claim_id}/skip",
    "POST /v1/dead-letters/{queue}/purge",
    "POST /v1/dead-letters/{queue}/redrive",
    "POST /v1/tasks/{token}/fail",
    "POST /v1/tasks/{token}/heartbeat",
    "POST /v1/tasks/{token}/succeed",
    "PUT /v1/claim-types/{type}",
    "PUT /v1/fluxlings/{name}",
    "PUT /v1/recipes/{name}",
];

#[tokio::test]
async fn the_document_is_whole() {
    let api = api().await;
    let answer = api.get("/openapi.json").await.expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    let document = answer.body;
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"));
    assert_eq!(document["info"]["title"], "Fluxus");
    let (mut routes, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            routes.insert(format!("{} {path}", method.to_uppercase()));
            check_operation(path, operation, &mut ids);
        }
    }
    let expected: BTreeSet<_> = ROUTES.iter().map(ToString::to_string).collect();
    assert_eq!(routes, expected);
    check_references(&document, &document);
}

fn check_operation(path: &str, operation: &Value, ids: &mut BTreeSet<String>) {
    let id = operation["operationId"].as_str().expect("an id");
    assert!(ids.insert(id.to_owned()), "{id} is there twice");
    assert!(operation["summary"].is_string(), "{id}");
    assert!(operation["security"].is_array(), "{id}");
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let named: BTreeSet<_> = parameters
        .iter()
        .filter(|one| one["in"] == "path")
        .map(|one| one["name"].as_str().expect("a name").to_owned())
        .collect();
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    assert_eq!(named, in_path.map(str::to_owned).collect(), "{id}");
    let responses = operation["responses"].as_object().expect("responses");
    assert!(responses.keys().any(|status| status.starts_with('2')), "{id}");
    for (status, response) in responses {
        assert!(response["description"].is_string(), "{id} {status}");
        if !status.starts_with('2') {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{id} {status}");
        }
    }
    for common in ["403", "431", "500", "503"] {
        assert!(responses.contains_key(common), "{id} {common}");
    }
    let open = operation["security"] == serde_json::json!([{}]);
    assert_eq!(responses.contains_key("401"), !open, "{id}");
}

fn check_references(document: &Value, value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').expect("a local reference");
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            fields.values().for_each(|value| check_references(document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| check_references(document, value)),
        _ => {}
    }
}
