//! What holds for every expression.

use fluxus_schema::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use super::evaluate;
use crate::env::Seeded;
use crate::jsonata::{Error, Expression, Scope, States, engine};

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9i64..9).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => prop::collection::btree_map("[ab]", inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Expressions of every kind, most of which can be evaluated.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(
        &[
            "$n",
            "$text",
            "$list",
            "$items",
            "$nothing",
            "$none",
            "$states.input.a.b",
            "1",
            "2.5",
            "-1",
            "0",
            "'a'",
            "''",
            "true",
            "null",
            "[]",
            "{}",
            "$items.id",
            "$items.tags",
            "/a/",
            "[1..5]",
            "$sum",
            "$x",
            "function($x) { $x }",
        ][..],
    );
    let unary = prop::sample::select(
        &[
            "$abs",
            "$boolean",
            "$count",
            "$distinct",
            "$each",
            "$exists",
            "$keys",
            "$length",
            "$lowercase",
            "$max",
            "$merge",
            "$not",
            "$number",
            "$parse",
            "$reverse",
            "$round",
            "$shuffle",
            "$sort",
            "$spread",
            "$sqrt",
            "$string",
            "$sum",
            "$trim",
            "$type",
            "$toMillis",
            "$fromMillis",
            "$base64decode",
            "$uuid",
            "$random",
            "-",
        ][..],
    );
    let binary = prop::sample::select(
        &[
            "$append",
            "$contains",
            "$filter",
            "$formatBase",
            "$formatInteger",
            "$formatNumber",
            "$hash",
            "$join",
            "$lookup",
            "$map",
            "$match",
            "$pad",
            "$parseInteger",
            "$partition",
            "$power",
            "$reduce",
            "$sift",
            "$single",
            "$split",
            "$substring",
            "$substringBefore",
            "$zip",
            "$toMillis",
            "$fromMillis",
            "$round",
        ][..],
    );
    let sign = prop::sample::select(
        &["+", "-", "*", "/", "%", "&", "=", "!=", "<", ">=", "in", "and", "or", "~>", "."][..],
    );
    leaf.prop_map(str::to_owned).prop_recursive(5, 40, 3, move |inner| {
        let two = || (inner.clone(), inner.clone());
        prop_oneof![
            3 => (unary.clone(), inner.clone()).prop_map(|(name, a)| format!("{name}({a})")),
            3 => (binary.clone(), two()).prop_map(|(name, (a, b))| format!("{name}({a}, {b})")),
            3 => (sign.clone(), two()).prop_map(|(sign, (a, b))| format!("({a} {sign} {b})")),
            2 => two().prop_map(|(a, b)| format!("$map({a}, function($x, $i) {{ {b} }})")),
            1 => two().prop_map(|(a, b)| format!("$reduce({a}, function($x, $y) {{ {b} }})")),
            1 => two().prop_map(|(a, b)| format!("$replace('aba', {a}, {b})")),
            1 => two().prop_map(|(a, b)| format!("({a}).({b})")),
            1 => two().prop_map(|(a, b)| format!("({a})[{b}]")),
            1 => two().prop_map(|(a, b)| format!("({a})^({b})")),
            1 => two().prop_map(|(a, b)| format!("({a}){{$string({b}): {b}}}")),
            1 => two().prop_map(|(a, b)| format!("({a})@$x.({b})#$i")),
            1 => two().prop_map(|(a, b)| format!("({a}) ~> |$|{{'z': {b}}}|")),
            1 => two().prop_map(|(a, b)| format!("($x := {a}; {b})")),
            1 => two().prop_map(|(a, b)| format!("[{a}, {b}]")),
            1 => two().prop_map(|(a, b)| format!("{{'k': {a}, 'l': {b}}}")),
            1 => two().prop_map(|(a, b)| format!("[{a}..{b}]")),
            1 => (two(), inner).prop_map(|((a, b), c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

proptest! {
    /// The plain paths that are answered from the JSON itself give what the engine gives.
    #[test]
    fn the_short_way_leads_where_the_long_way_does(
        input in document(),
        path in "((\\.[ab])|(\\[-?[0-2]\\])){0,4}",
        form in 0..3usize,
    ) {
        let path = format!("$states.input{path}");
        let source = match form {
            0 => path,
            1 => format!("[{path}, [{path}], 1]"),
            _ => format!("{{'k': {path}, 'l': 'x'}}"),
        };
        let expression = Expression::parse(&source).unwrap();
        prop_assert!(expression.0.plan.is_some());
        let states =
            States { input: &input, result: None, error_output: None, context: &Value::Null };
        let entropy = Seeded::new(1);
        let now = Timestamp::default();
        let scope = Scope { states, variables: &(), entropy: &entropy, now };
        prop_assert_eq!(expression.eval(&scope), engine::eval(&expression.0, &scope), "{}", source);
    }

    /// The engine does not break down, whatever it evaluates.
    #[test]
    fn expressions_give_something_or_fail(source in expression()) {
        if Expression::parse(&source).is_ok() {
            let internal = Error::internal();
            let given = evaluate(&source, Expression::eval);
            prop_assert_ne!(given.err(), Some(internal), "{}", source);
        }
    }

    /// Whatever is read, it is refused or taken.
    #[test]
    fn any_text_can_be_parsed(source in "\\PC{0,60}") {
        let code = Expression::parse(&source).err().map(|invalid| invalid.code);
        prop_assert_ne!(code.as_deref(), Some("S0500"), "{}", source);
    }

    /// Texts made of what expressions are made of.
    #[test]
    fn texts_that_look_like_expressions_can_be_parsed_and_evaluated(
        parts in prop::collection::vec(prop::sample::select(&[
            "$states", ".input", ".a", ".b", "[0]", "[", "]", "(", ")", "{", "}", ":", ",", "?",
            "$n", "$list", "$items", "$x", ":=", ";", "function($x)", "$map", "$sum", "$filter",
            "$reduce", "$string", "$sort", "+", "-", "*", "/", "%", "&", "=", "!=", "<", "..",
            "~>", "^(", "|", "@$v", "#$i", "**", "and", "or", "in", "1", "2.5", "-1", "'a'",
            "true", "null", "/a/", "$range", "$partition", "$parse", " ",
        ][..]), 1..14),
    ) {
        let source = parts.concat();
        if Expression::parse(&source).is_ok() {
            _ = evaluate(&source, Expression::eval);
        }
    }
}
