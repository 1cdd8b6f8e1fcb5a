//! The examples are what people copy, so each must be valid and end as its README says.

#![allow(clippy::expect_used)] // A test may stop where it cannot go on.

use std::path::PathBuf;
use std::process::Command;

use expect_test::{Expect, expect};
use fluxus_schema::NewClaim;
use serde_json::Value;

const EXAMPLES: [&str; 5] =
    ["order-saga", "order-batch", "document-intake", "approval", "http-check"];

fn file(example: &str, name: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    PathBuf::from(root).join(example).join(name)
}

fn read(example: &str, name: &str) -> Value {
    let text = std::fs::read_to_string(file(example, name)).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

fn fluxus(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fluxus")).args(args).output().expect("runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

/// Simulates an example with its mocks, as its claim's body has it.
fn check(example: &str, expected: &Expect) {
    let recipe = file(example, "recipe.json");
    let mocks = file(example, "mocks.json");
    let body = read(example, "claim.json")["body"].to_string();
    let (_, text) = fluxus(&[
        "simulate",
        recipe.to_str().expect("text"),
        "--mocks",
        mocks.to_str().expect("text"),
        "--input",
        &body,
        "--output",
        "json",
    ]);
    let end: Value = serde_json::from_str(&text).expect(&text);
    let told = ["status", "output", "error", "cause"].iter().filter_map(|name| {
        let value = end.get(*name).filter(|value| !value.is_null())?;
        Some(format!("{name} {value}\n"))
    });
    expected.assert_eq(&told.collect::<String>());
}

#[test]
fn every_recipe_is_valid() {
    for example in EXAMPLES {
        let recipe = file(example, "recipe.json");
        let (code, text) = fluxus(&["recipe", "validate", recipe.to_str().expect("text")]);
        assert_eq!(code, Some(0), "{text}");
    }
}

#[test]
fn every_claim_is_a_claim() {
    for example in EXAMPLES {
        let claim: NewClaim = serde_json::from_value(read(example, "claim.json")).expect(example);
        assert_eq!(claim.faults(), [], "{example}");
        for name in read(example, "schema.json")["required"].as_array().expect("names") {
            let name = name.as_str().expect("a name");
            assert!(claim.body.get(name).is_some(), "{example} has no {name}");
        }
    }
}

#[test]
fn an_order_is_undone_in_reverse() {
    check(
        "order-saga",
        &expect![[r#"
        status "FAILED"
        error "OrderCancelled"
        cause "{\"Error\":\"Shop.NoCarrier\",\"Cause\":\"nobody ships to XX\"}"
    "#]],
    );
}

#[test]
fn each_order_of_a_batch_is_an_execution() {
    check(
        "order-batch",
        &expect![[r#"
        status "SUCCEEDED"
        output {"batch":"2026-11","orders":[{"execution":"order-2001","tracking":"NO-2001"},{"execution":"order-2002","error":"OrderCancelled"}]}
    "#]],
    );
}

#[test]
fn documents_are_sorted() {
    check(
        "document-intake",
        &expect![[r#"
        status "SUCCEEDED"
        output {"sender":"supplier-7","documents":4,"accepted":[{"accepted":true,"number":0,"name":"a.pdf"}],"rejected":[{"accepted":false,"number":1,"document":{"kind":"invoice","name":"b.pdf","number":"INV-882","total":-3,"due":"soon"},"why":{"valid":false,"faults":[{"pointer":"/total","detail":"is too small"}]}},{"accepted":false,"number":2,"document":{"kind":"receipt","name":"c.jpg","total":12.5},"why":{"Error":"States.TaskFailed","Cause":"unreadable"}},{"accepted":false,"number":3,"document":{"kind":"letter","name":"d.pdf"},"why":{"reason":"neither an invoice nor a receipt"}}]}
    "#]],
    );
}

#[test]
fn an_approval_waits_for_its_callback() {
    check(
        "approval",
        &expect![[r#"
        status "SUCCEEDED"
        output {"employee":"employee-9","amount":480,"currency":"EUR","purpose":"train to Hamburg","decision":{"approved":true,"by":"ines"}}
    "#]],
    );
}

#[test]
fn a_check_is_repeated() {
    check(
        "http-check",
        &expect![[r#"
        status "SUCCEEDED"
        output {"url":"http://127.0.0.1:7400/healthz","healthy":true,"status":200}
    "#]],
    );
}

#[test]
fn one_state_is_tested_alone() {
    let recipe = file("order-saga", "recipe.json");
    let recipe = recipe.to_str().expect("text");
    let mock = r#"{"errorOutput": {"error": "Shop.CardDeclined", "cause": "no"}}"#;
    let input = r#"{"order": "1"}"#;
    let (code, text) =
        fluxus(&["simulate", recipe, "--state", "Charge", "--mock", mock, "--input", input]);
    expect![[r#"
        input                  {"order":"1"}
        after input path       {"order":"1"}
        after parameters       {"order":"1"}
        error details          {"catchIndex":0}
        CAUGHT_ERROR
        {
          "order": "1",
          "failure": {
            "Error": "Shop.CardDeclined",
            "Cause": "no"
          }
        }
        Shop.CardDeclined: no
        goes on to Release
    "#]]
    .assert_eq(&text);
    assert_eq!(code, Some(0));
    let (code, text) = fluxus(&["simulate", recipe, "--state", "Nowhere"]);
    assert!(text.contains("State not found in definition"), "{text}");
    assert_eq!(code, Some(2));
}
