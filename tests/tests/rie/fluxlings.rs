//! Each fluxling of the template with its manifest and its sample event.

use fluxus_schema::message::CoreMessage;
use serde_json::{Value, json};

use crate::footing::{Footing, functions};
use crate::outside::Outside;
use crate::sample;

#[tokio::test]
async fn fluxlings_tell_what_they_offer_and_work_on_their_samples() {
    let footing = Footing::new().await.unwrap();
    let outside = Outside::start().await;
    let url = format!("http://{}", outside.address());
    let further = [
        ("FLUXLING_HTTP_ALLOW", outside.address()),
        // Functions that tasks invoke are the outside too.
        ("AWS_ENDPOINT_URL_LAMBDA", &url),
    ];
    let functions = functions().unwrap();
    for one in functions.iter().filter(|one| one.binary.starts_with("fluxling-")) {
        let name = &one.binary;
        let fluxling = footing.run(&one.id, name, &further).await;
        let manifest = fluxling.answer(&sample("manifest")).await;
        assert!(!manifest["capabilities"].as_array().unwrap().is_empty(), "{manifest}");

        let mut event = sample(name);
        let body = event["Records"][0]["body"].as_str().unwrap();
        event["Records"][0]["body"] = json!(body.replace("https://example.com", &url));
        // The second time it is the answer that was kept, or the same work once more.
        for _ in 0..2 {
            fluxling.works_on(&event).await;
            assert_answered(name, &footing).await;
        }
        fluxling.has_told(&["ColdStarts", "Tasks", "TaskDuration"]);

        // What is no task at all comes again, and its neighbour does not.
        let mut bad = event["Records"][0].clone();
        bad["messageId"] = json!("bad");
        bad["body"] = json!("this is no task");
        event["Records"].as_array_mut().unwrap().push(bad);
        let partial = fluxling.answer(&event).await;
        assert_eq!(partial, json!({ "batchItemFailures": [{ "itemIdentifier": "bad" }] }));
        assert_answered(name, &footing).await;
        let unknown = fluxling.invoke(&json!({})).await.unwrap();
        assert!(unknown["errorMessage"].as_str().unwrap().contains("manifest"), "{unknown}");
    }
}

/// The core has one answer. The items' sample names no source, so it is that the task failed.
async fn assert_answered(name: &str, footing: &Footing) {
    let answers = footing.take("core").await;
    assert_eq!(answers.len(), 1, "{name}: {answers:?}");
    let answer: Value = serde_json::from_str(&answers[0].body).unwrap();
    let message: CoreMessage = serde_json::from_value(answer.clone()).unwrap();
    let succeeded = matches!(message, CoreMessage::TaskSucceeded { .. });
    assert!(succeeded || name == "fluxling-items", "{name}: {answer}");
}
