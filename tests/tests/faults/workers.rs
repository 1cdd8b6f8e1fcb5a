//! Workers outside, who poll for an activity's tasks and keep no rules: they vanish, answer twice,
//! answer for an attempt whose time is over, and fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};
use uuid::Uuid;

use crate::client::{Client, Heard};
use crate::draws::Draws;
use crate::fluxlings::BROKEN;
use crate::house::House;
use crate::recipes::{ACTIVITY, BODY, ballast};

/// Workers that poll side by side.
const WORKERS: u64 = 4;

/// How long a poll waits for a task, in seconds.
const WAIT_S: u64 = 1;

/// Pause before an API is asked again that was not there.
const PACE: Duration = Duration::from_millis(50);

/// Attempts at a task from this one on are answered at once, so that claims come to their ends.
const PATIENT_FROM: u64 = 2;

/// Pause between two heartbeats: a third of the time that recipes give.
const BEAT_EVERY: Duration = Duration::from_millis(330);

/// Heartbeats before an answer: for longer than a task without them has.
const BEATS: u32 = 4;

/// What a worker does with a task.
#[derive(Clone, Copy)]
enum Way {
    Answer,
    Twice,
    Vanish,
    Fail,
}

const WAYS: [Way; 5] = [Way::Answer, Way::Answer, Way::Twice, Way::Vanish, Way::Fail];

/// Starts them. They never end, so that what was given out is given out again.
pub fn start(tasks: &mut JoinSet<()>, client: &Client, house: &House, seed: u64) {
    let given = Arc::<Mutex<Given>>::default();
    for who in 0..WORKERS {
        tasks.spawn(work(Worker {
            client: client.clone(),
            house: house.clone(),
            draws: Draws::new(seed.rotate_left(32).wrapping_add(who)),
            given: given.clone(),
            name: format!("worker-{who}"),
        }));
    }
}

/// What was given out to all of them.
#[derive(Default)]
struct Given {
    tokens: BTreeSet<String>,
    /// The last attempt at each step of each claim, and its token.
    last: BTreeMap<(String, String), (u64, String)>,
}

impl Given {
    /// Notes a task; whether it is new, and the token of an attempt before it.
    fn note(&mut self, task: &Task) -> (bool, Option<String>) {
        let is_new = self.tokens.insert(task.token.clone());
        let this = (task.attempt, task.token.clone());
        // What was given out before may arrive later.
        let last = self.last.entry((task.key.clone(), task.step.clone())).or_insert(this.clone());
        let before = (last.0 < this.0).then(|| std::mem::replace(last, this).1);
        (is_new, before)
    }
}

/// A task as it was given out.
struct Task {
    token: String,
    attempt: u64,
    key: String,
    step: String,
    has_heartbeat: bool,
    ballast: Option<String>,
}

impl Task {
    fn read(task: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let input = &task["input"];
        Self {
            token: text(&task["token"]).expect("a token"),
            attempt: task["attempt"].as_u64().unwrap_or_default(),
            key: text(&input["key"]).expect("a key"),
            step: text(&input["step"]).expect("a step"),
            has_heartbeat: task["heartbeat_s"].is_u64(),
            ballast: text(&input["ballast"]),
        }
    }
}

struct Worker {
    client: Client,
    house: House,
    draws: Draws,
    given: Arc<Mutex<Given>>,
    name: String,
}

/// Does one task after the other.
async fn work(one: Worker) {
    let mut pace = interval(PACE);
    loop {
        pace.tick().await;
        if let Some(task) = one.client.poll(ACTIVITY, &one.name, WAIT_S).await {
            one.attempt(&Task::read(&task)).await;
        }
    }
}

impl Worker {
    async fn attempt(&self, task: &Task) {
        let (is_new, before) = self.given.lock().unwrap_or_else(PoisonError::into_inner).note(task);
        let Task { token, attempt, key, step, .. } = task;
        if !is_new {
            self.client.wonder(format!("attempt {attempt} at {step} of {key} was given out twice"));
        }
        if task.ballast.as_ref().is_some_and(|text| *text != ballast(BODY)) {
            self.client.wonder(format!("{step} of {key} got a spoiled input"));
        }
        if let Some(before) = before {
            // Nobody notes this as done.
            let output = json!({"key": key, "step": step, "nonce": "too-late"});
            if self.client.succeed(&before, &output).await == Heard::Yes {
                self.client.wonder(format!("{step} of {key} was answered by an old token"));
            }
        }
        let is_patient = *attempt >= PATIENT_FROM;
        let way = if is_patient { Way::Answer } else { *self.draws.one_of(&WAYS) };
        if matches!(way, Way::Vanish) {
            return;
        }
        if task.has_heartbeat && !is_patient && !self.beat(token).await {
            return;
        }
        match way {
            Way::Vanish => {}
            Way::Answer => {
                let done = self.done(task);
                self.tell(|| self.client.succeed(token, &done)).await;
            }
            Way::Twice => {
                let (one, other) = (self.done(task), self.done(task));
                tokio::join!(
                    self.tell(|| self.client.succeed(token, &one)),
                    self.tell(|| self.client.succeed(token, &other)),
                );
            }
            Way::Fail => self.tell(|| self.client.fail(token, BROKEN)).await,
        }
    }

    /// Beats for a while; whether the task still waits then, as far as it can be told.
    async fn beat(&self, token: &str) -> bool {
        for _ in 0..BEATS {
            if self.client.beat(token).await == Heard::TooLate {
                return false;
            }
            sleep_until(Instant::now() + BEAT_EVERY).await;
        }
        true
    }

    /// What comes of a task that is done now.
    fn done(&self, task: &Task) -> Value {
        let Task { key, step, .. } = task;
        let nonce = Uuid::now_v7().simple().to_string();
        self.house.note_effect(key, step, &nonce);
        let mut done = json!({"key": key, "step": step, "nonce": nonce});
        if task.ballast.is_some() {
            done["ballast"] = json!(ballast(step));
        }
        done
    }

    /// Says something until it was heard, at one API or another.
    async fn tell<F: Future<Output = Heard>>(&self, say: impl Fn() -> F) {
        let mut pace = interval(PACE);
        loop {
            pace.tick().await;
            if say().await != Heard::Perhaps {
                return;
            }
        }
    }
}
