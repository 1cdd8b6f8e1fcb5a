//! `fluxus status` and `fluxus logs`.

use crate::deploy::TEMPLATE;
use crate::fake::{Fake, stderr, stdout};

/// A stack with a function, and a queue in a nested stack.
fn aws() -> Fake {
    let fake = Fake::new(TEMPLATE);
    fake.stack("cloudformation.describe-stacks", "UPDATE_COMPLETE");
    let resources = |list: &[(&str, &str, &str)]| {
        let one = |(name, id, kind): &(&str, &str, &str)| {
            format!(
                r#"{{"LogicalResourceId": "{name}", "PhysicalResourceId": "{id}",
                "ResourceType": "AWS::{kind}", "ResourceStatus": "CREATE_COMPLETE"}}"#
            )
        };
        let list: Vec<_> = list.iter().map(one).collect();
        format!(r#"{{"StackResourceSummaries": [{}]}}"#, list.join(","))
    };
    let outer = [
        ("CoreFunction", "fluxus-core", "Lambda::Function"),
        ("CoreQueue", "arn:nested", "CloudFormation::Stack"),
    ];
    fake.answer("cloudformation.list-stack-resources.1", &resources(&outer));
    let inner = [("Queue", "https://sqs/1/fluxus-core", "SQS::Queue")];
    fake.answer("cloudformation.list-stack-resources", &resources(&inner));
    let functions = r#"{"Functions": [{"FunctionName": "fluxus-core", "MemorySize": 512,
        "Timeout": 60, "LastModified": "2026-11-23T12:00:00.000+0000",
        "LoggingConfig": {"LogGroup": "/fluxus/core"}}, {"FunctionName": "another"}]}"#;
    fake.answer("lambda.list-functions", functions);
    let queue = r#"{"Attributes": {"QueueArn": "arn:aws:sqs:eu:1:fluxus-core",
        "ApproximateNumberOfMessages": "7"}}"#;
    fake.answer("sqs.get-queue-attributes", queue);
    let metrics = r#"{"MetricDataResults": [{"Id": "m0", "Values": [90.0, 1.0]}]}"#;
    fake.answer("cloudwatch.get-metric-data", metrics);
    fake
}

#[test]
fn status_looks_into_nested_stacks() {
    let fake = aws();
    let output = fake.run(&["status"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("core      512 MiB     60 s     90       -"), "{text}");
    assert!(text.contains("core         7          0        0  1 min 30 s     -"), "{text}");
    assert!(text.contains("https://api.example"), "{text}");
}

#[test]
fn logs_are_told_in_the_order_of_time() {
    let fake = aws();
    let events = r#"{"events": [
        {"timestamp": 2000, "message": "{\"level\": \"ERROR\", \"fields\": {\"message\": \"second\"}}"},
        {"timestamp": 1000, "message": "first\n"}, {"timestamp": 1500, "message": "START RequestId: 1"}]}"#;
    fake.answer("logs.filter-log-events", events);
    let output = fake.run(&["logs", "core", "--since", "1970-01-01T00:00:00Z", "--filter", "x"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = "1970-01-01T00:00:01Z first\n1970-01-01T00:00:02Z ERROR second\n";
    assert_eq!(stdout(&output).replace(".000Z", "Z"), text);
    let calls = fake.told("calls");
    assert!(
        calls.contains("--log-group-name /fluxus/core --start-time 0 --filter-pattern x"),
        "{calls}"
    );
    let output = aws().run(&["logs", "nobody"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("there is no function `nobody`; there are core"));
}
