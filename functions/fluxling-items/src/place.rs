//! Where sources and results are, and how they are reached.

use std::io::SeekFrom;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ::fluxling::TaskError;
use fluxling_http::{Documents, Part};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::config::ItemsConfig;
use crate::error_name::{READER_FAILED, WRITER_FAILED};

/// A source, or where results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Url(String),
    /// Below the configured folder.
    File(String),
    Bucket {
        bucket: String,
        key: String,
    },
}

impl Place {
    pub(crate) fn of_source(arguments: &Value, error: &str) -> Result<Self, TaskError> {
        Self::of(arguments, "Key", error)
    }

    pub(crate) fn of_results(arguments: &Value, error: &str) -> Result<Self, TaskError> {
        Self::of(arguments, "Prefix", error)
    }

    fn of(arguments: &Value, key: &str, error: &str) -> Result<Self, TaskError> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).map(str::to_owned);
        match (text("Url"), text("File"), text("Bucket")) {
            (Some(url), None, None) => Ok(Self::Url(url)),
            (None, Some(file), None) => Ok(Self::File(file)),
            (None, None, Some(bucket)) => {
                Ok(Self::Bucket { bucket, key: text(key).unwrap_or_default() })
            }
            _ => {
                let cause = format!(
                    "the arguments {arguments} must have `Url`, `File`, or `Bucket` with `{key}`"
                );
                Err(TaskError::fatal(error, cause))
            }
        }
    }

    /// The place of a file of results, `path`, below this one.
    pub(crate) fn below(&self, path: &str, error: &str) -> Result<Self, TaskError> {
        if !is_plain(Path::new(path)) {
            let cause = format!("`{path}` is no path below the place of the results");
            return Err(TaskError::fatal(error, cause));
        }
        let join = |above: &str| match above.trim_end_matches('/') {
            "" => path.to_owned(),
            above => format!("{above}/{path}"),
        };
        Ok(match self {
            Self::Url(url) => Self::Url(join(url)),
            Self::File(file) => Self::File(join(file)),
            Self::Bucket { bucket, key } => Self::Bucket { bucket: bucket.clone(), key: join(key) },
        })
    }
}

/// Whether a path only goes down.
fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// The way to all places. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<(ItemsConfig, Documents)>);

impl Places {
    pub(crate) fn new(config: ItemsConfig, documents: Documents) -> Self {
        Self(Arc::new((config, documents)))
    }

    /// At most `most` bytes of a source, from `from` on.
    pub(crate) async fn read(
        &self,
        place: &Place,
        from: u64,
        most: usize,
    ) -> Result<Part, TaskError> {
        let (_, documents) = &*self.0;
        match self.reach(place, READER_FAILED)? {
            Way::Url(url) => documents.read(&url, from, most).await,
            Way::File(path) => {
                let read = read_file(&path, from, most).await;
                read.map_err(|error| TaskError::fatal(READER_FAILED, told(place, &error)))
            }
        }
    }

    /// Puts a document somewhere; one that is there already is overwritten.
    pub(crate) async fn write(
        &self,
        place: &Place,
        kind: &str,
        text: String,
    ) -> Result<(), TaskError> {
        let (_, documents) = &*self.0;
        match self.reach(place, WRITER_FAILED)? {
            Way::Url(url) => documents.write(&url, kind, text).await,
            Way::File(path) => {
                let written = write_file(&path, &text).await;
                written.map_err(|error| TaskError::fatal(WRITER_FAILED, told(place, &error)))
            }
        }
    }

    fn reach(&self, place: &Place, error: &str) -> Result<Way, TaskError> {
        let (config, _) = &*self.0;
        let refused = |cause: String| Err(TaskError::fatal(error, cause));
        match place {
            Place::Url(url) => Ok(Way::Url(url.clone())),
            Place::File(file) => match &config.folder {
                None => refused(format!(
                    "the file `{file}` is refused: no folder is configured (FLUXLING_ITEMS_FOLDER)"
                )),
                Some(_) if !is_plain(Path::new(file)) => {
                    refused(format!("`{file}` is no path below the configured folder"))
                }
                Some(folder) => Ok(Way::File(folder.join(file))),
            },
            Place::Bucket { bucket, key } => match &config.s3_url {
                None => refused(format!(
                    "the bucket `{bucket}` is refused: no address is configured \
                     (FLUXLING_ITEMS_S3_URL)"
                )),
                Some(url) => Ok(Way::Url(format!("{}/{bucket}/{key}", url.trim_end_matches('/')))),
            },
        }
    }
}

enum Way {
    Url(String),
    File(PathBuf),
}

async fn read_file(path: &Path, from: u64, most: usize) -> std::io::Result<Part> {
    let mut file = tokio::fs::File::open(path).await?;
    let length = file.metadata().await?.len();
    file.seek(SeekFrom::Start(from)).await?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes).await?;
    let is_last = from + bytes.len() as u64 >= length;
    Ok(Part { bytes, is_last })
}

/// Writes beside, then renames: a reader never sees half a file.
async fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    tokio::fs::write(&beside, text).await?;
    tokio::fs::rename(&beside, path).await
}

fn told(place: &Place, error: &std::io::Error) -> String {
    match place {
        Place::File(file) => format!("`{file}`: {error}"),
        Place::Url(_) | Place::Bucket { .. } => error.to_string(),
    }
}
