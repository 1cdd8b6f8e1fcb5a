//! Ids and names. Each is its own type, checked where it comes in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::MAX_NAME_CHARS;
use crate::time::Timestamp;

/// What is wrong with an id or a name that came in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not a UUID in its usual form.
    #[error("`{0}` is not a claim id; it looks like 01890a5d-ac96-774b-bcce-b302099a8057")]
    Claim(String),
    /// Not a token that Fluxus gave out.
    #[error("not a task token")]
    Token,
    /// Not a branch path.
    #[error("`{0}` is not a branch id; the root is `/`, a child `/3.0`")]
    Branch(String),
    /// Empty, too long, or with characters that names do not have.
    #[error(
        "`{name}` is not a {kind}: 1 to {MAX_NAME_CHARS} letters, digits, `.`, `_`, `-`, `:` or `/`"
    )]
    Name {
        /// What the name was to be for.
        kind: &'static str,
        /// The name as given.
        name: String,
    },
}

/// A claim's id: a UUIDv7, so ids sort by the time of submission.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = String, format = Uuid)]
pub struct ClaimId(pub Uuid);

impl ClaimId {
    /// The id of a claim that comes in `at`, made unique by `random`.
    pub fn new(at: Timestamp, random: &[u8; 10]) -> Self {
        let ms = u64::try_from(at.as_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(ms, random).into_uuid())
    }
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ClaimId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidId::Claim(text.to_owned()))
    }
}

/// One strand of an execution, as a path: `/` is the root, `/3.17` the child with index 17 that
/// the root started at its revision 3. Made from the parent's, so a repeated step gives it again.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "/3.17")]
pub struct BranchId(Arc<str>);

impl BranchId {
    /// The branch every execution begins with.
    pub fn root() -> Self {
        Self(Arc::from("/"))
    }

    /// The child with this index, started by the parent's step to `revision`.
    #[must_use]
    pub fn child(&self, revision: u32, index: usize) -> Self {
        let parent = self.0.trim_end_matches('/');
        Self(Arc::from(format!("{parent}/{revision}.{index}")))
    }

    /// The branch that started this one; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.rfind('/').unwrap_or(0);
        Some(if end == 0 { Self::root() } else { Self(Arc::from(&self.0[..end])) })
    }

    /// Index among its siblings: that of the Parallel branch or the Map item. 0 for the root.
    pub fn index(&self) -> usize {
        self.0.rsplit('.').next().and_then(|index| index.parse().ok()).unwrap_or(0)
    }

    /// Revision of the parent whose step started this branch. 0 for the root.
    pub fn parent_revision(&self) -> u32 {
        let last = self.0.rsplit('/').next().unwrap_or_default();
        last.split('.').next().and_then(|revision| revision.parse().ok()).unwrap_or(0)
    }

    /// Whether this is the branch the execution began with.
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// Whether this branch lies somewhere below `ancestor`.
    pub fn is_below(&self, ancestor: &Self) -> bool {
        if ancestor.is_root() {
            return !self.is_root();
        }
        self.0.strip_prefix(&*ancestor.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BranchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BranchId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<BranchId> for String {
    fn from(id: BranchId) -> Self {
        id.0.to_string()
    }
}

impl FromStr for BranchId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let segment = |s: &str| s.split_once('.').is_some_and(|(r, i)| number(r) && number(i));
        let valid =
            text == "/" || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
        valid.then(|| Self(Arc::from(text))).ok_or_else(|| InvalidId::Branch(text.to_owned()))
    }
}

/// Names one attempt at one task. Whoever holds it may answer for the task, so it carries 64
/// random bits; the rest says where the answer belongs, so no table of tokens is needed.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct TaskToken(Arc<str>);

/// What a [`TaskToken`] says when opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskAddress {
    /// The claim whose task it is.
    pub claim_id: ClaimId,
    /// The branch that waits for the answer.
    pub branch_id: BranchId,
    /// The branch's revision when the attempt was scheduled.
    pub revision: u32,
}

impl TaskToken {
    /// The token of the attempt scheduled at `address`.
    pub fn new(address: &TaskAddress, nonce: u64) -> Self {
        let mut bytes = Vec::with_capacity(28 + address.branch_id.as_str().len());
        bytes.extend_from_slice(address.claim_id.0.as_bytes());
        bytes.extend_from_slice(&nonce.to_be_bytes());
        bytes.extend_from_slice(&address.revision.to_be_bytes());
        bytes.extend_from_slice(address.branch_id.as_str().as_bytes());
        Self(Arc::from(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A token as it came in. It is compared, not trusted: see [`TaskToken::address`].
    pub fn from_text(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// Where an answer with this token belongs.
    ///
    /// # Errors
    /// [`InvalidId::Token`] for a text that no token has.
    pub fn address(&self) -> Result<TaskAddress, InvalidId> {
        let bytes = URL_SAFE_NO_PAD.decode(self.0.as_bytes()).map_err(|_| InvalidId::Token)?;
        let claim = bytes.get(..16).and_then(|b| Uuid::from_slice(b).ok());
        let revision = bytes.get(24..28).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        let branch = bytes.get(28..).and_then(|b| std::str::from_utf8(b).ok());
        let branch = branch.and_then(|text| text.parse().ok());
        match (claim, branch, revision) {
            (Some(claim), Some(branch_id), Some(revision)) => {
                Ok(TaskAddress { claim_id: ClaimId(claim), branch_id, revision })
            }
            _ => Err(InvalidId::Token),
        }
    }

    /// The token as text: URL-safe.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a state, as the definition has it: any text.
pub type StateName = Arc<str>;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, example = $example)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let known = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
                if text.is_empty() || text.len() > MAX_NAME_CHARS || !text.chars().all(known) {
                    let name = text.chars().take(MAX_NAME_CHARS).collect();
                    return Err(InvalidId::Name { kind: $kind, name });
                }
                Ok(Self(Arc::from(text)))
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.to_string()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Whose claim it is. Every row carries it.
    Tenant, "tenant", "default"
);
name!(
    /// What kind of request or assertion a claim is; recipes say which types they fulfil.
    ClaimType, "claim type", "order.placed"
);
name!(
    /// Name of a recipe; its versions are numbered from 1.
    RecipeName, "recipe name", "order-saga"
);
name!(
    /// Name of a fluxling.
    FluxlingName, "fluxling name", "payments-eu"
);
name!(
    /// What a task asks for.
    Capability, "capability", "payments.refund"
);

impl Capability {
    /// What every capability begins with that an activity stands for.
    const ACTIVITY: &str = "activity.";

    /// The capability of doing the tasks of an activity of Step Functions: outside workers poll
    /// for them by the activity's name. A fluxling that offers it is given them too.
    ///
    /// # Errors
    /// [`InvalidId`], if the name has characters that a capability has not.
    pub fn of_activity(name: &str) -> Result<Self, InvalidId> {
        format!("{}{name}", Self::ACTIVITY).parse()
    }

    /// Whether outside workers poll for its tasks.
    pub fn is_activity(&self) -> bool {
        self.0.starts_with(Self::ACTIVITY)
    }
}

impl Default for Tenant {
    /// The tenant of a system with one.
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_knows_its_place() {
        let child = BranchId::root().child(3, 17);
        assert_eq!(child.as_str(), "/3.17");
        let grandchild = child.child(2, 0);
        assert_eq!(grandchild.as_str(), "/3.17/2.0");
        assert_eq!(grandchild.parent(), Some(child.clone()));
        assert_eq!(child.parent(), Some(BranchId::root()));
        assert_eq!((child.index(), child.parent_revision()), (17, 3));
        assert!(grandchild.is_below(&child) && !child.is_below(&grandchild));
        assert!(!"/3.170".parse::<BranchId>().expect("valid").is_below(&child));
        for wrong in ["", "3.1", "/3", "/3.", "/3.1/", "/a.b"] {
            assert!(wrong.parse::<BranchId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_finds_its_branch_again() {
        let address = TaskAddress {
            claim_id: ClaimId::new(Timestamp::from_millis(1), &[7; 10]),
            branch_id: BranchId::root().child(1, 2),
            revision: 9,
        };
        let token = TaskToken::new(&address, 42);
        assert_eq!(token.address(), Ok(address));
        for wrong in ["", "x", "AAAA", "not base64!"] {
            assert_eq!(TaskToken::from_text(wrong).address(), Err(InvalidId::Token));
        }
    }

    #[test]
    fn names_are_checked() {
        assert!("payments.refund".parse::<Capability>().is_ok());
        assert!("".parse::<Capability>().is_err());
        assert!("a b".parse::<RecipeName>().is_err());
        assert!("x".repeat(81).parse::<RecipeName>().is_err());
    }
}
