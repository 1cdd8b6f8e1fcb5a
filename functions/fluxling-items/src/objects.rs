//! The port for objects in buckets: what is asked of S3, whoever carries it there.

use std::fmt::Debug;

use async_trait::async_trait;
use serde_json::{Value, json};

/// Where an object is, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPlace {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// A version of it; the latest where there is none.
    pub version: Option<String>,
    /// The account that the bucket must belong to.
    pub owner: Option<String>,
}

/// Part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPart {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the object ends with them.
    pub is_last: bool,
    /// Names the content that they are part of.
    pub etag: Option<String>,
}

/// Which objects of a bucket to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The bucket.
    pub bucket: String,
    /// What their keys begin with.
    pub prefix: Option<String>,
    /// The key that theirs come after, in the order of bytes.
    pub start_after: Option<String>,
    /// The account that the bucket must belong to.
    pub owner: Option<String>,
}

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Names its content.
    pub etag: Option<String>,
    /// When it was put, in seconds since 1970.
    pub last_modified_s: Option<i64>,
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub size: Option<i64>,
    /// `STANDARD` and the like.
    pub storage_class: Option<String>,
}

impl Listed {
    /// The item of a Map. Source: AWS Step Functions, "ItemReader (Map)".
    pub(crate) fn into_item(self) -> Value {
        json!({
            "Etag": self.etag,
            "LastModified": self.last_modified_s,
            "Key": self.key,
            "Size": self.size,
            "StorageClass": self.storage_class,
        })
    }
}

/// Some objects of a listing, in the order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedPage {
    /// The objects.
    pub objects: Vec<Listed>,
    /// Whether the listing ends with them.
    pub is_last: bool,
}

/// Reaches objects.
#[async_trait]
pub trait Objects: Debug + Send + Sync + 'static {
    /// At most `most` bytes of an object, from `from` on: none where it ends before. With an
    /// `etag`, those of that content only.
    ///
    /// # Errors
    /// [`ObjectError`]; [`ObjectError::Changed`] where the object has other content by now.
    async fn read(
        &self,
        place: &ObjectPlace,
        from: u64,
        most: usize,
        etag: Option<&str>,
    ) -> Result<ObjectPart, ObjectError>;

    /// At most `most` objects of a listing, and never none unless it ends.
    ///
    /// # Errors
    /// [`ObjectError`].
    async fn list(&self, listing: &Listing, most: u16) -> Result<ListedPage, ObjectError>;

    /// Puts an object; one that is there already is overwritten.
    ///
    /// # Errors
    /// [`ObjectError`].
    async fn put(&self, place: &ObjectPlace, kind: &str, text: String) -> Result<(), ObjectError>;
}

/// Why an object was not read, listed or put.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The service refused.
    #[error("{message}")]
    Refused {
        /// The service's own name for it: `NoSuchKey`.
        code: String,
        /// In the service's words, with what names the request there.
        message: String,
    },
    /// The object is not what it was when its first page was read.
    #[error("the object changed while it was read")]
    Changed,
    /// The service could not be reached, or does not answer now; the same may succeed later.
    #[error("{message}")]
    Transient {
        /// What happened.
        message: String,
    },
    /// The request cannot be sent, or its answer not be read.
    #[error("{message}")]
    Client {
        /// What happened.
        message: String,
    },
}
