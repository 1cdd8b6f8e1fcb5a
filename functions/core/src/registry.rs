//! The core's picture of the fluxlings: a snapshot of the store, with what happened since.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fluxus_queue::{Queue, QueueName};
use fluxus_schema::fluxling::Fluxling;
use fluxus_schema::{Capability, FluxlingName, Tenant, Timestamp};
use fluxus_store::{LoadDelta, Store, fluxling};

use crate::Sweeps;
use crate::delegate::{Peer, takes_tasks};
use crate::error::CoreError;

/// How old the picture may become: delegation bears stale numbers, and each look costs a query
/// and a look at the queues.
pub(crate) const REFRESH_AFTER: Duration = Duration::from_millis(500);

/// The same where a look at the queues is a request for each of them, which is paid for.
const REFRESH_AFTER_REQUESTS: Duration = Duration::from_secs(5);

/// Moving average of failed attempts above which a fluxling gets no tasks for a while.
const CIRCUIT_OPENS_AT: f64 = 0.5;

/// Answers before that is judged: a first task that fails says little.
const CIRCUIT_NEEDS: i64 = 10;

/// How long it gets none. Then it is tried again, like anybody else.
const CIRCUIT_STAYS_OPEN: Duration = Duration::from_secs(30);

pub(crate) struct Registry {
    picture: Mutex<Picture>,
    refresh_after: Duration,
}

#[derive(Default)]
struct Picture {
    /// Fluxlings by tenant.
    peers: HashMap<Tenant, Vec<Peer>>,
    /// Answers that the store does not know of.
    answers: HashMap<(Tenant, FluxlingName), Answers>,
    /// When somebody last looked, or began to.
    looked_at: Option<Instant>,
}

#[derive(Default)]
struct Answers {
    count: u32,
    failed: u32,
    latency_ms: f64,
}

impl Registry {
    /// An empty picture.
    pub(crate) fn new(sweeps: Sweeps) -> Self {
        let refresh_after = match sweeps {
            Sweeps::WhenDue => REFRESH_AFTER,
            Sweeps::Every(_) => REFRESH_AFTER_REQUESTS,
        };
        Self { picture: Mutex::default(), refresh_after }
    }

    fn picture(&self) -> MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who may be given a task of this tenant: its own fluxlings, and those of the default tenant,
    /// which all share.
    pub(crate) fn peers(&self, tenant: &Tenant) -> Vec<Peer> {
        let picture = self.picture();
        let own = picture.peers.get(tenant).into_iter().flatten();
        let shared = Tenant::default();
        let others = (*tenant != shared).then(|| picture.peers.get(&shared)).flatten();
        own.chain(others.into_iter().flatten()).cloned().collect()
    }

    /// Notes what a batch that was committed did.
    pub(crate) fn note(&self, given: &[(FluxlingName, i64)], answered: &[Answered]) {
        let mut picture = self.picture();
        let mut change: HashMap<&FluxlingName, i64> = HashMap::new();
        given.iter().for_each(|(name, count)| *change.entry(name).or_default() += count);
        answered.iter().for_each(|one| *change.entry(&one.fluxling).or_default() -= 1);
        for peer in picture.peers.values_mut().flatten() {
            let change = change.get(&peer.fluxling.manifest.name).copied().unwrap_or_default();
            peer.in_flight = (peer.in_flight + change).max(0);
        }
        for one in answered {
            let tenant = owner(&picture.peers, &one.tenant, &one.fluxling);
            let answers = picture.answers.entry((tenant, one.fluxling.clone())).or_default();
            answers.count += 1;
            answers.failed += u32::from(one.failed);
            answers.latency_ms += one.latency_ms;
        }
    }

    /// Whether it is time to look again. Who is told so looks: nobody else is, for as long again.
    pub(crate) fn is_stale(&self) -> bool {
        let mut picture = self.picture();
        let is_fresh =
            picture.looked_at.is_some_and(|looked| looked.elapsed() < self.refresh_after);
        if !is_fresh {
            picture.looked_at = Some(Instant::now());
        }
        !is_fresh
    }

    /// Tells the store what it does not know of, and looks at everything again.
    pub(crate) async fn refresh(&self, store: &Store, queue: &dyn Queue) -> Result<(), CoreError> {
        let deltas = self.take_deltas();
        let relaxed = store.database().relaxed();
        let session = relaxed.session().await?;
        if !deltas.is_empty() {
            fluxling::record_load(&session, &deltas).await?;
        }
        let registered = fluxling::registry(&session).await?;
        drop(session);
        let queues: Vec<QueueName> = registered
            .iter()
            .filter_map(|(_, fluxling)| QueueName::new(&fluxling.manifest.queue).ok())
            .collect();
        let depths = queue.depth(&queues).await?;
        let depths: HashMap<_, _> = depths
            .into_iter()
            .map(|depth| (depth.queue.as_str().to_owned(), depth.ready + depth.in_flight))
            .collect();
        self.see(registered, &depths);
        Ok(())
    }

    /// Takes these for all there are, with how many tasks there are on their queues.
    pub(crate) fn see(&self, registered: Vec<(Tenant, Fluxling)>, depths: &HashMap<String, u64>) {
        let mut peers: HashMap<Tenant, Vec<Peer>> = HashMap::new();
        for (tenant, fluxling) in registered {
            let depth = depths.get(&fluxling.manifest.queue).copied().unwrap_or_default();
            let in_flight = i64::try_from(depth).unwrap_or(i64::MAX);
            let peer = Peer { fluxling: Arc::new(fluxling), in_flight };
            peers.entry(tenant).or_default().push(peer);
        }
        let mut picture = self.picture();
        picture.peers = peers;
        picture.looked_at = Some(Instant::now());
    }

    /// The queues of all who are registered, each once.
    pub(crate) fn queues(&self) -> Vec<QueueName> {
        let picture = self.picture();
        let of = |peer: &Peer| QueueName::new(&peer.fluxling.manifest.queue).ok();
        let queues: BTreeSet<_> = picture.peers.values().flatten().filter_map(of).collect();
        queues.into_iter().collect()
    }

    /// Every capability that somebody offers who takes tasks now, by tenant.
    pub(crate) fn offered(&self, now: Timestamp) -> Vec<(Tenant, Vec<Capability>)> {
        let picture = self.picture();
        let of = |peers: &Vec<Peer>| {
            let ready = peers.iter().filter(|peer| takes_tasks(peer, now));
            let all = ready.flat_map(|peer| &peer.fluxling.manifest.capabilities);
            let mut names: Vec<_> = all.map(|capability| capability.name.clone()).collect();
            names.sort();
            names.dedup();
            names
        };
        picture.peers.iter().map(|(tenant, peers)| (tenant.clone(), of(peers))).collect()
    }

    /// The fluxling of this tenant, or of the default one, that takes its tasks from `queue`.
    pub(crate) fn owner_of(&self, tenant: &Tenant, queue: &QueueName) -> Option<FluxlingName> {
        let peers = self.peers(tenant);
        let owner = peers.iter().find(|peer| peer.fluxling.manifest.queue == queue.as_str());
        owner.map(|peer| peer.fluxling.manifest.name.clone())
    }

    fn take_deltas(&self) -> Vec<LoadDelta> {
        let mut picture = self.picture();
        let now = crate::clock::now();
        let answers = std::mem::take(&mut picture.answers);
        let delta = |((tenant, fluxling), answers): ((Tenant, FluxlingName), Answers)| LoadDelta {
            circuit_open_until: circuit(&picture.peers, &tenant, &fluxling, &answers, now),
            latency_ms: answers.latency_ms / f64::from(answers.count.max(1)),
            answered: answers.count,
            failed: answers.failed,
            in_flight: 0,
            tenant,
            fluxling,
        };
        answers.into_iter().map(delta).collect()
    }
}

/// An answer to a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answered {
    pub(crate) tenant: Tenant,
    pub(crate) fluxling: FluxlingName,
    /// Whether the fluxling, rather than its work, failed.
    pub(crate) failed: bool,
    /// Whether the task succeeded.
    pub(crate) succeeded: bool,
    /// What the task asked for.
    pub(crate) capability: Option<Capability>,
    /// From delegation to answer, in milliseconds.
    pub(crate) latency_ms: f64,
}

fn owner(peers: &HashMap<Tenant, Vec<Peer>>, tenant: &Tenant, name: &FluxlingName) -> Tenant {
    let own = peers.get(tenant).into_iter().flatten();
    match own.into_iter().any(|peer| peer.fluxling.manifest.name == *name) {
        true => tenant.clone(),
        false => Tenant::default(),
    }
}

fn circuit(
    peers: &HashMap<Tenant, Vec<Peer>>,
    tenant: &Tenant,
    name: &FluxlingName,
    answers: &Answers,
    now: Timestamp,
) -> Option<Timestamp> {
    let peer = peers.get(tenant)?.iter().find(|peer| peer.fluxling.manifest.name == *name)?;
    let load = &peer.fluxling.load;
    let opens =
        answers.failed > 0 && load.answered >= CIRCUIT_NEEDS && load.error_rate >= CIRCUIT_OPENS_AT;
    opens.then(|| now.plus(CIRCUIT_STAYS_OPEN))
}
