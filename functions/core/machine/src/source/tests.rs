//! Texts, what they are read as, and where their faults are found.

use expect_test::{Expect, expect};
use fluxus_schema::problem::Fault;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Reads `text` in a format; gives the document, or its faults as a compiler prints them.
fn read(text: &str, format: Format) -> String {
    match Source::parse(text, format) {
        Ok(source) => source.value().to_string(),
        Err(faults) => faults.iter().map(shown).collect::<Vec<_>>().join("\n"),
    }
}

fn shown(fault: &Fault) -> String {
    let Fault { code, pointer, detail, place, .. } = fault;
    let place = place.expect("a place");
    let Place { line, column, end_line, end_column } = place;
    format!("{line}:{column}-{end_line}:{end_column} {code} {pointer}: {detail}")
}

#[track_caller]
fn check(format: Format, cases: &[&str], expected: &Expect) {
    let read = |text: &&str| format!("{text:?}\n  {}\n", read(text, format).replace('\n', "\n  "));
    expected.assert_eq(&cases.iter().map(read).collect::<String>());
}

#[test]
fn json_is_read() {
    check(
        Format::Json,
        &[
            r#"{"a": [1, -2.5e3, true, null, ""], "b": {}}"#,
            "\u{feff} 17 ",
            r#""\u0041\n\"\\\/\ud83d\ude00é""#,
        ],
        &expect![[r#"
            "{\"a\": [1, -2.5e3, true, null, \"\"], \"b\": {}}"
              {"a":[1,-2500.0,true,null,""],"b":{}}
            "\u{feff} 17 "
              17
            "\"\\u0041\\n\\\"\\\\\\/\\ud83d\\ude00é\""
              "A\n\"\\/😀é"
        "#]],
    );
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    check(
        Format::Json,
        &[
            "not a definition",
            "",
            " \n",
            "{",
            "{a: 1}",
            r#"{"a" 1}"#,
            r#"{"a": }"#,
            r#"{"a": 1 "b": 2}"#,
            "{\n  \"a\": 1,\n}",
            "[1, ]",
            "[1 2]",
            "[1",
            "{} {}",
            "// no\n{}",
            "\"a\nb\"",
            r#""a"#,
            r#""\x""#,
            r#""\ud800""#,
            r#""\u12"#,
            "[01]",
            "[1.]",
            "[-]",
            "[nulls]",
            "'a'",
            "{\"é\": \u{7}}",
            "{\"a\": 1, \"b\": {\"c\": 1,\n \"c\": 2},\n \"a\": 3}",
        ],
        &expect![[r#"
            "not a definition"
              1:1-1:4 INVALID_JSON_DESCRIPTION : Unrecognized token 'not': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')
            ""
              1:1-1:1 MISSING_DESCRIPTION : The document is empty
            " \n"
              1:1-1:1 MISSING_DESCRIPTION : The document is empty
            "{"
              1:2-1:2 INVALID_JSON_DESCRIPTION : Unexpected end-of-input: expected close marker for Object
            "{a: 1}"
              1:2-1:3 INVALID_JSON_DESCRIPTION : Unexpected character ('a' (code 97)): was expecting double-quote to start field name
            "{\"a\" 1}"
              1:6-1:7 INVALID_JSON_DESCRIPTION : Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value
            "{\"a\": }"
              1:7-1:8 INVALID_JSON_DESCRIPTION /a: Unexpected character ('}' (code 125)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')
            "{\"a\": 1 \"b\": 2}"
              1:9-1:10 INVALID_JSON_DESCRIPTION : Unexpected character ('"' (code 34)): was expecting comma to separate Object entries
            "{\n  \"a\": 1,\n}"
              3:1-3:2 INVALID_JSON_DESCRIPTION : Unexpected character ('}' (code 125)): was expecting double-quote to start field name
            "[1, ]"
              1:5-1:6 INVALID_JSON_DESCRIPTION : Unexpected character (']' (code 93)): expected a value
            "[1 2]"
              1:4-1:5 INVALID_JSON_DESCRIPTION : Unexpected character ('2' (code 50)): was expecting comma to separate Array entries
            "[1"
              1:3-1:3 INVALID_JSON_DESCRIPTION : Unexpected end-of-input: expected close marker for Array
            "{} {}"
              1:4-1:5 INVALID_JSON_DESCRIPTION : Unexpected character ('{' (code 123)): expected the end of the document
            "// no\n{}"
              1:1-1:2 INVALID_JSON_DESCRIPTION : Unexpected character ('/' (code 47)): maybe a comment? JSON has none; name the file .jsonc to have some
            "\"a\nb\""
              1:3-2:1 INVALID_JSON_DESCRIPTION : Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using backslash to be included in string value
            "\"a"
              1:3-1:3 INVALID_JSON_DESCRIPTION : Unexpected end-of-input: was expecting closing quote for a string value
            "\"\\x\""
              1:2-1:4 INVALID_JSON_DESCRIPTION : Unrecognized character escape 'x' (code 120)
            "\"\\ud800\""
              1:2-1:8 INVALID_JSON_DESCRIPTION : The escape is one half of a surrogate pair
            "\"\\u12"
              1:2-1:4 INVALID_JSON_DESCRIPTION : expected four hex digits after '\u'
            "[01]"
              1:2-1:4 INVALID_JSON_DESCRIPTION /0: Invalid numeric value: Leading zeroes not allowed
            "[1.]"
              1:2-1:4 INVALID_JSON_DESCRIPTION /0: Invalid numeric value: '1.'
            "[-]"
              1:2-1:3 INVALID_JSON_DESCRIPTION /0: Invalid numeric value: '-'
            "[nulls]"
              1:2-1:7 INVALID_JSON_DESCRIPTION /0: Unrecognized token 'nulls': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')
            "'a'"
              1:1-1:2 INVALID_JSON_DESCRIPTION : Unexpected character (''' (code 39)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')
            "{\"é\": \u{7}}"
              1:7-1:8 INVALID_JSON_DESCRIPTION /é: Unexpected character ((CTRL-CHAR, code 7)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')
            "{\"a\": 1, \"b\": {\"c\": 1,\n \"c\": 2},\n \"a\": 3}"
              2:2-2:5 DUPLICATE_KEY /b/c: The key stands in this object already, on line 1
              3:2-3:5 DUPLICATE_KEY /a: The key stands in this object already, on line 1
        "#]],
    );
}

#[test]
fn comments_and_trailing_commas_are_read_where_they_are_allowed() {
    check(
        Format::Jsonc,
        &[
            "// first\n{ /* a */ \"a\": [1, 2,], // b\n}\n//",
            "{\"a\": \"// no comment\"}",
            "{,}",
            "[1,,2]",
            "{} /* open",
            "{} /",
            "/*/ {}",
        ],
        &expect![[r#"
            "// first\n{ /* a */ \"a\": [1, 2,], // b\n}\n//"
              {"a":[1,2]}
            "{\"a\": \"// no comment\"}"
              {"a":"// no comment"}
            "{,}"
              1:2-1:3 INVALID_JSON_DESCRIPTION : Unexpected character (',' (code 44)): was expecting double-quote to start field name
            "[1,,2]"
              1:4-1:5 INVALID_JSON_DESCRIPTION /1: Unexpected character (',' (code 44)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')
            "{} /* open"
              1:11-1:11 INVALID_JSON_DESCRIPTION : Unexpected end-of-input: was expecting '*/' to close the comment
            "{} /"
              1:4-1:5 INVALID_JSON_DESCRIPTION : Unexpected character ('/' (code 47)): a comment begins with '//' or '/*'
            "/*/ {}"
              1:7-1:7 INVALID_JSON_DESCRIPTION : Unexpected end-of-input: was expecting '*/' to close the comment
        "#]],
    );
}

#[test]
fn yaml_is_read() {
    check(
        Format::Yaml,
        &[
            "StartAt: A\nStates:\n  A: {Type: Pass, End: true}\n",
            "- 1\n- 0x1F\n- 0o17\n- -2\n- +3\n- 1.5\n- .5\n- 1e3\n- 18446744073709551615\n",
            "- yes\n- 'true'\n- True\n- ~\n-\n- 2016-03-14T01:59:00Z\n- 1.2.3\n- 08\n- -\n",
            "a: |\n  one\n  two\nb: >-\n  one\n  two\n",
            "1: one\ntrue: two\n",
            "retry: &retry [{ErrorEquals: [States.ALL]}]\nA: *retry\nB: *retry\n",
            "a: !!str 17\nb: !!int '17'\nc: !!float 1\nd: !!seq []\n",
            "{\"json\": [1, true, null, \"x\"]}",
        ],
        &expect![[r#"
            "StartAt: A\nStates:\n  A: {Type: Pass, End: true}\n"
              {"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}
            "- 1\n- 0x1F\n- 0o17\n- -2\n- +3\n- 1.5\n- .5\n- 1e3\n- 18446744073709551615\n"
              [1,31,15,-2,3,1.5,0.5,1000.0,18446744073709551615]
            "- yes\n- 'true'\n- True\n- ~\n-\n- 2016-03-14T01:59:00Z\n- 1.2.3\n- 08\n- -\n"
              ["yes","true",true,null,null,"2016-03-14T01:59:00Z","1.2.3",8,[null]]
            "a: |\n  one\n  two\nb: >-\n  one\n  two\n"
              {"a":"one\ntwo\n","b":"one two"}
            "1: one\ntrue: two\n"
              {"1":"one","true":"two"}
            "retry: &retry [{ErrorEquals: [States.ALL]}]\nA: *retry\nB: *retry\n"
              {"retry":[{"ErrorEquals":["States.ALL"]}],"A":[{"ErrorEquals":["States.ALL"]}],"B":[{"ErrorEquals":["States.ALL"]}]}
            "a: !!str 17\nb: !!int '17'\nc: !!float 1\nd: !!seq []\n"
              {"a":"17","b":17,"c":1,"d":[]}
            "{\"json\": [1, true, null, \"x\"]}"
              {"json":[1,true,null,"x"]}
        "#]],
    );
}

#[test]
fn what_yaml_has_and_json_has_not_is_refused() {
    check(
        Format::Yaml,
        &[
            "",
            "# nothing\n",
            "a: 1\na: 2\n",
            "a: b: c\n",
            "a:\n\tb: 1\n",
            "a: [1, 2\n",
            "a: *b\n",
            "a: &a [*a]\n",
            "<<: {a: 1}\n",
            "a: !Sub x\n",
            "a: !!int x\n",
            "a: .inf\n",
            "[1, 2]: 3\n",
            "a: 1\n---\nb: 2\n",
            "a: \"x\n",
        ],
        &expect![[r##"
            ""
              1:1-1:1 MISSING_DESCRIPTION : The document is empty
            "# nothing\n"
              1:1-1:1 MISSING_DESCRIPTION : The document is empty
            "a: 1\na: 2\n"
              2:1-2:2 DUPLICATE_KEY /a: The key stands in this object already, on line 1
            "a: b: c\n"
              1:5-1:6 INVALID_YAML_DESCRIPTION : mapping values are not allowed in this context
            "a:\n\tb: 1\n"
              2:2-2:3 INVALID_YAML_DESCRIPTION /a: tabs disallowed within this context (block indentation)
            "a: [1, 2\n"
              1:4-1:5 INVALID_YAML_DESCRIPTION /a: unclosed bracket '['
            "a: *b\n"
              1:4-1:5 INVALID_YAML_DESCRIPTION /a: while parsing node, found unknown anchor
            "a: &a [*a]\n"
              1:8-1:10 INVALID_YAML_DESCRIPTION /a/0: The alias stands within the value that it names
            "<<: {a: 1}\n"
              1:1-1:3 INVALID_YAML_DESCRIPTION : A merge key is not YAML 1.2; write its fields here, or quote it
            "a: !Sub x\n"
              1:9-1:10 INVALID_YAML_DESCRIPTION /a: The tag `!Sub` has no meaning here
            "a: !!int x\n"
              1:10-1:11 INVALID_YAML_DESCRIPTION /a: `x` is no int
            "a: .inf\n"
              1:4-1:8 INVALID_YAML_DESCRIPTION /a: JSON has no number `.inf`
            "[1, 2]: 3\n"
              1:1-1:2 INVALID_YAML_DESCRIPTION : A key must be a text
            "a: 1\n---\nb: 2\n"
              2:1-2:4 INVALID_YAML_DESCRIPTION : A second document begins here; one is expected
            "a: \"x\n"
              1:4-1:5 INVALID_YAML_DESCRIPTION /a: unclosed quote
        "##]],
    );
}

#[test]
fn a_text_is_bounded() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for format in [Format::Json, Format::Yaml] {
        assert_eq!(read(&deep(100), format), deep(100));
        let shown = read(&deep(101), format);
        assert!(shown.contains("TOO_DEEPLY_NESTED"), "{shown}");
        let shown = read(&deep(50_000), format);
        assert!(shown.contains("TOO_DEEPLY_NESTED"), "{shown}");
        let shown = read(&" ".repeat(MAX_SOURCE_BYTES + 1), format);
        assert!(shown.contains("DEFINITION_TOO_LARGE"), "{shown}");
    }
    // Each line stands for ten of the line before.
    let mut laughs = "a0: &a0 [\"lol\", \"lol\"]\n".to_owned();
    for line in 1..12 {
        let copies = vec![format!("*a{}", line - 1); 10].join(", ");
        laughs.push_str(&format!("a{line}: &a{line} [{copies}]\n"));
    }
    expect!["7:15-7:18 DEFINITION_TOO_LARGE : with its aliases written out, the document has more than 4194304 bytes"]
        .assert_eq(&read(&laughs, Format::Yaml));
    let nested: String = (1..120).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    let shown = read(&format!("a0: &a0 []\n{nested}"), Format::Yaml);
    assert!(shown.contains("TOO_DEEPLY_NESTED"), "{shown}");
}

const JSON: &str = r#"{
  "StartAt": "A \"quoted\" {",
  "States": {
    "A": {"Type": "Pass", "Next": "B"},
    "B": {
      "Type": "Choice",
      "Choices": [
        {"Variable": "$.x", "IsNull": true, "Next": "A"},
        17
      ]
    },
    "a/b~c": {"Typé": "Nope", "End": true}
  }
}"#;

const YAML: &str = r#"# A recipe
StartAt: A
States:
  A: {Type: Pass, Next: B}
  B:
    Type: Choice
    Choices:
      - Variable: $.x
        IsNull: true
        Next: A
      - 17
  a/b~c:
    Typé: "Nope"
    End: true
"#;

#[test]
fn a_pointer_finds_its_place() {
    let places = |text: &str, format: Format| {
        let source = Source::parse(text, format).expect("valid");
        let pointers = [
            "",
            "/StartAt",
            "/States",
            "/States/A/Next",
            "/States/B",
            "/States/B/Choices",
            "/States/B/Choices/0",
            "/States/B/Choices/0/Next",
            "/States/B/Choices/1",
            "/States/a~1b~0c/Typé",
            "/States/a~1b~0c/End",
            // No such value: the nearest one around it.
            "/States/B/Default",
            "/States/B/Choices/9",
            "/States/Z/Type",
            "/StartAt/Z",
        ];
        let shown = |pointer: &&str| {
            let Place { line, column, end_line, end_column } = source.place(pointer);
            assert_eq!(line, end_line, "{pointer}");
            let text = text.lines().nth(line - 1).expect("a line");
            let text: String = text.chars().skip(column - 1).take(end_column - column).collect();
            format!("{pointer} {line}:{column} {text}\n")
        };
        pointers.iter().map(shown).collect::<String>()
    };
    expect![[r#"
         1:1 {
        /StartAt 2:14 "A \"quoted\" {"
        /States 3:3 "States"
        /States/A/Next 4:35 "B"
        /States/B 5:5 "B"
        /States/B/Choices 7:7 "Choices"
        /States/B/Choices/0 8:9 {
        /States/B/Choices/0/Next 8:53 "A"
        /States/B/Choices/1 9:9 17
        /States/a~1b~0c/Typé 12:23 "Nope"
        /States/a~1b~0c/End 12:38 true
        /States/B/Default 5:5 "B"
        /States/B/Choices/9 7:7 "Choices"
        /States/Z/Type 3:3 "States"
        /StartAt/Z 2:14 "A \"quoted\" {"
    "#]]
    .assert_eq(&places(JSON, Format::Json));
    expect![[r#"
         2:1 S
        /StartAt 2:10 A
        /States 3:1 States
        /States/A/Next 4:25 B
        /States/B 5:3 B
        /States/B/Choices 7:5 Choices
        /States/B/Choices/0 8:9 V
        /States/B/Choices/0/Next 10:15 A
        /States/B/Choices/1 11:9 17
        /States/a~1b~0c/Typé 13:11 "Nope"
        /States/a~1b~0c/End 14:10 true
        /States/B/Default 5:3 B
        /States/B/Choices/9 7:5 Choices
        /States/Z/Type 3:1 States
        /StartAt/Z 2:10 A
    "#]]
    .assert_eq(&places(YAML, Format::Yaml));
}

#[test]
fn a_format_is_told_by_name_or_by_look() {
    assert_eq!(Format::of_name("a/recipe.asl.json"), Some(Format::Json));
    assert_eq!(Format::of_name("recipe.JSONC"), Some(Format::Jsonc));
    assert_eq!(Format::of_name("recipe.yml"), Some(Format::Yaml));
    assert_eq!(Format::of_name("recipe"), None);
    assert_eq!(Format::of_text("\u{feff}\n {"), Format::Jsonc);
    assert_eq!(Format::of_text("// a\n{}"), Format::Jsonc);
    assert_eq!(Format::of_text("StartAt: A"), Format::Yaml);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_comes_back_as_it_was(value in any_json()) {
        let text = serde_json::to_string_pretty(&value).expect("serializes");
        let source = Source::parse(&text, Format::Json).expect("valid");
        prop_assert_eq!(source.value(), &value);
        let source = Source::parse(&text, Format::Jsonc).expect("valid");
        prop_assert_eq!(source.value(), &value);
    }

    /// Whatever is cut off or put in, there is a document or a fault, and never a panic.
    #[test]
    fn a_broken_text_is_a_fault(cut in 0usize..300, put in ".{0,3}", yaml in any::<bool>()) {
        let (text, format) = if yaml { (YAML, Format::Yaml) } else { (JSON, Format::Jsonc) };
        let cut = (0..=cut.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        for broken in [
            text[..cut].to_owned(),
            format!("{}{put}{}", &text[..cut], &text[cut..]),
        ] {
            if let Err(faults) = Source::parse(&broken, format) {
                for fault in faults {
                    let place = fault.place.expect("a place");
                    prop_assert!((place.line, place.column) <= (place.end_line, place.end_column));
                    prop_assert!(place.line <= 1 + broken.matches('\n').count());
                }
            }
        }
    }
}
