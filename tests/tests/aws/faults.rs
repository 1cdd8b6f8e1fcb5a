//! Faults: messages that come twice, functions killed in mid-batch, a message that kills whoever
//! takes it, a fluxling that takes too long. No claim is lost, and none ends twice.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stack::stack;

/// An order that nothing is wrong with.
fn order(number: usize) -> Value {
    json!({ "type": "order.placed", "body": {
        "order": number.to_string(), "card": "4242-4242-4242-4242", "amount": 10, "currency": "EUR",
        "items": [{ "sku": "BK-17", "quantity": 1 }],
        "address": { "name": "I", "street": "S 1", "city": "Oslo", "country": "NO" }
    } })
}

fn task(fields: &Value) -> Value {
    let mut state = json!({ "Type": "Task", "End": true });
    state.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({ "StartAt": "Do", "States": { "Do": state } })
}

#[tokio::test]
async fn every_message_may_come_twice() {
    const ORDERS: usize = 10;
    let stack = stack().await;
    stack.network().doubles(true);
    let mut ids = Vec::new();
    for number in 0..ORDERS {
        ids.push(stack.client().submit(&order(number)).await);
    }
    for (number, id) in ids.iter().enumerate() {
        let claim = stack.client().ended(id).await;
        assert_eq!(claim["status"], "SUCCEEDED", "{claim}");
        assert_eq!(claim["output"]["shipment"]["tracking"], format!("NO-{number}"));
    }
    stack.network().doubles(false);
    assert_eq!(stack.violations().await, Vec::<String>::new());
}

#[tokio::test]
async fn functions_may_be_killed_at_any_moment() {
    const ORDERS: usize = 20;
    const KILLS: usize = 9;
    let stack = stack().await;
    // A batch that died comes again when it is visible again; here that is soon.
    for queue in ["core", "fluxling-shop", "fluxling-claims"] {
        stack.set_visibility(queue, 3).await;
    }
    let mut ids = Vec::new();
    for number in 0..ORDERS {
        ids.push(stack.client().submit(&order(number)).await);
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    let mut killed = 0;
    for round in 0..KILLS {
        ticks.tick().await;
        killed += stack.kill(["core", "fluxling-shop", "fluxling-claims"][round % 3]);
    }
    assert!(killed > 0, "nothing was killed");
    for id in &ids {
        let claim = stack.client().ended(id).await;
        // A message may come too often while its function dies and dies, or wait for the next sweep
        // where the core dies between its commit and its sends, for longer than the task's 30 seconds:
        // then the task fails by name, and its order is cancelled as the recipe says.
        let error = claim["cause"].as_str().unwrap_or_default();
        let is_named =
            ["Fluxus.Undeliverable", "States.Timeout"].iter().any(|it| error.contains(it));
        let named = claim["status"] == "FAILED" && is_named;
        assert!(claim["status"] == "SUCCEEDED" || named, "{claim}");
    }
    assert_eq!(stack.violations().await, Vec::<String>::new());
    for queue in ["core", "fluxling-shop", "fluxling-claims"] {
        stack.set_visibility(queue, 180).await;
    }
}

#[tokio::test]
async fn a_poison_message_is_a_dead_letter_and_its_claim_fails_by_name() {
    let stack = stack().await;
    let shop = task(&json!({ "Resource": "fluxling:shop.ship", "TimeoutSeconds": 3600 }));
    stack.client().put_recipe("poison", &shop).await;
    stack.set_visibility("fluxling-shop", 1).await;
    let code = stack.swap_code("fluxling-shop", "#!/bin/sh\nexit 1\n").await;
    let id = stack.client().submit(&json!({ "type": "poison", "body": { "n": 1 } })).await;
    let letter = stack.dead_letter("fluxling-shop").await;
    assert!(letter.body.contains("shop.ship"), "{letter:?}");
    stack.sweep().await;
    let claim = stack.client().ended(&id).await;
    assert_eq!(
        (&claim["status"], &claim["error"]),
        (&json!("FAILED"), &json!("Fluxus.Undeliverable"))
    );
    // It stays, for a person to look at.
    assert!(stack.depth("fluxling-shop").await.dead > 0);
    stack.restore_code("fluxling-shop", &code).await;
    stack.set_visibility("fluxling-shop", 180).await;
    let id = stack.client().submit(&order(77)).await;
    assert_eq!(stack.client().ended(&id).await["status"], "SUCCEEDED");
    assert_eq!(stack.violations().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_fluxling_that_takes_too_long_fails_its_task() {
    let stack = stack().await;
    let url = format!("http://{}/silence", stack.network().outside());
    let silence = task(&json!({
        "Resource": "fluxling:http.request", "Parameters": { "url": url }, "TimeoutSeconds": 3
    }));
    stack.client().put_recipe("silence", &silence).await;
    let id = stack.client().submit(&json!({ "type": "silence" })).await;
    let claim = stack.client().ended(&id).await;
    assert_eq!((&claim["status"], &claim["error"]), (&json!("FAILED"), &json!("States.Timeout")));
    assert_eq!(stack.violations().await, Vec::<String>::new());
}
