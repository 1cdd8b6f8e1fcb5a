//! What expressions give, what they refuse and how they fail. Where the service's answer is known,
//! from recordings or from what others measured on it, it stands here.

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::{Expect, expect};
use fluxus_schema::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Error, Expression, Scope, States, engine};
use crate::env::Seeded;

fn variables() -> BTreeMap<String, Arc<Value>> {
    let values = json!({
        "n": 7, "text": "abc", "list": [1, 2, 3], "nothing": null, "empty": [], "one": [5],
        "items": [{"id": 1, "tags": ["a", "b"]}, {"id": 2, "tags": []}, {"id": 3}],
        "big": 9_007_199_254_740_993_i64, "sqrt": "hides a function"
    });
    let Value::Object(values) = values else { return BTreeMap::new() };
    values.into_iter().map(|(name, value)| (name, Arc::new(value))).collect()
}

/// Evaluates with a scope of its own.
fn evaluate(
    source: &str,
    by: impl Fn(&Expression, &Scope<'_>) -> Result<Option<Value>, Error>,
) -> Result<Option<Value>, Error> {
    let expression = Expression::parse(source).expect(source);
    let input =
        json!({"a": {"b": [{"c": 1.0}, {"c": 2}]}, "cost": 5, "big": 1_i64 << 60, "s": "x"});
    let result = json!({"Payload": {"ok": true}});
    let context = json!({"Execution": {"Name": "it"}});
    let states =
        States { input: &input, result: Some(&result), error_output: None, context: &context };
    let (variables, entropy) = (variables(), Seeded::new(1));
    let now = Timestamp::parse("2026-05-28T13:45:30.5Z").expect("is a timestamp");
    by(&expression, &Scope { states, variables: &variables, entropy: &entropy, now })
}

fn eval(source: &str) -> String {
    match Expression::parse(source) {
        Err(invalid) if invalid.code.starts_with('S') => {
            format!("invalid: {}: {invalid}", invalid.code)
        }
        Err(invalid) => {
            let mut messages = vec![invalid.message];
            messages.extend(invalid.further);
            format!("unsupported: {}", messages.join(" "))
        }
        Ok(_) => match evaluate(source, Expression::eval) {
            Ok(Some(value)) => value.to_string(),
            Ok(None) => "nothing".to_owned(),
            Err(error) => format!("failed: {error}"),
        },
    }
}

fn check(sources: &[&str], expect: &Expect) {
    let lines: Vec<_> =
        sources.iter().map(|source| format!("{source}  =>  {}\n", eval(source))).collect();
    expect.assert_eq(&lines.concat());
}

#[test]
fn what_a_state_sees() {
    check(
        &[
            "$states",
            "$states.input.cost",
            "$states.input.a.b.c",
            "$states.input.a.b[0]",
            "$states.input.a.b[-1].c",
            "$states.input.a.b[7]",
            "$states.result.Payload",
            "$states.errorOutput",
            "$states.context.Execution.Name",
            "$states.input.cost < 10 and $states.result.Payload.ok",
            "$lookup($states, 'input').cost",
            "$keys($states)",
            "$n + $states.input.cost",
            "$unknown",
            "$list",
            "$one",
            "$empty",
            "$nothing",
            "$items.id",
            "$items.tags",
            "$items[0].tags",
            "$items[1].tags",
            "$items[id > 1].id",
            "$map($items, function($i) { $i.id * 2 })",
            "$items.{'id': id, 'n': $n}",
            "$items^(>id).id",
            "$items{$string(id): tags}",
            "$sum($list)",
            "{'id': $states.input.big, 'all': [$n, $list, [$list]], 'no': $unknown}",
            "[$unknown, null, $one, 'x', -1]",
        ],
        &expect![[r#"
            $states  =>  {"input":{"a":{"b":[{"c":1},{"c":2}]},"cost":5,"big":1152921504606846976,"s":"x"},"result":{"Payload":{"ok":true}},"context":{"Execution":{"Name":"it"}}}
            $states.input.cost  =>  5
            $states.input.a.b.c  =>  [1,2]
            $states.input.a.b[0]  =>  {"c":1}
            $states.input.a.b[-1].c  =>  2
            $states.input.a.b[7]  =>  nothing
            $states.result.Payload  =>  {"ok":true}
            $states.errorOutput  =>  nothing
            $states.context.Execution.Name  =>  "it"
            $states.input.cost < 10 and $states.result.Payload.ok  =>  true
            $lookup($states, 'input').cost  =>  5
            $keys($states)  =>  ["input","result","context"]
            $n + $states.input.cost  =>  12
            $unknown  =>  nothing
            $list  =>  [1,2,3]
            $one  =>  [5]
            $empty  =>  []
            $nothing  =>  null
            $items.id  =>  [1,2,3]
            $items.tags  =>  ["a","b"]
            $items[0].tags  =>  ["a","b"]
            $items[1].tags  =>  []
            $items[id > 1].id  =>  [2,3]
            $map($items, function($i) { $i.id * 2 })  =>  [2,4,6]
            $items.{'id': id, 'n': $n}  =>  [{"id":1,"n":7},{"id":2,"n":7},{"id":3,"n":7}]
            $items^(>id).id  =>  [3,2,1]
            $items{$string(id): tags}  =>  {"1":["a","b"],"2":[]}
            $sum($list)  =>  6
            {'id': $states.input.big, 'all': [$n, $list, [$list]], 'no': $unknown}  =>  {"id":1152921504606846976,"all":[7,1,2,3,[1,2,3]]}
            [$unknown, null, $one, 'x', -1]  =>  [null,5,"x",-1]
        "#]],
    );
}

#[test]
fn numbers_are_written_as_the_service_writes_them() {
    check(
        &[
            "$big",
            "[$big]",
            "$big + 0",
            "1.0",
            "1e2",
            "$states.input.a.b",
            "9223372036854775807",
            "1e19",
            "0.1 + 0.2",
            "-0",
            "1/0",
            "[-1/0, 0/0]",
            "{'k': 1/0}",
            "1/0 + 1",
            "1/0 > 5",
            "$string(1e20)",
            "$string(1e21)",
            "$round(2.675, 2)",
        ],
        &expect![[r#"
            $big  =>  9007199254740993
            [$big]  =>  [9007199254740993]
            $big + 0  =>  9007199254740992
            1.0  =>  1
            1e2  =>  100
            $states.input.a.b  =>  [{"c":1},{"c":2}]
            9223372036854775807  =>  9.223372036854776e+18
            1e19  =>  1e+19
            0.1 + 0.2  =>  0.30000000000000004
            -0  =>  0
            1/0  =>  "Infinity"
            [-1/0, 0/0]  =>  ["-Infinity","NaN"]
            {'k': 1/0}  =>  {"k":"Infinity"}
            1/0 + 1  =>  failed: D1001: Number out of range
            1/0 > 5  =>  true
            $string(1e20)  =>  "100000000000000000000"
            $string(1e21)  =>  "1e+21"
            $round(2.675, 2)  =>  2.68
        "#]],
    );
}

#[test]
fn functions_of_the_service() {
    check(
        &[
            "$partition([1,2,3,4,5], 2)",
            "$partition([1,2,3,4,5], 2.9)",
            "$partition([1,2,3])",
            "$partition([], 2)",
            "$partition([1,2,3], 0)",
            "$partition([1,2,3,4], -0.5)",
            "$partition([1,2,3], -1)",
            "$partition(null, 2)",
            "$partition($unknown, 2)",
            "$partition([1], '2')",
            "$partition([1,2,3], 2, 'x')",
            "$range(0, 10, 2)",
            "$range(10, 0, -2)",
            "$range(-1.7, 2, 1)",
            "$range(5, 1, -1.5)",
            "$range(3, 3, 1)",
            "$range(5, 1, 1)",
            "$range(1, 5, 0)",
            "$range(1, 5)",
            "$range(1)",
            "$range(1, 5, 1, 'x')",
            "$range(1, 'x', 1)",
            "$count($range(-9223372036854775808, 9223372036854775807, 9223372036854775807))",
            "$count($range(1, 360145, 1))",
            "$range(1, 360146, 1)",
            "$range(1, 1e18, 1)",
            "$hash('Hello', 'MD5')",
            "$hash('Hello', 'SHA-1')",
            "$hash('Hello', 'SHA-256')",
            "$hash('Hello', 'SHA-384')",
            "$hash('Hello', 'SHA-512')",
            "$hash('ñ', 'MD5')",
            "$hash('Hello', 'md5')",
            "$hash('Hello')",
            "$hash('a', $unknown)",
            "$hash(42, 'MD5')",
            "$hash('a', 5)",
            "$random(42)",
            "$random(0.9) = $random(0)",
            "$random() = $random()",
            "$random(1, 2)",
            "$random('x')",
            "$length($uuid())",
            "$uuid() = $uuid()",
            "$uuid('seed')",
            "$parse('{\"b\":1,\"a\":[2.0, -0]}')",
            "$parse('{\"a\": {\"b\": true}}').a.b",
            "$exists($parse('null'))",
            "$parse()",
            "$parse(null)",
            "$parse('')",
            "$parse('{\"a\":1}{\"b\":2}')",
            "$parse('{\"a\":1,\"a\":2}')",
            "$parse('1e400')",
            "$map(['{\"a\":1}', '{\"a\":2}'], $parse).a",
            "'[1]' ~> $parse",
            "($f := $hash(?, 'MD5'); $f('Hello'))",
            "$shuffle([1..5])",
            "$eval('1+1')",
            "$eval",
            "$sqrt(4)",
        ],
        &expect![[r#"
            $partition([1,2,3,4,5], 2)  =>  [[1,2],[3,4],[5]]
            $partition([1,2,3,4,5], 2.9)  =>  [[1,2],[3,4],[5]]
            $partition([1,2,3])  =>  [[1,2,3]]
            $partition([], 2)  =>  nothing
            $partition([1,2,3], 0)  =>  nothing
            $partition([1,2,3,4], -0.5)  =>  nothing
            $partition([1,2,3], -1)  =>  failed: D3137: Second argument must be zero or greater
            $partition(null, 2)  =>  failed: T0412: Argument 1 of function "partition" must be an array of undefined
            $partition($unknown, 2)  =>  nothing
            $partition([1], '2')  =>  failed: T0410: Argument 2 of function "partition" does not match function signature
            $partition([1,2,3], 2, 'x')  =>  failed: T0410: Argument 3 of function "partition" does not match function signature
            $range(0, 10, 2)  =>  [0,2,4,6,8,10]
            $range(10, 0, -2)  =>  [10,8,6,4,2,0]
            $range(-1.7, 2, 1)  =>  [-1,0,1,2]
            $range(5, 1, -1.5)  =>  [5,4,3,2,1]
            $range(3, 3, 1)  =>  3
            $range(5, 1, 1)  =>  nothing
            $range(1, 5, 0)  =>  nothing
            $range(1, 5)  =>  nothing
            $range(1)  =>  failed: T0410: Argument 2 of function "range" does not match function signature
            $range(1, 5, 1, 'x')  =>  failed: T0410: Argument 4 of function "range" does not match function signature
            $range(1, 'x', 1)  =>  failed: T0410: Argument 2 of function "range" does not match function signature
            $count($range(-9223372036854775808, 9223372036854775807, 9223372036854775807))  =>  3
            $count($range(1, 360145, 1))  =>  360145
            $range(1, 360146, 1)  =>  failed: Expression evaluation memory limit exceeded: Check for excessive memory usage
            $range(1, 1e18, 1)  =>  failed: Expression evaluation memory limit exceeded: Check for excessive memory usage
            $hash('Hello', 'MD5')  =>  "8b1a9953c4611296a827abf8c47804d7"
            $hash('Hello', 'SHA-1')  =>  "f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0"
            $hash('Hello', 'SHA-256')  =>  "185f8db32271fe25f561a6fc938b2e264306ec304eda518007d1764826381969"
            $hash('Hello', 'SHA-384')  =>  "3519fe5ad2c596efe3e276a6f351b8fc0b03db861782490d45f7598ebd0ab5fd5520ed102f38c4a5ec834e98668035fc"
            $hash('Hello', 'SHA-512')  =>  "3615f80c9d293ed7402687f94b22d58e529b8cc7916f8fac7fddf7fbd5af4cf777d3d795a7a00a16bf7e7f3fb9561ee9baae480da9fe7a18769e71886b03f315"
            $hash('ñ', 'MD5')  =>  "94e9342ecbb1458b6043ecd3bfcbc192"
            $hash('Hello', 'md5')  =>  failed: D3137: Hash algorithm 'md5' must be one of SHA-1, SHA-384, SHA-256, SHA-512, MD5
            $hash('Hello')  =>  nothing
            $hash('a', $unknown)  =>  failed: D3137: Hash algorithm 'null' must be one of SHA-1, SHA-384, SHA-256, SHA-512, MD5
            $hash(42, 'MD5')  =>  failed: T0410: Argument 1 of function "hash" does not match function signature
            $hash('a', 5)  =>  failed: T0410: Argument 2 of function "hash" does not match function signature
            $random(42)  =>  0.7275636800328681
            $random(0.9) = $random(0)  =>  true
            $random() = $random()  =>  false
            $random(1, 2)  =>  failed: T0410: Argument 2 of function "random" does not match function signature
            $random('x')  =>  failed: T0410: Argument 1 of function "random" does not match function signature
            $length($uuid())  =>  36
            $uuid() = $uuid()  =>  false
            $uuid('seed')  =>  failed: T0410: Argument 1 of function "uuid" does not match function signature
            $parse('{"b":1,"a":[2.0, -0]}')  =>  {"b":1,"a":[2,0]}
            $parse('{"a": {"b": true}}').a.b  =>  true
            $exists($parse('null'))  =>  true
            $parse()  =>  nothing
            $parse(null)  =>  failed: T0410: Argument 1 of function "parse" does not match function signature
            $parse('')  =>  failed: D3137: Invalid JSON
            $parse('{"a":1}{"b":2}')  =>  failed: D3137: Invalid JSON
            $parse('{"a":1,"a":2}')  =>  failed: D3137: Invalid JSON
            $parse('1e400')  =>  failed: D3137: Invalid JSON
            $map(['{"a":1}', '{"a":2}'], $parse).a  =>  [1,2]
            '[1]' ~> $parse  =>  [1]
            ($f := $hash(?, 'MD5'); $f('Hello'))  =>  "8b1a9953c4611296a827abf8c47804d7"
            $shuffle([1..5])  =>  [4,2,1,3,5]
            $eval('1+1')  =>  failed: T1006: Attempted to invoke a non-function
            $eval  =>  nothing
            $sqrt(4)  =>  failed: T1006: Attempted to invoke a non-function
        "#]],
    );
}

#[test]
fn time_and_randomness_are_given() {
    check(
        &[
            "$now()",
            "$now('[Y0001]-[M01]-[D01]')",
            "$now('[H01]:[m01] [z]', '+0200')",
            "$now(1)",
            "$millis()",
            "$millis() = $millis()",
            "$toMillis($now()) = $millis()",
            "($f := $now; $f())",
            "$uuid()",
            "$random()",
        ],
        &expect![[r#"
            $now()  =>  "2026-05-28T13:45:30.500Z"
            $now('[Y0001]-[M01]-[D01]')  =>  "2026-05-28"
            $now('[H01]:[m01] [z]', '+0200')  =>  "15:45 GMT+02:00"
            $now(1)  =>  failed: T0410: Argument 1 of function "now" does not match function signature
            $millis()  =>  1779975930500
            $millis() = $millis()  =>  true
            $toMillis($now()) = $millis()  =>  true
            ($f := $now; $f())  =>  "2026-05-28T13:45:30.500Z"
            $uuid()  =>  "6fa88a2d-7a88-4400-8300-a492ae18a70c"
            $random()  =>  0.2617285593133567
        "#]],
    );
    let twice = [
        eval("[$uuid(), $random(), $shuffle([1..9])]"),
        eval("[$uuid(), $random(), $shuffle([1..9])]"),
    ];
    assert_eq!(twice[0], twice[1]);
}

#[test]
fn what_reads_the_top_level_is_refused() {
    check(
        &[
            "phone",
            "phone[0].number",
            "-phone",
            "$states.input.a ? phone : 2",
            "$sum(phone)",
            "phone(1)",
            "phone ~> $string()",
            "[1..phone]",
            "(phone).other",
            "[phone].other",
            "{phone: 1}",
            "($x := phone; $x)",
            "$map($states.input.a, function($y){ phone })",
            "$count(phone[inner])",
            "phone.**.deeper",
            "$",
            "$.phone",
            "$[0]",
            "$string($)",
            "$map($states.input.a, function($x){ $ })",
            "$$",
            "$$.phone",
            "[bbb, aaa, bbb]",
            "(aaa; bbb)",
            "$number(aaa) + $number(bbb)",
            "$states.input.cost ?: 1",
            "$states.input.cost ?? 1",
        ],
        &expect![[r#"
            phone  =>  unsupported: Reference to 'phone' at the top level is not supported.
            phone[0].number  =>  unsupported: Reference to 'phone' at the top level is not supported.
            -phone  =>  unsupported: Reference to 'phone' at the top level is not supported.
            $states.input.a ? phone : 2  =>  unsupported: Reference to 'phone' at the top level is not supported.
            $sum(phone)  =>  unsupported: Reference to 'phone' at the top level is not supported.
            phone(1)  =>  unsupported: Reference to 'phone' at the top level is not supported.
            phone ~> $string()  =>  unsupported: Reference to 'phone' at the top level is not supported.
            [1..phone]  =>  unsupported: Reference to 'phone' at the top level is not supported.
            (phone).other  =>  unsupported: Reference to 'phone' at the top level is not supported.
            [phone].other  =>  unsupported: Reference to 'phone' at the top level is not supported.
            {phone: 1}  =>  unsupported: Reference to 'phone' at the top level is not supported.
            ($x := phone; $x)  =>  unsupported: Reference to 'phone' at the top level is not supported.
            $map($states.input.a, function($y){ phone })  =>  unsupported: Reference to 'phone' at the top level is not supported.
            $count(phone[inner])  =>  unsupported: Reference to 'phone' at the top level is not supported.
            phone.**.deeper  =>  unsupported: Reference to 'phone' at the top level is not supported.
            $  =>  unsupported: Reference to '$' at the top level is not supported.
            $.phone  =>  unsupported: Reference to '$' at the top level is not supported.
            $[0]  =>  unsupported: Reference to '$' at the top level is not supported.
            $string($)  =>  unsupported: Reference to '$' at the top level is not supported.
            $map($states.input.a, function($x){ $ })  =>  unsupported: Reference to '$' at the top level is not supported.
            $$  =>  unsupported: Reference to '$$' is not supported.
            $$.phone  =>  unsupported: Reference to '$$' is not supported.
            [bbb, aaa, bbb]  =>  unsupported: Reference to 'bbb' at the top level is not supported. Reference to 'aaa' at the top level is not supported.
            (aaa; bbb)  =>  unsupported: Reference to 'aaa' at the top level is not supported. Reference to 'bbb' at the top level is not supported.
            $number(aaa) + $number(bbb)  =>  unsupported: Reference to 'aaa' at the top level is not supported. Reference to 'bbb' at the top level is not supported.
            $states.input.cost ?: 1  =>  invalid: S0211: The symbol ":" cannot be used as a unary operator
            $states.input.cost ?? 1  =>  invalid: S0211: The symbol "?" cannot be used as a unary operator
        "#]],
    );
}

#[test]
fn what_reads_what_is_at_hand_is_taken() {
    let sources = [
        "$states.input.phone",
        "$states.input.a[0].phone",
        "$states.input.items[phone > 3]",
        "$states.input.a^(phone)",
        "$states.input.a{'k': phone}",
        "$states.input.a.(phone)",
        "$states.input.a.$phone",
        "$states.input.a ~> $string()",
        "$states.input ~> |phone|{'b': 1}|",
        "**.phone",
        "{'k': 1}.phone",
        "$states.input.a[0][phone]",
        "$states.input.a[$ > 1]",
        "function($x){ $x.phone }",
        "'phone'",
        "$now()",
    ];
    for source in sources {
        assert_eq!(Expression::parse(source).err(), None, "{source}");
    }
}

#[test]
fn what_does_not_read_is_refused_in_the_words_of_the_service() {
    check(
        &[
            "",
            "a[1,2)",
            "\"unterminated",
            "1 +",
            "{\"a\":}",
            "$x :=",
            "$match(\"a\", /abc",
            "phone %.other",
            "1 2",
            "a b",
            "(1",
            "{\"a\" 1}",
            "!",
            "function(a){1}",
            "\"\\q\"",
            "\"\\u12\"",
            "`abc",
            "/* x",
            "1e400",
            "//",
            "true.a",
            "a ! b",
            "/(?=a)b/",
            "/(a)\\1/",
            "/(/",
        ],
        &expect![[r#"
              =>  invalid: S0207: Unexpected end of expression
            a[1,2)  =>  invalid: S0202: Expected "]", got ","
            "unterminated  =>  invalid: S0101: String literal must be terminated by a matching quote
            1 +  =>  invalid: S0207: Unexpected end of expression
            {"a":}  =>  invalid: S0211: The symbol "}" cannot be used as a unary operator
            $x :=  =>  invalid: S0207: Unexpected end of expression
            $match("a", /abc  =>  invalid: S0302: No terminating / in regular expression
            phone %.other  =>  invalid: S0211: The symbol "." cannot be used as a unary operator
            1 2  =>  invalid: S0201: Syntax error: 2
            a b  =>  invalid: S0201: Syntax error: "b"
            (1  =>  invalid: S0203: Expected ")" before end of expression
            {"a" 1}  =>  invalid: S0202: Expected ":", got 1
            !  =>  invalid: S0204: Unknown operator: "!"
            function(a){1}  =>  invalid: S0208: Parameter of function definition must be a variable name (start with $)
            "\q"  =>  invalid: S0103: Unsupported escape sequence: \"q"
            "\u12"  =>  invalid: S0104: The escape sequence \u must be followed by 4 hex digits
            `abc  =>  invalid: S0105: Quoted property name must be terminated with a backquote (`)
            /* x  =>  invalid: S0106: Comment has no closing tag
            1e400  =>  invalid: S0102: Number out of range: "1e400"
            //  =>  invalid: S0301: Empty regular expressions are not allowed
            true.a  =>  invalid: S0213: The literal value true cannot be used as a step within a path expression
            a ! b  =>  invalid: S0204: Unknown operator: "!"
            /(?=a)b/  =>  unsupported: The regular expression /(?=a)b/ cannot be run: look-around, including look-ahead and look-behind, is not supported. It must do without looking around and without referring back.
            /(a)\1/  =>  unsupported: The regular expression /(a)\1/ cannot be run: backreferences are not supported. It must do without looking around and without referring back.
            /(/  =>  unsupported: The regular expression /(/ cannot be run: unclosed group. It must do without looking around and without referring back.
        "#]],
    );
}

#[test]
fn failures_have_the_words_of_the_service() {
    check(
        &[
            "$text + 1",
            "1 + {}",
            "$unknown()",
            "$sqrt()",
            "1(2)",
            "$error('gone')",
            "$error()",
            "$assert(false, 'wrong')",
            "$replace('a','','b')",
            "$split('a','b',-1)",
            "$single([1,2], function($x){true})",
            "$reduce([1,2], function($a){$a})",
            "$formatNumber(1, 'x')",
            "[1..'a']",
            "{'a': 1, 'a': 2}",
            "$sort([1, 'a'])",
            "1 ~> 2",
            "function($x){$x}",
            "{'f': $sum}",
            "[/a/]",
        ],
        &expect![[r#"
            $text + 1  =>  failed: T2001: The left side of the + operator must evaluate to a number
            1 + {}  =>  failed: T2002: The right side of the + operator must evaluate to a number
            $unknown()  =>  failed: T1006: Attempted to invoke a non-function
            $sqrt()  =>  failed: T1006: Attempted to invoke a non-function
            1(2)  =>  unsupported: Attempted to invoke a non-function
            $error('gone')  =>  failed: D3137: gone
            $error()  =>  failed: D3137: $error() function evaluated
            $assert(false, 'wrong')  =>  failed: D3141: wrong
            $replace('a','','b')  =>  failed: D3010: Second argument of replace function cannot be an empty string
            $split('a','b',-1)  =>  failed: D3020: Third argument of split function must evaluate to a positive number
            $single([1,2], function($x){true})  =>  failed: D3138: The $single() function expected exactly 1 matching result.  Instead it matched more.
            $reduce([1,2], function($a){$a})  =>  failed: D3050: The second argument of reduce function must be a function with at least two arguments
            $formatNumber(1, 'x')  =>  failed: D3086: The sub-picture must not contain a passive character that is preceded by an active character and that is followed by another active character
            [1..'a']  =>  failed: T2004: The right side of the range operator (..) must evaluate to an integer
            {'a': 1, 'a': 2}  =>  failed: D1009: Multiple key definitions evaluate to same key: "a"
            $sort([1, 'a'])  =>  failed: D3070: The single argument form of the sort function can only be applied to an array of strings or an array of numbers.  Use the second argument to specify a comparison function
            1 ~> 2  =>  failed: T2006: The right side of the function application operator ~> must be a function
            function($x){$x}  =>  failed: no JSON: The result holds a function, which is no JSON
            {'f': $sum}  =>  failed: no JSON: The result holds a function, which is no JSON
            [/a/]  =>  failed: no JSON: The result holds a function, which is no JSON
        "#]],
    );
}

#[test]
fn an_expression_knows_what_it_reads() {
    let expression = Expression::parse(" {'a': $states.errorOutput.Error, 'b': $x}  ").unwrap();
    assert_eq!(expression.source(), "{'a': $states.errorOutput.Error, 'b': $x}");
    let named = ["errorOutput", "input"].map(|field| expression.reads_states(field));
    assert_eq!(named, [true, false]);
}

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

    /// Whatever is read, it is refused or taken.
    #[test]
    fn any_text_can_be_parsed(source in "\\PC{0,60}") {
        _ = Expression::parse(&source);
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
