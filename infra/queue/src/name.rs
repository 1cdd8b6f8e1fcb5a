//! The names of queues.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::QueueError;
use crate::bounds::MAX_NAME_CHARS;

/// The name of a queue, by the rules of SQS: 1 to 80 of `A-Z a-z 0-9 _ -`.
///
/// Source: Amazon SQS API reference, `CreateQueue`, "QueueName". Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`QueueError::InvalidName`] that says which rule the name breaks.
    pub fn new(name: &str) -> Result<Self, QueueError> {
        let problem = if name.is_empty() {
            "it is empty".to_owned()
        } else if name.chars().count() > MAX_NAME_CHARS {
            format!("it is longer than MAX_NAME_CHARS = {MAX_NAME_CHARS}")
        } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            "only A-Z, a-z, 0-9, `_` and `-` are allowed".to_owned()
        } else {
            return Ok(Self(name.into()));
        };
        Err(QueueError::InvalidName { name: name.to_owned(), problem })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "QueueName({})", self.0)
    }
}

impl AsRef<str> for QueueName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueueName {
    type Err = QueueError;

    fn from_str(name: &str) -> Result<Self, QueueError> {
        Self::new(name)
    }
}

impl TryFrom<String> for QueueName {
    type Error = QueueError;

    fn try_from(name: String) -> Result<Self, QueueError> {
        Self::new(&name)
    }
}

impl From<QueueName> for String {
    fn from(name: QueueName) -> Self {
        name.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_follows_the_rules_of_sqs() {
        assert!(QueueName::new("core-events_1").is_ok());
        assert!(QueueName::new(&"x".repeat(80)).is_ok());
        for bad in ["", "a b", "a.fifo", "ü", &"x".repeat(81)] {
            assert!(QueueName::new(bad).is_err(), "`{bad}`");
        }
    }
}
