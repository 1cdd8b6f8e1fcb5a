//! How fast the machine is: `cargo bench -p fluxus-machine`.
//!
//! Each loop counts transitions, states entered, and includes the history. What to expect of one
//! core of a small machine: 500,000 transitions a second, a definition of 50 states compiled in
//! less than a millisecond, and a Map of 100,000 items simulated in less than two seconds.

// A benchmark may stop where it cannot go on.
#![allow(clippy::expect_used)]

use divan::Bencher;
use divan::counter::ItemsCount;
use fluxus_machine::{Definition, ExecutionContext, Mocks, simulate};
use serde_json::{Map, Value, json};

fn main() {
    divan::main();
}

/// Rounds of the loops; each is two transitions.
const ROUNDS: u64 = 1_000;

fn compiled(definition: &Value) -> Definition {
    Definition::parse(definition).expect("a valid definition")
}

fn run(bencher: Bencher<'_, '_>, definition: &Value, input: Value, transitions: u64) {
    let definition = compiled(definition);
    let context = ExecutionContext::simulated("bench", None, input);
    let mocks = Mocks::new();
    bencher.counter(ItemsCount::new(transitions)).bench(|| {
        let simulated = simulate(&definition, &context, &mocks);
        assert!(simulated.output.is_some(), "{:?}", simulated.failure);
        simulated
    });
}

#[divan::bench]
fn loop_of_pass_and_choice(bencher: Bencher<'_, '_>) {
    let definition = json!({
        "StartAt": "Count",
        "States": {
            "Count": {
                "Type": "Pass",
                "Parameters": { "n.$": "States.MathAdd($.n, 1)", "name.$": "$.name", "kept": true },
                "Next": "Enough"
            },
            "Enough": {
                "Type": "Choice",
                "Choices": [{ "Variable": "$.n", "NumericGreaterThanEquals": ROUNDS, "Next": "Done" }],
                "Default": "Count"
            },
            "Done": { "Type": "Succeed" }
        }
    });
    run(bencher, &definition, json!({ "n": 0, "name": "small" }), 2 * ROUNDS);
}

#[divan::bench]
fn loop_of_pass_and_choice_in_jsonata(bencher: Bencher<'_, '_>) {
    let definition = json!({
        "QueryLanguage": "JSONata",
        "StartAt": "Count",
        "States": {
            "Count": {
                "Type": "Pass",
                "Output": { "n": "{% $states.input.n + 1 %}", "name": "{% $states.input.name %}" },
                "Next": "Enough"
            },
            "Enough": {
                "Type": "Choice",
                "Choices": [{ "Condition": format!("{{% $states.input.n >= {ROUNDS} %}}"), "Next": "Done" }],
                "Default": "Count"
            },
            "Done": { "Type": "Succeed" }
        }
    });
    run(bencher, &definition, json!({ "n": 0, "name": "small" }), 2 * ROUNDS);
}

#[divan::bench(args = [1_000, 10_000, 100_000])]
fn map_of_trivial_items(bencher: Bencher<'_, '_>, items: u64) {
    let definition = json!({
        "StartAt": "Each",
        "States": { "Each": {
            "Type": "Map",
            "ItemProcessor": {
                "StartAt": "Item",
                "States": { "Item": { "Type": "Pass", "End": true } }
            },
            "ResultPath": null,
            "End": true
        } }
    });
    run(bencher, &definition, (0..items).collect(), items);
}

#[divan::bench]
fn compile_50_states(bencher: Bencher<'_, '_>) {
    let states: Map<_, _> = (0..50)
        .map(|index| {
            let next = format!("State{}", index + 1);
            let state = match index % 5 {
                _ if index == 49 => json!({ "Type": "Succeed" }),
                0 => json!({
                    "Type": "Task", "Resource": "fluxling:bench.work", "TimeoutSeconds": 60,
                    "Parameters": { "id.$": "$.order.id", "text.$": "States.Format('{}-{}', $.a, $$.Execution.Id)" },
                    "Retry": [{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 2, "BackoffRate": 1.5 }],
                    "Catch": [{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "State49" }],
                    "ResultPath": "$.made", "Next": next
                }),
                1 => json!({
                    "Type": "Choice",
                    "Choices": [
                        { "And": [
                            { "Variable": "$.a", "IsPresent": true },
                            { "Variable": "$.a", "NumericGreaterThan": 5 }
                        ], "Next": next },
                        { "Variable": "$.b", "StringMatches": "x*", "Next": next }
                    ],
                    "Default": "State49"
                }),
                2 => json!({ "Type": "Wait", "Seconds": 1, "Next": next }),
                3 => json!({
                    "Type": "Pass", "QueryLanguage": "JSONata",
                    "Output": { "sum": "{% $sum($states.input.list.price) %}" }, "Next": next
                }),
                _ => json!({ "Type": "Pass", "Result": { "a": [1, 2, 3] }, "ResultPath": "$.pass", "Next": next }),
            };
            (format!("State{index}"), state)
        })
        .collect();
    let definition = json!({ "StartAt": "State0", "States": states });
    bencher.bench(|| compiled(&definition));
}
