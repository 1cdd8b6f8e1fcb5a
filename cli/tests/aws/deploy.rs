//! `fluxus deploy`.

use crate::fake::{Fake, stderr, stdout};

pub const TEMPLATE: &str = "
Parameters:
  Release: {Type: String}
  Auth: {Type: String, Description: How clients prove who they are}
Resources:
  MigrateFunction:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: target/lambda/one}
";

const DEPLOY: [&str; 4] = ["deploy", "--skip-build", "--parameter", "Auth=iam"];

/// An AWS where a change set can be made, and the functions answer.
fn aws() -> Fake {
    let fake = Fake::new(TEMPLATE);
    fake.answer("cloudformation.create-change-set", r#"{"Id": "arn:set"}"#);
    let set = r#"{"ChangeSetId": "arn:set", "Status": "CREATE_COMPLETE", "Changes": [{"ResourceChange":
        {"Action": "Modify", "LogicalResourceId": "MigrateFunction", "Replacement": "False",
         "ResourceType": "AWS::Lambda::Function", "Details": [{"Target": {"Name": "Code"}}]}}]}"#;
    fake.answer("cloudformation.describe-change-set", set);
    fake.answer("cloudformation.describe-stack-events", r#"{"StackEvents": []}"#);
    fake.answer("answer.fluxus-http", r#"{"name": "http"}"#);
    let registered = r#"{"fluxlings": 1, "faults": [],
        "recipes": [{"name": "order", "version": 1, "changed": false}]}"#;
    fake.answer("answer.fluxus-migrate", registered);
    fake.write("project/recipes/order.asl.yaml", "StartAt: A\nStates:\n  A: {Type: Succeed}\n");
    fake
}

#[test]
fn a_stack_is_created_and_told_what_it_has() {
    let fake = aws();
    fake.fail(
        "s3api.head-bucket",
        "An error occurred (404) when calling the HeadBucket operation: Not Found",
    );
    fake.stack("cloudformation.describe-stacks", "CREATE_COMPLETE");
    fake.write(
        "bin/cloudformation.describe-stacks.1.fail",
        "An error occurred (ValidationError) \
        when calling the DescribeStacks operation: Stack with id fluxus does not exist",
    );
    let output = fake.run(&[&DEPLOY[..], &["--recipes", "recipes"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "https://api.example\n");
    let calls = fake.told("calls");
    let bucket = "fluxus-artifacts-123456789012-eu-central-1";
    assert!(calls.contains(&format!("s3api create-bucket --bucket {bucket}")), "{calls}");
    assert_eq!(fake.count("s3api put-object"), 2, "{calls}");
    assert_eq!(fake.count("cloudformation execute-change-set"), 1, "{calls}");
    let inputs = fake.told("inputs");
    assert!(inputs.contains(r#""ChangeSetType":"CREATE""#), "{inputs}");
    assert!(inputs.contains(r#"{"ParameterKey":"Auth","ParameterValue":"iam"}"#), "{inputs}");
    let invoked = fake.told("invoked");
    assert!(invoked.contains(r#"fluxus-http {"manifest":{}}"#), "{invoked}");
    let register =
        r#"fluxus-migrate {"register":{"fluxlings":[{"name":"http"}],"recipes":[{"name":"order""#;
    assert!(invoked.contains(register), "{invoked}");
}

#[test]
fn a_second_deployment_says_that_nothing_changed() {
    let fake = aws();
    fake.stack("cloudformation.describe-stacks", "CREATE_COMPLETE");
    let nothing = r#"{"ChangeSetId": "arn:set", "Status": "FAILED", "StatusReason":
        "The submitted information didn't contain changes. Submit different information."}"#;
    fake.answer("cloudformation.describe-change-set", nothing);
    let output = fake.run(&DEPLOY);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("Nothing changed"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "https://api.example\n");
    assert_eq!(fake.count("cloudformation execute-change-set"), 0);
    assert!(fake.told("inputs").contains(r#""ChangeSetType":"UPDATE""#));
}

#[test]
fn a_plan_changes_nothing() {
    let fake = aws();
    fake.stack("cloudformation.describe-stacks", "CREATE_COMPLETE");
    let output = fake.run(&[&DEPLOY[..], &["--plan"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let plan = stdout(&output);
    assert!(plan.ends_with("Modify  MigrateFunction  AWS::Lambda::Function  Code\n"), "{plan}");
    assert_eq!(fake.count("cloudformation delete-change-set"), 1);
    for operation in ["cloudformation execute-change-set", "s3api create-bucket", "lambda invoke"] {
        assert_eq!(fake.count(operation), 0, "{operation}");
    }
}

#[test]
fn a_failed_deployment_says_what_failed_and_why() {
    let fake = aws();
    fake.stack("cloudformation.describe-stacks.1", "UPDATE_COMPLETE");
    fake.stack("cloudformation.describe-stacks", "UPDATE_ROLLBACK_COMPLETE");
    fake.answer("cloudformation.describe-stack-events.1", r#"{"StackEvents": []}"#);
    let events = r#"{"StackEvents": [{"EventId": "1", "StackId": "arn:stack",
        "LogicalResourceId": "Migration", "PhysicalResourceId": "m",
        "ResourceType": "Custom::Migration", "ResourceStatus": "UPDATE_FAILED",
        "ResourceStatusReason": "migration V12 failed: no such column"}]}"#;
    fake.answer("cloudformation.describe-stack-events", events);
    let output = fake.run(&DEPLOY);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains("the stack fluxus is as it was before"), "{told}");
    let why = "\n  Migration (Custom::Migration): migration V12 failed: no such column";
    assert!(told.contains(why), "{told}");
    assert_eq!((stdout(&output).as_str(), fake.count("lambda invoke")), ("", 0));
}

#[test]
fn what_is_missing_is_named_before_anything_happens() {
    let fake = aws();
    let output = fake.run(&["deploy", "--skip-build"]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.contains("needs Auth (How clients prove who they are)"), "{told}");
    fake.fail("sts.get-caller-identity", "Unable to locate credentials.");
    let told = stderr(&fake.run(&DEPLOY));
    assert!(told.contains("give a profile"), "{told}");
    fake.write("project/fluxus.toml", "[default]\nregoin = \"x\"\n");
    let output = fake.run(&DEPLOY);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("fluxus.toml:2:1: unknown field `regoin`"));
    assert_eq!(fake.count("cloudformation create-change-set"), 0);
}

#[test]
fn an_environment_says_where_every_call_goes() {
    let fake = aws();
    fake.stack("cloudformation.describe-stacks", "CREATE_COMPLETE");
    let file = "[env.prod]\nprofile = \"production\"\nregion = \"eu-north-1\"\n\
        endpoint_url = \"http://localhost:1\"\nbucket = \"mine\"\n[env.prod.parameters]\nAuth = \"jwt\"\n";
    fake.write("project/fluxus.toml", file);
    let output = fake.run(&["deploy", "--skip-build", "--env", "prod", "--plan"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let calls = fake.told("calls");
    let where_to = "--region eu-north-1 --profile production --endpoint-url http://localhost:1";
    assert!(calls.lines().all(|line| line.contains(where_to)), "{calls}");
    assert!(
        calls.contains("--stack-name fluxus-prod") && calls.contains("--bucket mine"),
        "{calls}"
    );
    assert!(fake.told("inputs").contains(r#"{"ParameterKey":"Auth","ParameterValue":"jwt"}"#));
}
