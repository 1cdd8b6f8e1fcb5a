//! The contract of reading the items of a distributed Map, and of writing its results.
//!
//! Both are tasks like any other: whoever offers the capability can do them. A source of any size
//! is read page by page, each answer as small as a message must be; the answer says where the next
//! page begins.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Capability that `arn:aws:states:::s3:getObject` and `s3:listObjectsV2` stand for as the
/// `Resource` of an ItemReader. A recipe may name another: `fluxling:CAPABILITY`.
pub const READ: &str = "items.read";

/// Capability that `arn:aws:states:::s3:putObject` stands for as the `Resource` of a ResultWriter.
pub const WRITE: &str = "items.write";

/// Input of `items.read`: which items to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReadItems {
    /// The ItemReader's `Resource`, as the recipe has it.
    pub resource: String,
    /// Its `Parameters` or `Arguments`: `{"Bucket": .., "Key": ..}`, `{"Url": ..}`, `{"File": ..}`.
    pub arguments: Value,
    /// Its `ReaderConfig`.
    #[serde(default)]
    pub config: ReaderConfig,
    /// Read no more than so many items in all, those of earlier pages included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u64>,
    /// Where this page begins: `next` of the page before it. Absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Output of `items.read`: some of the items, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ItemsPage {
    /// The items.
    pub items: Vec<Value>,
    /// Where the next page begins, in the reader's own terms. Absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Value>,
}

/// How a source is laid out. The fields are those of the States Language.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ReaderConfig {
    /// The format.
    #[serde(default)]
    pub input_type: InputType,
    /// Where the names of a CSV source's columns are.
    #[serde(default, rename = "CSVHeaderLocation", skip_serializing_if = "Option::is_none")]
    pub csv_header_location: Option<HeaderLocation>,
    /// The names of the columns, where they are `GIVEN`.
    #[serde(default, rename = "CSVHeaders", skip_serializing_if = "Option::is_none")]
    pub csv_headers: Option<Vec<String>>,
    /// What stands between the columns; a comma by default.
    #[serde(default, rename = "CSVDelimiter", skip_serializing_if = "Option::is_none")]
    pub csv_delimiter: Option<Delimiter>,
    /// JSON pointer to the array in a JSON source; the whole document by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_pointer: Option<String>,
    /// What is made of the objects that are listed.
    #[serde(default, skip_serializing_if = "ItemsTransformation::is_none")]
    pub transformation: ItemsTransformation,
}

/// What is made of the objects that are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ItemsTransformation {
    /// Nothing: each is an item, as it is listed.
    #[default]
    None,
    /// Each is read, and what is in it are the items.
    LoadAndFlatten,
}

impl ItemsTransformation {
    /// Whether objects are items as they are.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Format of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum InputType {
    /// One array.
    #[default]
    Json,
    /// One JSON value a line.
    Jsonl,
    /// Rows of texts; each becomes an object.
    Csv,
    /// An inventory of S3 objects.
    Manifest,
    /// Columns, in Apache Parquet.
    Parquet,
}

/// Where the names of a CSV source's columns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HeaderLocation {
    /// In its first row.
    FirstRow,
    /// In `CSVHeaders`.
    Given,
}

/// What stands between the columns of a CSV source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)] // Each says what it is.
pub enum Delimiter {
    Comma,
    Pipe,
    Semicolon,
    Space,
    Tab,
}

impl Delimiter {
    /// The byte itself.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Pipe => b'|',
            Self::Semicolon => b';',
            Self::Space => b' ',
            Self::Tab => b'\t',
        }
    }
}

/// Input of `items.write`: files that tell what came of the items. A file that is there already is
/// overwritten: the task may be done twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WriteResults {
    /// The ResultWriter's `Resource`, as the recipe has it.
    pub resource: String,
    /// Its `Parameters` or `Arguments`: `{"Bucket": .., "Prefix": ..}`, `{"Url": ..}`,
    /// `{"File": ..}`.
    pub arguments: Value,
    /// The files, each with its path below the place that the arguments name.
    pub files: Vec<ResultFile>,
}

/// One file of results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResultFile {
    /// Its path, such as `3f2c/SUCCEEDED_0.json`.
    pub path: String,
    /// What is in it: one document, or one for each line.
    pub content: FileContent,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileContent {
    /// One document.
    Json(Value),
    /// One document a line.
    Lines(Vec<Value>),
}
