//! The functions that the service adds, and those that are given time and randomness.

use expect_test::expect;

use super::{check, eval};

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
