//! Sources and results in files and over HTTP, through the handlers.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;

mod buckets;

fn in_folder(folder: &tempfile::TempDir) -> Fluxling {
    fluxling(ItemsConfig { folder: Some(folder.path().to_owned()), ..ItemsConfig::default() })
}

/// Reads all pages.
async fn read_all(fluxling: &Fluxling, asked: &Value) -> Result<(Vec<Value>, usize), TaskError> {
    let (mut items, mut pages) = (Vec::new(), 0);
    let mut asked = asked.clone();
    loop {
        let page = fluxling.call(READ, asked.clone()).await?;
        let page: ItemsPage = serde_json::from_value(page).expect("a page");
        items.extend(page.items);
        pages += 1;
        match page.next {
            Some(next) => asked["after"] = next,
            None => return Ok((items, pages)),
        }
    }
}

fn asked(arguments: &Value) -> Value {
    json!({ "resource": "fluxling:items.read", "arguments": arguments })
}

/// Serves one document for ever; with or without ranges. What is put there is answered with 200.
async fn serve(document: Vec<u8>, ranges: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let (read, mut write) = stream.split();
            let mut lines = BufReader::new(read);
            let (mut from, mut to, mut length) = (0, document.len(), 0);
            loop {
                let mut line = String::new();
                lines.read_line(&mut line).await.expect("a line");
                let line = line.trim().to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(asked) = line.strip_prefix("content-length: ") {
                    length = asked.parse().expect("a length");
                }
                if let (Some(asked), true) = (line.strip_prefix("range: bytes="), ranges) {
                    let (first, last) = asked.split_once('-').expect("a range");
                    from = first.parse().expect("a number");
                    to = to.min(last.parse::<usize>().expect("a number") + 1);
                }
            }
            let mut body = vec![0; length];
            lines.read_exact(&mut body).await.expect("a body");
            let (status, part) = match document.get(from..to.max(from)) {
                Some(part) if ranges && !part.is_empty() => ("206 Partial Content", part),
                Some(part) if !ranges => ("200 OK", part),
                _ => ("416 Range Not Satisfiable", &[][..]),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                part.len()
            );
            let _ = write.write_all(head.as_bytes()).await;
            let _ = write.write_all(part).await;
        }
    });
    port
}

#[tokio::test]
async fn a_large_file_is_read_page_by_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let items: Vec<_> = (0..20_000).map(|n| json!({ "n": n, "text": "x".repeat(100) })).collect();
    let text = serde_json::to_string(&items).expect("JSON");
    std::fs::write(folder.path().join("all.json"), &text).expect("writes");
    let fluxling = in_folder(&folder);
    let (read, pages) = read_all(&fluxling, &asked(&json!({ "File": "all.json" }))).await.unwrap();
    assert_eq!(read, items);
    assert!(pages > 10 && pages < 20, "{pages} pages of {PAGE_BYTES} bytes for {}", text.len());
    let mut some = asked(&json!({ "File": "all.json" }));
    some["max_items"] = json!(3);
    assert_eq!(read_all(&fluxling, &some).await.unwrap().0, items[..3]);
}

#[tokio::test]
async fn a_document_over_http_is_read_with_and_without_ranges() {
    let lines: String =
        (0..30_000).map(|n| format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "y".repeat(60))).collect();
    for ranges in [true, false] {
        let port = serve(lines.clone().into_bytes(), ranges).await;
        let mut asked = asked(&json!({ "Url": format!("http://127.0.0.1:{port}/lines") }));
        asked["config"] = json!({ "InputType": "JSONL" });
        let http = fluxling_http::HttpConfig { allow_private: true, ..Default::default() };
        let open = fluxling(ItemsConfig { http, ..ItemsConfig::default() });
        let (read, pages) = read_all(&open, &asked).await.unwrap();
        assert_eq!((read.len(), &read[29_999]["n"]), (30_000, &json!(29_999)), "{ranges}");
        assert!(pages > 10, "{pages}");
        let refused = read_all(&fluxling(ItemsConfig::default()), &asked).await.unwrap_err();
        assert_eq!(refused.name(), "Http.AddressRefused", "{refused}");
    }
}

#[tokio::test]
async fn results_are_written_below_their_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let fluxling = in_folder(&folder);
    let files = json!([
        { "path": "run/SUCCEEDED_0.json", "content": { "json": [1] } },
        { "path": "run/FAILED_0.jsonl", "content": { "lines": [{ "a": 1 }, 2] } }
    ]);
    let asked = json!({
        "resource": "arn:aws:states:::s3:putObject", "arguments": { "File": "out" }, "files": files
    });
    for _ in 0..2 {
        fluxling.call(WRITE, asked.clone()).await.expect("writes, also again");
    }
    let read = |path: &str| std::fs::read_to_string(folder.path().join("out/run").join(path));
    assert_eq!(read("SUCCEEDED_0.json").expect("reads"), "[1]");
    assert_eq!(read("FAILED_0.jsonl").expect("reads"), "{\"a\":1}\n2\n");
}

#[tokio::test]
async fn what_is_not_allowed_or_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("bad.json"), "{}").expect("writes");
    let open = in_folder(&folder);
    let closed = fluxling(ItemsConfig::default());
    for (fluxling, arguments, says) in [
        (&open, json!({ "File": "../secret" }), "no path below the configured folder"),
        (&open, json!({ "File": "/etc/passwd" }), "no path below the configured folder"),
        (&open, json!({ "File": "absent.json" }), "absent.json"),
        (&open, json!({ "File": "bad.json" }), "Attempting to map over non-iterable node."),
        (&open, json!({ "Bucket": "b", "Key": "k" }), "FLUXLING_ITEMS_S3_URL"),
        (&open, json!({ "Where": "b" }), "must have `Url`, `File`, or `Bucket`"),
        (&closed, json!({ "File": "bad.json" }), "FLUXLING_ITEMS_FOLDER"),
    ] {
        let error = read_all(fluxling, &asked(&arguments)).await.unwrap_err();
        assert_eq!(error.name(), READER_FAILED);
        assert!(error.cause().contains(says), "{arguments}: {error}");
    }
    let files = json!([{ "path": "../x", "content": { "json": 1 } }]);
    let asked = json!({ "resource": "r", "arguments": { "File": "out" }, "files": files });
    let error = open.call(WRITE, asked).await.unwrap_err();
    assert_eq!(error.name(), WRITER_FAILED, "{error}");
}
