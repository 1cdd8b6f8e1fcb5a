//! Recipes and claim types.

use serde_json::json;

use crate::support::{api, recipe};

#[tokio::test]
async fn a_recipe_is_put_and_read_in_versions() {
    let api = api().await;
    let first = api.put("/v1/recipes/order-saga", &recipe()).await.expect(201);
    assert_eq!(first.header("location"), "/v1/recipes/order-saga/versions/1");
    assert_eq!(first.body["version"], 1);
    assert_eq!(first.body["definition"], recipe()["definition"]);
    // The same once more is no new version.
    api.put("/v1/recipes/order-saga", &recipe()).await.expect(200);
    let mut changed = recipe();
    changed["definition"]["Comment"] = json!("second");
    let second = api.put("/v1/recipes/order-saga", &changed).await.expect(201);
    assert_eq!(second.body["version"], 2);
    let list = api.get("/v1/recipes").await.expect(200).body;
    assert_eq!(list["recipes"][0]["version"], 2);
    assert_eq!(list["recipes"][0]["claim_types"], json!(["order.placed"]));
    let newest = api.get("/v1/recipes/order-saga").await.expect(200).body;
    assert_eq!(newest["definition"]["Comment"], "second");
    let versions = api.get("/v1/recipes/order-saga/versions").await.expect(200).body;
    let numbers: Vec<_> =
        versions["versions"].as_array().expect("versions").iter().map(|v| &v["version"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(1)]);
    let old = api.get("/v1/recipes/order-saga/versions/1").await.expect(200).body;
    assert_eq!(old["definition"], recipe()["definition"]);
    for path in
        ["/v1/recipes/other", "/v1/recipes/other/versions", "/v1/recipes/order-saga/versions/9"]
    {
        api.get(path).await.problem(404, "recipe-does-not-exist");
    }
}

#[tokio::test]
async fn all_faults_of_a_definition_are_told_at_once() {
    let api = api().await;
    let body = json!({"definition": {
        "StartAt": "Nowhere",
        "States": {"A": {"Type": "Pass", "Next": "Gone"}, "B": {"Type": "Dance"}},
    }});
    let answer = api.put("/v1/recipes/broken", &body).await.problem(422, "invalid-definition");
    let pointers = answer.pointers();
    assert!(pointers.len() >= 3, "{}", answer.text);
    assert!(pointers.iter().all(|pointer| pointer.starts_with("/definition")), "{pointers:?}");
    api.get("/v1/recipes/broken").await.problem(404, "recipe-does-not-exist");
}

#[tokio::test]
async fn a_definition_may_come_as_text() {
    let api = api().await;
    let text = "# In YAML\nStartAt: A\nStates:\n  A: {Type: Succeed}\n";
    let put = api.put("/v1/recipes/text", &json!({"definition": text})).await.expect(201);
    let definition = json!({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}});
    assert_eq!(put.body["definition"], definition);
    // The same as an object is no new version.
    api.put("/v1/recipes/text", &json!({"definition": definition})).await.expect(200);
    let text = "{\n  // Where it begins\n  \"StartAt\": \"B\",\n  \"States\": {}\n}";
    let refused = api.put("/v1/recipes/text", &json!({"definition": text})).await;
    let refused = refused.problem(422, "invalid-definition");
    assert_eq!(refused.body["faults"][0]["place"]["line"], 4, "{}", refused.text);
    let refused = api.put("/v1/recipes/text", &json!({"definition": "{\"StartAt\""})).await;
    let refused = refused.problem(422, "invalid-definition");
    assert_eq!(refused.body["faults"][0]["code"], "INVALID_JSON_DESCRIPTION", "{}", refused.text);
}

#[tokio::test]
async fn a_definition_may_be_larger_than_a_claim() {
    let api = api().await;
    let mut large = recipe();
    large["definition"]["Comment"] = json!("x".repeat(900 * 1024));
    api.put("/v1/recipes/large", &large).await.expect(201);
    large["definition"]["Comment"] = json!("x".repeat(1024 * 1024));
    let answer = api.put("/v1/recipes/large", &large).await.problem(422, "invalid-definition");
    assert_eq!(answer.pointers(), ["/definition"]);
}

#[tokio::test]
async fn a_claim_type_has_a_schema_that_is_one() {
    let api = api().await;
    let path = "/v1/claim-types/order.placed";
    let valid = json!({"schema": {"type": "object", "required": ["total"]}});
    assert_eq!(api.put(path, &valid).await.expect(200).body, valid);
    for wrong in [
        json!({"schema": {"type": "objekt"}}),
        json!({"schema": 7}),
        json!({"schema": {"$ref": "#/$defs/nowhere"}}),
        json!({"schema": {"$ref": "https://example.com/elsewhere.json"}}),
    ] {
        let answer = api.put(path, &wrong).await.problem(422, "invalid-document");
        assert!(answer.pointers()[0].starts_with("/schema"), "{}", answer.text);
    }
    api.put(path, &json!({"schema": null})).await.expect(200);
}
