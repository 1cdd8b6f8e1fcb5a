//! Items and results in S3, against a server of it.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use ::fluxling::{Fluxling, TaskError};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use fluxling_items::error_name::{READER_FAILED, WRITER_FAILED};
use fluxling_items::objects::Objects;
use fluxling_items::{ItemsConfig, S3Objects, fluxling};
use fluxus_schema::items::{ItemsPage, READ, WRITE};
use fluxus_test_support::aws::{Aws, aws};
use serde_json::{Value, json};

/// A bucket of its own, and the fluxling.
struct Bucket {
    client: Client,
    name: &'static str,
    fluxling: Fluxling,
}

impl Bucket {
    async fn new(aws: &Aws, name: &'static str) -> Self {
        aws.create_bucket(name).await.unwrap();
        let config = aws_sdk_s3::config::Builder::from(aws.config()).force_path_style(true);
        let objects: Arc<dyn Objects> = Arc::new(S3Objects::new(aws.config()));
        let config_of_items = ItemsConfig { objects: Some(objects), ..ItemsConfig::default() };
        let client = Client::from_conf(config.build());
        Self { client, name, fluxling: fluxling(config_of_items) }
    }

    /// Puts an object; its version, where the bucket keeps them.
    async fn put(&self, key: &str, text: impl Into<String>) -> Option<String> {
        let body = ByteStream::from(text.into().into_bytes());
        let put = self.client.put_object().bucket(self.name).key(key).body(body);
        put.send().await.unwrap().version_id
    }

    async fn text(&self, key: &str) -> String {
        let got = self.client.get_object().bucket(self.name).key(key).send().await.unwrap();
        String::from_utf8(got.body.collect().await.unwrap().to_vec()).unwrap()
    }

    fn get(&self, key: &str, config: &Value) -> Value {
        json!({
            "resource": "arn:aws:states:::s3:getObject", "config": config,
            "arguments": { "Bucket": self.name, "Key": key },
        })
    }

    async fn read(&self, mut asked: Value) -> Result<(Vec<Value>, usize), TaskError> {
        let (mut items, mut pages) = (Vec::new(), 0);
        loop {
            let page = self.fluxling.call(READ, asked.clone()).await?;
            let page: ItemsPage = serde_json::from_value(page).unwrap();
            items.extend(page.items);
            pages += 1;
            match page.next {
                Some(next) => asked["after"] = next,
                None => return Ok((items, pages)),
            }
        }
    }
}

#[tokio::test]
async fn objects_are_read_in_every_format() {
    let aws = aws().await;
    let bucket = Bucket::new(&aws, "formats").await;
    let items: Vec<_> = (0..20_000).map(|n| json!({ "n": n.to_string(), "é": "ü?" })).collect();
    let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
    let rows: String = (0..20_000).map(|n| format!("{n},ü?\n")).collect();
    bucket.put("in/all.json", Value::from(items.clone()).to_string()).await;
    bucket.put("in/nested.json", json!({ "a": { "b": items } }).to_string()).await;
    bucket.put("in/all lines+1.jsonl", lines).await;
    bucket.put("in/all.csv", format!("n,é\n{rows}")).await;
    bucket.put("in/empty.csv", "").await;
    for (key, config) in [
        ("in/all.json", json!({ "InputType": "JSON" })),
        ("in/nested.json", json!({ "InputType": "JSON", "ItemsPointer": "/a/b" })),
        ("in/all lines+1.jsonl", json!({ "InputType": "JSONL" })),
        ("in/all.csv", json!({ "InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW" })),
    ] {
        let (read, pages) = bucket.read(bucket.get(key, &config)).await.unwrap();
        assert!(read == items, "{key}: {} items", read.len());
        assert!(pages > 1, "{key}: {pages} pages");
    }
    let csv = json!({ "InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW" });
    let (read, _) = bucket.read(bucket.get("in/empty.csv", &csv)).await.unwrap();
    assert_eq!(read, [] as [Value; 0]);
}

#[tokio::test]
async fn an_object_that_changes_is_not_read_on_and_a_version_is() {
    let aws = aws().await;
    let bucket = Bucket::new(&aws, "changes").await;
    let versioned = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
    let versioned = bucket
        .client
        .put_bucket_versioning()
        .bucket(bucket.name)
        .versioning_configuration(versioned.build());
    versioned.send().await.unwrap();
    let text = |filler: &str| json!(vec![filler.repeat(1_000); 1_000]).to_string();
    let first = bucket.put("k", text("x")).await.unwrap();
    let mut asked = bucket.get("k", &json!({}));
    let page = bucket.fluxling.call(READ, asked.clone()).await.unwrap();
    bucket.put("k", text("y")).await;
    asked["after"] = page["next"].clone();
    let error = bucket.fluxling.call(READ, asked.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{READER_FAILED}: the object changed while it was read"));
    asked["arguments"]["VersionId"] = first.into();
    let (read, _) = bucket.read(asked).await.unwrap();
    assert!(!read.is_empty() && read.iter().all(|item| item.as_str().unwrap().starts_with('x')));
}

#[tokio::test]
async fn a_bucket_is_listed_in_pages() {
    let aws = aws().await;
    let bucket = Bucket::new(&aws, "listed").await;
    for n in 0..1_005 {
        bucket.put(&format!("in/{n:04}.txt"), format!("{:>12}", n + 1)).await;
    }
    bucket.put("other/é &<.txt", "").await;
    let listing = |arguments: Value| json!({ "resource": "arn:aws:states:::s3:listObjectsV2", "arguments": arguments });
    let asked = listing(json!({ "Bucket": bucket.name, "Prefix": "in/" }));
    let (items, pages) = bucket.read(asked.clone()).await.unwrap();
    assert_eq!((items.len(), pages), (1_005, 2));
    for (n, item) in items.iter().enumerate() {
        assert_eq!(item["Key"], format!("in/{n:04}.txt"));
    }
    let names: Vec<_> = items[0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["Etag", "LastModified", "Key", "Size", "StorageClass"]);
    assert_eq!((&items[0]["Size"], &items[0]["StorageClass"]), (&json!(12), &json!("STANDARD")));
    assert!(items[0]["LastModified"].is_u64() && items[0]["Etag"].is_string(), "{}", items[0]);
    let mut some = asked;
    some["max_items"] = json!(3);
    some["arguments"]["StartAfter"] = json!("in/0999.txt");
    let (items, _) = bucket.read(some).await.unwrap();
    let keys: Vec<_> = items.iter().map(|item| &item["Key"]).collect();
    assert_eq!(keys, ["in/1000.txt", "in/1001.txt", "in/1002.txt"]);
    let other = listing(json!({ "Bucket": bucket.name, "Prefix": "other/" }));
    assert_eq!(bucket.read(other).await.unwrap().0[0]["Key"], "other/é &<.txt");
    // Each object is a number, which is JSON in one line.
    let mut within = listing(json!({ "Bucket": bucket.name, "Prefix": "in/00" }));
    within["config"] = json!({ "InputType": "JSONL", "Transformation": "LOAD_AND_FLATTEN" });
    let (items, pages) = bucket.read(within).await.unwrap();
    assert_eq!((items, pages), ((1..101).map(Value::from).collect(), 1));
}

#[tokio::test]
async fn results_are_written() {
    let aws = aws().await;
    let bucket = Bucket::new(&aws, "results").await;
    let files = json!([
        { "path": "run/SUCCEEDED_0.json", "content": { "json": ["ü"] } },
        { "path": "run/FAILED_0.jsonl", "content": { "lines": [{ "a": 1 }, 2] } }
    ]);
    let asked = json!({
        "resource": "arn:aws:states:::s3:putObject",
        "arguments": { "Bucket": bucket.name, "Prefix": "out" }, "files": files,
    });
    for _ in 0..2 {
        bucket.fluxling.call(WRITE, asked.clone()).await.expect("writes, also again");
    }
    assert_eq!(bucket.text("out/run/SUCCEEDED_0.json").await, "[\"ü\"]");
    assert_eq!(bucket.text("out/run/FAILED_0.jsonl").await, "{\"a\":1}\n2\n");
    let mut nowhere = asked;
    nowhere["arguments"]["Bucket"] = json!("no-such-bucket");
    let error = bucket.fluxling.call(WRITE, nowhere).await.unwrap_err();
    assert_eq!(error.name(), WRITER_FAILED);
    assert!(error.cause().contains("bucket does not exist"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_said_as_the_service_says_it() {
    let aws = aws().await;
    let bucket = Bucket::new(&aws, "absent").await;
    bucket.put("object.json", "{}").await;
    let elsewhere = json!({ "Bucket": "no-such-bucket", "Key": "k" });
    for (asked, says) in [
        (
            bucket.get("absent.json", &json!({})),
            "The specified key does not exist. (Service: S3, Status Code: 404",
        ),
        (bucket.get("object.json", &json!({})), "Attempting to map over non-iterable node."),
        (
            json!({ "resource": "arn:aws:states:::s3:getObject", "arguments": elsewhere }),
            "bucket does not exist (Service: S3, Status Code: 404",
        ),
        (
            json!({
                "resource": "arn:aws:states:::s3:listObjectsV2",
                "arguments": { "Bucket": "no-such-bucket" },
            }),
            "bucket does not exist (Service: S3, Status Code: 404",
        ),
    ] {
        let error = bucket.read(asked.clone()).await.unwrap_err();
        assert_eq!(error.name(), READER_FAILED, "{asked}");
        assert!(error.cause().contains(says), "{asked}: {error}");
    }
}
