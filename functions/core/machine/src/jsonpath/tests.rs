//! Paths over documents, and the words in which they fail.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Path, Root};

fn eval(path: &str, document: &Value) -> String {
    let path = match Path::parse(path) {
        Ok(path) => path,
        Err(error) => return format!("refused: {error}"),
    };
    match path.eval(document) {
        Ok(found) => found.to_string(),
        Err(failure) => format!("failed: {failure}"),
    }
}

fn check(document: &Value, paths: &[&str], expect: &Expect) {
    let lines: Vec<String> =
        paths.iter().map(|path| format!("{path}  =>  {}\n", eval(path, document))).collect();
    expect.assert_eq(&lines.concat());
}

/// What the service answers; compared, path by path, with Jayway JsonPath 2.0.0.
#[test]
fn finds_what_the_service_finds() {
    check(
        &json!({"a": [{"x": 1, "y": 1}, {"x": "1"}, {"x": null}, {"z": "Abc"}], "l": [1, 2, 3],
                "o": {"x-y": 3, "ü": 4, "n": {"x": 5}}, "Test\\\"\"Name\"": 6, "list()": 7}),
        &[
            "$.l[0]",
            "$['l'][1]",
            "$[\"o\"]['x-y']",
            "$.o.ü",
            "$['Test\\\"\"Name\"']",
            "$.list()",
            "$.o.n['x','none']",
            "$.l[(@.length-1)]",
            "$.l[*]",
            "$.l[0,2]",
            "$.l[1:]",
            "$.l[:-1]",
            "$.l[-2:]",
            "$.l[2:1]",
            "$.l[0:9]",
            "$.none[*]",
            "$.none.none[1:5].x",
            "$.l[*].x",
            "$.a[*].x",
            "$..x",
            "$.o..x",
            "$.o.*",
            "$..[0]",
            "$.a[?(@.x)]",
            "$.a[?(!@.x && @.z)]",
            "$.a[?(@.x == 1)].y",
            "$.a[?(@.x == 1 && @.y == $.l[0] || @.z)]",
            "$.a[?(@.x == null)]",
            "$.a[?(@.x != 1)]",
            "$.a[?(@.z =~ /^a.*/i)]",
            "$.a[?(@.z in ['Abc', 1])].z",
            "$.a[?(@.z size 3)].z",
            "$.l[?(@ > 1)]",
            "$.l[?((@ == 1 || @ == 2) && @ != 2)]",
            "$.o[?(@.x-y == 3)].n",
        ],
        &expect![[r#"
            $.l[0]  =>  1
            $['l'][1]  =>  2
            $["o"]['x-y']  =>  3
            $.o.ü  =>  4
            $['Test\""Name"']  =>  6
            $.list()  =>  7
            $.o.n['x','none']  =>  {"x":5}
            $.l[(@.length-1)]  =>  3
            $.l[*]  =>  [1,2,3]
            $.l[0,2]  =>  [1,3]
            $.l[1:]  =>  [2,3]
            $.l[:-1]  =>  [1,2]
            $.l[-2:]  =>  [2,3]
            $.l[2:1]  =>  []
            $.l[0:9]  =>  [1,2,3]
            $.none[*]  =>  []
            $.none.none[1:5].x  =>  []
            $.l[*].x  =>  []
            $.a[*].x  =>  [1,"1",null]
            $..x  =>  [1,"1",null,5]
            $.o..x  =>  [5]
            $.o.*  =>  [3,4,{"x":5}]
            $..[0]  =>  [{"x":1,"y":1},1]
            $.a[?(@.x)]  =>  [{"x":1,"y":1},{"x":"1"}]
            $.a[?(!@.x && @.z)]  =>  [{"z":"Abc"}]
            $.a[?(@.x == 1)].y  =>  failed: No results for path: $['a'][1]['y']
            $.a[?(@.x == 1 && @.y == $.l[0] || @.z)]  =>  [{"x":1,"y":1},{"z":"Abc"}]
            $.a[?(@.x == null)]  =>  [{"x":null}]
            $.a[?(@.x != 1)]  =>  [{"x":null}]
            $.a[?(@.z =~ /^a.*/i)]  =>  [{"z":"Abc"}]
            $.a[?(@.z in ['Abc', 1])].z  =>  ["Abc"]
            $.a[?(@.z size 3)].z  =>  ["Abc"]
            $.l[?(@ > 1)]  =>  [2,3]
            $.l[?((@ == 1 || @ == 2) && @ != 2)]  =>  [1]
            $.o[?(@.x-y == 3)].n  =>  [{"x":5}]
        "#]],
    );
}

#[test]
fn fails_in_the_words_of_the_service() {
    check(
        &json!({"a": [{"b": 1}, {}], "s": "text", "n": null, "o": {"k": 1}}),
        &[
            "$.x",
            "$.no.such",
            "$.s.x",
            "$.a.b",
            "$.a[5]",
            "$.a[-1]",
            "$.a[0].b.c",
            "$.s[0]",
            "$.o[0]",
            "$.n[0]",
            "$.s[1:]",
            "$.o.length()",
            "$.a[0:2].b",
            "$.o.*.b",
            "$.a[?(@.b[0] == 1)]",
        ],
        &expect![[r#"
            $.x  =>  failed: No results for path: $['x']
            $.no.such  =>  failed: Missing property in path $['no']
            $.s.x  =>  failed: Property ['x'] not found in path $['s']
            $.a.b  =>  failed: Property ['b'] not found in path $['a']
            $.a[5]  =>  failed: Index out of bounds when evaluating path $['a'][5]
            $.a[-1]  =>  failed: Index out of bounds when evaluating path $['a'][-1]
            $.a[0].b.c  =>  failed: Property ['c'] not found in path $['a'][0]['b']
            $.s[0]  =>  failed: Filter: [0] can only be applied to arrays. Current context is: text
            $.o[0]  =>  failed: Filter: [0] can only be applied to arrays. Current context is: {k=1}
            $.n[0]  =>  failed: The path $['n'] is null
            $.s[1:]  =>  failed: Filter: [1:] can only be applied to arrays. Current context is: text
            $.o.length()  =>  failed: No results for path: $['o']['length()']
            $.a[0:2].b  =>  failed: No results for path: $['a'][1]['b']
            $.o.*.b  =>  failed: Property ['b'] not found in path $['o']['k']
            $.a[?(@.b[0] == 1)]  =>  failed: Filter: [0] can only be applied to arrays. Current context is: 1
        "#]],
    );
}

#[test]
fn refuses_what_is_no_path() {
    let many = format!("${}", ".a".repeat(300));
    let deep = format!("$[?({}@{})]", "(".repeat(40), ")".repeat(40));
    let long = format!("$.{}", "a".repeat(10_000));
    check(
        &json!({}),
        &[
            "",
            "a",
            "$.",
            "$*",
            "$..",
            "$.a.",
            "$[a]",
            "$['a",
            "$.a b",
            "$.a[]",
            "$.a[:]",
            "$.a[a:b]",
            "$.a[1",
            "$['a','b'].c",
            "$[?@.x]",
            "$[?(@.x[*] == 1)]",
            "$[?(@.x == )]",
            "$[?(@.x =~ /(/)]",
            "$$name",
            "$.a\\",
        ],
        &expect![[r#"
              =>  refused: A path must start with '$' at offset 0
            a  =>  refused: A path must start with '$' at offset 0
            $.  =>  refused: Expected a name after '.' at offset 2
            $*  =>  refused: Expected '.' or '[' after the root at offset 1
            $..  =>  refused: A path can not end with a scan. at offset 3
            $.a.  =>  refused: Expected a name after '.' at offset 4
            $[a]  =>  refused: Could not analyze path component: [a] at offset 1
            $['a  =>  refused: The quote is not closed at offset 2
            $.a b  =>  refused: Space not allowed in path at offset 3
            $.a[]  =>  refused: Could not analyze path component: [] at offset 3
            $.a[:]  =>  refused: A slice needs a start or an end at offset 5
            $.a[a:b]  =>  refused: Could not analyze path component: [a:b] at offset 3
            $.a[1  =>  refused: Could not analyze path component: [1 at offset 3
            $['a','b'].c  =>  refused: Multi properties can only be used as path leafs: $['a', 'b'] at offset 12
            $[?@.x]  =>  refused: Filter must start with '[?(' and end with ')]'. at offset 3
            $[?(@.x[*] == 1)]  =>  refused: the predicate path: @.x[*] is not definite at offset 4
            $[?(@.x == )]  =>  refused: Expected a value at offset 11
            $[?(@.x =~ /(/)]  =>  refused: The pattern has an unclosed '(' at offset 11
            $$name  =>  refused: Expected '.' or '[' after the root at offset 2
            $.a\  =>  refused: A path can not end with '\' at offset 4
        "#]],
    );
    for (path, bound) in [(many, "256"), (deep, "32"), (long, "10000")] {
        assert!(Path::parse(&path).unwrap_err().message.contains(bound));
    }
}

#[test]
fn tells_its_root_and_kind() {
    for (text, root, definite, reference) in [
        ("$", Root::Input, true, true),
        ("$.a[0]['b']", Root::Input, true, true),
        ("$$.Execution.Id", Root::Context, true, true),
        ("$name.a", Root::Variable("name".into()), true, true),
        ("$name[0]", Root::Variable("name".into()), true, true),
        ("$.a[*]", Root::Input, false, false),
        ("$..a", Root::Input, false, false),
        ("$.a[-1]", Root::Input, true, false),
        ("$['a','b']", Root::Input, true, false),
        // Source: States Language, "Reference Paths".
        ("$.store\\.book", Root::Input, true, true),
        ("$.foo\\@bar.baz\\[\\[.\\?pretty", Root::Input, true, true),
        ("$.&Ж中.\\u0041", Root::Input, true, true),
    ] {
        let path = Path::parse(text).unwrap();
        assert_eq!(*path.root(), root, "{text}");
        assert_eq!((path.is_definite(), path.is_reference_path()), (definite, reference), "{text}");
    }
    let escaped = Path::parse("$.store\\.book").unwrap();
    assert_eq!(*escaped.eval(&json!({"store.book": 1})).unwrap(), json!(1));
}

#[test]
fn borrows_what_a_definite_path_finds() {
    let document = json!({"a": {"b": [1]}});
    let found = Path::parse("$.a.b").unwrap();
    assert!(matches!(found.eval(&document), Ok(std::borrow::Cow::Borrowed(_))));
}

#[test]
fn puts_a_value_at_a_reference_path() {
    let set = |document: Value, path: &str| {
        let mut document = document;
        match Path::parse(path).unwrap().set(&mut document, json!("new")) {
            Ok(()) => document.to_string(),
            Err(failure) => failure.to_string(),
        }
    };
    for (document, path, outcome) in [
        (json!({"a": 1}), "$", r#""new""#),
        (json!({"a": 1}), "$.b.c", r#"{"a":1,"b":{"c":"new"}}"#),
        (json!({"a": [1, 2]}), "$.a[1]", r#"{"a":[1,"new"]}"#),
        (json!({"a": [{}]}), "$.a[0].b", r#"{"a":[{"b":"new"}]}"#),
        (json!({"a": 1}), "$.a.b", r#"Unable to apply ReferencePath $.a.b to input {"a":1}"#),
        (json!({"a": [1]}), "$.a[1]", r#"Unable to apply ReferencePath $.a[1] to input {"a":[1]}"#),
        (json!({}), "$.a[0]", "Unable to apply ReferencePath $.a[0] to input {}"),
        (json!("text"), "$.a", r#"Unable to apply ReferencePath $.a to input "text""#),
        (json!({}), "$.a[*]", "Unable to apply ReferencePath $.a[*] to input {}"),
    ] {
        assert_eq!(set(document, path), outcome);
    }
}

#[test]
fn an_evaluation_that_grows_without_end_fails() {
    let mut document = json!(1);
    for _ in 0..20 {
        document = json!([document.clone(), 1, 2]);
    }
    let path = Path::parse("$..*..*..*..*..*..*..*..*..*..*..*..*").unwrap();
    let failure = path.eval(&document).err().map(|failure| failure.to_string());
    assert!(failure.is_some_and(|failure| failure.contains("more than 2000000")));
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC*") {
        let _ = Path::parse(&text);
        let _ = Path::parse(&format!("${text}"));
    }

    #[test]
    fn evaluating_never_panics(
        text in "\\$([.]{1,2}([ab*]|\\[[-0-2:,*]{1,4}\\]|\\[\\?\\(@([.][ab]){0,2}( ?(==|<|in|size|=~) ?(1|'a'|\\[1\\]|/a+/|@[.]b))?\\)\\])){0,4}",
        value in 0_usize..4,
    ) {
        let documents = [
            json!({"a": [{"a": 1, "b": [1, 2]}, {"b": "a"}], "b": {"a": null}}),
            json!([[1, [2]], {"a": {"b": 1}}]),
            json!("a"),
            json!(null),
        ];
        if let Ok(path) = Path::parse(&text) {
            let _ = path.eval(&documents[value]);
            let _ = path.set(&mut documents[value].clone(), json!(1));
        }
    }
}
