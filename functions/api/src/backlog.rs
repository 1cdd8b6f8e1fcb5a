//! How much is accepted and not evaluated yet, and whether there is room for more.
//!
//! Past a bound a client is told to come again: accepted, its claim would only wait where nobody sees
//! it. Each tenant has a bound of its own, so that one tenant's flood is that tenant's matter. Past
//! the bound for all, tenants who hold little are still let in; past twice that bound nobody is.
//!
//! What the requests look at is a picture. It is made by a look at the core's queue and, only where
//! that is so full that somebody may be past a bound, at the claims of the tenants who ask. While one
//! look is under way the others use the picture there is, so no request adds one of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fluxus_queue::{Queue, QueueName};
use fluxus_schema::Tenant;
use fluxus_store::{Outbound, Store};
use rand::Rng as _;
use tokio::sync::Semaphore;

use crate::problem::{Kind, Refusal, chain};

/// Claims of one tenant that may wait to be evaluated: minutes of work for one core, and room for a
/// batch job that comes in at once.
pub const MAX_TENANT_BACKLOG: u64 = 200_000;

/// Claims of all tenants that may wait to be evaluated. Some gigabytes of rows at most, and a queue
/// that can still be counted.
pub const MAX_BACKLOG: u64 = 500_000;

/// Past [`Bounds::all`], a tenant is let in who holds less than this part of it.
const LITTLE: u64 = 100;

/// How old the picture may become where a look costs two statements.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The same where a look at the queue is a request that is paid for.
const LOOK_EVERY_REQUESTS: Duration = Duration::from_secs(5);

/// A look that takes long is rare: it may take this part of the time.
const LOOKING_AT_MOST: u32 = 10;

/// Most tenants that one look asks about; the others wait for the next.
const TENANTS_AT_ONCE: usize = 100;

/// When a client that is refused may come again, in seconds. Spread, so that those who were refused
/// together do not come back together; a backlog past its bound takes seconds at least.
const RETRY_AFTER: std::ops::RangeInclusive<u32> = 2..=10;

/// How much may wait to be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of one tenant.
    pub tenant: u64,
    /// Of all.
    pub all: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { tenant: MAX_TENANT_BACKLOG, all: MAX_BACKLOG }
    }
}

/// Whether there is room for claims. Clones are one.
#[derive(Clone)]
pub(crate) struct Backlog(Arc<Inner>);

struct Inner {
    store: Store,
    queue: Arc<dyn Queue>,
    core: QueueName,
    bounds: Bounds,
    /// Whether a look goes on beside the request that asked for it: a Lambda is frozen after one.
    beside: bool,
    look_every: Duration,
    looking: Semaphore,
    picture: Mutex<Picture>,
    /// Claims refused by this process. As many entries as tenants have keys.
    refused: Mutex<BTreeMap<Tenant, u64>>,
}

/// What `GET /metrics` says of it.
pub(crate) struct Seen {
    /// Claims of all tenants that wait to be evaluated.
    pub(crate) all: u64,
    pub(crate) bounds: Bounds,
    /// Claims of the tenant that this process refused.
    pub(crate) refused: u64,
}

#[derive(Default)]
struct Picture {
    next_look: Option<Instant>,
    /// Messages that wait for the core: each claim that is not evaluated has one.
    all: u64,
    /// Claims of tenants that are not evaluated, where somebody may be past a bound.
    tenants: BTreeMap<Tenant, u64>,
    /// Who asked since the last look.
    asked: BTreeSet<Tenant>,
    /// Accepted here since the last look.
    since: BTreeMap<Tenant, u64>,
}

impl Backlog {
    pub(crate) fn new(store: Store, outbound: &Outbound, core: QueueName, bounds: Bounds) -> Self {
        let beside = matches!(outbound, Outbound::Joined(_));
        Self(Arc::new(Inner {
            store,
            queue: outbound.queue(),
            core,
            bounds,
            beside,
            look_every: if beside { LOOK_EVERY } else { LOOK_EVERY_REQUESTS },
            looking: Semaphore::new(1),
            picture: Mutex::default(),
            refused: Mutex::default(),
        }))
    }

    /// Whether a claim of this tenant may come in; it is counted then.
    ///
    /// # Errors
    /// [`Kind::TooManyClaims`], with when to come again.
    pub(crate) async fn admit(&self, tenant: &Tenant) -> Result<(), Refusal> {
        self.refresh(Some(tenant)).await;
        let Bounds { tenant: most, all: most_of_all } = self.0.bounds;
        let mut picture = self.picture();
        let (own, all) = (picture.of(tenant), picture.in_all());
        let detail = if own >= most {
            format!(
                "{own} claims of this tenant wait to be evaluated; the bound is {most}. Try again \
                 later, with the same idempotency key"
            )
        } else if all >= most_of_all.saturating_mul(2)
            || (all >= most_of_all && own >= most_of_all / LITTLE)
        {
            format!(
                "{all} claims wait to be evaluated; the bound is {most_of_all}. Try again later, \
                 with the same idempotency key"
            )
        } else {
            *picture.since.entry(tenant.clone()).or_default() += 1;
            return Ok(());
        };
        drop(picture);
        let seconds = rand::rng().random_range(RETRY_AFTER);
        Err(Refusal::new(Kind::TooManyClaims, detail).retry_after(seconds))
    }

    /// Counts a claim of the tenant that was sent away: not each that [`admit`](Self::admit) refuses,
    /// because one that is known is answered all the same.
    pub(crate) fn count_refused(&self, tenant: &Tenant) {
        fluxus_lambda::metrics::count("ClaimsRefused", &[], 1);
        *self.refused().entry(tenant.clone()).or_default() += 1;
    }

    /// How things stand for a tenant, looked at anew where it is time.
    pub(crate) async fn seen(&self, tenant: &Tenant) -> Seen {
        let is_old = self.picture().next_look.is_none_or(|next| Instant::now() >= next);
        if is_old
            && let Ok(_one) = self.0.looking.try_acquire()
            && let Err(error) = self.look().await
        {
            tracing::warn!(error, "cannot look at the backlog; metrics tell of the last look");
        }
        Seen {
            all: self.picture().in_all(),
            bounds: self.0.bounds,
            refused: self.refused().get(tenant).copied().unwrap_or_default(),
        }
    }

    /// Whether there is no room for anybody who holds more than little: time to leave messages on
    /// the ingest queue.
    pub(crate) async fn is_full(&self) -> bool {
        self.refresh(None).await;
        self.picture().in_all() >= self.0.bounds.all
    }

    /// Looks again where it is time. A failed look leaves the picture as it is: claims are not
    /// refused because somebody cannot count.
    async fn refresh(&self, tenant: Option<&Tenant>) {
        {
            let mut picture = self.picture();
            if let Some(tenant) = tenant
                && picture.asked.len() < TENANTS_AT_ONCE
                && !picture.asked.contains(tenant)
            {
                picture.asked.insert(tenant.clone());
            }
            if picture.next_look.is_some_and(|next| Instant::now() < next) {
                return;
            }
        }
        let backlog = self.clone();
        let look = async move {
            let Ok(_one) = backlog.0.looking.try_acquire() else { return };
            if let Err(error) = backlog.look().await {
                tracing::warn!(error, "cannot look at the backlog; claims are let in as before");
            }
        };
        if self.0.beside {
            tokio::spawn(look);
        } else {
            look.await;
        }
    }

    async fn look(&self) -> Result<(), String> {
        let Inner { store, queue, core, bounds, look_every, .. } = &*self.0;
        let began = Instant::now();
        let (asked, before) = {
            let mut picture = self.picture();
            // Set first, so that a look that fails is not tried again at once.
            picture.next_look = Some(began + *look_every);
            (std::mem::take(&mut picture.asked), picture.since.clone())
        };
        let depths = queue.depth(std::slice::from_ref(core)).await;
        let depths = depths.map_err(|error| chain(&error))?;
        let all = depths.iter().map(|depth| depth.ready).sum();
        // A claim that is not evaluated has a message in the queue: where that has not half of what
        // a tenant may have, no tenant comes to its bound before the next look.
        let mut tenants = BTreeMap::new();
        if all >= bounds.tenant.min(bounds.all) / 2 {
            let names: Vec<_> = asked.into_iter().collect();
            let most = usize::try_from(bounds.tenant).unwrap_or(usize::MAX);
            let counted = store.unevaluated(&names, most).await.map_err(|error| chain(&error))?;
            tenants.extend(counted);
        }
        let mut picture = self.picture();
        let pause = began.elapsed().saturating_mul(LOOKING_AT_MOST).max(*look_every);
        picture.next_look = Some(Instant::now() + pause);
        picture.all = all;
        picture.tenants = tenants;
        // What came in during the look may not have been seen by it.
        picture.since.retain(|tenant, count| {
            *count -= before.get(tenant).copied().unwrap_or(0).min(*count);
            *count > 0
        });
        Ok(())
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<Tenant, u64>> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn picture(&self) -> MutexGuard<'_, Picture> {
        self.0.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Picture {
    fn of(&self, tenant: &Tenant) -> u64 {
        let count = |counts: &BTreeMap<Tenant, u64>| counts.get(tenant).copied().unwrap_or(0);
        count(&self.tenants) + count(&self.since)
    }

    fn in_all(&self) -> u64 {
        self.all + self.since.values().sum::<u64>()
    }
}
