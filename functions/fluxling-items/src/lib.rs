//! Reads the items of distributed Maps, and writes their results: `items.read` and `items.write`.
//!
//! The contract is [`fluxus_schema::items`]: a page of items at a time, files of results. Arguments
//! say where:
//!
//! | arguments | where |
//! | --- | --- |
//! | `{"Url": "https://example.com/orders.csv"}` | that document; results below that URL, by `PUT` |
//! | `{"File": "orders.csv"}` | below the folder of [`ItemsConfig::folder`] |
//! | `{"Bucket": "b", "Key": "k"}`, `{"Bucket": "b", "Prefix": "p"}` | in S3, by [`ItemsConfig::objects`]; or below [`ItemsConfig::s3_url`], where no signature is asked for |
//!
//! A source is read from where the page begins, by ranges: its size does not matter. Requests over
//! HTTP are guarded as those of `http.request`.
//!
//! In S3, `VersionId` names a version, and `ExpectedBucketOwner` the account that the bucket must
//! belong to. All pages are of the object as the first page found it: one that changes meanwhile
//! fails the Map. With `s3:listObjectsV2` the items are the objects themselves, as S3 lists them,
//! in the order of their keys and after `StartAfter`:
//!
//! ```json
//! {"Etag": "\"9b2c\"", "LastModified": 1668699881, "Key": "in/7.png", "Size": 34910, "StorageClass": "STANDARD"}
//! ```
//!
//! With the `Transformation` `LOAD_AND_FLATTEN` each object is read as a source of the `InputType`,
//! and the items are those of all of them. Empty objects whose keys end in `/` are passed over.
//!
//! | error name | when |
//! | --- | --- |
//! | `States.ItemReaderFailed` | the source is not there, not allowed, or not in its format |
//! | `States.ResultWriterFailed` | the results cannot be put there |
//! | `Http.…` | as for `http.request`, where the server may do better next time |

mod config;
mod flatten;
mod listing;
pub mod objects;
mod place;
#[cfg(feature = "aws")]
mod s3;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ::fluxling::{Fluxling, Task, TaskError};
use fluxling_http::Documents;
use fluxus_machine::items::{PageBounds, Position, Window, page};
use fluxus_schema::items::{
    FileContent, ItemsPage, ItemsTransformation, READ, ReadItems, ReaderConfig, WRITE, WriteResults,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use config::ItemsConfig;
use objects::Objects;
use place::{Place, Places};
#[cfg(feature = "aws")]
pub use s3::S3Objects;

/// Bytes of items in a page: what a message carries, with room for the document around them.
const PAGE_BYTES: usize = 192 * 1024;

/// Bytes of a source that are looked at for one page: an item may take as much.
const WINDOW_BYTES: usize = 1024 * 1024;

/// Tasks at a time: each holds a window.
const CONCURRENCY: u32 = 16;

/// The longest time for one task: that of a slow server.
const TIMEOUT: Duration = Duration::from_secs(2 * 60);

/// Names of the errors that tasks fail with, beside those of fluxling-http.
pub mod error_name {
    /// The source is not there, not allowed, or not in its format.
    pub const READER_FAILED: &str = "States.ItemReaderFailed";
    /// The results cannot be put there.
    pub const WRITER_FAILED: &str = "States.ResultWriterFailed";
}

use error_name::{READER_FAILED, WRITER_FAILED};

/// The fluxling.
pub fn fluxling(config: ItemsConfig) -> Fluxling {
    // Fails where the machine's TLS roots cannot be loaded; each task then says so.
    let documents = Documents::new(config.http.clone());
    let places = Arc::new(documents.map(|documents| Places::new(config, documents)));
    let of = |places: &Arc<Result<Places, TaskError>>| {
        let places = Arc::clone(places);
        move || match &*places {
            Ok(places) => Ok(places.clone()),
            Err(error) => Err(TaskError::retryable(error.name(), error.cause())),
        }
    };
    let (for_reading, for_writing) = (of(&places), of(&places));
    Fluxling::new("items")
        .version(env!("CARGO_PKG_VERSION"))
        .description("Reads the items of distributed Maps, and writes their results.")
        .capability(READ, move |task: Task<Value>| {
            let places = for_reading();
            async move { read(&places?, input(&task, READER_FAILED)?).await }
        })
        .capability(WRITE, move |task: Task<Value>| {
            let places = for_writing();
            async move { write(&places?, input(&task, WRITER_FAILED)?).await }
        })
        .concurrency(CONCURRENCY)
        .timeout(TIMEOUT)
        .idempotent(true)
}

/// The way to buckets of a deployed fluxling: AWS's SDK. None where this was built without feature
/// `aws`.
#[cfg(feature = "aws")]
pub async fn buckets() -> Option<Arc<dyn Objects>> {
    Some(Arc::new(S3Objects::from_env().await))
}

/// The way to buckets of a deployed fluxling: AWS's SDK. None where this was built without feature
/// `aws`.
#[cfg(not(feature = "aws"))]
pub async fn buckets() -> Option<Arc<dyn Objects>> {
    None
}

fn input<T: DeserializeOwned>(task: &Task<Value>, error: &str) -> Result<T, TaskError> {
    serde_json::from_value(task.input.clone()).map_err(|wrong| TaskError::fatal(error, wrong))
}

/// Where a page of a source begins: `after` of what is asked, `next` of what is answered.
#[derive(Debug, Default, Serialize, Deserialize)]
struct After {
    #[serde(flatten)]
    position: Position,
    /// Names the content that the pages before were of, where the source has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

async fn read(places: &Places, asked: ReadItems) -> Result<Value, TaskError> {
    let is_listing = asked.resource.ends_with(":s3:listObjectsV2");
    let page = match (is_listing, asked.config.transformation) {
        (true, ItemsTransformation::None) => listing::page(places, &asked).await?,
        (true, ItemsTransformation::LoadAndFlatten) => flatten::page(places, &asked).await?,
        (false, _) => {
            let place = Place::of_source(&asked.arguments)?;
            let bounds = PageBounds { bytes: PAGE_BYTES, max_items: asked.max_items };
            window(places, &place, &after(&asked)?, &asked.config, bounds, "").await?
        }
    };
    serde_json::to_value(page).map_err(|wrong| TaskError::fatal(READER_FAILED, wrong))
}

/// The items in one window of a source. `named` goes before the cause where it cannot be read.
async fn window(
    places: &Places,
    place: &Place,
    after: &After,
    config: &ReaderConfig,
    bounds: PageBounds,
    named: &str,
) -> Result<ItemsPage, TaskError> {
    let After { position, etag } = after;
    let part = places.read(place, position.offset, WINDOW_BYTES, etag.as_deref()).await?;
    let window = Window { bytes: &part.bytes, is_last: part.is_last };
    let mut page = page(config, window, position, bounds)
        .map_err(|unreadable| TaskError::fatal(READER_FAILED, format!("{named}{unreadable}")))?;
    if let (Some(next), Some(etag)) = (&mut page.next, part.etag) {
        next["etag"] = etag.into();
    }
    Ok(page)
}

/// Where the page begins that is asked for.
fn after<T: DeserializeOwned + Default>(asked: &ReadItems) -> Result<T, TaskError> {
    let Some(after) = asked.after.clone() else { return Ok(T::default()) };
    serde_json::from_value(after)
        .map_err(|wrong| TaskError::fatal(READER_FAILED, format!("`after`: {wrong}")))
}

async fn write(places: &Places, asked: WriteResults) -> Result<Value, TaskError> {
    let place = Place::of_results(&asked.arguments)?;
    for file in asked.files {
        let (kind, text) = match file.content {
            FileContent::Json(document) => ("application/json", document.to_string()),
            FileContent::Lines(lines) => {
                let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
                ("application/x-ndjson", lines)
            }
        };
        places.write(&place.below(&file.path, WRITER_FAILED)?, kind, text).await?;
    }
    Ok(json!({}))
}
