//! `fluxus destroy`.

use crate::deploy::TEMPLATE;
use crate::fake::{Fake, stderr, stdout};

fn aws() -> Fake {
    let fake = Fake::new(TEMPLATE);
    fake.stack("cloudformation.describe-stacks", "CREATE_COMPLETE");
    let resource = |name: &str, kind: &str| {
        format!(
            r#"{{"LogicalResourceId": "{name}", "PhysicalResourceId": "{name}-1",
            "ResourceType": "AWS::{kind}", "ResourceStatus": "CREATE_COMPLETE"}}"#
        )
    };
    let resources = [resource("Bodies", "S3::Bucket"), resource("Table", "DynamoDB::Table")];
    let resources = format!(r#"{{"StackResourceSummaries": [{}]}}"#, resources.join(","));
    fake.answer("cloudformation.list-stack-resources", &resources);
    let template = r#"{"TemplateBody": {"Resources": {"Table": {"DeletionPolicy": "Retain"}}}}"#;
    fake.answer("cloudformation.get-template", template);
    fake.answer("cloudformation.describe-stack-events", r#"{"StackEvents": []}"#);
    fake
}

#[test]
fn nothing_is_deleted_unasked() {
    let fake = aws();
    let output = fake.run(&["destroy"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = fake.run(&["destroy", "--plan"]);
    assert!(output.status.success());
    let plan = stdout(&output);
    assert!(plan.contains("Bodies    AWS::S3::Bucket       deleted"), "{plan}");
    assert!(plan.contains("Table     AWS::DynamoDB::Table  stays"), "{plan}");
    assert_eq!(fake.count("cloudformation delete-stack") + fake.count("s3 rm"), 0);
}

#[test]
fn a_stack_is_deleted_with_what_is_in_its_buckets() {
    let fake = aws();
    fake.stack("cloudformation.describe-stacks.1", "CREATE_COMPLETE");
    fake.stack("cloudformation.describe-stacks", "DELETE_COMPLETE");
    let output = fake.run(&["destroy", "--yes"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let calls = fake.told("calls");
    assert!(calls.contains("s3 rm --recursive --only-show-errors s3://Bodies-1"), "{calls}");
    assert!(calls.contains("delete-stack --stack-name arn:stack"), "{calls}");
    let told = stderr(&output);
    assert!(told.contains("Table: stays") && told.contains("fluxus-artifacts-"), "{told}");
}

#[test]
fn a_stack_that_is_not_there_is_not_found() {
    let fake = Fake::new(TEMPLATE);
    let output = fake.run(&["destroy", "--yes"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("there is no stack `fluxus` here"));
}
