//! JSONPath as AWS Step Functions reads it: `$.a.b`, `$$.Execution.Id`, `$variable.rest`,
//! `$.items[?(@.price < 10)].name`.
//!
//! The service's failure texts are those of Jayway JsonPath 2.0.0, word for word, so this follows
//! that release, also where it is stricter than later ones: no functions (`$.list.length()` is the
//! property `length()`), no negative single index, and a member missing behind a slice or a union
//! is a failure while behind `[*]` it is skipped. Beyond it, and harmless to it, are double quotes,
//! `in`, `nin`, `subsetof`, `contains`, `size` and `empty` in filters, and comparison of values of
//! different types, which here is false rather than an error. `..[0].x` takes the first element of
//! every array that has one, where that release takes all elements.
//!
//! A path is parsed once, when a definition is loaded, and evaluated many times; a definite path
//! borrows its value.

mod eval;
mod filter;
pub(crate) mod java;
pub(crate) mod number;
mod parse;
mod pattern;
mod set;
mod syntax;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use syntax::Segment;

/// The longest path that is parsed, in bytes: the service's bound on a whole definition is 1 MiB,
/// and a path that a person wrote is far below this.
pub const MAX_PATH_BYTES: usize = 10_000;

/// How many steps a path may have: evaluation recurses once per step.
pub const MAX_SEGMENTS: usize = 256;

/// How deep parentheses in a filter, and filters inside filters, may nest: parsing recurses.
pub const MAX_FILTER_DEPTH: usize = 32;

/// How many values one evaluation may visit: `$..*..*..*` grows with a power of the document, and a
/// transition must end. A document of 256 KiB has at most some 130,000 values.
pub const MAX_VISITS: usize = 2_000_000;

/// How deep `..` goes into a document; the parser of documents stops at 128 already.
pub const MAX_SCAN_DEPTH: usize = 512;

/// A compiled JSONPath.
#[derive(Clone, PartialEq)]
pub struct Path {
    text: Box<str>,
    root: Root,
    segments: Box<[Segment]>,
    definite: bool,
}

/// What a path starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// `$`: the state's input or result.
    Input,
    /// `$$`: the context object.
    Context,
    /// `$name`: a workflow variable.
    Variable(Box<str>),
}

/// Why a text is not a JSONPath; `offset` counts bytes from the start of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at offset {offset}")]
pub struct PathError {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes.
    pub offset: usize,
}

/// Why a path yields no value. `Display` is the service's own text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFailure {
    /// The last step names a member that is not there.
    #[error("No results for path: {0}")]
    NoResults(String),
    /// A step on the way names a member that is not there.
    #[error("Missing property in path {0}")]
    MissingProperty(String),
    /// A member is asked of something that is no object.
    #[error("Property [{property}] not found in path {path}")]
    NotAnObject {
        /// The quoted name, or names, asked for.
        property: String,
        /// Where the value without members is.
        path: String,
    },
    /// An index is asked of `null`.
    #[error("The path {0} is null")]
    Null(String),
    /// An index lies outside its array.
    #[error("Index out of bounds when evaluating path {0}")]
    IndexOutOfBounds(String),
    /// An index or slice is asked of something that is no array.
    #[error("Filter: {selector} can only be applied to arrays. Current context is: {context}")]
    NotAnArray {
        /// The index or slice, with its brackets, and the steps after it.
        selector: String,
        /// The value found instead, as the service prints it.
        context: String,
    },
    /// A filter is asked of something that is neither array nor object.
    #[error("Filter: {selector} can not be applied to primitives. Current context is: {context}")]
    Primitive {
        /// The filter and the steps after it.
        selector: String,
        /// The value found instead, as the service prints it.
        context: String,
    },
    /// The path starts from a variable that has not been assigned.
    #[error("Variable ${0} is not assigned")]
    NoVariable(String),
    /// A value cannot be put at this path: something that is no object or array is in the way.
    #[error("Unable to apply ReferencePath {path} to input {input}")]
    CannotApply {
        /// The path as written.
        path: String,
        /// The document it was applied to, as JSON.
        input: String,
    },
    /// The evaluation passes [`MAX_VISITS`] or [`MAX_SCAN_DEPTH`].
    #[error("The path {path} visits more than {limit} values or levels")]
    TooMuch {
        /// The path as written.
        path: String,
        /// The bound that was passed.
        limit: usize,
    },
}

impl PathFailure {
    /// Whether the path is right but the document lacks what it asks for. The other failures mean
    /// that path and document do not fit together, and the service passes their text through.
    pub fn is_not_found(&self) -> bool {
        !matches!(
            self,
            Self::NotAnArray { .. }
                | Self::Primitive { .. }
                | Self::CannotApply { .. }
                | Self::TooMuch { .. }
        )
    }
}

impl Path {
    /// Compiles a path.
    ///
    /// # Errors
    /// [`PathError`] names the first thing that is wrong and where; the definition must be refused.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        parse::path(text)
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the path starts from.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Whether the path names one value at most; otherwise it yields an array of all it finds.
    pub fn is_definite(&self) -> bool {
        self.definite
    }

    /// Whether the path is a Reference Path: members and indexes only, so that a value can be put
    /// there. Source: States Language, "Reference Paths".
    pub fn is_reference_path(&self) -> bool {
        self.segments.iter().all(|segment| match segment {
            Segment::Name(_) => true,
            Segment::Index(index) => *index >= 0,
            _ => false,
        })
    }

    /// Whether the path is its root and nothing more: `$`, `$$` or `$name`.
    pub fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// The value, or for an indefinite path the array of values, that this path finds below `root`,
    /// which stands for whatever [`Path::root`] says.
    ///
    /// # Errors
    /// [`PathFailure`] if there is no such value. What the failure becomes is the caller's choice:
    /// the same path fails differently in a Choice, a template and `InputPath`.
    pub fn eval<'a>(&self, root: &'a Value) -> Result<Cow<'a, Value>, PathFailure> {
        if self.definite {
            eval::definite(self, root)
        } else {
            eval::indefinite(self, root).map(Cow::Owned)
        }
    }

    /// Puts `value` at this reference path in `root`, as `ResultPath` does: objects that are
    /// missing on the way are made, an existing array element is replaced.
    ///
    /// # Errors
    /// [`PathFailure::CannotApply`] if the path is no reference path, if something that is no
    /// object is in the way, or if an index has no element; `root` is then unchanged.
    pub fn set(&self, root: &mut Value, value: Value) -> Result<(), PathFailure> {
        set::set(self, root, value)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Path").field(&self.text).finish()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
