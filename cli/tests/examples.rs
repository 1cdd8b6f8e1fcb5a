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
    let test = |state: &str, mock: &str, more: &[&str]| {
        let input = r#"{"order": "1"}"#;
        let one = ["simulate", recipe, "--state", state, "--mock", mock, "--input", input];
        fluxus(&[&one, more].concat())
    };
    let declined = r#"{"errorOutput": {"error": "Shop.CardDeclined", "cause": "no"}}"#;
    let (code, text) = test("Charge", declined, &[]);
    expect![[r#"
        input             {"order":"1"}
        after InputPath   {"order":"1"}
        after Parameters  {"order":"1"}
        output            {"order":"1","failure":{"Error":"Shop.CardDeclined","Cause":"no"}}
        CAUGHT_ERROR  Shop.CardDeclined: no
        Catch[0] takes the error
        goes on to Release
    "#]]
    .assert_eq(&text);
    assert_eq!(code, Some(0));
    let busy = r#"{"errorOutput": {"error": "Shop.Busy"}}"#;
    let more = ["--configuration", r#"{"retrierRetryCount": 1}"#, "--inspect", "info"];
    let (code, text) = test("Reserve", busy, &more);
    assert_eq!((code, &*text), (Some(5), "RETRIABLE  Shop.Busy: no cause was given\n"));
    let paid = r#"{"result": {"payment_id": "p-1"}}"#;
    let (_, text) = test("Charge", paid, &["--inspect", "INFO", "--output", "json"]);
    let response: Value = serde_json::from_str(&text).expect(&text);
    assert_eq!(response["output"], r#"{"order":"1","payment":{"payment_id":"p-1"}}"#);
    assert_eq!(response["nextState"], "Ship");
    assert_eq!(response.get("inspectionData"), None);
}

#[test]
fn a_test_that_cannot_be_says_why() {
    let recipe = file("order-saga", "recipe.json");
    let recipe = recipe.to_str().expect("text");
    for (more, wrong) in [
        (&["--state", "Nowhere"][..], "State not found in definition"),
        (&["--state", "Charge"], "a test calls nothing: say with a mock what comes back"),
        (&["--state", "Charge", "--mock", "{"], "--mock is not JSON: line 1, column "),
        (&["--state", "Charge", "--mock", "none.json"], "--mock is neither JSON nor a file"),
        (&["--state", "Charge", "--mock", r#"{"reslt": 1}"#], "--mock: unknown field `reslt`"),
        (&["--mock", "{}"], "--mock is for the test of one state: name it with --state"),
    ] {
        let (code, text) = fluxus(&[&["simulate", recipe], more].concat());
        assert!(text.contains(wrong), "{text}");
        assert_eq!(code, Some(2), "{text}");
    }
}

#[test]
fn a_file_may_hold_a_single_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |text: &str| {
        let path = folder.path().join("state.json");
        std::fs::write(&path, text).expect("is written");
        path.to_str().expect("text").to_owned()
    };
    let state = r#"{"Type": "Pass", "Parameters": {"a.$": "$.x"}, "Next": "Later"}"#;
    let long = format!(r#"{{"x": "{}"}}"#, "y".repeat(80));
    let (code, text) = fluxus(&["simulate", &write(state), "--input", &long]);
    let shown = format!("after ResultPath\n  {{\n    \"a\": \"{}\"\n  }}\n", "y".repeat(80));
    assert!(text.contains(&shown) && text.ends_with("SUCCEEDED\ngoes on to Later\n"), "{text}");
    assert_eq!(code, Some(0));
    let (code, text) = fluxus(&["simulate", &write(state), "--state", "A"]);
    assert!(text.contains("holds a single state, not a machine: leave out --state"), "{text}");
    assert_eq!(code, Some(2));
    let (code, text) = fluxus(&["simulate", &write("{\n\"Type\": \"Pass\"}")]);
    assert!(text.contains("state.json:1:1: error[SCHEMA_VALIDATION_FAILED]"), "{text}");
    assert_eq!(code, Some(2));
}
