//! Every bound that a client or a recipe can meet, in one place, with its reason.

use std::time::Duration;

/// Largest claim body, task input, task output or state output, in bytes of JSON: what one
/// invocation of a Lambda function can be given. What is large is stored once and passed on by
/// reference ([`crate::payload`]).
pub const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// The Step Functions service's own bound on payloads, in bytes of JSON. Simulations and tests of
/// states keep it, so that a recipe which passes there runs on the service too; so do defaults that
/// the service documents by it.
pub const SERVICE_PAYLOAD_BYTES: usize = 256 * 1024;

/// Most bytes of documents on one page of history or of an export: at least one event is on it,
/// however large. It bounds what a reader and the API hold at a time.
pub const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Largest HTTP request body: a payload plus room for the document around it.
pub const MAX_REQUEST_BYTES: usize = MAX_PAYLOAD_BYTES + 64 * 1024;

/// Largest recipe definition in bytes. The service accepts 1 MiB.
pub const MAX_DEFINITION_BYTES: usize = 1024 * 1024;

/// Deepest nesting of arrays and objects in any document. serde_json stops at 128 of its own
/// accord; stopping earlier leaves room to wrap a document in ours.
pub const MAX_NESTING: usize = 100;

/// Longest name of a claim type, recipe, fluxling, capability or state, in characters.
/// The service's bound for state names.
pub const MAX_NAME_CHARS: usize = 80;

/// Longest `subject` of a claim, in characters: an index entry must stay well under a page.
pub const MAX_SUBJECT_CHARS: usize = 256;

/// Longest `idempotency_key`, in characters: it is part of a unique index.
pub const MAX_IDEMPOTENCY_KEY_CHARS: usize = 256;

/// Most `attributes` on one claim: they are indexed for search, so each one costs a write.
pub const MAX_ATTRIBUTES: usize = 32;

/// Longest attribute key or value, in characters.
pub const MAX_ATTRIBUTE_CHARS: usize = 256;

/// Highest `priority` of a claim; 0 is the default.
pub const MAX_PRIORITY: i16 = 9;

/// Most entries on one page of any list. A page of full-size claims then stays under 26 MiB.
pub const MAX_PAGE: u32 = 100;

/// Entries on a page where the client names no number.
pub const DEFAULT_PAGE: u32 = 50;

/// Most events on one page of history. The service's own bound.
pub const MAX_HISTORY_PAGE: u32 = 1000;

/// Longest `Prefer: wait`: load balancers and API gateways cut connections at 30 to 60 s.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// Longest error name, in characters; the service's bound.
pub const MAX_ERROR_CHARS: usize = 256;

/// Longest cause of an error, in characters; the service's bound. A longer one is cut, visibly.
pub const MAX_CAUSE_CHARS: usize = 32_768;

/// How deep executions may wait for executions that they started: a recipe that starts itself ends.
/// Past it the task fails with `Fluxus.TooDeep`. One that is started and not waited for does not
/// count, so that a recipe can go on as a new execution for ever.
pub const MAX_EXECUTION_DEPTH: u32 = 32;

/// Transitions that one step may run through without waiting. A loop of Pass and Choice states
/// that never waits would otherwise hold a worker and its transaction for ever; past the bound
/// the execution fails with `States.Runtime`.
pub const MAX_TRANSITIONS_PER_STEP: usize = 10_000;

/// Most items of an inline Map, and branches waiting in one state. Each is a row.
pub const MAX_BRANCHES: usize = 100_000;

/// Longest wait or timeout in seconds: the service's 99,999,999 (about three years).
pub const MAX_SECONDS: u64 = 99_999_999;

/// How long after its end a claim can be redriven: the service's own bound. What is kept for it is
/// forgotten then.
pub const REDRIVE_WINDOW: Duration = Duration::from_secs(14 * 24 * 3600);

/// How often one claim can be redriven: the service's bound for Map runs, and more than a person
/// would do by hand.
pub const MAX_REDRIVES: u32 = 1_000;

/// Longest name of whoever acts on a claim by hand, in characters.
pub const MAX_OPERATOR_CHARS: usize = 128;

/// Longest reason that they give, in characters.
pub const MAX_REASON_CHARS: usize = 1_000;

/// How long something may be overdue before its claim counts as stuck: several sweeps, and the
/// visibility timeout of a message whose function died.
pub const STUCK_AFTER: Duration = Duration::from_secs(300);

/// How long a task without a timeout may be with a fluxling before its claim counts as stuck: the
/// longest run of a Lambda function, and the same again until its message comes back.
pub const ANSWER_AFTER: Duration = Duration::from_secs(1_800);
