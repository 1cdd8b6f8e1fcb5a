//! The world of one schedule: its time, its chance, its tables and queues, and what goes wrong.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use fluxus_queue::{Outgoing, QueueName};
use fluxus_schema::Tenant;
use fluxus_schema::fluxling::Fluxling;
use fluxus_schema::message::CORE_QUEUE;
use fluxus_store::Intake;

use super::chance::Chance;
use super::fluxling::{Act, Work};
use super::locks::{Locks, TxId};
use super::operator::Requests;
use super::queue::Queues;
use super::tables::Tables;
use crate::Sweeps;

/// How often the schedule of [`Footing::Scheduled`] sweeps.
const RHYTHM: std::time::Duration = std::time::Duration::from_secs(60);

/// Most violations that are kept: the first ones tell the story.
const MAX_VIOLATIONS: usize = 20;

/// Where the queue is, and who sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Footing {
    /// In the same database.
    Joined,
    /// Elsewhere, behind the outbox.
    Relayed,
    /// Elsewhere, and swept in a rhythm.
    Scheduled,
}

impl Footing {
    pub(super) const fn sweeps(self) -> Sweeps {
        match self {
            Self::Joined | Self::Relayed => Sweeps::WhenDue,
            Self::Scheduled => Sweeps::Every(RHYTHM),
        }
    }
}

/// What goes wrong, each once in so many times; 0 stands for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// A process dies at the place where it waits.
    pub(super) crash: usize,
    /// A statement fails, or a request to the queue.
    pub(super) transient: usize,
    /// A commit happens, and its answer is lost.
    pub(super) lost_answer: usize,
    /// A message is there twice.
    pub(super) duplicate: usize,
    /// A fluxling misbehaves in a way that must change nothing.
    pub(super) clumsy: usize,
    /// A fluxling misbehaves in a way that a claim may come out otherwise for.
    pub(super) wild: usize,
}

/// Something broken on purpose: the simulation must find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// An answer counts whatever its token.
    AnyToken,
    /// Timers are not written down.
    NoTimers,
    /// Messages are sent after the commit, and written down nowhere before.
    NoOutbox,
    /// Messages are deleted before what they led to is committed.
    DeletesFirst,
    /// Rows are not locked, and saved whatever their revision.
    NoRevisions,
    /// A branch is stepped as it was left, whatever others did to it meanwhile.
    Unexpecting,
    /// Branches that begin while one waits for a lock are not looked for.
    NoNewcomers,
    /// An execution may end while somebody begins to wait for it.
    NoHold,
    /// A claim is redriven whatever the number of the request.
    AnyRedrive,
    /// A claim is cancelled whichever of its runs the request is about.
    AnyRun,
    /// A task is retried or skipped whichever the request is about.
    AnyTask,
}

pub(super) struct World {
    pub(super) chance: Chance,
    /// Milliseconds since 1970, by the clock of the queue and the store.
    pub(super) now: i64,
    pub(super) footing: Footing,
    pub(super) faults: Faults,
    pub(super) mutation: Option<Mutation>,
    pub(super) tables: Tables,
    pub(super) locks: Locks,
    pub(super) queues: Queues,
    pub(super) work: Work,
    pub(super) requests: Requests,
    /// What fluxlings, clients and operators will do, by time.
    pub(super) acts: BTreeMap<(i64, u64), Act>,
    pub(super) registered: Vec<(Tenant, Fluxling)>,
    pub(super) violations: Vec<String>,
    /// Claims that clients submit to a process with core and API, until they know that they are in.
    pub(super) coming: Vec<Intake>,
    /// Who runs.
    pub(super) running: usize,
    /// The transaction that each process began last.
    pub(super) transactions: HashMap<usize, TxId>,
    pub(super) trace: Option<Vec<String>>,
    /// What happened, and how often.
    pub(super) met: Met,
    last_id: u64,
}

/// How often what happened.
pub(super) type Met = BTreeMap<&'static str, u64>;

pub(super) type Shared = Rc<RefCell<World>>;

impl World {
    pub(super) fn new(chance: Chance, now: i64, footing: Footing, faults: Faults) -> Self {
        Self {
            chance,
            now,
            footing,
            faults,
            mutation: None,
            tables: Tables::default(),
            locks: Locks::default(),
            queues: Queues::default(),
            work: Work::default(),
            requests: Requests::default(),
            acts: BTreeMap::new(),
            registered: Vec::new(),
            violations: Vec::new(),
            coming: Vec::new(),
            running: 0,
            transactions: HashMap::new(),
            trace: None,
            met: Met::new(),
            last_id: 0,
        }
    }

    pub(super) fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn outbox_id(&mut self) -> i64 {
        i64::try_from(self.id()).unwrap_or_default()
    }

    pub(super) fn begin(&mut self) -> TxId {
        let id = self.id();
        self.transactions.insert(self.running, id);
        id
    }

    pub(super) fn chances(&mut self, one_in: usize) -> bool {
        self.chance.one_in(one_in)
    }

    /// Counts something that happened.
    pub(super) fn meets(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    /// Adds a line to the story, where it is told.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let (now, running) = (self.now - super::run::BEGAN_AT, self.running);
            trace.push(format!("{:>9}.{:03} s  {running}  {}", now / 1000, now % 1000, what()));
        }
    }

    pub(super) fn violation(&mut self, what: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.note(|| format!("VIOLATION {what}"));
            self.violations.push(what);
        }
    }

    /// Sends messages; some arrive twice.
    pub(super) fn send(&mut self, messages: &[Outgoing]) {
        for message in messages {
            self.note(|| format!("sends to {}: {}", message.queue, message.body));
            self.queues.send(message, self.now);
            if message.body.starts_with(r#"{"type":"MapHasRoom""#) {
                self.meets("room in a Map");
            }
            if self.chances(self.faults.duplicate) {
                self.note(|| "... twice".to_owned());
                self.meets("duplicate");
                self.queues.send(message, self.now);
            }
        }
    }

    pub(super) fn act(&mut self, at: i64, act: Act) {
        let id = self.id();
        self.acts.insert((at, id), act);
    }
}

/// The queue that the core takes its messages from.
pub(super) static CORE: LazyLock<QueueName> =
    LazyLock::new(|| QueueName::new(CORE_QUEUE).expect("a name"));

/// Lets others run.
pub(super) fn pause() -> Pause {
    Pause(false)
}

/// See [`pause`].
pub(super) struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        Poll::Pending
    }
}
