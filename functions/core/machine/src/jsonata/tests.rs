//! What expressions give, what they refuse and how they fail. Where the service's answer is known,
//! from recordings or from what others measured on it, it stands here.

mod functions;
mod properties;

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::{Expect, expect};
use fluxus_schema::Timestamp;
use serde_json::{Value, json};

use super::{Error, Expression, Scope, States};
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
            1/0 + 1  =>  failed: D1001: Number out of range: "Infinity"
            1/0 > 5  =>  true
            $string(1e20)  =>  "100000000000000000000"
            $string(1e21)  =>  "1e+21"
            $round(2.675, 2)  =>  2.68
        "#]],
    );
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
            "1 - $nothing",
            "$states.input.s * $states.input.cost",
            "-$text",
            "$list.($ & 'x').($ + 1)",
            "1 < 'a'",
            "'a' >= 1",
            "$list < 1",
            "$abs('x')",
            "'x' ~> $abs",
            "'x' ~> $abs()",
            "$abs(1, 2)",
            "$text.$abs()",
            "$sum(['a'])",
            "$average(['a','b'])",
            "$sum([1, '2'])",
            "$join([1, 2])",
            "$join(['a'], 5)",
            "$each('x', function($v){$v})",
            "$map($list, 5)",
            "$filter($list)",
            "$length(5)",
            "$pad('a', 'b')",
            "$uppercase($list)",
            "$append([1])",
            "$merge([1])",
            "$lookup({}, 1)",
            "$substring('a', 'b')",
            "$number('x')",
            "$map(['1', 'x'], $number)",
            "$number([])",
            "$formatBase(10, 99)",
            "$toMillis('nope')",
            "$fromMillis(1, '[q]')",
            "$power(-1, 0.5)",
            "{1: 2}",
            "{'a': 1} ~> |$|5|",
            "{'a': 1} ~> |$|{}, 5|",
            "$items^($)",
            "$distinct(1, 2)",
            "$decodeUrlComponent('%zz')",
            "$decodeUrlComponent('a+b%20c%E6')",
            "$base64decode('!!!')",
            "$parseInteger('abc', '0')",
            "$string(1/0)",
            "sum(1)",
            "$f := $sum(?, 1); $g(?)",
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
            $text + 1  =>  failed: T2001: The left side of the "+" operator must evaluate to a number
            1 + {}  =>  failed: T2002: The right side of the "+" operator must evaluate to a number
            1 - $nothing  =>  failed: T2002: The right side of the "-" operator must evaluate to a number
            $states.input.s * $states.input.cost  =>  failed: T2001: The left side of the "*" operator must evaluate to a number
            -$text  =>  failed: D1002: Cannot negate a non-numeric value: "abc"
            $list.($ & 'x').($ + 1)  =>  failed: T2001: The left side of the "+" operator must evaluate to a number
            1 < 'a'  =>  failed: T2009: The values 1 and "a" either side of operator "<" must be of the same data type
            'a' >= 1  =>  failed: T2009: The values "a" and 1 either side of operator ">=" must be of the same data type
            $list < 1  =>  failed: T2010: The expressions either side of operator "<" must evaluate to numeric or string values
            $abs('x')  =>  failed: T0410: Argument 1 of function "abs" does not match function signature
            'x' ~> $abs  =>  failed: T0410: Argument 1 of function "abs" does not match function signature
            'x' ~> $abs()  =>  failed: T0410: Argument 1 of function "abs" does not match function signature
            $abs(1, 2)  =>  failed: T0410: Argument 2 of function "abs" does not match function signature
            $text.$abs()  =>  failed: T0411: Context value is not a compatible type with argument 1 of function "abs"
            $sum(['a'])  =>  failed: T0412: Argument 1 of function "sum" must be an array of "numbers"
            $average(['a','b'])  =>  failed: T0412: Argument 1 of function "average" must be an array of "numbers"
            $sum([1, '2'])  =>  failed: T0412: Argument 1 of function "sum" must be an array of "numbers"
            $join([1, 2])  =>  failed: T0412: Argument 1 of function "join" must be an array of "strings"
            $join(['a'], 5)  =>  failed: T0410: Argument 2 of function "join" does not match function signature
            $each('x', function($v){$v})  =>  failed: T0410: Argument 1 of function "each" does not match function signature
            $map($list, 5)  =>  failed: T0410: Argument 2 of function "map" does not match function signature
            $filter($list)  =>  failed: T0410: Argument 2 of function "filter" does not match function signature
            $length(5)  =>  failed: T0410: Argument 1 of function "length" does not match function signature
            $pad('a', 'b')  =>  failed: T0410: Argument 2 of function "pad" does not match function signature
            $uppercase($list)  =>  failed: T0410: Argument 1 of function "uppercase" does not match function signature
            $append([1])  =>  failed: T0410: Argument 2 of function "append" does not match function signature
            $merge([1])  =>  failed: T0412: Argument 1 of function "merge" must be an array of "objects"
            $lookup({}, 1)  =>  failed: T0410: Argument 2 of function "lookup" does not match function signature
            $substring('a', 'b')  =>  failed: T0410: Argument 2 of function "substring" does not match function signature
            $number('x')  =>  failed: D3030: Unable to cast value to a number: "x"
            $map(['1', 'x'], $number)  =>  failed: D3030: Unable to cast value to a number: "x"
            $number([])  =>  failed: T0410: Argument 1 of function "number" does not match function signature
            $formatBase(10, 99)  =>  failed: D3100: The radix of the formatBase function must be between 2 and 36.  It was given 99
            $toMillis('nope')  =>  failed: D3110: The argument of the toMillis function must be an ISO 8601 formatted timestamp. Given "nope"
            $fromMillis(1, '[q]')  =>  failed: D3132: Unknown component specifier "q" in date/time picture string
            $power(-1, 0.5)  =>  failed: D3061: The power function has resulted in a value that cannot be represented as a JSON number: base=-1, exponent=0.5
            {1: 2}  =>  failed: T1003: Key in object structure must evaluate to a string; got: 1
            {'a': 1} ~> |$|5|  =>  failed: T2011: The insert/update clause of the transform expression must evaluate to an object: 5
            {'a': 1} ~> |$|{}, 5|  =>  failed: T2012: The delete clause of the transform expression must evaluate to a string or array of strings: 5
            $items^($)  =>  failed: T2008: The expressions within an order-by clause must evaluate to numeric or string values
            $distinct(1, 2)  =>  failed: T0410: Argument 2 of function "distinct" does not match function signature
            $decodeUrlComponent('%zz')  =>  failed: D3140: Malformed URL passed to $decodeUrlComponent(): "%zz"
            $decodeUrlComponent('a+b%20c%E6')  =>  "a b c�"
            $base64decode('!!!')  =>  ""
            $parseInteger('abc', '0')  =>  "NaN"
            $string(1/0)  =>  failed: D3001: Attempting to invoke string function on Infinity or NaN
            sum(1)  =>  unsupported: Reference to 'sum' at the top level is not supported.
            $f := $sum(?, 1); $g(?)  =>  invalid: S0201: Syntax error: ";"
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
