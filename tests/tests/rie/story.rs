//! One claim from the API to its end, through all functions that it meets.

use serde_json::{Value, json};

use crate::footing::Footing;
use crate::sample;

#[tokio::test]
async fn a_claim_goes_through_all_functions_to_its_end() {
    let footing = Footing::migrated().await;
    // As in a deployment, the core starts when all is registered.
    let (register, core, shop, api) = (
        footing.run("MigrateFunction", "fluxus-core", &[]).await,
        footing.core().await,
        footing.run("FluxlingShopFunction", "fluxling-shop", &[]).await,
        footing.run("ApiFunction", "fluxus-api", &[]).await,
    );
    let manifest = shop.answer(&sample("manifest")).await;
    let queue = manifest["queue"].as_str().unwrap();
    let reserve = json!({ "Type": "Task", "Resource": "fluxling:shop.reserve", "End": true });
    let definition = json!({ "StartAt": "Reserve", "States": { "Reserve": reserve } });
    let recipe =
        json!({ "name": "order", "definition": definition, "claim_types": ["order.placed"] });
    let wanted = json!({ "register": { "fluxlings": [manifest], "recipes": [recipe] } });
    let registered = register.answer(&wanted).await;
    assert_eq!(registered["faults"], json!([]), "{registered}");

    let order = json!({ "order": "4711", "items": [{ "sku": "tea", "quantity": 2 }] });
    let mut request = sample("api");
    request["body"] = json!(json!({ "type": "order.placed", "body": order }).to_string());
    let claim = claim(&api.answer(&request).await);
    core.works_on(&footing.batch("core").await).await;
    shop.works_on(&footing.batch(queue).await).await;
    core.works_on(&footing.batch("core").await).await;

    let id = claim["claim_id"].as_str().unwrap();
    request["requestContext"]["http"]["method"] = json!("GET");
    request["rawPath"] = json!(format!("/v1/claims/{id}"));
    let ended = self::claim(&api.answer(&request).await);
    assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
    assert_eq!(ended["output"], json!({ "reservation_id": "r-4711", "pieces": 2 }), "{ended}");
    core.has_told(&["ClaimsEnded", "Transitions", "TaskLatency", "MessageAge"]);
}

/// The claim that an answer of the API tells of.
fn claim(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}
