//! Expressions that ask for too much: none may panic, overflow the stack, take more than 512 MiB,
//! or, in a release build, more than two seconds. `--nocapture` shows what each takes.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// The machine itself does no I/O; its test looks at the clock and at the memory of its process.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fluxus_machine::env::Seeded;
use fluxus_machine::jsonata::{Expression, Scope, States};
use fluxus_schema::Timestamp;
use serde_json::{Value, json};

const MOST_MEMORY_KIB: u64 = 512 << 10;

const MOST_TIME: Duration = Duration::from_secs(2);

const HOSTILE: &[&str] = &[
    // Numbers that say how much is to be made.
    "[1..10000000]",
    "[1..1e9]",
    "[-1e15..1e15]",
    "$range(1, 1e9, 1)",
    "$range(-1e308, 1e308, 1)",
    "$pad('x', 1e9)",
    "$pad('x', -1e300)",
    "$p($pad, 'x', 1e9)",
    "($p := $pad; $p('x', 1e9))",
    "($p := $pad('x', ?); $p(1e9))",
    "$map([1e9], function($n) { $pad('x', $n) })",
    "'x' ~> $pad(1e9)",
    "'x'.$pad(1e9)",
    "$fromMillis(1, '[D,100000000-100000000]')",
    "$fromMillis(1, '[Y,1000000]')",
    "$now('[Y,1000000]')",
    "$formatInteger(1e300, 'w')",
    "$formatNumber(1e308, '#,##0.000000000000000000000000000000')",
    "$formatBase(1e300, 2)",
    "$power(9, 9e9)",
    "$round(1.5, 1e9)",
    "$round(1.5, -1e9)",
    "$substring('abc', -1e300, 1e300)",
    "$partition([1..800000], 1)",
    "$partition([1..800000], 1e300)",
    // Texts that grow.
    "($f := function($s, $n) { $n = 0 ? $s : $f($s & $s, $n - 1) }; $length($f('x', 60)))",
    "$reduce([1..60], function($s, $n) { $s & $s }, 'x')",
    "$join([1..800000].('a'), $pad('', 100000, 'b'))",
    "$replace($pad('', 100000, 'a'), 'a', $pad('', 100000, 'b'))",
    "$replace($pad('', 100000, 'a'), /a/, $pad('', 100000, 'b'))",
    "$replace($pad('', 100000, 'a'), /.*/, $pad('', 100000, '$0'))",
    "($r := $replace; $r($pad('', 100000, 'a'), 'a', $pad('', 100000, 'b')))",
    "$pad('', 100000, 'a') ~> $replace('a', $pad('', 100000, 'b'))",
    "$replace($pad('', 100000, 'a'), /a/, function($m) { $pad('', 100000, 'b') })",
    "$split($pad('', 4000000, 'a'), '')",
    "$match($pad('', 1000000, 'a'), /a/)",
    "$map([1..800000], function($i) { $uppercase($states.input.text) })",
    "$map([1..800000], function($i) { $states.input.text & $i })",
    "[1..800000].($states.input.text & 'x')",
    "[1..800000].{'a': $states.input.text & 'x'}",
    "[1..800000].[$states.input.text & 'x']",
    "[1..800000].$uppercase($states.input.text)",
    "$each($states.input.wide, function($v, $k) { $states.input.text & $k })",
    "$string($map([1..100000], function($i) { {'a': {'b': {'c': $i}}} }), true)",
    "$base64encode($base64encode($base64encode($base64encode($pad('', 4000000)))))",
    "$encodeUrl($encodeUrl($pad('', 4000000, '%')))",
    // Arrays that grow.
    "$count([1..800000].[1..800000])",
    "$count([1..800000].[[1..800000]])",
    "$map([1..800000], function($i) { [1..800000] })",
    "$map([1..800000], function($i) { $append([1..800000], 1) })",
    "$map([1..800000], function($i) { $states.input.items.id })",
    "$map([1..800000], function($i) { $split($states.input.text, '') })",
    "$map([1..800000], function($i) { $keys($states.input.wide) })",
    "$map([1..800000], function($i) { function() { [$i, 1, 2, 3, 4, 5, 6, 7, 8, 9] } })",
    "[1..800000].(function($x) { $x })",
    "($a := [1..800000]; $b := [$a, $a]; $c := [$b, $b]; $d := [$c, $c]; $e := [$d, $d];
      $f := [$e, $e]; $g := [$f, $f]; $h := [$g, $g]; $count([$h, $h]))",
    "$reduce([1..60], function($a, $i) { $append($a, $a) }, [1])",
    "$reduce([1..60], function($a, $i) { [$a, $a] }, [1])",
    "$reduce([1..60], function($a, $i) { $zip($a, $a) }, [1..1000])",
    "$zip([1..800000], [1..800000], [1..800000], [1..800000], [1..800000])",
    "($f := function($a) { $f([$a, $a]) }; $f([1]))",
    "($f := function($a) { 1 + $f([$a, $a]) }; $f([1..100000]))",
    "$states.input.items@$a.($states.input.items)@$b.($a.id + $b.id)",
    "$states.input@$a.items@$b.items@$c.($b.id + $c.id)",
    "($d := {'items': [1..5000].{'id': $}}; $d@$a.items@$b.items@$c.($b.id + $c.id))",
    "($d := {'items': [1..5000].{'id': $}}; $count($d.items@$b#$i.items@$c#$j))",
    // Values that hold others many times over.
    "$reduce([1..60], function($a, $i) { {'l': $a, 'r': $a} }, 1)",
    "$string($reduce([1..60], function($a, $i) { {'l': $a, 'r': $a} }, 1))",
    "$reduce([1..60], function($a, $i) { [[$a], [$a]] }, 1)",
    "$count($reduce([1..60], function($a, $i) { {'l': $a, 'r': $a} }, 1).**)",
    "($d := function($n) { $reduce([1..$n], function($a, $i) { {'l': $a, 'r': $a} }, 1) };
      $d(60) = $d(60))",
    "($f := function($a, $n) { $n = 0 ? $a : $f({'l': $a, 'r': $a}, $n - 1) }; $f(1, 60))",
    "($f := function($a, $n) { $n = 0 ? $a : $f([[$a, $a]], $n - 1) }; $string($f(1, 100000)))",
    "($a := {'x': 1}; $b := {'a': $a, 'b': $a}; $c := {'a': $b, 'b': $b}; $string(
      $reduce([1..60], function($v, $i) { $merge([$v, {'n': $v}]) }, $c)))",
    "$string([1..800000].($states.input))",
    "$string($map([1..800000], function() { $states.input }))",
    "$map([1..800000], function() { $states.input })",
    "$map([1..800000], function() { $states.input }) = $map([1..800000], function() { $states.input })",
    // Work without an end, or much of it.
    "($f := function($x) { 1 + $f($x) }; $f(1))",
    "($f := function($x, $n) { $n = 0 ? 0 : $f($x, $n - 1) + $f($x, $n - 1) }; $f(1, 30))",
    "$distinct([1..100000].{'a': $})",
    "$count($keys([1..100000].{$string($): 1}))",
    "$states.input ~> |items|{'z': 1}|",
    "$states.input ~> |**|{'z': $states.input}|",
    "$states.input.items^(id, $string($)).id",
    "$states.input.**.**.**",
    "$contains($pad('', 200000, 'a'), /(a+)+$/)",
    "$match('aaaa', /((((((a{1,100}){1,100}){1,100}){1,100}){1,100}){1,100})/)",
    "$toMillis('1', '[Y,1000000000-1000000000]')",
    "$parseInteger($pad('', 100000, '1'), '0')",
    "$spread($states.input.wide)",
    "$hash($pad('', 4000000), 'SHA-512')",
    "$parse($pad('', 100000, '['))",
    "$parse('[' & $join([1..100000].('1'), ',') & ']')",
    "$error($pad('', 4000000, 'x'))",
];

/// What only its time ends, or what takes most of that.
const LONG: &[&str] = &[
    "($f := function($x) { $f($x + 1) }; $f(1))",
    "($y := function($g) { $g($g) }; $y($y))",
    "$map([1..800000], function($i) { $sum([1..800000]) })",
    "$map([1..800000], function($i) { 1 in [1..800000] })",
    "$sort([1..800000], function($a, $b) { $a < $b })",
    "[1..800000]{$string($): $states.input.text & 'x'}",
    "$sift($states.input.wide, function($v, $k) { $length($states.input.text & $k) > 0 })",
    "$states.input.items.($states.input.items.($states.input.items.(id)))",
    "$reduce([1..800000], function($a, $b) { [[$a]] }, 1)",
    "$reduce([1..50000], function($a, $b) { {'a': $a} }, 1)",
    "$states.input.items[$count($states.input.items[id > 0]) > 0].id",
    "$split($pad('', 1000000, 'a'), /a?/)",
    "$match($pad('', 260000, 'a'), /a/)",
    "$filter([1..800000], function($v, $i, $a) { $count($a) > 0 })",
    "$distinct([1..800000])",
    "$shuffle([1..800000])",
    "$merge([1..800000].{$string($): $})",
    "$map([1..800000], $string)",
    "$map([1..800000], $uuid)",
    "$map([1..800000], function() { $uuid() })",
];

/// Expressions that are nested deeply, or long.
fn nested() -> Vec<String> {
    let around = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let mut all = Vec::new();
    for times in [99, 500, 990, 5_000, 100_000] {
        all.extend([
            around("(", "1", ")", times),
            around("[", "1", "]", times),
            around("{'a':", "1", "}", times),
            around("-", "1", "", times),
            around("", "1", "+1", times),
            around("", "'a'", "&'a'", times),
            around("", "$n", ".a", times),
            around("", "$n", "[0]", times),
            around("", "$n", ".(1)", times),
            around("", "1", "~>$string", times),
            around("$string(", "1", ")", times),
            around("function($x){", "1", "}", times),
            around("true ? ", "1", " : 2", times),
            around("", "$n", "^(a)", times),
            around("($x := ", "1", "; $x)", times),
            around("|", "$n", "|{}|", times),
            around("/* ", "1", "*/", times),
            around("(", "", "", times),
            around("$f(", "", "", times),
            around("[1..", "", "", times),
        ]);
    }
    let mut long = String::from("[1");
    for index in 0..50_000 {
        write!(long, ", $states.input.items[{index}].id").unwrap();
    }
    all.push(long + "]");
    all
}

fn evaluate(source: &str) -> String {
    let items: Vec<_> = (0..5_000).map(|id| json!({"id": id, "name": format!("n{id}")})).collect();
    let wide: Value = (0..5_000).map(|id| (format!("k{id}"), json!(id))).collect();
    let input = json!({"items": items, "wide": wide, "text": "x".repeat(200_000)});
    let expression = match Expression::parse(source) {
        Ok(expression) => expression,
        Err(invalid) => return format!("invalid: {:.90}", invalid.message),
    };
    let states = States { input: &input, result: None, error_output: None, context: &Value::Null };
    let entropy = Seeded::new(1);
    let scope = Scope { states, variables: &(), entropy: &entropy, now: Timestamp::default() };
    match expression.eval(&scope) {
        Ok(value) => format!("gave {:.40}", value.map_or("nothing".into(), |v| v.to_string())),
        Err(error) => format!("failed: {:.90}", error.to_string()),
    }
}

#[test]
fn hostile_expressions_fail_or_give_something_soon() {
    let mut hostile: Vec<_> = HOSTILE.iter().map(|source| (*source).to_owned()).collect();
    hostile.extend(nested());
    // Each of these takes all its time, so without optimisation one of them must do.
    let long = if cfg!(debug_assertions) { &LONG[..1] } else { LONG };
    hostile.extend(long.iter().map(|source| (*source).to_owned()));
    let mut slow = Vec::new();
    for source in &hostile {
        let started = Instant::now();
        let told = evaluate(source);
        let took = started.elapsed();
        let line = format!("{took:>9.2?} {:>5} MiB  {source:.90}  =>  {told}", peak_kib() >> 10);
        eprintln!("{}", line.replace('\n', " "));
        if cfg!(not(debug_assertions)) && took > MOST_TIME {
            slow.push(line);
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
    assert!(peak_kib() <= MOST_MEMORY_KIB, "took {} KiB", peak_kib());
}

/// The most memory that this process has had so far, in KiB; nothing where that cannot be told.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}
