//! Taking messages in: read them, ask the idempotency record once, start the attempts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fluxus_queue::bounds::MAX_PRIORITY;
use fluxus_queue::{Outgoing, Received};
use fluxus_schema::message::TaskMessage;
use fluxus_schema::{Json, TaskToken, Tenant};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::attempt::Work;
use super::holding::{Held, HoldId};
use super::outcome::{Message, Reason};
use super::{Shift, Worker};
use crate::error::chain;
use crate::{Begin, IdempotencyError};

/// A task that was taken in, with all its deliveries in the batch.
pub(super) struct Taken {
    pub(super) task: TaskMessage,
    pub(super) messages: Vec<Message>,
    /// The most often that one of them was delivered.
    pub(super) receive_count: u32,
}

/// Whose task it is, and how urgent: what is said of it is sent with that.
#[derive(Debug, Clone)]
pub(super) struct Whose {
    tenant: Tenant,
    priority: u8,
}

impl Whose {
    pub(super) fn of(task: &TaskMessage) -> Self {
        Self { tenant: task.tenant.clone(), priority: task.priority }
    }

    pub(super) fn sends(&self, outgoing: Outgoing) -> Outgoing {
        outgoing.in_group(self.tenant.as_str()).with_priority(self.priority.min(MAX_PRIORITY))
    }
}

/// What became of a task, to be answered.
pub(super) struct Finished {
    pub(super) messages: Vec<Message>,
    pub(super) hold: Option<HoldId>,
    pub(super) verdict: Verdict,
    /// Given back once the answer is out, so that what is in work stays bounded.
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

pub(super) enum Verdict {
    /// Answer, and record the answer.
    Answer { token: TaskToken, whose: Whose, answer: Json },
    /// Answer again what is recorded.
    Again { whose: Whose, answer: Json },
    /// Nobody waits for an answer any more.
    Expired,
    /// Give it back for a while.
    Later { token: TaskToken, after: Duration, error: Arc<str> },
    /// Leave it as it is.
    Left(Reason),
}

impl Shift {
    /// Takes a batch in. Every message ends as one [`Finished`] on `done`, sooner or later.
    /// `slots` are permits taken beforehand; without them each attempt waits for its own.
    ///
    /// # Errors
    /// Where the idempotency record could not be asked. The messages are finished all the same, as
    /// [`Reason::NotBegun`].
    pub(super) async fn take_in(
        &self,
        batch: Vec<Received>,
        mut slots: Option<OwnedSemaphorePermit>,
        done: mpsc::UnboundedSender<Finished>,
    ) -> Result<(), IdempotencyError> {
        let worker = &self.worker;
        let finish = |messages: Vec<Message>, verdict: Verdict| {
            // Nobody listens only where the whole shift is being dropped.
            let _ = done.send(Finished { messages, hold: None, verdict, slot: None });
        };
        let (tasks, unreadable) = read(batch);
        for (message, reason) in unreadable {
            finish(vec![message], Verdict::Left(reason));
        }
        let now = worker.clock.now();
        let mut taken = Vec::with_capacity(tasks.len());
        for task in tasks {
            if task.task.deadline.is_some_and(|deadline| deadline <= now) {
                finish(task.messages, Verdict::Expired);
            } else {
                taken.push(task);
            }
        }
        let begun = match worker.begin(&taken).await {
            Ok(begun) => begun,
            Err(error) => {
                let cause: Arc<str> = chain(&error).into();
                for task in taken {
                    let reason = Reason::NotBegun(Arc::clone(&cause));
                    finish(task.messages, Verdict::Left(reason));
                }
                return Err(error);
            }
        };
        for (task, begin) in taken.into_iter().zip(begun) {
            match begin {
                Begin::New => {
                    let slot = slots.as_mut().and_then(|slots| slots.split(1));
                    self.start(task, slot, done.clone());
                }
                Begin::InProgress => finish(task.messages, Verdict::Left(Reason::InProgress)),
                Begin::Done(answer) => {
                    let whose = Whose::of(&task.task);
                    finish(task.messages, Verdict::Again { whose, answer });
                }
            }
        }
        self.holding.wake();
        Ok(())
    }

    fn start(
        &self,
        taken: Taken,
        slot: Option<OwnedSemaphorePermit>,
        done: mpsc::UnboundedSender<Finished>,
    ) {
        let worker = &self.worker;
        let heartbeat = taken.task.heartbeat_ms.filter(|_| worker.fluxling.sends_heartbeats());
        let hold = self.holding.add(Held::new(
            taken.task.token.clone(),
            Whose::of(&taken.task),
            taken.messages.clone(),
            worker.visibility,
            heartbeat.map(Duration::from_millis),
        ));
        let work = Work {
            worker: worker.clone(),
            holding: Arc::clone(&self.holding),
            hold,
            stop: self.stop.clone(),
        };
        let abort = self.abort.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = abort.cancelled() => {}
                finished = work.finish(taken, slot) => {
                    let _ = done.send(finished);
                }
            }
        });
    }
}

impl Worker {
    /// Asks the record about all tasks at once.
    async fn begin(&self, taken: &[Taken]) -> Result<Vec<Begin>, IdempotencyError> {
        if self.fluxling.is_idempotent() || taken.is_empty() {
            return Ok(vec![Begin::New; taken.len()]);
        }
        let tokens: Vec<_> = taken.iter().map(|taken| taken.task.token.clone()).collect();
        let begun = self.idempotency.begin(&tokens, self.lease()).await?;
        if begun.len() == tokens.len() {
            return Ok(begun);
        }
        let source = format!("asked about {} tasks, told about {}", tokens.len(), begun.len());
        Err(IdempotencyError { action: "begin tasks", source: source.into() })
    }
}

/// Reads a batch. Deliveries of the same task are put together.
fn read(batch: Vec<Received>) -> (Vec<Taken>, Vec<(Message, Reason)>) {
    let mut tasks: Vec<Taken> = Vec::with_capacity(batch.len());
    let mut places: HashMap<TaskToken, usize> = HashMap::new();
    let mut unreadable = Vec::new();
    for received in batch {
        let message = Message::of(&received);
        let receive_count = received.receive_count;
        match serde_json::from_str::<TaskMessage>(&received.body) {
            Ok(task) => {
                let place = *places.entry(task.token.clone()).or_insert(tasks.len());
                match tasks.get_mut(place) {
                    Some(known) => {
                        known.messages.push(message);
                        known.receive_count = known.receive_count.max(receive_count);
                    }
                    None => tasks.push(Taken { task, messages: vec![message], receive_count }),
                }
            }
            Err(error) => {
                unreadable.push((message, Reason::Unreadable(error.to_string().into())));
            }
        }
    }
    (tasks, unreadable)
}
