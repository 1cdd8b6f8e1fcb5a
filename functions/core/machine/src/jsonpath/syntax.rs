//! The syntax tree of a JSONPath.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::pattern::Pattern;

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Segment {
    /// `.name` or `['name']`.
    Name(Box<str>),
    /// `['a','b']`: an object of the members that are there. Only as the last step.
    Names(Box<[Box<str>]>),
    /// `[0]`. A negative index is always out of bounds, as in the service.
    Index(i64),
    /// `[(@.length-1)]`: counted from the end.
    FromEnd(u32),
    /// `[0,2]`.
    Indexes(Box<[i64]>),
    /// `[1:]`, `[:2]`, `[-2:]`, `[1:2]`.
    Slice { from: Option<i64>, to: Option<i64> },
    /// `.*` or `[*]`.
    Wildcard,
    /// `..`: the next step at every level below.
    Scan,
    /// `[?(...)]`, one or more of them, all of which must hold.
    Filter(Box<Condition>),
}

impl Segment {
    pub(super) fn is_definite(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Names(_) | Self::Index(_) | Self::FromEnd(_))
    }
}

/// The canonical form, which failures print: `['name']`, `[0]`.
impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "['{name}']"),
            Self::Names(names) => write!(f, "[{}]", quoted(names)),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::FromEnd(back) => write!(f, "[(@.length-{back})]"),
            Self::Indexes(indexes) => {
                f.write_char('[')?;
                for (at, index) in indexes.iter().enumerate() {
                    if at > 0 {
                        f.write_char(',')?;
                    }
                    write!(f, "{index}")?;
                }
                f.write_char(']')
            }
            Self::Slice { from, to } => {
                f.write_char('[')?;
                if let Some(from) = from {
                    write!(f, "{from}")?;
                }
                f.write_char(':')?;
                if let Some(to) = to {
                    write!(f, "{to}")?;
                }
                f.write_char(']')
            }
            Self::Wildcard => f.write_str("[*]"),
            Self::Scan => f.write_str(".."),
            Self::Filter(_) => f.write_str("[?]"),
        }
    }
}

/// `'a', 'b'`
pub(super) fn quoted(names: &[Box<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    quoted.join(", ")
}

/// What a filter asks of each value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    All(Box<[Condition]>),
    Any(Box<[Condition]>),
    Not(Box<Condition>),
    /// `@.name`: the value is there and not null.
    Exists(Operand),
    Compare(Operand, Comparator, Operand),
    /// `@.name =~ /text/i`: the whole text matches.
    Matches(Operand, Pattern),
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Literal(Value),
    /// `@.name`: from the value that is being tested.
    Current(Box<[Segment]>),
    /// `$.name`: from the document.
    Document(Box<[Segment]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    SubsetOf,
    Contains,
    Size,
    Empty,
}
