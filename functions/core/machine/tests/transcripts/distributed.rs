//! Distributed Maps: executions of their own, what is tolerated, items read, results written.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::*;

/// A Map of these fields, whose executions do `item`.
fn distributed(fields: Value, item: &Value) -> Value {
    let mut map = json!({
        "Type": "Map", "End": true,
        "ItemProcessor": {
            "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" },
            "StartAt": "Item", "States": { "Item": item }
        }
    });
    if let (Some(map), Value::Object(fields)) = (map.as_object_mut(), fields) {
        map.extend(fields);
    }
    machine(json!({ "Each": map }))
}

fn pass() -> Value {
    json!({ "Type": "Pass", "End": true })
}

fn task() -> Value {
    json!({ "Type": "Task", "Resource": "fluxling:work", "End": true })
}

#[test]
fn items_are_executions_of_their_own() {
    let item = json!({
        "Type": "Pass", "Parameters": { "id.$": "$$.Execution.Id", "in.$": "$$.Execution.Input" },
        "End": true
    });
    let definition = distributed(json!({ "MaxConcurrency": 1 }), &item);
    check(
        &definition,
        &json!(["a", "b"]),
        &[],
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":["a","b"]}
          2 <0 MapStateEntered {"input":["a","b"],"name":"Each"}
          3 <2 MapStateStarted {"length":2}
          4 <3 MapRunStarted {"mapRunArn":"recipe:1/Each:7962ac42-e54a-4128-93fa-5d3b3fe0f360"}
          5 <0 ExecutionStarted /1.0 {"input":"a"}
          6 <0 PassStateEntered /1.0 {"input":"a","name":"Item"}
          7 <6 PassStateExited /1.0 {"name":"Item","output":{"id":"claim/1.0","in":"a"}}
          8 <7 ExecutionSucceeded /1.0 {"output":{"id":"claim/1.0","in":"a"}}
          9 <0 ExecutionStarted /1.1 {"input":"b"}
          10 <0 PassStateEntered /1.1 {"input":"b","name":"Item"}
          11 <10 PassStateExited /1.1 {"name":"Item","output":{"id":"claim/1.1","in":"b"}}
          12 <11 ExecutionSucceeded /1.1 {"output":{"id":"claim/1.1","in":"b"}}
          13 <4 MapRunSucceeded
          14 <13 MapStateSucceeded
          15 <13 MapStateExited {"name":"Each","output":[{"id":"claim/1.0","in":"a"},{"id":"claim/1.1","in":"b"}]}
          16 <15 ExecutionSucceeded {"output":[{"id":"claim/1.0","in":"a"},{"id":"claim/1.1","in":"b"}]}
          = / SUCCEEDED [{"id":"claim/1.0","in":"a"},{"id":"claim/1.1","in":"b"}]
    "#]],
    );
}

#[test]
fn nothing_is_tolerated_unless_it_is_said() {
    let script = [Ok("Item#0", json!(1)), Fail("Item#1", "Broken", "in two")];
    let definition = distributed(json!({}), &task());
    check(
        &definition,
        &json!(["a", "b", "c"]),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":["a","b","c"]}
              2 <0 MapStateEntered {"input":["a","b","c"],"name":"Each"}
              3 <2 MapStateStarted {"length":3}
              4 <3 MapRunStarted {"mapRunArn":"recipe:1/Each:7962ac42-e54a-4128-93fa-5d3b3fe0f360"}
              5 <0 ExecutionStarted /1.0 {"input":"a"}
              6 <0 TaskStateEntered /1.0 {"input":"a","name":"Item"}
              7 <6 TaskScheduled /1.0 {"parameters":"a"}
              8 <0 ExecutionStarted /1.1 {"input":"b"}
              9 <0 TaskStateEntered /1.1 {"input":"b","name":"Item"}
              10 <9 TaskScheduled /1.1 {"parameters":"b"}
              11 <0 ExecutionStarted /1.2 {"input":"c"}
              12 <0 TaskStateEntered /1.2 {"input":"c","name":"Item"}
              13 <12 TaskScheduled /1.2 {"parameters":"c"}
              ! dispatch Item "a"
              ! dispatch Item "b"
              ! dispatch Item "c"
              = / awaits 3 branches in Each
              = /1.0 awaits task Item
              = /1.1 awaits task Item
              = /1.2 awaits task Item
            > Ok Item#0 1
              14 <7 TaskStarted /1.0
              15 <14 TaskSucceeded /1.0 {"output":1}
              16 <15 TaskStateExited /1.0 {"name":"Item","output":1}
              17 <16 ExecutionSucceeded /1.0 {"output":1}
              = /1.0 SUCCEEDED 1
            > Fail Item#1 Broken
              18 <10 TaskStarted /1.1
              19 <18 TaskFailed /1.1 {"error":"Broken","cause":"in two"}
              20 <19 ExecutionFailed /1.1 {"error":"Broken","cause":"in two"}
              21 <4 MapRunFailed {"error":"States.ExceedToleratedFailureThreshold","cause":"The specified tolerated failure threshold was exceeded"}
              22 <21 MapStateFailed
              23 <22 ExecutionFailed {"error":"States.ExceedToleratedFailureThreshold","cause":"The specified tolerated failure threshold was exceeded"}
              = / FAILED States.ExceedToleratedFailureThreshold: The specified tolerated failure threshold was exceeded
              = /1.1 FAILED Broken: in two
              = /1.2 ABORTED -: -
        "#]],
    );
}

#[test]
fn what_is_tolerated_is_left_out() {
    let script =
        [Fail("Item#0", "Broken", "in two"), Ok("Item#1", json!(1)), Ok("Item#2", json!(2))];
    let count = distributed(json!({ "ToleratedFailureCount": 1 }), &task());
    check(
        &count,
        &json!(["a", "b", "c"]),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":["a","b","c"]}
          2 <0 MapStateEntered {"input":["a","b","c"],"name":"Each"}
          3 <2 MapStateStarted {"length":3}
          4 <3 MapRunStarted {"mapRunArn":"recipe:1/Each:7962ac42-e54a-4128-93fa-5d3b3fe0f360"}
          5 <0 ExecutionStarted /1.0 {"input":"a"}
          6 <0 TaskStateEntered /1.0 {"input":"a","name":"Item"}
          7 <6 TaskScheduled /1.0 {"parameters":"a"}
          8 <0 ExecutionStarted /1.1 {"input":"b"}
          9 <0 TaskStateEntered /1.1 {"input":"b","name":"Item"}
          10 <9 TaskScheduled /1.1 {"parameters":"b"}
          11 <0 ExecutionStarted /1.2 {"input":"c"}
          12 <0 TaskStateEntered /1.2 {"input":"c","name":"Item"}
          13 <12 TaskScheduled /1.2 {"parameters":"c"}
          ! dispatch Item "a"
          ! dispatch Item "b"
          ! dispatch Item "c"
          = / awaits 3 branches in Each
          = /1.0 awaits task Item
          = /1.1 awaits task Item
          = /1.2 awaits task Item
        > Fail Item#0 Broken
          14 <7 TaskStarted /1.0
          15 <14 TaskFailed /1.0 {"error":"Broken","cause":"in two"}
          16 <15 ExecutionFailed /1.0 {"error":"Broken","cause":"in two"}
          = /1.0 FAILED Broken: in two
        > Ok Item#1 1
          17 <10 TaskStarted /1.1
          18 <17 TaskSucceeded /1.1 {"output":1}
          19 <18 TaskStateExited /1.1 {"name":"Item","output":1}
          20 <19 ExecutionSucceeded /1.1 {"output":1}
          = /1.1 SUCCEEDED 1
        > Ok Item#2 2
          21 <13 TaskStarted /1.2
          22 <21 TaskSucceeded /1.2 {"output":2}
          23 <22 TaskStateExited /1.2 {"name":"Item","output":2}
          24 <23 ExecutionSucceeded /1.2 {"output":2}
          25 <4 MapRunSucceeded
          26 <25 MapStateSucceeded
          27 <25 MapStateExited {"name":"Each","output":[1,2]}
          28 <27 ExecutionSucceeded {"output":[1,2]}
          = / SUCCEEDED [1,2]
          = /1.0 gone
          = /1.1 gone
          = /1.2 gone
    "#]],
    );
    let share = distributed(json!({ "ToleratedFailurePercentage": 33 }), &task());
    check(
        &share,
        &json!(["a", "b", "c"]),
        &script,
        &expect![[r#"
            > Begin
              1 <0 ExecutionStarted {"input":["a","b","c"]}
              2 <0 MapStateEntered {"input":["a","b","c"],"name":"Each"}
              3 <2 MapStateStarted {"length":3}
              4 <3 MapRunStarted {"mapRunArn":"recipe:1/Each:7962ac42-e54a-4128-93fa-5d3b3fe0f360"}
              5 <0 ExecutionStarted /1.0 {"input":"a"}
              6 <0 TaskStateEntered /1.0 {"input":"a","name":"Item"}
              7 <6 TaskScheduled /1.0 {"parameters":"a"}
              8 <0 ExecutionStarted /1.1 {"input":"b"}
              9 <0 TaskStateEntered /1.1 {"input":"b","name":"Item"}
              10 <9 TaskScheduled /1.1 {"parameters":"b"}
              11 <0 ExecutionStarted /1.2 {"input":"c"}
              12 <0 TaskStateEntered /1.2 {"input":"c","name":"Item"}
              13 <12 TaskScheduled /1.2 {"parameters":"c"}
              ! dispatch Item "a"
              ! dispatch Item "b"
              ! dispatch Item "c"
              = / awaits 3 branches in Each
              = /1.0 awaits task Item
              = /1.1 awaits task Item
              = /1.2 awaits task Item
            > Fail Item#0 Broken
              14 <7 TaskStarted /1.0
              15 <14 TaskFailed /1.0 {"error":"Broken","cause":"in two"}
              16 <15 ExecutionFailed /1.0 {"error":"Broken","cause":"in two"}
              = /1.0 FAILED Broken: in two
            > Ok Item#1 1
              17 <10 TaskStarted /1.1
              18 <17 TaskSucceeded /1.1 {"output":1}
              19 <18 TaskStateExited /1.1 {"name":"Item","output":1}
              20 <19 ExecutionSucceeded /1.1 {"output":1}
              = /1.1 SUCCEEDED 1
            > Ok Item#2 2
              21 <13 TaskStarted /1.2
              22 <21 TaskSucceeded /1.2 {"output":2}
              23 <22 TaskStateExited /1.2 {"name":"Item","output":2}
              24 <23 ExecutionSucceeded /1.2 {"output":2}
              25 <4 MapRunFailed {"error":"States.ExceedToleratedFailureThreshold","cause":"The specified tolerated failure threshold was exceeded"}
              26 <25 MapStateFailed
              27 <26 ExecutionFailed {"error":"States.ExceedToleratedFailureThreshold","cause":"The specified tolerated failure threshold was exceeded"}
              = / FAILED States.ExceedToleratedFailureThreshold: The specified tolerated failure threshold was exceeded
              = /1.2 SUCCEEDED 2
        "#]],
    );
}

#[test]
fn items_are_read_page_by_page_and_put_in_batches() {
    let definition = distributed(
        json!({
            "ItemReader": {
                "Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": { "InputType": "JSONL", "MaxItems": 5 },
                "Parameters": { "Bucket": "b", "Key.$": "$.key" }
            },
            "ItemBatcher": { "MaxItemsPerBatch": 2, "BatchInput": { "by.$": "$.by" } },
            "ItemSelector": { "n.$": "$$.Map.Item.Value" }
        }),
        &pass(),
    );
    let script = [
        Started("Each"),
        Ok("Each", json!({ "items": [1, 2], "next": { "offset": 4 } })),
        Ok("Each", json!({ "items": [3, 4, 5, 6], "next": { "offset": 12 } })),
    ];
    check(
        &definition,
        &json!({ "key": "k", "by": "me" }),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"key":"k","by":"me"}}
          2 <0 MapStateEntered {"input":{"key":"k","by":"me"},"name":"Each"}
          3 <2 MapStateStarted {"length":0}
          4 <3 MapRunStarted {"mapRunArn":"recipe:1/Each:7962ac42-e54a-4128-93fa-5d3b3fe0f360"}
          ! dispatch Each {"resource":"arn:aws:states:::s3:getObject","arguments":{"Bucket":"b","Key":"k"},"config":{"InputType":"JSONL"},"max_items":5}
          = / awaits task Each
        > Started Each
        > Ok Each {"items":[1,2],"next":{"offset":4}}
          ! dispatch Each {"resource":"arn:aws:states:::s3:getObject","arguments":{"Bucket":"b","Key":"k"},"config":{"InputType":"JSONL"},"max_items":5,"after":{"offset":4}}
        > Ok Each {"items":[3,4,5,6],"next":{"offset":12}}
          5 <0 ExecutionStarted /4.0 {"input":{"Items":[{"n":1},{"n":2}],"BatchInput":{"by":"me"}}}
          6 <0 PassStateEntered /4.0 {"input":{"Items":[{"n":1},{"n":2}],"BatchInput":{"by":"me"}},"name":"Item"}
          7 <6 PassStateExited /4.0 {"name":"Item","output":{"Items":[{"n":1},{"n":2}],"BatchInput":{"by":"me"}}}
          8 <7 ExecutionSucceeded /4.0 {"output":{"Items":[{"n":1},{"n":2}],"BatchInput":{"by":"me"}}}
          9 <0 ExecutionStarted /4.1 {"input":{"Items":[{"n":3},{"n":4}],"BatchInput":{"by":"me"}}}
          10 <0 PassStateEntered /4.1 {"input":{"Items":[{"n":3},{"n":4}],"BatchInput":{"by":"me"}},"name":"Item"}
          11 <10 PassStateExited /4.1 {"name":"Item","output":{"Items":[{"n":3},{"n":4}],"BatchInput":{"by":"me"}}}
          12 <11 ExecutionSucceeded /4.1 {"output":{"Items":[{"n":3},{"n":4}],"BatchInput":{"by":"me"}}}
          13 <0 ExecutionStarted /4.2 {"input":{"Items":[{"n":5}],"BatchInput":{"by":"me"}}}
          14 <0 PassStateEntered /4.2 {"input":{"Items":[{"n":5}],"BatchInput":{"by":"me"}},"name":"Item"}
          15 <14 PassStateExited /4.2 {"name":"Item","output":{"Items":[{"n":5}],"BatchInput":{"by":"me"}}}
          16 <15 ExecutionSucceeded /4.2 {"output":{"Items":[{"n":5}],"BatchInput":{"by":"me"}}}
          17 <4 MapRunSucceeded
          18 <17 MapStateSucceeded
          19 <17 MapStateExited {"name":"Each","output":[{"Items":[{"n":1},{"n":2}],"BatchInput":{"by":"me"}},{"Items":[{"n":3},{"n":4}],"BatchInput":{"by":"me"}},{"Items":[{"n":5}],"BatchInput":{"by":"me"}}]}
          20 <19 ExecutionSucceeded {"output":[{"Items":[{"n":1},{"n":2}],"BatchInput":{"by":"me"}},{"Items":[{"n":3},{"n":4}],"BatchInput":{"by":"me"}},{"Items":[{"n":5}],"BatchInput":{"by":"me"}}]}
          = / SUCCEEDED [{"Items":[{"n":1},{"n":2}],"BatchInput":{"by":"me"}},{"Items":[{"n":3},{"n":4}],"BatchInput":{"by":"me"}},{"Items":[{"n":5}],"BatchInput":{"by":"me"}}]
    "#]],
    );
    let script = [Fail("Each", "Http.StatusCode.404", "Not Found")];
    check(
        &definition,
        &json!({ "key": "k", "by": "me" }),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":{"key":"k","by":"me"}}
          2 <0 MapStateEntered {"input":{"key":"k","by":"me"},"name":"Each"}
          3 <2 MapStateStarted {"length":0}
          4 <3 MapRunStarted {"mapRunArn":"recipe:1/Each:7962ac42-e54a-4128-93fa-5d3b3fe0f360"}
          ! dispatch Each {"resource":"arn:aws:states:::s3:getObject","arguments":{"Bucket":"b","Key":"k"},"config":{"InputType":"JSONL"},"max_items":5}
          = / awaits task Each
        > Fail Each Http.StatusCode.404
          5 <4 MapRunFailed {"error":"States.ItemReaderFailed","cause":"Http.StatusCode.404: Not Found"}
          6 <5 MapStateFailed
          7 <6 ExecutionFailed {"error":"States.ItemReaderFailed","cause":"Http.StatusCode.404: Not Found"}
          = / FAILED States.ItemReaderFailed: Http.StatusCode.404: Not Found
    "#]],
    );
}

#[test]
fn results_are_written_and_told_of() {
    let definition = distributed(
        json!({
            "ToleratedFailureCount": 1,
            "ResultWriter": {
                "Resource": "arn:aws:states:::s3:putObject",
                "WriterConfig": { "Transformation": "COMPACT", "OutputType": "JSONL" },
                "Parameters": { "Bucket": "b", "Prefix": "out" }
            }
        }),
        &task(),
    );
    let script = [
        Ok("Item#0", json!("done")),
        Fail("Item#1", "Broken", "in two"),
        Ok("Each", json!({})),
        Ok("Each", json!({})),
        Ok("Each", json!({})),
    ];
    check(
        &definition,
        &json!(["a", "b"]),
        &script,
        &expect![[r#"
        > Begin
          1 <0 ExecutionStarted {"input":["a","b"]}
          2 <0 MapStateEntered {"input":["a","b"],"name":"Each"}
          3 <2 MapStateStarted {"length":2}
          4 <3 MapRunStarted {"mapRunArn":"recipe:1/Each:7962ac42-e54a-4128-93fa-5d3b3fe0f360"}
          5 <0 ExecutionStarted /1.0 {"input":"a"}
          6 <0 TaskStateEntered /1.0 {"input":"a","name":"Item"}
          7 <6 TaskScheduled /1.0 {"parameters":"a"}
          8 <0 ExecutionStarted /1.1 {"input":"b"}
          9 <0 TaskStateEntered /1.1 {"input":"b","name":"Item"}
          10 <9 TaskScheduled /1.1 {"parameters":"b"}
          ! dispatch Item "a"
          ! dispatch Item "b"
          = / awaits 2 branches in Each
          = /1.0 awaits task Item
          = /1.1 awaits task Item
        > Ok Item#0 "done"
          11 <7 TaskStarted /1.0
          12 <11 TaskSucceeded /1.0 {"output":"done"}
          13 <12 TaskStateExited /1.0 {"name":"Item","output":"done"}
          14 <13 ExecutionSucceeded /1.0 {"output":"done"}
          = /1.0 SUCCEEDED "done"
        > Fail Item#1 Broken
          15 <10 TaskStarted /1.1
          16 <15 TaskFailed /1.1 {"error":"Broken","cause":"in two"}
          17 <16 ExecutionFailed /1.1 {"error":"Broken","cause":"in two"}
          ! dispatch Each {"resource":"arn:aws:states:::s3:putObject","arguments":{"Bucket":"b","Prefix":"out"},"files":[{"path":"7962ac42-e54a-4128-93fa-5d3b3fe0f360/SUCCEEDED_0.jsonl","content":{"lines":["done"]}}]}
          = / awaits task Each
          = /1.0 gone
          = /1.1 gone
        > Ok Each {}
          ! dispatch Each {"resource":"arn:aws:states:::s3:putObject","arguments":{"Bu… (392 bytes)
        > Ok Each {}
          ! dispatch Each {"resource":"arn:aws:states:::s3:putObject","arguments":{"Bu… (457 bytes)
        > Ok Each {}
          18 <4 MapRunSucceeded
          19 <18 MapStateSucceeded
          20 <18 MapStateExited {"name":"Each","output":{"MapRunArn":"recipe:1/Each:7962ac42-e54a-4128-93fa-5d3b3fe0f360","ResultWriterDetails":{"Key":"out/7962ac42-e54a-4128-93fa-5d3b3fe0f360/manifest.json","Bucket":"b"}}}
          21 <20 ExecutionSucceeded {"output":{"MapRunArn":"recipe:1/Each:7962ac42-e54a-4128-93fa-5d3b3fe0f360","ResultWriterDetails":{"Key":"out/7962ac42-e54a-4128-93fa-5d3b3fe0f360/manifest.json","Bucket":"b"}}}
          = / SUCCEEDED {"MapRunArn":"recipe:1/Each:7962ac42-e54a-4128-93fa-5d3b3fe0f360","ResultWriterDetails":{"Key":"out/7962ac42-e54a-4128-93fa-5d3b3fe0f360/manifest.json","Bucket":"b"}}
    "#]],
    );
}
