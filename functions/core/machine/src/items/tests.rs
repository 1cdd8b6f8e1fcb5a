//! Whole sources, and the same sources in small windows.

use expect_test::expect;
use fluxus_schema::items::{Delimiter, HeaderLocation, InputType, ReaderConfig};
use serde_json::{Value, json};

use super::{PageBounds, Position, Window, all, page};

fn config(input_type: InputType) -> ReaderConfig {
    ReaderConfig { input_type, ..ReaderConfig::default() }
}

fn csv() -> ReaderConfig {
    let csv_header_location = Some(HeaderLocation::FirstRow);
    ReaderConfig { csv_header_location, ..config(InputType::Csv) }
}

fn told(config: &ReaderConfig, text: &str) -> String {
    match all(config, text, None) {
        Ok(items) => Value::from(items).to_string(),
        Err(error) => error.to_string(),
    }
}

/// Reads `text` in windows of so many bytes, as a reader would.
fn in_pages(config: &ReaderConfig, text: &str, window: usize, bytes: usize) -> Vec<Value> {
    let mut position = Position::default();
    let mut items = Vec::new();
    for _ in 0..10_000 {
        let from = usize::try_from(position.offset).unwrap();
        let to = (from + window).min(text.len());
        let window = Window { bytes: &text.as_bytes()[from..to], is_last: to == text.len() };
        let bounds = PageBounds { bytes, max_items: None };
        let read = page(config, window, &position, bounds).unwrap();
        items.extend(read.items);
        match read.next {
            Some(next) => position = serde_json::from_value(next).unwrap(),
            None => return items,
        }
    }
    panic!("reading {text:?} never ends")
}

#[test]
fn sources_are_read() {
    let json = config(InputType::Json);
    let pointed = ReaderConfig { items_pointer: Some("/a/b~1c".to_owned()), ..json.clone() };
    let given = ReaderConfig {
        csv_header_location: Some(HeaderLocation::Given),
        csv_headers: Some(vec!["x".to_owned(), "y".to_owned()]),
        csv_delimiter: Some(Delimiter::Pipe),
        ..config(InputType::Csv)
    };
    let lines = config(InputType::Jsonl);
    let cases = [
        told(&json, " [1, {\"a\":[2]},\"x\"] "),
        told(&json, "[]"),
        told(&json, "{\"a\":1}"),
        told(&json, "[1 2]"),
        told(&json, "[1,"),
        told(&pointed, "{\"z\":[0],\"a\":{\"q\":{},\"b/c\":[1,2]}}"),
        told(&pointed, "{\"a\":{}}"),
        told(&lines, "\u{feff}{\"a\":1}\n\n[2]\r\n3"),
        told(&lines, "1\n{"),
        told(&csv(), "a,b\n1,\"two\nlines\"\n3\n4,5,6\n"),
        told(&csv(), "a,a\n1,2\n"),
        told(&csv(), ""),
        told(&given, "1|2\r\n3|4"),
        told(&config(InputType::Manifest), ""),
    ];
    expect![[r#"
        [1,{"a":[2]},"x"]
        []
        Attempting to map over non-iterable node.
        The source is no JSON: expected a comma or the array's end at byte 3
        The source is no JSON: expected the array's end at byte 3
        [1,2]
        ItemsPointer /a/b~1c leads to nothing
        [{"a":1},[2],3]
        Item 2 is no JSON in one line: EOF while parsing an object at line 1 column 1
        [{"a":"1","b":"two\nlines"},{"a":"3","b":""},{"a":"4","b":"5"}]
        CSV headers cannot contain duplicates.
        []
        [{"x":"1","y":"2"},{"x":"3","y":"4"}]
        InputType "MANIFEST" cannot be read; use JSON, JSONL or CSV"#]]
    .assert_eq(&cases.join("\n"));
}

#[test]
fn a_source_in_pages_is_the_same_source() {
    let items: Vec<_> = (0..200).map(|n| json!({ "n": n, "text": "é".repeat(n % 7) })).collect();
    let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
    let array = format!("  {} ", Value::from(items.clone()));
    let numbers = json!([1, 22, 333, 4444, 55555]).to_string();
    for window in [64, 100, 257, 100_000] {
        for bytes in [1, 50, 1_000] {
            let read = in_pages(&config(InputType::Jsonl), &lines, window, bytes);
            assert_eq!(read, items, "lines, {window}, {bytes}");
            let read = in_pages(&config(InputType::Json), &array, window, bytes);
            assert_eq!(read, items, "array, {window}, {bytes}");
            let read = in_pages(&config(InputType::Json), &numbers, window.min(9), bytes);
            assert_eq!(read, [1, 22, 333, 4444, 55555], "numbers, {window}, {bytes}");
        }
    }
    let rows: String = (0..100).map(|n| format!("{n},\"a \"\"{n}\"\"\nb\"\n")).collect();
    let rows = format!("n,text\n{rows}");
    let whole = all(&csv(), &rows, None).unwrap();
    assert_eq!(whole.len(), 100);
    for window in [32, 77, 1_000] {
        assert_eq!(in_pages(&csv(), &rows, window, 60), whole, "{window}");
    }
}

#[test]
fn no_more_items_are_read_than_asked_for() {
    let read = |most| all(&config(InputType::Json), "[1,2,3]", Some(most)).unwrap().len();
    assert_eq!([read(0), read(2), read(9)], [0, 2, 3]);
}

#[test]
fn an_item_larger_than_the_window_is_named() {
    let window = Window { bytes: b"[\"aaaaaaaaaaaa", is_last: false };
    let position = Position { is_inside: true, offset: 1, ..Position::default() };
    let window = Window { bytes: &window.bytes[1..], ..window };
    let bounds = PageBounds { bytes: 10, max_items: None };
    let error = page(&config(InputType::Json), window, &position, bounds).unwrap_err();
    assert_eq!(error.to_string(), "An item is larger than 13 bytes");
}
