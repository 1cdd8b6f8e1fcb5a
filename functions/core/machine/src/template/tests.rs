//! Payload templates: what is filled in and what stays.

use expect_test::expect;
use fluxus_schema::Timestamp;
use serde_json::{Value, json};

use super::{Expression, Template};
use crate::env::{Context, Env, LazyContext, Seeded};

fn eval(template: &Value, input: &Value, context: &dyn Context) -> String {
    let template = match Template::parse(template) {
        Ok(template) => template,
        Err(faults) => {
            let lines = faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail));
            return lines.collect::<Vec<_>>().join("\n");
        }
    };
    let entropy = Seeded::new(1);
    match template.eval(&Env::new(input, context, &(), &entropy, Timestamp::default())) {
        Ok(payload) => payload.to_string(),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn fills_in_paths_and_calls() {
    let template = json!({
        "all.$": "$",
        "path": "$.not.taken",
        "nested": [{"sum.$": "States.MathAdd($.n, 1)"}, ["$.x", {"plain": 1}]],
        "items.$": "$.list[*]",
        "state.$": "$$.State.Name",
    });
    let context = json!({"State": {"Name": "S"}});
    expect![[r#"{"all":{"n":1,"list":[1,2]},"path":"$.not.taken","nested":[{"sum":2},["$.x",{"plain":1}]],"items":[1,2],"state":"S"}"#]].assert_eq(&eval(&template, &json!({"n": 1, "list": [1, 2]}), &context));
}

#[test]
fn fails_in_the_words_of_the_service() {
    let input = json!({"n": {}});
    for (template, expected) in [
        (
            json!({"v.$": "$.x"}),
            expect![[
                r#"States.Runtime: The JSONPath '$.x' specified for the field 'v.$' could not be found in the input '{"n":{}}'"#
            ]],
        ),
        (
            json!({"a": [{"v.$": "$$.Task.Token"}]}),
            expect![[
                r#"States.Runtime: The JSONPath '$$.Task.Token' specified for the field 'v.$' could not be found in the input '{"n":{}}'"#
            ]],
        ),
        (
            json!({"v.$": "$.n[0]"}),
            expect![
                "States.Runtime: Filter: [0] can only be applied to arrays. Current context is: {}"
            ],
        ),
        (
            json!({"v.$": "States.MathAdd($.n, 1)"}),
            expect![
                "States.Runtime: The function 'States.MathAdd($.n, 1)' had the following error: Invalid arguments in States.MathAdd"
            ],
        ),
    ] {
        expected.assert_eq(&eval(&template, &input, &json!({})));
    }
}

#[test]
fn reports_every_fault_with_its_place() {
    let template = json!({"a/b": [{"x.$": 1}], "y.$": "$.", "z.$": "text", "fine.$": "$"});
    expect![[r#"
        /a~1b/0/x.$: The value for the field 'x.$' must be a valid JSONPath or a valid intrinsic function call
        /y.$: The value for the field 'y.$' must be a valid JSONPath or a valid intrinsic function call
        /z.$: The value for the field 'z.$' must be a valid JSONPath or a valid intrinsic function call"#]].assert_eq(&eval(&template, &json!({}), &json!({})));
}

#[test]
fn shares_what_is_static_and_builds_no_context_for_it() {
    let template = Template::parse(&json!({"a": [1, {"b": "$.c"}]})).unwrap();
    let context = LazyContext::new(|| unreachable!("nothing refers to the context object"));
    let input = json!({});
    let entropy = Seeded::new(1);
    let env = Env::new(&input, &context, &(), &entropy, Timestamp::default());
    let (one, other) = (template.eval(&env).unwrap(), template.eval(&env).unwrap());
    assert!(template.is_static() && std::sync::Arc::ptr_eq(&one, &other));
}

#[test]
fn names_its_paths() {
    let template = json!({"a.$": "$.x", "b": [{"c.$": "States.Array($y, States.Array($$.Z))"}]});
    let mut paths = Vec::new();
    Template::parse(&template).unwrap().for_each_path(|path| paths.push(path.to_string()));
    assert_eq!(paths, ["$.x", "$y", "$$.Z"]);
    assert!(matches!(Expression::parse("States.UUID()"), Ok(Expression::Call(_))));
}

#[test]
fn keeps_to_its_depth() {
    let mut template = json!({"v.$": "$"});
    for _ in 0..200 {
        template = json!([template]);
    }
    assert!(Template::parse(&template).unwrap_err()[0].detail.contains("128"));
}
