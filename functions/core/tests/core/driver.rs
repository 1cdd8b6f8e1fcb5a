//! Carries messages between the core and the fluxlings, in order or as badly as can be.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use fluxus_core::{Core, Handled, worker};
use fluxus_queue::Received;
use fluxus_schema::history::EventKind;
use fluxus_schema::message::{CoreMessage, TaskMessage};
use fluxus_schema::{ClaimId, TaskToken};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::world::{World, core_queue, failed, loose, loose_text, now, succeeded};

/// How long all claims may take before the run counts as hanging.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that goes wrong, decided by a seed.
pub struct Chaos(Box<StdRng>);

impl Chaos {
    pub fn new(seed: u64) -> Self {
        Self(Box::new(StdRng::seed_from_u64(seed)))
    }
}

/// Runs until the claims have ended and no message is left.
pub async fn drive(world: &World, claims: &[ClaimId], chaos: Option<Chaos>) {
    let other = world.another_core().await;
    let mut driver = Driver {
        world,
        other,
        claims,
        chaos: chaos.map(|chaos| *chaos.0),
        pool: Vec::new(),
        timers: Vec::new(),
        then: HashMap::new(),
        answered: HashSet::new(),
    };
    let began = Instant::now();
    while !driver.is_over().await {
        assert!(began.elapsed() < PATIENCE, "claims hang");
        driver.round().await;
    }
}

struct Driver<'a> {
    world: &'a World,
    other: Core,
    claims: &'a [ClaimId],
    chaos: Option<StdRng>,
    /// Messages that were received and are not dealt with, and copies of them.
    pool: Vec<Received>,
    /// Timers that fired, to fire again.
    timers: Vec<String>,
    /// What is sent once the message with this body was dealt with.
    then: HashMap<String, Vec<CoreMessage>>,
    answered: HashSet<TaskToken>,
}

impl Driver<'_> {
    /// True with this probability; never where nothing is to go wrong.
    fn chance(&mut self, of: f64) -> bool {
        self.chaos.as_mut().is_some_and(|random| random.random_bool(of))
    }

    async fn is_over(&mut self) -> bool {
        if !self.pool.is_empty()
            || self.world.queued(&["core", "work", "ask"]).await > 0
            || self.world.total("outbox").await > 0
        {
            return false;
        }
        self.world.store.ended(self.claims).await.unwrap().len() == self.claims.len()
    }

    async fn round(&mut self) {
        self.relay().await;
        for received in self.world.receive(&core_queue(), 100).await {
            let copies = match &mut self.chaos {
                Some(random) => random.random_range(0..=2),
                None => 0,
            };
            self.pool.extend((0..copies).map(|_| loose_text(received.body.clone())));
            self.pool.push(received);
        }
        self.fire_wrongly().await;
        let batch = self.take_batch();
        if !batch.is_empty() {
            self.handle(batch).await;
        }
        for fluxling in ["work", "ask"] {
            for task in self.world.tasks(fluxling).await {
                self.answer(task).await;
            }
        }
        if self.chaos.is_none() || self.chance(0.1) {
            self.world.core.sweep().await.unwrap();
        }
    }

    /// Sends what a handler that was dropped has committed and not sent; the sweep would do so
    /// after some seconds.
    async fn relay(&mut self) {
        let later = now().plus(Duration::from_secs(3600));
        self.world.outbound.relay(later, later, 1_000).await.unwrap();
    }

    fn take_batch(&mut self) -> Vec<Received> {
        let count = match &mut self.chaos {
            Some(random) => {
                self.pool.shuffle(random);
                random.random_range(0..=self.pool.len().min(12))
            }
            None => self.pool.len(),
        };
        self.pool.drain(..count).collect()
    }

    async fn handle(&mut self, batch: Vec<Received>) {
        if self.chance(0.2) {
            let random = self.chaos.as_mut().map_or(0, |random| random.random_range(0..8_000));
            let most = Duration::from_micros(random);
            let handled = tokio::time::timeout(most, self.world.core.handle(batch.clone())).await;
            return match handled {
                Ok(handled) => self.handled(&batch, &handled).await,
                // Dropped in the middle: nobody knows what took effect, so all comes again.
                Err(_) => self.pool.extend(batch),
            };
        }
        if self.chance(0.2) {
            let other = self.other.handle(batch.clone());
            let (one, other) = tokio::join!(self.world.core.handle(batch.clone()), other);
            self.handled(&batch, &one).await;
            self.handled(&batch, &other).await;
            return;
        }
        let handled = self.world.core.handle(batch.clone()).await;
        self.handled(&batch, &handled).await;
    }

    async fn handled(&mut self, batch: &[Received], handled: &Handled) {
        assert_eq!(handled.failed, vec![], "could not be handled");
        if !handled.deleted {
            self.world.queue.delete(&core_queue(), &handled.done).await.unwrap();
        }
        for message in batch {
            if message.body.contains("TimerFired") && self.chance(0.3) {
                self.timers.push(message.body.clone());
            }
            for next in self.then.remove(&message.body).unwrap_or_default() {
                self.world.send(&next).await;
            }
        }
    }

    /// Fires old timers again, and others before their time.
    async fn fire_wrongly(&mut self) {
        if self.chance(0.1)
            && let Some(old) = self.timers.pop()
        {
            self.pool.push(loose_text(old));
        }
        if self.chance(0.1) {
            let claims = self.claims;
            let Some(random) = &mut self.chaos else { return };
            let claim_id = claims[random.random_range(0..claims.len())];
            let mut waiting = self.world.waiting(claim_id).await;
            waiting.shuffle(random);
            if let Some(row) = waiting.pop() {
                let (branch_id, revision) = (row.branch_id, row.revision);
                self.pool.push(loose(&CoreMessage::TimerFired { claim_id, branch_id, revision }));
            }
        }
    }

    /// Does what a fluxling does, and makes ready what contradicts it afterwards.
    async fn answer(&mut self, task: TaskMessage) {
        if !self.answered.insert(task.token.clone()) {
            return;
        }
        let answer = answer_to(&task);
        let body = serde_json::to_string(&answer).unwrap();
        let mut then = Vec::new();
        if let Some(token) = task.input["token"].as_str() {
            let token = TaskToken::from_text(token);
            let callback = succeeded(&token, json!("yes"));
            if self.chance(0.5) {
                let late = vec![succeeded(&token, json!("no")), failed(&token, "Late")];
                self.then.insert(serde_json::to_string(&callback).unwrap(), late);
            }
            then.push(callback);
        }
        if self.chance(0.3) {
            then.push(succeeded(&task.token, json!("something else")));
        }
        if self.chance(0.3) {
            then.push(failed(&task.token, "Late"));
            then.push(CoreMessage::TaskHeartbeat { token: task.token.clone() });
        }
        if self.chance(0.2) {
            self.world.send(&CoreMessage::TaskHeartbeat { token: task.token.clone() }).await;
        }
        self.then.insert(body, then);
        self.world.send(&answer).await;
    }
}

/// What a fluxling answers.
fn answer_to(task: &TaskMessage) -> CoreMessage {
    match &*task.state {
        "Hard" if task.attempt < 2 => failed(&task.token, "Again"),
        "Hard" | "Breaks" | "Breaks2" => failed(&task.token, "Broken"),
        state => succeeded(&task.token, json!({ "by": state, "of": visible(&task.input) })),
    }
}

/// Answers tasks while workers run, each twice, until the claims have ended and no message is left.
pub async fn drive_workers(world: &World, claims: &[ClaimId]) {
    let shutdown = CancellationToken::new();
    let cores = [world.core.clone(), world.another_core().await];
    let workers = cores.map(|core| tokio::spawn(worker::run(core, 2, shutdown.clone())));
    let mut callbacks: Vec<TaskMessage> = Vec::new();
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "claims hang");
        for fluxling in ["work", "ask"] {
            for task in world.tasks(fluxling).await {
                world.send(&answer_to(&task)).await;
                world.send(&answer_to(&task)).await;
                callbacks.extend((fluxling == "ask").then_some(task));
            }
        }
        if let Some(task) = callbacks.pop() {
            let submitted = world.details(task.claim_id, EventKind::TaskSubmitted).await;
            match task.input["token"].as_str() {
                Some(token) if !submitted.is_empty() => {
                    world.send(&succeeded(&TaskToken::from_text(token), json!("yes"))).await;
                }
                _ => callbacks.push(task),
            }
        }
        let ended = world.store.ended(claims).await.unwrap().len() == claims.len();
        if ended && world.queued(&["core", "work", "ask"]).await == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    for worker in workers {
        worker.await.unwrap();
    }
}

/// A task's input without the token, which differs from run to run.
fn visible(input: &Value) -> Value {
    match input.get("token") {
        Some(_) => json!("with a token"),
        None => input.clone(),
    }
}
