//! Keeps the templates for AWS as the house has it: what is encrypted, who may do what, and that
//! queues, functions and timeouts fit together.
//!
//! Each test holds one rule over `template.yaml` and `infra/aws/*.yaml`. Linters know AWS's rules;
//! these are ours.

#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use granit_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value, json};

const ROOT: &str = "template.yaml";

/// Actions that AWS supports for the resource `*` only.
const WITHOUT_RESOURCE: [&str; 8] = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
];

/// Where a resource may end in `*`: what is below these is the function's own, or all of a kind.
const WITHIN: [&str; 2] = [":log-stream:", "/bodies/"];

/// What makes the ARNs of all objects of the ARNs of buckets that a parameter names, when it joins
/// them. It is no resource by itself.
const OBJECTS_OF: [&str; 2] = ["/*,", "/*"];

/// By how much a queue's visibility timeout exceeds its function's, as AWS advises: Lambda tries a
/// batch again by itself when it is throttled.
const VISIBILITY_FACTOR: u64 = 6;

/// What CloudFormation takes at most.
const MAX_RESOURCES: usize = 500;
const MAX_PARAMETERS: usize = 200;
const MAX_OUTPUTS: usize = 200;
const MAX_BYTES: u64 = 1_000_000;

#[test]
fn policies_allow_what_they_name_and_no_more() {
    for (file, template) in templates() {
        for (at, statement) in find(&template, &|value| value["Effect"] == "Allow") {
            let place = format!("{file}{at}");
            let actions = texts(&statement["Action"]);
            assert!(!actions.is_empty(), "{place}: allows no action by name");
            for action in &actions {
                assert!(!action.contains('*'), "{place}: `{action}` is a wildcard");
            }
            assert!(!texts(&statement["Principal"]).contains(&"*"), "{place}: allows everybody");
            let is_joined = !statement["Resource"]["Fn::Split"].is_null();
            for resource in texts(&statement["Resource"]) {
                if is_joined && OBJECTS_OF.contains(&resource) {
                    continue;
                }
                let fits = match resource.strip_suffix('*') {
                    None => true,
                    Some("") => actions.iter().all(|action| WITHOUT_RESOURCE.contains(action)),
                    Some(before) => WITHIN.iter().any(|within| before.ends_with(within)),
                };
                let inner = resource.trim_end_matches('*').contains('*');
                assert!(fits && !inner, "{place}: resource `{resource}` is a wildcard");
            }
        }
    }
}

#[test]
fn roles_have_policies_of_our_own_only() {
    for (file, template) in templates() {
        for (name, role) in resources(&template, "AWS::IAM::Role") {
            for policy in texts(&role["Properties"]["ManagedPolicyArns"]) {
                assert!(!policy.starts_with("arn:"), "{file}: {name} takes `{policy}` from AWS");
            }
        }
        for (name, function) in resources(&template, "AWS::Serverless::Function") {
            let properties = &function["Properties"];
            assert!(
                properties["Policies"].is_null(),
                "{file}: {name} has policies beside its role"
            );
        }
    }
}

#[test]
fn every_function_has_a_role_of_its_own() {
    let mut taken = BTreeSet::new();
    for (name, function) in functions() {
        let role = attribute(&function["Role"]);
        let role = role.unwrap_or_else(|| panic!("{name} has no role: SAM would make a wide one"));
        assert!(taken.insert(role.clone()), "{name} shares `{role}`");
    }
}

#[test]
fn every_queue_is_encrypted_and_has_dead_letters() {
    let mut count = 0;
    for (file, template) in templates() {
        let queues = resources(&template, "AWS::SQS::Queue");
        for (name, queue) in &queues {
            count += 1;
            let place = format!("{file}: {name}");
            let properties = &queue["Properties"];
            assert_eq!(properties["SqsManagedSseEnabled"], true, "{place} is not encrypted");
            assert!(is_by_tls_only(&template, name), "{place} can be reached without TLS");
            assert!(has_alarm(&template, name), "{place} has no alarm");
            if properties.get("RedriveAllowPolicy").is_some() {
                let sources = texts(&properties["RedriveAllowPolicy"]["sourceQueueArns"]);
                assert_eq!(sources.len(), 1, "{place} takes dead letters of one queue");
                continue;
            }
            let redrive = &properties["RedrivePolicy"];
            let receives = u64::from(fluxus_queue::bounds::MAX_RECEIVES);
            assert_eq!(redrive["maxReceiveCount"], receives, "{place} gives up at another time");
            let target = attribute(&redrive["deadLetterTargetArn"]).unwrap_or_default();
            let target = target.trim_end_matches(".Arn");
            let letters = queues.iter().find(|(name, _)| name == target);
            let letters = letters.unwrap_or_else(|| panic!("{place} has no dead-letter queue"));
            let letters = &letters.1["Properties"];
            assert!(
                letters.get("RedriveAllowPolicy").is_some(),
                "{file}: {target} takes any queue's"
            );
            let kept = |queue: &Value| queue["MessageRetentionPeriod"].as_u64().unwrap_or_default();
            assert!(kept(letters) > kept(properties), "{place}: dead letters go before the living");
        }
    }
    assert!(count > 0, "no queue was found");
}

#[test]
fn every_mapping_reports_single_failures() {
    let mut count = 0;
    for (name, function) in functions() {
        for (_, mapping) in mappings(&function) {
            count += 1;
            let responses = texts(&mapping["FunctionResponseTypes"]);
            let fails = format!("{name}: one bad message would bring back its whole batch");
            assert!(responses.contains(&"ReportBatchItemFailures"), "{fails}");
            for setting in ["BatchSize", "MaximumBatchingWindowInSeconds", "ScalingConfig"] {
                assert!(!mapping[setting].is_null(), "{name}: its mapping has no {setting}");
            }
        }
    }
    assert!(count > 0, "no mapping was found");
}

#[test]
fn messages_stay_hidden_for_as_long_as_their_function_may_take() {
    let template = template(ROOT);
    for (name, function) in functions() {
        for (queue, mapping) in mappings(&function) {
            let timeout = function["Timeout"].as_u64().expect("a timeout");
            let window = &mapping["MaximumBatchingWindowInSeconds"];
            let longest = |name: &str| template["Parameters"][name]["MaxValue"].as_u64();
            let window = window.as_u64().or_else(|| longest(window["Ref"].as_str()?));
            let least = VISIBILITY_FACTOR * timeout + window.expect("a batching window");
            let parameters = &template["Resources"][&queue]["Properties"]["Parameters"];
            let hidden = parameters["VisibilityTimeoutSeconds"].as_u64().unwrap_or_default();
            assert!(hidden >= least, "{name}: `{queue}` hides for {hidden} s, not {least} s");
        }
    }
}

#[test]
fn every_function_is_traced_and_keeps_its_log() {
    let template = template(ROOT);
    assert_eq!(template["Globals"]["Function"]["Tracing"], "Active", "functions are traced");
    for (file, template) in templates() {
        for (name, log) in resources(&template, "AWS::Logs::LogGroup") {
            let days = &log["Properties"]["RetentionInDays"];
            assert_eq!(
                days["Ref"], "LogRetentionDays",
                "{file}: {name} has a retention of its own"
            );
        }
    }
    for (name, function) in functions() {
        assert!(function["Tracing"].is_null(), "{name} is traced in its own way");
        let group = &function["LoggingConfig"]["LogGroup"];
        let stands = match group["Ref"].as_str() {
            Some(log) => template["Resources"][log]["Type"] == "AWS::Logs::LogGroup",
            None => attribute(group).is_some_and(|group| group.ends_with(".Outputs.LogGroup")),
        };
        assert!(stands, "{name} logs to no group of this template");
    }
}

#[test]
fn functions_change_after_the_migration() {
    let template = template(ROOT);
    let migration = &template["Resources"]["Migration"];
    assert_eq!(migration["Type"], "Custom::Migration");
    assert_eq!(migration["Properties"]["Release"]["Ref"], "Release", "each release migrates");
    for (name, function) in resources(&template, "AWS::Serverless::Function") {
        let waits = texts(&function["DependsOn"]).contains(&"Migration");
        assert!(waits != (name == "MigrateFunction"), "{name} runs before its tables are there");
    }
}

#[test]
fn functions_run_what_is_built_for_them() {
    for (name, function) in functions() {
        let code = function["CodeUri"].as_str().unwrap_or_default();
        let binary = code.strip_prefix("target/lambda/").unwrap_or_default();
        let ours = binary.starts_with("fluxus-") || binary.starts_with("fluxling-");
        assert!(ours && !binary.contains('/'), "{name}: its code is `{code}`");
    }
}

#[test]
fn fluxlings_are_alike() {
    let template = template(ROOT);
    let mut count = 0;
    for (name, function) in functions().into_iter().filter(|(name, _)| is_fluxling(name)) {
        count += 1;
        let stands_on = name.trim_end_matches("Function");
        let stack = &template["Resources"][stands_on]["Properties"];
        assert_eq!(stack["TemplateURL"], "infra/aws/fluxling.yaml", "{name} stands on {stands_on}");
        let called = stack["Parameters"]["Name"].as_str().unwrap_or_default();
        assert_eq!(function["CodeUri"], format!("target/lambda/{called}"), "{name}: its code");
        let full = format!("${{AWS::StackName}}-{called}");
        assert_eq!(function["FunctionName"], json!({ "Fn::Sub": full }), "{name}: its name");
        let variables = function["Environment"]["Variables"].as_object().cloned();
        for variable in variables.unwrap_or_default().keys() {
            assert!(!variable.contains("DATABASE"), "{name}: a fluxling never meets Postgres");
        }
        assert!(function["VpcConfig"].is_null(), "{name}: the database's VPC has no way out");
    }
    assert!(count > 0, "no fluxling was found");
}

#[test]
fn outputs_name_every_function() {
    let template = template(ROOT);
    for (name, _) in functions() {
        let output = &template["Outputs"][format!("{name}Name")]["Value"];
        assert_eq!(output["Ref"], name, "the output {name}Name");
    }
}

/// `tests/events/NAME.json`, or more of them as `tests/events/NAME-what.json`.
#[test]
fn every_function_has_a_sample_event() {
    let Ok(entries) = fs::read_dir(root().join("tests/events")) else { return };
    let files: Vec<_> = entries
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    for (name, function) in functions() {
        let called = function["FunctionName"]["Fn::Sub"].as_str().unwrap_or_default();
        let called = called.trim_start_matches("${AWS::StackName}-");
        let fits = |file: &String| {
            file.strip_prefix(called).is_some_and(|rest| rest.starts_with(['.', '-', '_']))
        };
        assert!(files.iter().any(fits), "{name} has no tests/events/{called}.json");
    }
}

#[test]
fn what_holds_data_is_private_and_encrypted() {
    for (file, template) in templates() {
        for (name, bucket) in resources(&template, "AWS::S3::Bucket") {
            let properties = &bucket["Properties"];
            assert!(!properties["BucketEncryption"].is_null(), "{file}: {name} is not encrypted");
            let blocks = properties["PublicAccessBlockConfiguration"].as_object();
            let closed =
                blocks.is_some_and(|all| all.len() == 4 && all.values().all(|is| *is == true));
            assert!(closed, "{file}: {name} can be made public");
            assert!(is_by_tls_only(&template, &name), "{file}: {name} can be reached without TLS");
        }
        for (name, table) in resources(&template, "AWS::DynamoDB::Table") {
            let properties = &table["Properties"];
            assert_eq!(properties["SSESpecification"]["SSEEnabled"], true, "{file}: {name}");
            assert_eq!(properties["TimeToLiveSpecification"]["Enabled"], true, "{file}: {name}");
        }
        for (name, database) in resources(&template, "AWS::RDS::DBInstance") {
            let properties = &database["Properties"];
            assert_eq!(properties["StorageEncrypted"], true, "{file}: {name} is not encrypted");
            assert_eq!(properties["PubliclyAccessible"], false, "{file}: {name} is public");
            assert_eq!(database["DeletionPolicy"], "Snapshot", "{file}: {name} goes without trace");
        }
    }
}

#[test]
fn templates_stay_under_the_limits_of_cloudformation() {
    for (file, template) in templates() {
        let bytes = fs::metadata(root().join(&file)).expect("a file").len();
        assert!(bytes < MAX_BYTES, "{file} has {bytes} bytes");
        let count = |section: &str| template[section].as_object().map_or(0, Map::len);
        // SAM makes up to three resources of one function: itself, its mapping, its permission.
        let functions = resources(&template, "AWS::Serverless::Function").len();
        assert!(count("Resources") + 2 * functions < MAX_RESOURCES, "{file}: resources");
        assert!(count("Parameters") < MAX_PARAMETERS, "{file}: parameters");
        assert!(count("Outputs") < MAX_OUTPUTS, "{file}: outputs");
    }
}

/// Every nested template is used, and every one that is used exists.
#[test]
fn nested_templates_are_found() {
    let mut used = BTreeSet::from([root().join(ROOT)]);
    let mut all = BTreeSet::new();
    for (file, template) in templates() {
        let path = root().join(file);
        for (name, stack) in resources(&template, "AWS::CloudFormation::Stack") {
            let url = stack["Properties"]["TemplateURL"].as_str().unwrap_or_default();
            let nested = path.parent().expect("a folder").join(url);
            assert!(nested.is_file(), "{name} stands on {}", nested.display());
            used.insert(nested);
        }
        all.insert(path);
    }
    assert_eq!(used, all);
}

// What the tests ask of a template.

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// All templates, by their path in the repository.
fn templates() -> Vec<(String, Value)> {
    let nested = fs::read_dir(root().join("infra/aws")).expect("the nested templates");
    let mut files: Vec<_> = nested
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml"))
        .map(|name| format!("infra/aws/{name}"))
        .collect();
    files.push(ROOT.to_owned());
    files.into_iter().map(|file| (file.clone(), template(&file))).collect()
}

fn template(file: &str) -> Value {
    let text = fs::read_to_string(root().join(file)).expect("a template");
    Reader { file, events: Parser::new_from_str(&text) }.document()
}

fn resources(template: &Value, kind: &str) -> Vec<(String, Value)> {
    let all = template["Resources"].as_object().expect("resources");
    let fitting = all.iter().filter(|(_, resource)| resource["Type"] == kind);
    fitting.map(|(name, resource)| (name.clone(), resource.clone())).collect()
}

/// The functions with their properties.
fn functions() -> Vec<(String, Value)> {
    let all = resources(&template(ROOT), "AWS::Serverless::Function");
    assert!(!all.is_empty(), "no function was found");
    all.into_iter().map(|(name, mut function)| (name, function["Properties"].take())).collect()
}

fn is_fluxling(name: &str) -> bool {
    name.starts_with("Fluxling")
}

/// A function's queues, by the nested stack that each is in, with their mappings.
fn mappings(function: &Value) -> Vec<(String, Value)> {
    let events = function["Events"].as_object().cloned().unwrap_or_default();
    let of_queues = events.into_iter().filter(|(_, event)| event["Type"] == "SQS");
    of_queues
        .map(|(_, mut event)| {
            let mapping = event["Properties"].take();
            let queue = attribute(&mapping["Queue"]).expect("a queue of this template");
            (queue.split('.').next().unwrap_or_default().to_owned(), mapping)
        })
        .collect()
}

/// Whether a policy of the queue or bucket denies what comes without TLS.
fn is_by_tls_only(template: &Value, name: &str) -> bool {
    let kinds = ["AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"];
    let policies = kinds.iter().flat_map(|kind| resources(template, kind));
    let own = policies.filter(|(_, policy)| {
        let properties = &policy["Properties"];
        properties["Bucket"]["Ref"] == name || properties["Queues"] == json!([{ "Ref": name }])
    });
    own.into_iter().any(|(_, policy)| {
        let denies = |value: &Value| {
            value["Effect"] == "Deny"
                && value["Principal"] == "*"
                && value["Condition"]["Bool"]["aws:SecureTransport"] == "false"
        };
        !find(&policy, &denies).is_empty()
    })
}

/// Whether an alarm watches the queue.
fn has_alarm(template: &Value, queue: &str) -> bool {
    let name = format!("{queue}.QueueName");
    resources(template, "AWS::CloudWatch::Alarm").iter().any(|(_, alarm)| {
        let watches = |value: &Value| attribute(&value["Value"]).as_ref() == Some(&name);
        !find(alarm, &watches).is_empty()
    })
}

/// What `!GetAtt` names.
fn attribute(value: &Value) -> Option<String> {
    value["Fn::GetAtt"].as_str().map(str::to_owned)
}

/// All texts in a value, however they are nested in lists and functions.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// All objects within a value that fit, with their places.
fn find(value: &Value, fits: &dyn Fn(&Value) -> bool) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let below: Vec<(String, &Value)> = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        Value::Object(members) => {
            if fits(value) {
                found.push((String::new(), value.clone()));
            }
            members.iter().map(|(name, member)| (name.clone(), member)).collect()
        }
        _ => Vec::new(),
    };
    for (name, member) in below {
        let within = find(member, fits).into_iter();
        found.extend(within.map(|(at, value)| (format!("/{name}{at}"), value)));
    }
    found
}

/// Reads YAML with the tags of CloudFormation: `!Sub x` becomes `{"Fn::Sub": "x"}`.
struct Reader<'a> {
    file: &'a str,
    events: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn document(mut self) -> Value {
        loop {
            match self.next() {
                Event::StreamStart | Event::DocumentStart(..) => {}
                event => return self.value(event),
            }
        }
    }

    fn next(&mut self) -> Event<'a> {
        let event = self.events.next().expect("the document goes on");
        event.unwrap_or_else(|error| panic!("{}: {error}", self.file)).0
    }

    fn value(&mut self, event: Event<'a>) -> Value {
        match event {
            Event::Scalar(text, style, _, tag) => tagged(tag.as_deref(), scalar(&text, style)),
            Event::SequenceStart(_, _, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next() {
                        Event::SequenceEnd => break tagged(tag.as_deref(), items.into()),
                        event => items.push(self.value(event)),
                    }
                }
            }
            Event::MappingStart(_, _, tag) => {
                let mut members = Map::new();
                loop {
                    match self.next() {
                        Event::MappingEnd => break tagged(tag.as_deref(), members.into()),
                        Event::Scalar(name, ..) => {
                            let event = self.next();
                            let twice = members.insert(name.to_string(), self.value(event));
                            assert!(twice.is_none(), "{}: `{name}` stands twice", self.file);
                        }
                        other => panic!("{}: {other:?} is no key", self.file),
                    }
                }
            }
            // CloudFormation itself takes no aliases.
            other => panic!("{}: {other:?} has no place in a template", self.file),
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = matches!(style, ScalarStyle::Plain);
    let read = plain.then(|| serde_json::from_str(text).ok()).flatten();
    read.unwrap_or_else(|| text.into())
}

fn tagged(tag: Option<&Tag>, value: Value) -> Value {
    let Some(tag) = tag else { return value };
    let name = tag.to_string();
    match name.trim_start_matches('!') {
        "Ref" => json!({ "Ref": value }),
        "Condition" => json!({ "Condition": value }),
        function => json!({ format!("Fn::{function}"): value }),
    }
}
