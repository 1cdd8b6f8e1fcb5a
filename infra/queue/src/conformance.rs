//! One suite for every adapter: what callers of [`Queue`] may rely on.
//!
//! Each case uses queues of its own, so an adapter may hand out the same instance every time and
//! may hold other messages. Nothing sleeps: delays are waited for by receiving.
//!
//! Where the service behind an adapter cannot do something, the adapter says so in its
//! [`Promises`]; all others are held to it.

// A suite of tests: ending loudly at the first surprise is its purpose.
#![allow(clippy::expect_used)]

mod bounds;
mod dead;
mod delivery;
mod fair;
mod time;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::{Outgoing, Queue, QueueName, Receive, Received};

/// Long enough for any machine, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(15);

/// A visibility timeout that no case outlives.
const LONG: Duration = Duration::from_secs(600);

/// A delay or visibility timeout that a case waits for.
const SHORT: Duration = Duration::from_millis(300);

/// Runs every case against a queue that `make` provides for it.
///
/// # Panics
/// At the first thing that is not as it must be.
pub async fn run<F>(make: impl Fn() -> F)
where
    F: Future<Output: Into<Subject>>,
{
    let make = async || -> Subject { make().await.into() };
    delivery::what_is_sent_is_received_until_deleted(make().await).await;
    delivery::a_batch_goes_to_many_queues(make().await).await;
    delivery::a_receive_takes_no_more_than_asked(make().await).await;
    delivery::bodies_come_back_as_they_were(make().await).await;
    delivery::receivers_at_the_same_time_never_share_a_message(make().await).await;
    delivery::a_waiting_receiver_is_woken(make().await).await;
    delivery::several_waiting_receivers_are_all_served(make().await).await;
    delivery::an_empty_queue_ends_the_wait_empty(make().await).await;
    time::a_delayed_message_comes_in_time(make().await).await;
    time::what_is_not_deleted_comes_again(make().await).await;
    time::a_stale_receipt_does_nothing(make().await).await;
    time::visibility_can_be_changed(make().await).await;
    dead::what_is_received_too_often_dies(make().await).await;
    dead::what_is_buried_is_dead_at_once(make().await).await;
    dead::dead_letters_are_listed_page_by_page(make().await).await;
    dead::a_dead_letter_is_put_back(make().await).await;
    dead::dead_letters_are_purged(make().await).await;
    dead::the_depth_tells_each_kind(make().await).await;
    bounds::past_a_bound_nothing_is_done(make().await).await;
    fair::a_group_with_a_backlog_delays_no_other(make().await).await;
    fair::every_group_has_its_turn_however_many_there_are(make().await).await;
    fair::within_a_group_the_higher_priority_goes_first(make().await).await;
    fair::what_yields_goes_behind_the_others_of_its_priority(make().await).await;
    fair::no_priority_comes_before_its_time(make().await).await;
}

/// An adapter under test.
#[derive(Clone)]
pub struct Subject {
    queue: Arc<dyn Queue>,
    promises: Promises,
    create: Option<Create>,
}

/// Makes a queue and its dead-letter queue.
type Create = Arc<dyn Fn(QueueName) -> BoxFuture<'static, ()> + Send + Sync>;

/// What an adapter promises beyond what all do.
#[derive(Clone, Copy, Debug)]
pub struct Promises {
    /// What delays, waits and visibility timeouts are rounded up to.
    pub granularity: Duration,
    /// Whether an empty body is carried.
    pub empty_bodies: bool,
    /// Whether the depth tells the age of the oldest ready message.
    pub oldest_age: bool,
    /// Whether each receive takes of every group that waits, up to
    /// [`MAX_GROUPS_PER_RECEIVE`](crate::bounds::MAX_GROUPS_PER_RECEIVE) of them. Without it groups
    /// are evened out by the service, in its own time.
    pub fair_at_once: bool,
    /// Whether priorities count, and what yields goes behind.
    pub priorities: bool,
    /// Whether every attempt is kept, with what the receiver said of it.
    pub attempts: bool,
}

impl Default for Promises {
    /// Everything.
    fn default() -> Self {
        Self {
            granularity: Duration::ZERO,
            empty_bodies: true,
            oldest_age: true,
            fair_at_once: true,
            priorities: true,
            attempts: true,
        }
    }
}

impl From<Arc<dyn Queue>> for Subject {
    fn from(queue: Arc<dyn Queue>) -> Self {
        Self { queue, promises: Promises::default(), create: None }
    }
}

impl Subject {
    /// The same adapter, held to less.
    #[must_use]
    pub fn promising(self, promises: Promises) -> Self {
        Self { promises, ..self }
    }

    /// The same adapter, for a service where queues must be made first.
    #[must_use]
    pub fn creating(
        self,
        create: impl Fn(QueueName) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self { create: Some(Arc::new(create)), ..self }
    }

    /// A queue that nobody else uses.
    async fn fresh_queue(&self) -> QueueName {
        let name = format!("conformance-{}", Uuid::now_v7().simple());
        let name = QueueName::new(&name).expect("a valid name");
        if let Some(create) = &self.create {
            create(name.clone()).await;
        }
        name
    }

    /// A delay or visibility timeout that a case waits for.
    fn short(&self) -> Duration {
        SHORT.max(self.promises.granularity)
    }
}

async fn send(queue: &dyn Queue, name: &QueueName, bodies: &[&str]) {
    let messages = bodies.iter().map(|body| Outgoing::new(name.clone(), *body)).collect();
    queue.send(messages).await.expect("send");
}

/// Receives without waiting.
async fn take(queue: &dyn Queue, name: &QueueName, max: usize) -> Vec<Received> {
    let request = Receive { max, wait: Duration::ZERO, visibility: LONG };
    queue.receive(name, request).await.expect("receive")
}

/// Receives one message, waiting for it.
async fn wait_for_one(queue: &dyn Queue, name: &QueueName, visibility: Duration) -> Received {
    let request = Receive { max: 1, wait: PATIENCE, visibility };
    let received = queue.receive(name, request).await.expect("receive");
    received.into_iter().next().expect("a message before the wait is over")
}

fn bodies(received: &[Received]) -> Vec<&str> {
    let mut bodies: Vec<&str> = received.iter().map(|message| message.body.as_str()).collect();
    bodies.sort_unstable();
    bodies
}
