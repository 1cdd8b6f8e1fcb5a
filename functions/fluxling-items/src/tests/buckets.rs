//! Objects through the handlers, with buckets in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::objects::{Listed, ListedPage, Listing, ObjectError, ObjectPart, ObjectPlace};

/// One bucket, `b`, of one owner, `o`. A text is an object's etag and version, too.
#[derive(Debug, Default)]
struct Bucket {
    /// All contents that each key had, the latest last.
    objects: Mutex<BTreeMap<String, Vec<String>>>,
    /// Whether it answers at all.
    is_away: bool,
}

impl Bucket {
    fn of(objects: &[(&str, &str)]) -> Arc<Self> {
        let bucket = Self::default();
        for (key, text) in objects {
            bucket.set(key, text);
        }
        Arc::new(bucket)
    }

    fn set(&self, key: &str, text: &str) {
        let mut objects = self.objects.lock().expect("not poisoned");
        objects.entry(key.to_owned()).or_default().push(text.to_owned());
    }

    fn admit(&self, bucket: &str, owner: Option<&str>) -> Result<(), ObjectError> {
        if self.is_away {
            return Err(ObjectError::Transient {
                message: "Please reduce your request rate".into(),
            });
        }
        let refused = |code: &str, message: &str| {
            Err(ObjectError::Refused { code: code.into(), message: message.into() })
        };
        match (bucket, owner) {
            ("b", None | Some("o")) => Ok(()),
            ("b", Some(_)) => refused("AccessDenied", "Access Denied"),
            _ => refused("NoSuchBucket", "The specified bucket does not exist"),
        }
    }
}

#[async_trait]
impl Objects for Bucket {
    async fn read(
        &self,
        place: &ObjectPlace,
        from: u64,
        most: usize,
        etag: Option<&str>,
    ) -> Result<ObjectPart, ObjectError> {
        self.admit(&place.bucket, place.owner.as_deref())?;
        let objects = self.objects.lock().expect("not poisoned");
        let text = objects.get(&place.key).and_then(|versions| match &place.version {
            Some(version) => versions.iter().find(|text| *text == version),
            None => versions.last(),
        });
        let message = "The specified key does not exist.".to_owned();
        let text =
            text.ok_or_else(|| ObjectError::Refused { code: "NoSuchKey".to_owned(), message })?;
        if etag.is_some_and(|etag| etag != text) {
            return Err(ObjectError::Changed);
        }
        let from = usize::try_from(from).expect("a small object").min(text.len());
        let to = (from + most).min(text.len());
        let bytes = text.as_bytes()[from..to].to_vec();
        Ok(ObjectPart { bytes, is_last: to == text.len(), etag: Some(text.clone()) })
    }

    async fn list(&self, listing: &Listing, most: u16) -> Result<ListedPage, ObjectError> {
        self.admit(&listing.bucket, listing.owner.as_deref())?;
        let objects = self.objects.lock().expect("not poisoned");
        let after = listing.start_after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let prefix = listing.prefix.as_deref().unwrap_or_default();
        let mut fitting =
            objects.range((after, Bound::Unbounded)).filter(|(key, _)| key.starts_with(prefix));
        let listed = |(key, versions): (&String, &Vec<String>)| Listed {
            etag: Some("\"9b2c\"".to_owned()),
            last_modified_s: Some(1_668_699_881),
            key: key.clone(),
            size: versions.last().and_then(|text| i64::try_from(text.len()).ok()),
            storage_class: Some("STANDARD".to_owned()),
        };
        let objects = fitting.by_ref().take(usize::from(most)).map(listed).collect();
        Ok(ListedPage { objects, is_last: fitting.next().is_none() })
    }

    async fn put(&self, place: &ObjectPlace, _: &str, text: String) -> Result<(), ObjectError> {
        self.admit(&place.bucket, place.owner.as_deref())?;
        self.set(&place.key, &text);
        Ok(())
    }
}

fn with(bucket: &Arc<Bucket>) -> Fluxling {
    let objects: Arc<dyn Objects> = Arc::clone(bucket) as _;
    fluxling(ItemsConfig { objects: Some(objects), ..ItemsConfig::default() })
}

fn get(arguments: &Value) -> Value {
    json!({ "resource": "arn:aws:states:::s3:getObject", "arguments": arguments })
}

fn list(arguments: &Value) -> Value {
    json!({ "resource": "arn:aws:states:::s3:listObjectsV2", "arguments": arguments })
}

/// An array of `count` items that takes several pages.
fn large(count: usize, filler: &str) -> String {
    let items: Vec<_> = (0..count).map(|n| json!({ "n": n, "text": filler.repeat(100) })).collect();
    serde_json::to_string(&items).expect("JSON")
}

#[tokio::test]
async fn an_object_is_read_page_by_page() {
    let bucket = Bucket::of(&[("all.json", &large(5_000, "x")), ("empty.csv", "")]);
    let fluxling = with(&bucket);
    let of_all = get(&json!({ "Bucket": "b", "Key": "all.json", "ExpectedBucketOwner": "o" }));
    let (items, pages) = read_all(&fluxling, &of_all).await.unwrap();
    assert_eq!((items.len(), &items[4_999]["n"]), (5_000, &json!(4_999)));
    assert!((3..6).contains(&pages), "{pages}");
    let mut of_none = get(&json!({ "Bucket": "b", "Key": "empty.csv" }));
    of_none["config"] = json!({ "InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW" });
    assert_eq!(read_all(&fluxling, &of_none).await.unwrap(), (vec![], 1));
}

#[tokio::test]
async fn pages_are_of_one_content_or_of_none() {
    let old = large(5_000, "x");
    let bucket = Bucket::of(&[("k", &old)]);
    let fluxling = with(&bucket);
    let mut asked = get(&json!({ "Bucket": "b", "Key": "k" }));
    let page = fluxling.call(READ, asked.clone()).await.unwrap();
    bucket.set("k", &large(5_000, "y"));
    asked["after"] = page["next"].clone();
    let error = fluxling.call(READ, asked).await.unwrap_err();
    assert_eq!(
        (error.name(), error.cause()),
        (READER_FAILED, "the object changed while it was read")
    );
    let of_version = get(&json!({ "Bucket": "b", "Key": "k", "VersionId": old }));
    let (items, _) = read_all(&fluxling, &of_version).await.unwrap();
    assert_eq!(items[4_999]["text"], "x".repeat(100));
}

#[tokio::test]
async fn objects_are_items_as_they_are_listed() {
    let bucket = Bucket::of(&[("a/1", "one"), ("b/1", "two"), ("b/2", "three"), ("c", "")]);
    let fluxling = with(&bucket);
    let under = |key: &str, size| {
        json!({
            "Etag": "\"9b2c\"", "LastModified": 1_668_699_881, "Key": key, "Size": size,
            "StorageClass": "STANDARD",
        })
    };
    let asked = list(&json!({ "Bucket": "b", "Prefix": "b/" }));
    let (items, _) = read_all(&fluxling, &asked).await.unwrap();
    assert_eq!(items, [under("b/1", 3), under("b/2", 5)]);
    let mut asked = list(&json!({ "Bucket": "b", "StartAfter": "a/1" }));
    asked["max_items"] = json!(2);
    let (items, pages) = read_all(&fluxling, &asked).await.unwrap();
    assert_eq!((items, pages), (vec![under("b/1", 3), under("b/2", 5)], 1));
    let none = list(&json!({ "Bucket": "b", "Prefix": "none" }));
    assert_eq!(read_all(&fluxling, &none).await.unwrap(), (vec![], 1));
}

#[tokio::test]
async fn a_long_listing_takes_pages_that_messages_can_carry() {
    let bucket = Bucket::of(&[]);
    // Long keys fill a page before the listing's own bound does, short ones after.
    for n in 0..2_500 {
        bucket.set(&format!("{n:05}-{}", "k".repeat(if n < 500 { 900 } else { 9 })), "");
    }
    let (items, pages) = read_all(&with(&bucket), &list(&json!({ "Bucket": "b" }))).await.unwrap();
    let keys: Vec<_> = items.iter().filter_map(|item| item["Key"].as_str()).collect();
    assert!(keys.len() == 2_500 && keys.is_sorted(), "{} keys", keys.len());
    assert_eq!(pages, 5);
}

#[tokio::test]
async fn objects_are_read_one_after_the_other_where_that_is_asked_for() {
    let lines = |from: usize, to: usize| -> String {
        (from..to).map(|n| format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "x".repeat(90))).collect()
    };
    let bucket = Bucket::of(&[("in/", ""), ("in/0", &lines(0, 3_000)), ("in/1/", ""), ("z", "")]);
    // More small objects than one page takes, and a large one in their midst.
    for n in 0..250 {
        let (from, to) = if n < 100 { (3_000 + n, 3_001 + n) } else { (6_000 + n, 6_001 + n) };
        bucket.set(&format!("in/1/{n:03}"), &lines(from, to));
    }
    bucket.set("in/1/099-large", &lines(3_100, 6_100));
    let fluxling = with(&bucket);
    let mut asked = list(&json!({ "Bucket": "b", "Prefix": "in/" }));
    asked["config"] = json!({ "InputType": "JSONL", "Transformation": "LOAD_AND_FLATTEN" });
    let (items, pages) = read_all(&fluxling, &asked).await.unwrap();
    let numbers: Vec<_> = items.iter().filter_map(|item| item["n"].as_u64()).collect();
    assert_eq!(numbers, (0..6_250).collect::<Vec<_>>());
    assert!((5..10).contains(&pages), "{pages}");
    for most in [1, 2_999, 3_000, 3_001, 3_100, 6_249, 9_999] {
        asked["max_items"] = json!(most);
        let (items, _) = read_all(&fluxling, &asked).await.unwrap();
        assert_eq!(items.len(), most.min(6_250));
    }
    bucket.set("in/2", "no JSON");
    asked["max_items"] = Value::Null;
    let error = read_all(&fluxling, &asked).await.unwrap_err();
    assert!(error.cause().starts_with("`in/2`: Item 1 is no JSON in one line"), "{error}");
}

#[tokio::test]
async fn results_are_put_below_their_prefix() {
    let bucket = Bucket::of(&[]);
    let files = json!([
        { "path": "run/SUCCEEDED_0.json", "content": { "json": [1] } },
        { "path": "run/manifest.json", "content": { "json": {} } }
    ]);
    for (arguments, key) in [
        (json!({ "Bucket": "b", "Prefix": "out/" }), "out/run/SUCCEEDED_0.json"),
        (json!({ "Bucket": "b" }), "run/SUCCEEDED_0.json"),
    ] {
        let resource = "arn:aws:states:::s3:putObject";
        let asked = json!({ "resource": resource, "arguments": arguments, "files": files });
        with(&bucket).call(WRITE, asked).await.unwrap();
        assert_eq!(bucket.objects.lock().unwrap()[key], ["[1]"]);
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_said_in_the_words_of_s3() {
    let bucket = Bucket::of(&[("object.json", "{\"a\":1}")]);
    let away = Arc::new(Bucket { is_away: true, ..Bucket::default() });
    let (open, away) = (with(&bucket), with(&away));
    let object = |key: &str| get(&json!({ "Bucket": "b", "Key": key }));
    let with_argument = |name: &str, value: Value| {
        let mut asked = object("object.json");
        asked["arguments"][name] = value;
        asked
    };
    for (fluxling, asked, says) in [
        (&open, object("absent"), "The specified key does not exist."),
        (&open, object("object.json"), "Attempting to map over non-iterable node."),
        (&open, object(""), "name a `Bucket` without a `Key`"),
        (&open, with_argument("ExpectedBucketOwner", json!("x")), "Access Denied"),
        (
            &open,
            with_argument("RequestPayer", json!("requester")),
            "`RequestPayer`: \"requester\" is",
        ),
        (&open, with_argument("VersionId", json!(7)), "`VersionId`: 7 is not supported"),
        (&open, list(&json!({ "Bucket": "c" })), "The specified bucket does not exist"),
        (&open, list(&json!({ "Prefix": "c" })), "must have the `Bucket` to list"),
        (&open, list(&json!({ "Bucket": "b", "Delimiter": "/" })), "`Delimiter`: \"/\" is not"),
        (&away, object("object.json"), "Please reduce your request rate"),
    ] {
        let error = read_all(fluxling, &asked).await.unwrap_err();
        assert_eq!(error.name(), READER_FAILED, "{asked}");
        assert!(error.cause().contains(says), "{asked}: {error}");
    }
    let objects: Arc<dyn Objects> = Arc::clone(&bucket) as _;
    let s3_url = Some("http://127.0.0.1:1".to_owned());
    let by_url = fluxling(ItemsConfig { objects: Some(objects), s3_url, ..ItemsConfig::default() });
    let asked = with_argument("VersionId", json!("7"));
    let error = by_url.call(READ, asked).await.unwrap_err();
    assert!(error.cause().contains("not for an address that buckets are below"), "{error}");
    let asked = json!({
        "resource": "arn:aws:states:::s3:putObject", "arguments": { "Bucket": "c" },
        "files": [{ "path": "x", "content": { "json": 1 } }],
    });
    let error = open.call(WRITE, asked).await.unwrap_err();
    assert_eq!(error.to_string(), "States.ResultWriterFailed: The specified bucket does not exist");
}
