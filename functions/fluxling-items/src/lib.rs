//! Reads the items of distributed Maps, and writes their results: `items.read` and `items.write`.
//!
//! The contract is [`fluxus_schema::items`]: a page of items at a time, files of results. Arguments
//! say where:
//!
//! | arguments | where |
//! | --- | --- |
//! | `{"Url": "https://example.com/orders.csv"}` | that document; results below that URL, by `PUT` |
//! | `{"File": "orders.csv"}` | below the folder of [`ItemsConfig::folder`] |
//! | `{"Bucket": "b", "Key": "k"}`, `{"Bucket": "b", "Prefix": "p"}` | below [`ItemsConfig::s3_url`] |
//!
//! A source is read from where the page begins, by ranges: its size does not matter. Requests are
//! guarded as those of `http.request`. A bucket is reached by plain HTTP, so it must be one that
//! asks for no signature.
//!
//! | error name | when |
//! | --- | --- |
//! | `States.ItemReaderFailed` | the source is not there, not allowed, or not in its format |
//! | `States.ResultWriterFailed` | the results cannot be put there |
//! | `Http.…` | as for `http.request`, where the server may do better next time |

mod config;
mod place;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ::fluxling::{Fluxling, Task, TaskError};
use fluxling_http::Documents;
use fluxus_machine::items::{PageBounds, Position, Window, page};
use fluxus_schema::items::{FileContent, ItemsPage, READ, ReadItems, WRITE, WriteResults};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use config::ItemsConfig;
use place::{Place, Places};

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

fn input<T: DeserializeOwned>(task: &Task<Value>, error: &str) -> Result<T, TaskError> {
    serde_json::from_value(task.input.clone()).map_err(|wrong| TaskError::fatal(error, wrong))
}

async fn read(places: &Places, asked: ReadItems) -> Result<Value, TaskError> {
    if asked.resource.ends_with(":s3:listObjectsV2") {
        let cause = "listing a bucket needs signed requests, which are not there yet; name one \
                     source with s3:getObject";
        return Err(TaskError::fatal(READER_FAILED, cause));
    }
    let position = match asked.after {
        Some(after) => serde_json::from_value(after)
            .map_err(|wrong| TaskError::fatal(READER_FAILED, format!("`after`: {wrong}")))?,
        None => Position::default(),
    };
    let place = Place::of_source(&asked.arguments, READER_FAILED)?;
    let part = places.read(&place, position.offset, WINDOW_BYTES).await?;
    let window = Window { bytes: &part.bytes, is_last: part.is_last };
    let bounds = PageBounds { bytes: PAGE_BYTES, max_items: asked.max_items };
    let read: ItemsPage = page(&asked.config, window, &position, bounds)
        .map_err(|unreadable| TaskError::fatal(READER_FAILED, unreadable))?;
    serde_json::to_value(read).map_err(|wrong| TaskError::fatal(READER_FAILED, wrong))
}

async fn write(places: &Places, asked: WriteResults) -> Result<Value, TaskError> {
    let place = Place::of_results(&asked.arguments, WRITER_FAILED)?;
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
