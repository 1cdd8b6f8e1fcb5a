//! Where sources and results are, and how they are reached.

use std::io::SeekFrom;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::fluxling::TaskError;
use fluxling_http::{Documents, Part};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::config::ItemsConfig;
use crate::error_name::{READER_FAILED, WRITER_FAILED};
use crate::objects::{ListedPage, Listing, ObjectError, ObjectPart, ObjectPlace, Objects};

/// When to try again what S3 did not do though the SDK has tried again already: it wants a pause.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What S3 is told of an object to read, of a listing, and of results. What it would be told
/// otherwise, such as by whom a request is paid for, is refused: leaving it out might be wrong.
const OF_OBJECT: [&str; 4] = ["Bucket", "Key", "VersionId", "ExpectedBucketOwner"];
const OF_LISTING: [&str; 4] = ["Bucket", "Prefix", "StartAfter", "ExpectedBucketOwner"];
const OF_RESULTS: [&str; 3] = ["Bucket", "Prefix", "ExpectedBucketOwner"];

/// A source, or where results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Url(String),
    /// Below the configured folder.
    File(String),
    Object(ObjectPlace),
}

impl Place {
    pub(crate) fn of_source(arguments: &Value) -> Result<Self, TaskError> {
        let place = Self::of(arguments, "Key", &OF_OBJECT, READER_FAILED)?;
        match &place {
            Self::Object(object) if object.key.is_empty() => {
                let cause = format!("the arguments {arguments} name a `Bucket` without a `Key`");
                Err(TaskError::fatal(READER_FAILED, cause))
            }
            _ => Ok(place),
        }
    }

    pub(crate) fn of_results(arguments: &Value) -> Result<Self, TaskError> {
        Self::of(arguments, "Prefix", &OF_RESULTS, WRITER_FAILED)
    }

    fn of(arguments: &Value, key: &str, known: &[&str], error: &str) -> Result<Self, TaskError> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).map(str::to_owned);
        match (text("Url"), text("File"), text("Bucket")) {
            (Some(url), None, None) => Ok(Self::Url(url)),
            (None, Some(file), None) => Ok(Self::File(file)),
            (None, None, Some(bucket)) => {
                only(arguments, known, error)?;
                let (version, owner) = (text("VersionId"), text("ExpectedBucketOwner"));
                let key = text(key).unwrap_or_default();
                Ok(Self::Object(ObjectPlace { bucket, key, version, owner }))
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
            Self::Object(object) => {
                Self::Object(ObjectPlace { key: join(&object.key), ..object.clone() })
            }
        })
    }
}

/// The listing that arguments of `s3:listObjectsV2` ask for.
pub(crate) fn listing(arguments: &Value) -> Result<Listing, TaskError> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(bucket) = text("Bucket") else {
        let cause = format!("the arguments {arguments} must have the `Bucket` to list");
        return Err(TaskError::fatal(READER_FAILED, cause));
    };
    only(arguments, &OF_LISTING, READER_FAILED)?;
    Ok(Listing {
        bucket,
        prefix: text("Prefix"),
        start_after: text("StartAfter"),
        owner: text("ExpectedBucketOwner"),
    })
}

/// Refuses arguments that nobody would heed.
fn only(arguments: &Value, known: &[&str], error: &str) -> Result<(), TaskError> {
    let is_text =
        |name: &String, value: &Value| known.contains(&name.as_str()) && value.is_string();
    let mut given = arguments.as_object().into_iter().flatten();
    match given.find(|(name, value)| !is_text(name, value)) {
        None => Ok(()),
        Some((name, value)) => {
            let known = known.join("`, `");
            let cause = format!("`{name}`: {value} is not supported; texts are, for `{known}`");
            Err(TaskError::fatal(error, cause))
        }
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

    /// At most `most` bytes of a source, from `from` on; of an object, those of the content that
    /// `etag` names.
    pub(crate) async fn read(
        &self,
        place: &Place,
        from: u64,
        most: usize,
        etag: Option<&str>,
    ) -> Result<ObjectPart, TaskError> {
        let (_, documents) = &*self.0;
        let part = match self.reach(place, READER_FAILED)? {
            Way::Url(url) => documents.read(&url, from, most).await?,
            Way::File(path) => {
                let read = read_file(&path, from, most).await;
                read.map_err(|error| TaskError::fatal(READER_FAILED, told(place, &error)))?
            }
            Way::Object(objects, object) => {
                let read = objects.read(object, from, most, etag).await;
                return read.map_err(|error| failed(READER_FAILED, error));
            }
        };
        Ok(ObjectPart { bytes: part.bytes, is_last: part.is_last, etag: None })
    }

    /// At most `most` objects of a listing.
    pub(crate) async fn list(&self, listing: &Listing, most: u16) -> Result<ListedPage, TaskError> {
        let (config, _) = &*self.0;
        let Some(objects) = &config.objects else {
            let bucket = &listing.bucket;
            let cause = format!(
                "the bucket `{bucket}` cannot be listed: this fluxling has no access to S3 itself; \
                 name one source with s3:getObject"
            );
            return Err(TaskError::fatal(READER_FAILED, cause));
        };
        objects.list(listing, most).await.map_err(|error| failed(READER_FAILED, error))
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
            Way::Object(objects, object) => {
                let put = objects.put(object, kind, text).await;
                put.map_err(|error| failed(WRITER_FAILED, error))
            }
        }
    }

    fn reach<'a>(&'a self, place: &'a Place, error: &str) -> Result<Way<'a>, TaskError> {
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
            Place::Object(object) => match (&config.s3_url, &config.objects) {
                (Some(_), _) if object.version.is_some() || object.owner.is_some() => refused(
                    "`VersionId` and `ExpectedBucketOwner` are for S3 itself, not for an address \
                     that buckets are below (FLUXLING_ITEMS_S3_URL)"
                        .to_owned(),
                ),
                (Some(url), _) => {
                    let ObjectPlace { bucket, key, .. } = object;
                    Ok(Way::Url(format!("{}/{bucket}/{key}", url.trim_end_matches('/'))))
                }
                (None, Some(objects)) => Ok(Way::Object(&**objects, object)),
                (None, None) => refused(format!(
                    "the bucket `{}` is refused: this fluxling has no access to S3 itself, and no \
                     address is configured (FLUXLING_ITEMS_S3_URL)",
                    object.bucket
                )),
            },
        }
    }
}

/// A failure with an object, by the name of what it was for.
fn failed(name: &str, error: ObjectError) -> TaskError {
    match error {
        ObjectError::Refused { .. } | ObjectError::Changed | ObjectError::Client { .. } => {
            TaskError::fatal(name, error)
        }
        ObjectError::Transient { .. } => TaskError::retry_later(name, error, TRY_AGAIN_AFTER),
    }
}

enum Way<'a> {
    Url(String),
    File(PathBuf),
    Object(&'a dyn Objects, &'a ObjectPlace),
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
        Place::Url(_) | Place::Object(_) => error.to_string(),
    }
}
