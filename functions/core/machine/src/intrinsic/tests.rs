//! Each intrinsic function, and what it refuses.

use expect_test::{Expect, expect};
use fluxus_schema::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Intrinsic;
use crate::env::{Env, Seeded};

fn eval(call: &str, input: &Value) -> String {
    let call = match Intrinsic::parse(call) {
        Ok(call) => call,
        Err(error) => return format!("refused: {error}"),
    };
    let context = json!({"Execution": {"Input": {"step": 2}}});
    let variables = [("v".to_owned(), std::sync::Arc::new(json!({"n": 7})))].into();
    let variables: &std::collections::BTreeMap<_, _> = &variables;
    let entropy = Seeded::new(1);
    let env = Env::new(input, &context, variables, &entropy, Timestamp::default());
    match call.eval(&env) {
        Ok(value) => value.to_string(),
        Err(failure) => format!("failed: {}", failure.cause),
    }
}

fn check(input: &Value, calls: &[&str], expect: &Expect) {
    let lines: Vec<String> =
        calls.iter().map(|call| format!("{call}  =>  {}\n", eval(call, input))).collect();
    expect.assert_eq(&lines.concat());
}

#[test]
fn computes() {
    check(
        &json!({"name": "Ada", "arr": [1, 2, 3, 3], "obj": {"a": 1, "b": []}, "nil": null,
                "template": "{} \\{\\}", "csv": "a,,b.c", "json": "{\"k\": [1]}", "f": 2.7}),
        &[
            "States.Array()",
            "States.Array(1, 'x', null, true, $.name, $$.Execution.Input.step, $v.n, -1.5)",
            "States.ArrayContains($.arr, 2)",
            "States.ArrayContains(States.Array('true', 'x'), true)",
            "States.ArrayContains($.arr, 9)",
            "States.ArrayGetItem($.arr, 1.9)",
            "States.ArrayLength($.arr[?(@ > 1)])",
            "States.ArrayPartition($.arr, 2.6)",
            "States.ArrayRange(1, 9, 3)",
            "States.ArrayRange(5, 1, -2)",
            "States.ArrayRange(5, 1, 1)",
            "States.ArrayUnique($.arr)",
            "States.Base64Encode($.name)",
            "States.Base64Decode('QWRh')",
            "States.Base64Decode(' QW-Rh= ignored')",
            "States.Format('{}: {} {} {}', $.name, $.obj, $.nil, 1.0)",
            "States.Format('it\\'s \\{{}\\} \\\\', 'x')",
            "States.Format($.template, 'x')",
            "States.Hash($.name, 'MD5')",
            "States.Hash($.name, 'SHA-1')",
            "States.Hash($.name, 'SHA-256')",
            "States.JsonMerge($.obj, States.StringToJson($.json), false)",
            "States.JsonToString($.obj)",
            "States.MathAdd(1.6, 2.7)",
            "States.MathAdd($v.n, -8)",
            "States.MathRandom(0, 10, 42)",
            "States.MathRandom(5, 6)",
            "States.StringSplit($.csv, '.,')",
            "States.StringSplit($.csv, '')",
            "States.StringToJson(' ')",
            "States.StringToJson('-0')",
            "States.UUID()",
            "States.ArrayGetItem( States.StringSplit( 'a-b' , '-' ) , 1 )",
        ],
        &expect![[r#"
            States.Array()  =>  []
            States.Array(1, 'x', null, true, $.name, $$.Execution.Input.step, $v.n, -1.5)  =>  [1,"x",null,true,"Ada",2,7,-1.5]
            States.ArrayContains($.arr, 2)  =>  true
            States.ArrayContains(States.Array('true', 'x'), true)  =>  true
            States.ArrayContains($.arr, 9)  =>  false
            States.ArrayGetItem($.arr, 1.9)  =>  2
            States.ArrayLength($.arr[?(@ > 1)])  =>  3
            States.ArrayPartition($.arr, 2.6)  =>  [[1,2],[3,3]]
            States.ArrayRange(1, 9, 3)  =>  [1,4,7]
            States.ArrayRange(5, 1, -2)  =>  [5,3,1]
            States.ArrayRange(5, 1, 1)  =>  []
            States.ArrayUnique($.arr)  =>  [1,2,3]
            States.Base64Encode($.name)  =>  "QWRh"
            States.Base64Decode('QWRh')  =>  "Ada"
            States.Base64Decode(' QW-Rh= ignored')  =>  "Ao�"
            States.Format('{}: {} {} {}', $.name, $.obj, $.nil, 1.0)  =>  "Ada: {a=1, b=[]} null 1.0"
            States.Format('it\'s \{{}\} \\', 'x')  =>  "it's {x} \\"
            States.Format($.template, 'x')  =>  "x {}"
            States.Hash($.name, 'MD5')  =>  "1a382809b7c03f686e12dd15677c5497"
            States.Hash($.name, 'SHA-1')  =>  "5c3cb098d52deb3f67e97b7fba960c4cf6880461"
            States.Hash($.name, 'SHA-256')  =>  "99a563ab2f6e21e96998f9fddd2a2bab82b70ac019579502b8d7fc0032ff62bb"
            States.JsonMerge($.obj, States.StringToJson($.json), false)  =>  {"a":1,"b":[],"k":[1]}
            States.JsonToString($.obj)  =>  "{\"a\":1,\"b\":[]}"
            States.MathAdd(1.6, 2.7)  =>  5
            States.MathAdd($v.n, -8)  =>  -1
            States.MathRandom(0, 10, 42)  =>  0
            States.MathRandom(5, 6)  =>  5
            States.StringSplit($.csv, '.,')  =>  ["a","b","c"]
            States.StringSplit($.csv, '')  =>  ["a,,b.c"]
            States.StringToJson(' ')  =>  null
            States.StringToJson('-0')  =>  0
            States.UUID()  =>  "910a2dec-8902-4cc1-beeb-8da1658eec67"
            States.ArrayGetItem( States.StringSplit( 'a-b' , '-' ) , 1 )  =>  "b"
        "#]],
    );
}

#[test]
fn fails_in_the_words_of_the_service() {
    check(
        &json!({"a": 1}),
        &[
            "States.Format('{}', $.nope)",
            "States.Array(States.Format('{}', $.nope))",
            "States.Array($.a[0])",
            "States.Format('{} {}', 1)",
            "States.Format('{}', 1, 2)",
            "States.Format('{', 1)",
            "States.Format('}')",
            "States.Format(1)",
            "States.Format()",
            "States.ArrayGetItem(States.Array(1), 1)",
            "States.ArrayGetItem(States.Array(1), -1)",
            "States.ArrayPartition(States.Array(1), 0.9)",
            "States.ArrayRange(1, 1001, 1)",
            "States.ArrayRange(1, 2, 0)",
            "States.ArrayLength('x')",
            "States.Hash('x', 'CRC')",
            "States.JsonMerge(1, 2, false)",
            "States.MathAdd(2147483647, 1)",
            "States.MathAdd('1', 1)",
            "States.MathRandom(1, 1)",
            "States.StringToJson('\\{bad')",
            "States.UUID(1)",
            "States.Array($w)",
        ],
        &expect![[r#"
            States.Format('{}', $.nope)  =>  failed: The function 'States.Format('{}', $.nope)' had the following error: The JsonPath argument for the field '$.nope' could not be found in the input '{"a":1}'
            States.Array(States.Format('{}', $.nope))  =>  failed: The function 'States.Array(States.Format('{}', $.nope))' had the following error: The JsonPath argument for the field '$.nope' could not be found in the input '{"a":1}'
            States.Array($.a[0])  =>  failed: The function 'States.Array($.a[0])' had the following error: Filter: [0] can only be applied to arrays. Current context is: 1
            States.Format('{} {}', 1)  =>  failed: The function 'States.Format('{} {}', 1)' had the following error: Invalid arguments in States.Format: number of arguments do not match the occurrences of {}.
            States.Format('{}', 1, 2)  =>  failed: The function 'States.Format('{}', 1, 2)' had the following error: Invalid arguments in States.Format: number of arguments do not match the occurrences of {}.
            States.Format('{', 1)  =>  failed: The function 'States.Format('{', 1)' had the following error: Invalid template in States.Format: matching '}' not found for '{'.
            States.Format('}')  =>  failed: The function 'States.Format('}')' had the following error: Invalid template in States.Format: matching '{' not found for '}'.
            States.Format(1)  =>  failed: The function 'States.Format(1)' had the following error: Invalid arguments in States.Format
            States.Format()  =>  failed: The function 'States.Format()' had the following error: Invalid arguments in States.Format
            States.ArrayGetItem(States.Array(1), 1)  =>  failed: The function 'States.ArrayGetItem(States.Array(1), 1)' had the following error: Invalid arguments in States.ArrayGetItem
            States.ArrayGetItem(States.Array(1), -1)  =>  failed: The function 'States.ArrayGetItem(States.Array(1), -1)' had the following error: Invalid arguments in States.ArrayGetItem
            States.ArrayPartition(States.Array(1), 0.9)  =>  failed: The function 'States.ArrayPartition(States.Array(1), 0.9)' had the following error: Invalid arguments in States.ArrayPartition
            States.ArrayRange(1, 1001, 1)  =>  failed: The function 'States.ArrayRange(1, 1001, 1)' had the following error: Invalid arguments in States.ArrayRange
            States.ArrayRange(1, 2, 0)  =>  failed: The function 'States.ArrayRange(1, 2, 0)' had the following error: Invalid arguments in States.ArrayRange
            States.ArrayLength('x')  =>  failed: The function 'States.ArrayLength('x')' had the following error: Invalid arguments in States.ArrayLength
            States.Hash('x', 'CRC')  =>  failed: The function 'States.Hash('x', 'CRC')' had the following error: Invalid arguments in States.Hash
            States.JsonMerge(1, 2, false)  =>  failed: The function 'States.JsonMerge(1, 2, false)' had the following error: Invalid arguments in States.JsonMerge
            States.MathAdd(2147483647, 1)  =>  failed: The function 'States.MathAdd(2147483647, 1)' had the following error: Invalid arguments in States.MathAdd
            States.MathAdd('1', 1)  =>  failed: The function 'States.MathAdd('1', 1)' had the following error: Invalid arguments in States.MathAdd
            States.MathRandom(1, 1)  =>  failed: The function 'States.MathRandom(1, 1)' had the following error: Invalid arguments in States.MathRandom
            States.StringToJson('\{bad')  =>  failed: The function 'States.StringToJson('\{bad')' had the following error: Invalid arguments in States.StringToJson
            States.UUID(1)  =>  failed: The function 'States.UUID(1)' had the following error: Invalid arguments in States.UUID
            States.Array($w)  =>  failed: The function 'States.Array($w)' had the following error: The JsonPath argument for the field '$w' could not be found in the input '{"a":1}'
        "#]],
    );
}

#[test]
fn keeps_to_the_bounds() {
    let text = |length: usize| json!({"t": "a".repeat(length)});
    for call in ["States.Base64Encode($.t)", "States.Base64Decode($.t)", "States.Hash($.t, 'MD5')"]
    {
        assert!(!eval(call, &text(10_000)).starts_with("failed"), "{call}");
        assert!(eval(call, &text(10_001)).starts_with("failed"), "{call}");
    }
    assert!(!eval("States.ArrayRange(1, 1000, 1)", &json!({})).starts_with("failed"));
    let nested = |depth: usize| format!("{}{}", "States.Array(".repeat(depth), ")".repeat(depth));
    assert!(Intrinsic::parse(&nested(10)).is_ok());
    assert!(Intrinsic::parse(&nested(11)).unwrap_err().message.contains("10"));
    let many = format!("States.Array(1{})", ", 1".repeat(256));
    assert!(Intrinsic::parse(&many).unwrap_err().message.contains("256"));
}

#[test]
fn refuses_what_is_no_call() {
    check(
        &json!({}),
        &[
            "",
            "States.Nope()",
            "States.Array",
            "States.Array(",
            "States.Array(1,)",
            "States.Array(1) x",
            "States.Array('a)",
            "States.Base64Decode('YWJj\\nZA==')",
            "States.Array(abc)",
            "States.Array($.a[)",
            "Array(1)",
        ],
        &expect![[r#"
              =>  refused: Expected an intrinsic function: States.X(...) at offset 0
            States.Nope()  =>  refused: There is no intrinsic function States.Nope at offset 0
            States.Array  =>  refused: Expected '(' at offset 12
            States.Array(  =>  refused: Expected an argument at offset 13
            States.Array(1,)  =>  refused: Expected an argument at offset 15
            States.Array(1) x  =>  refused: Expected nothing after the call at offset 16
            States.Array('a)  =>  refused: The quote is not closed at offset 13
            States.Base64Decode('YWJj\nZA==')  =>  refused: A backslash here must escape ', {, } or \ at offset 25
            States.Array(abc)  =>  refused: Expected an argument at offset 13
            States.Array($.a[)  =>  refused: Could not analyze path component: [) at offset 16
            Array(1)  =>  refused: Expected an intrinsic function: States.X(...) at offset 0
        "#]],
    );
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC*") {
        let _ = Intrinsic::parse(&text);
        let _ = Intrinsic::parse(&format!("States.Format({text})"));
    }

    #[test]
    fn evaluating_never_panics(
        function in 0_usize..18,
        arguments in proptest::collection::vec(
            "(-?[0-9]{1,11}([.][0-9])?|'[{}a,]{0,3}'|null|true|\\$[.][ab](\\[0\\])?)", 0..4),
    ) {
        let input = json!({"a": [1, "x", {"b": null}], "b": {"c": 1e300}});
        eval(&format!("States.{}({})", super::FUNCTIONS[function].0, arguments.join(",")), &input);
    }
}
