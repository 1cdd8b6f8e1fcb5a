//! Large bodies by reference: the body lies in a store of its own, the message says where.
//!
//! ```json
//! {"fluxus:body": {"bucket": "fluxus-prod-bodies", "key": "bodies/9f86d0…", "bytes": 1572864}}
//! ```
//!
//! A body is named by its SHA-256. So putting it twice is harmless, a reference never leads to
//! another body than it was made for, and who does not know the body cannot guess its name.

use std::error::Error;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Received;

/// What every key of a body begins with.
const PREFIX: &str = "bodies/";

/// The member that tells a reference from a body.
const MEMBER: &str = "fluxus:body";

/// Longer texts are no references, and need not be read to know it: a bucket's name has at most 63
/// characters, a key 71.
const MAX_REFERENCE_BYTES: usize = 512;

/// Where a body lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyReference {
    /// The bucket.
    pub bucket: String,
    /// `bodies/` and the body's SHA-256 in hexadecimal.
    pub key: String,
    /// The length of the body.
    pub bytes: usize,
}

/// Bodies that are got at the same time: each may be several megabytes.
const CONCURRENT: usize = 8;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<R> {
    #[serde(rename = "fluxus:body")]
    reference: R,
}

impl BodyReference {
    /// The reference to a body that lies, or is to lie, in this bucket.
    pub fn to(bucket: &str, body: &str) -> Self {
        Self { bucket: bucket.to_owned(), key: key_of(body), bytes: body.len() }
    }

    /// The reference as what a message carries in place of the body.
    pub fn to_text(&self) -> String {
        serde_json::to_string(&Envelope { reference: self }).unwrap_or_default()
    }

    /// The reference that a message carries, if it carries one.
    pub fn from_text(text: &str) -> Option<Self> {
        let may_be = text.len() <= MAX_REFERENCE_BYTES && text.contains(MEMBER);
        let envelope = may_be.then(|| serde_json::from_str::<Envelope<Self>>(text).ok());
        Some(envelope.flatten()?.reference)
    }

    /// Whether this is the body that the reference was made for.
    pub fn fits(&self, body: &str) -> bool {
        self.bytes == body.len() && self.key == key_of(body)
    }
}

/// Where bodies lie that are too large for a message or a record.
///
/// They must be kept for longer than any reference to them: 15 days, since SQS keeps a message for
/// 14. A body that is put again starts anew.
#[async_trait]
pub trait Bodies: Send + Sync + 'static {
    /// Puts a body there, and returns only when it is safe.
    ///
    /// # Errors
    /// [`BodyError`]; put it again.
    async fn put(&self, body: &str) -> Result<BodyReference, BodyError>;

    /// The body of a reference.
    ///
    /// # Errors
    /// [`BodyError`]; where it is not transient, there is no such body and never will be.
    async fn get(&self, reference: &BodyReference) -> Result<String, BodyError>;
}

/// A body could not be put or got.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the body `{key}` in bucket `{bucket}`")]
pub struct BodyError {
    /// What was attempted: `put`, `get`.
    pub action: &'static str,
    /// The bucket.
    pub bucket: String,
    /// The body's key.
    pub key: String,
    /// Whether the same call may succeed later.
    pub is_transient: bool,
    /// Why it failed.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Messages with the bodies that they refer to.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// Those whose bodies are here, in the order given. A reference that leads nowhere and never
    /// will is left as it is: whoever handles the message cannot read it, and it dies in the end.
    pub messages: Vec<Received>,
    /// Those whose bodies could not be got now. They are to come again.
    pub unresolved: Vec<Received>,
}

/// Gets the bodies of those messages that carry a reference.
pub async fn resolve(messages: Vec<Received>, bodies: Option<&dyn Bodies>) -> Resolved {
    let got = stream::iter(messages.into_iter().map(|message| get(message, bodies)));
    let mut resolved = Resolved::default();
    let mut got = got.buffered(CONCURRENT);
    while let Some(got) = got.next().await {
        match got {
            Ok(message) => resolved.messages.push(message),
            Err(message) => resolved.unresolved.push(message),
        }
    }
    resolved
}

/// The message with its body; as it was where it has to come again.
async fn get(message: Received, bodies: Option<&dyn Bodies>) -> Result<Received, Received> {
    let Some(reference) = BodyReference::from_text(&message.body) else { return Ok(message) };
    let BodyReference { bucket, key, .. } = &reference;
    let Some(bodies) = bodies else {
        tracing::error!(message.id = %message.id, bucket, key, "no bucket is set to get bodies from");
        return Ok(message);
    };
    match bodies.get(&reference).await {
        Ok(body) => Ok(Received { body, ..message }),
        Err(error) if error.is_transient => {
            tracing::warn!(message.id = %message.id, ?error, "cannot get a body; it will be tried again");
            Err(message)
        }
        Err(error) => {
            tracing::error!(message.id = %message.id, ?error, "a message refers to no body");
            Ok(message)
        }
    }
}

fn key_of(body: &str) -> String {
    format!("{PREFIX}{:x}", Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_told_from_a_body() {
        let reference = BodyReference::to("bucket", "hello");
        let text = reference.to_text();
        assert_eq!(BodyReference::from_text(&text), Some(reference.clone()));
        assert!(reference.fits("hello") && !reference.fits("hellO"));
        assert!(
            text.contains(
                "bodies/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
            )
        );
        for body in ["", "{}", "fluxus:body", r#"{"fluxus:body":1}"#] {
            assert_eq!(BodyReference::from_text(body), None, "{body}");
        }
        let with_more = text.replacen('{', r#"{"more":1,"#, 1);
        assert_eq!(BodyReference::from_text(&with_more), None, "a document of somebody's");
    }
}
