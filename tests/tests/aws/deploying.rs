//! Deploying again: what is the same changes nothing, and what fails leaves the system as it was.

use serde_json::json;

use crate::stack::stack;

#[tokio::test]
async fn the_same_again_changes_nothing() {
    let stack = stack().await;
    let (deployed, said) = stack.deploy(&[], None).await;
    assert!(deployed, "{said}");
    assert!(said.contains("Nothing changed"), "{said}");
    let (planned, said) = stack.deploy(&["--plan"], None).await;
    assert!(planned, "{said}");
}

#[tokio::test]
async fn a_deployment_that_fails_leaves_the_system_as_it_was() {
    let stack = stack().await;
    let before = stack.code_of("observe").await;
    // Another release, whose migration finds no database.
    let another = stack.bootstraps_with("fluxus-observe", "#!/bin/sh\nexit 1\n");
    let nowhere = "DatabaseUrl=postgres://nobody@127.0.0.1:9/nowhere";
    let (deployed, said) = stack.deploy(&["--parameter", nowhere], Some(another.path())).await;
    assert!(!deployed, "{said}");
    assert!(said.contains("Migration"), "it says what failed: {said}");
    assert_eq!(stack.code_of("observe").await, before);
    let id = stack
        .client()
        .submit(&json!({ "type": "expense.submitted", "body": {
        "employee": "e", "amount": 1, "currency": "EUR", "purpose": "p" } }))
        .await;
    assert_eq!(stack.client().ended(&id).await["status"], "SUCCEEDED");
}
