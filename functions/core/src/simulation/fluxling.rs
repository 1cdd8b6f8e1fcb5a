//! Fluxlings, and whoever calls back: they do what the name of a state says, mostly.
//!
//! What comes of a task follows from its state, its attempt and its input alone, so that a claim
//! comes out the same however its messages travelled. A fluxling keeps a record of what it did, as
//! the SDK does: a task that comes again is answered again, and not done again.

use std::collections::BTreeMap;

use fluxus_queue::{Outgoing, Receipt};
use fluxus_schema::fluxling::{CapabilityManifest, Fluxling, Load, Manifest};
use fluxus_schema::id::TaskAddress;
use fluxus_schema::message::{CoreMessage, TaskMessage, TaskReport};
use fluxus_schema::{TaskToken, Tenant, Timestamp};
use serde_json::{Value, json};

use super::chance::mix;
use super::check::timeless;
use super::world::{CORE, World};

/// How long a task's message stays hidden, in milliseconds: the SDK keeps it so while it works.
const HIDDEN: i64 = 600_000;

/// Receives after which a clumsy fluxling pulls itself together, so that no task dies of it.
const CLUMSY_RECEIVES: u32 = 3;

/// Error of a task that is to be tried again.
pub(super) const AGAIN: &str = "Again";

/// Error of a task that always fails.
pub(super) const BROKEN: &str = "Broken";

/// Why it fails. One for all, so that it is no matter whose failure comes first.
pub(super) const CAUSE: &str = "it is broken";

/// What an answer says that nobody was asked for. It must never count.
pub(super) const FORGED: &str = "forged";

/// What has been done.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The answer to each task that was done.
    pub(super) done: BTreeMap<TaskToken, CoreMessage>,
}

/// Something that a fluxling, a client or an operator will do.
#[derive(Debug)]
pub(super) enum Act {
    /// Does a task, and what follows.
    Work(Box<TaskMessage>, Receipt, How),
    /// Tells the core something.
    Tell(CoreMessage),
    /// Sends what is no message.
    Babble,
    /// Comes to be there.
    Register(Tenant, Box<Fluxling>),
    /// An operator comes.
    Visit,
    /// What an operator asked for goes to the core.
    Ask(CoreMessage),
}

/// How a task is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Well,
    /// Dies after the work, before the answer.
    WithoutAnswer,
    /// Dies after the answer, before the message is deleted.
    WithoutDelete,
    /// Answers twice.
    Twice,
    /// Says first that it is done, then that it failed.
    Contradicting,
    /// Deletes the message and answers nothing.
    Lost,
}

/// A fluxling that offers these, for all tenants.
pub(super) fn fluxling(name: &str, capabilities: &[&str]) -> Fluxling {
    let capability = |name: &&str| CapabilityManifest {
        name: name.parse().expect("a capability"),
        input_schema: Value::Null,
        output_schema: Value::Null,
    };
    let manifest = Manifest {
        name: name.parse().expect("a name"),
        version: String::new(),
        description: String::new(),
        queue: name.to_owned(),
        capabilities: capabilities.iter().map(capability).collect(),
        concurrency: 4,
        timeout_ms: 60_000,
        idempotent: false,
        labels: BTreeMap::new(),
        weight: 100,
        cost: 0.0,
    };
    let registered_at = Timestamp::default();
    Fluxling { manifest, enabled: true, registered_at, load: Load::default() }
}

/// What comes of a task.
pub(super) fn outcome(task: &TaskMessage) -> CoreMessage {
    let token = task.token.clone();
    let (_, nature) = task.state.rsplit_once('-').unwrap_or_default();
    let failures = nature.strip_prefix('f').and_then(|times| times.parse().ok());
    let error = match failures {
        _ if nature == "x" => BROKEN,
        Some(times) if task.attempt < times => AGAIN,
        _ => {
            let output = json!({ "by": *task.state, "of": digest(&task.input) }).into();
            return CoreMessage::TaskSucceeded { token, output, report: None };
        }
    };
    let (error, cause) = (error.to_owned(), CAUSE.to_owned());
    CoreMessage::TaskFailed { token, error, cause, report: None }
}

/// A number that stands for a document. Tokens do not count, since they differ by revision.
fn digest(document: &Value) -> u32 {
    let mut document = document.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.shift_remove("token");
    }
    let bytes = timeless(&document.to_string());
    let sum = bytes.bytes().fold(0_u64, |sum, byte| mix(sum ^ u64::from(byte)));
    u32::try_from(sum >> 32).unwrap_or_default()
}

impl World {
    pub(super) fn register(&mut self, tenant: Tenant, fluxling: Fluxling) {
        self.registered.push((tenant, fluxling));
    }

    /// A fluxling takes a task, and decides how it will go.
    pub(super) fn serve(&mut self) {
        let ready = self.queues.ready(|queue| *queue != *CORE, self.now).collect();
        let when = (self.now, HIDDEN);
        let received = self.queues.receive(ready, 1, when, &mut self.chance);
        let Some(received) = received.into_iter().next() else { return };
        let Ok(task) = serde_json::from_str::<TaskMessage>(&received.body) else {
            self.violation(format!("no task: {}", received.body));
            return;
        };
        self.note(|| format!("a fluxling has `{}`, attempt {}", task.state, task.attempt));
        if let Some(answer) = self.work.done.get(&task.token).cloned() {
            self.note(|| "... and did it before".to_owned());
            self.tell(&answer);
            self.queues.delete(&received.receipt);
            return;
        }
        let may_be_clumsy = received.receive_count < CLUMSY_RECEIVES;
        let (clumsy, wild) = (self.faults.clumsy, self.faults.wild);
        if (may_be_clumsy && self.chances(clumsy)) || self.chances(wild) {
            self.note(|| "... and dies".to_owned());
            return;
        }
        let is_bounded = task.deadline.is_some();
        let how = match self.chance.below(8) {
            0 if self.chances(clumsy) && may_be_clumsy => How::WithoutAnswer,
            1 if self.chances(clumsy) && may_be_clumsy => How::WithoutDelete,
            2 if self.chances(clumsy) => How::Twice,
            3 if self.chances(wild) => How::Contradicting,
            4 if self.chances(wild) && is_bounded => How::Lost,
            _ => How::Well,
        };
        let mut takes = self.chance.between(0, 50);
        if task.heartbeat_ms.is_some() {
            takes *= 2;
            let beat = CoreMessage::TaskHeartbeat { token: task.token.clone() };
            self.act(self.now + takes / 2, Act::Tell(beat));
        }
        if self.chances(wild) {
            // Near its deadline, if it has one: before, at the same time, or after.
            let left = task.deadline.map_or(0, |deadline| deadline.as_millis() - self.now);
            takes = (left + self.chance.between(-100, 5_000)).max(0);
        }
        if self.chances(clumsy) && self.chances(4) {
            self.act(self.now + takes / 2, Act::Babble);
        }
        if self.chances(clumsy) && self.chances(2) {
            self.forge(&task.token, takes);
        }
        self.act(self.now + takes, Act::Work(Box::new(task), received.receipt, how));
    }

    /// Somebody answers with a token that was not given out.
    fn forge(&mut self, token: &TaskToken, within: i64) {
        let Ok(at) = token.address() else { return };
        let output: fluxus_schema::Json = json!(FORGED).into();
        let nonce = self.chance.next();
        let revision = at.revision.saturating_sub(u32::from(self.chances(2)));
        let token = TaskToken::new(&TaskAddress { revision, ..at }, nonce);
        let answer = CoreMessage::TaskSucceeded { token, output, report: None };
        let at = self.now + self.chance.between(0, within);
        self.act(at, Act::Tell(answer));
    }

    /// Does what is due.
    pub(super) fn do_act(&mut self) {
        let Some(((_, _), act)) = self.acts.pop_first() else { return };
        match act {
            Act::Work(task, receipt, how) => self.do_task(&task, &receipt, how),
            Act::Tell(message) => self.tell(&message),
            Act::Babble => self.send(&[Outgoing::new(CORE.clone(), "{\"type\":\"Nonsense\"}")]),
            Act::Register(tenant, fluxling) => {
                self.note(|| format!("`{}` registers", fluxling.manifest.name));
                self.register(tenant, *fluxling);
            }
            Act::Visit => self.visit(),
            Act::Ask(message) => self.ask(&message),
        }
    }

    fn do_task(&mut self, task: &TaskMessage, receipt: &Receipt, how: How) {
        self.note(|| format!("does `{}`, attempt {}, {how:?}", task.state, task.attempt));
        if how == How::Lost {
            self.queues.delete(receipt);
            return;
        }
        if let Some(callback) = task.input["token"].as_str() {
            let callback = TaskToken::from_text(callback);
            if !self.work.done.contains_key(&callback) {
                self.call_back(task, callback);
            }
        }
        let mut answer = outcome(task);
        if let CoreMessage::TaskSucceeded { report, .. } | CoreMessage::TaskFailed { report, .. } =
            &mut answer
        {
            let fluxling = "worker".parse().ok().filter(|_| self.chances(2));
            let started_at = Timestamp::from_millis(self.now);
            *report = fluxling.map(|fluxling| TaskReport { fluxling, started_at, took_ms: 1 });
        }
        self.work.done.insert(task.token.clone(), answer.clone());
        if how == How::WithoutAnswer {
            return;
        }
        self.tell(&answer);
        match how {
            How::Twice => self.tell(&answer),
            How::Contradicting => {
                let token = task.token.clone();
                let (error, cause) = (BROKEN.to_owned(), CAUSE.to_owned());
                self.tell(&CoreMessage::TaskFailed { token, error, cause, report: None });
            }
            _ => {}
        }
        if how != How::WithoutDelete {
            self.queues.delete(receipt);
        }
    }

    /// Sees to it that whoever was asked calls back.
    fn call_back(&mut self, task: &TaskMessage, token: TaskToken) {
        let mut called = outcome(task);
        if let CoreMessage::TaskSucceeded { token: of, .. }
        | CoreMessage::TaskFailed { token: of, .. } = &mut called
        {
            *of = token.clone();
        }
        self.work.done.insert(token, called.clone());
        let wild = self.faults.wild;
        if task.deadline.is_some() && self.chances(wild) {
            self.note(|| "... and nobody will call back".to_owned());
            return;
        }
        let clumsy = self.faults.clumsy;
        if self.chances(clumsy) {
            let at = self.now + self.chance.between(0, 2_000);
            self.act(at, Act::Tell(called.clone()));
        }
        let at = self.now + self.chance.between(0, 2_000);
        self.act(at, Act::Tell(called));
    }

    pub(super) fn tell(&mut self, message: &CoreMessage) {
        let body = serde_json::to_string(message).expect("writes");
        self.send(&[Outgoing::new(CORE.clone(), body)]);
    }
}
