//! Bounds of this function, beside those of [`fluxus_schema::limits`] that clients meet.

use std::time::Duration;

use fluxus_schema::limits::{MAX_DEFINITION_BYTES, MAX_PAGE_BYTES, MAX_WAIT};

/// Largest body of a request that puts a recipe: a definition plus the document around it.
pub const MAX_RECIPE_BYTES: usize = MAX_DEFINITION_BYTES + 64 * 1024;

/// Largest request head (request line and headers), in bytes. Load balancers allow 16 to 64 KiB;
/// Fluxus needs a key, a token and a few names.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Most headers of a request; hyper's own default.
pub const MAX_HEADERS: usize = 100;

/// How long a client may take to send the head of a request, idle keep-alive time included. A
/// client that dribbles bytes would otherwise hold a connection for ever.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to send a body: 6 MiB at 200 KB/s.
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes of a body past its bound that are read all the same, and thrown away, so that the client
/// hears why it is refused: somewhat more than twice the largest payload. Whoever sends more meets a
/// closed connection.
pub const MAX_DRAINED_BYTES: usize = 16 * 1024 * 1024;

/// How long that may take: a client nearby is done, and one far away holds no connection.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Most open connections. Each holds a buffer of [`MAX_HEADER_BYTES`] and a file descriptor;
/// further ones wait in the listener's backlog.
pub const MAX_CONNECTIONS: usize = 4096;

/// How long the database may take to answer a health check: whoever asks waits seconds at most.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// How long open requests get to finish at shutdown: longer than a statement takes, shorter than
/// the patience of what stops us (Kubernetes gives 30 s).
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Most claims in one transaction: past this size a larger batch saves no more, and its commit
/// makes the first claim in it wait.
pub const MAX_INTAKE_BATCH: usize = 256;

/// Most bytes of claim bodies in one transaction: what a batch holds in memory, twice in flight.
pub const MAX_INTAKE_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Batches that are being committed at a time: while one waits for the disk, the next is written.
pub const MAX_INTAKE_COMMITS: usize = 2;

/// Claims that may wait for their batch. Past it a client is told to come again: better than to
/// answer everybody late. A few batches' worth.
pub const MAX_INTAKE_QUEUE: usize = 4096;

/// Most requests that wait for a claim's end. One query asks for all of them.
pub const MAX_WAITING: usize = 10_000;

/// The largest claim that is kept while it is waited for, in bytes of JSON: what is larger is read again
/// at its end. All that are waited for together take 640 MiB at most, and as a rule a few.
pub const MAX_KEPT_BYTES: usize = 64 * 1024;

/// How often ends are looked for when nothing announced one: catches a lost notification.
pub const FALLBACK_POLL: Duration = Duration::from_secs(1);

/// How often ends are looked for where notifications cannot be had (a Lambda behind a proxy).
pub const POLL: Duration = Duration::from_millis(200);

/// How often tasks of an activity are looked for while a worker polls: what a worker may lose of the
/// time of a task. One of all that poll here for the same activity looks.
pub const ACTIVITY_POLL: Duration = Duration::from_millis(250);

/// Most workers that poll at a time; each holds a request open.
pub const MAX_POLLING: usize = 1_000;

/// Longest name of a worker, in characters: Step Functions' own bound.
pub const MAX_WORKER_CHARS: usize = 80;

/// Shortest API key, in characters: 16 of base64 are 96 bits, past guessing.
pub const MIN_KEY_CHARS: usize = 16;

/// Bounds that depend on where this function runs.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest `Prefer: wait` that is honoured; a longer one is cut, and the answer says so.
    pub max_wait: Duration,
    /// Most bytes of documents on a page of history or of an export. At least one event is on it.
    pub max_page_bytes: usize,
    /// Most bytes of an export that one answer has; the last line says where to go on.
    pub max_export_bytes: usize,
}

impl Limits {
    /// API Gateway cuts a request at 29 s (REST) or 30 s (HTTP): answer before it does.
    /// A function's answer has at most 6 MB, within which a document may take twice its size.
    pub const BEHIND_API_GATEWAY: Self = Self {
        max_wait: Duration::from_secs(25),
        max_page_bytes: 2 * 1024 * 1024,
        max_export_bytes: 4 * 1024 * 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_wait: MAX_WAIT,
            max_page_bytes: MAX_PAGE_BYTES,
            // A stream has no end that would have to be set.
            max_export_bytes: usize::MAX,
        }
    }
}
