//! Answering: what finished together is recorded, sent and deleted together.

use std::sync::Arc;
use std::time::Duration;

use fluxus_queue::{Outgoing, Receipt};
use fluxus_schema::{Json, TaskToken};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::intake::{Finished, Verdict, Whose};
use super::outage::{Outage, spread};
use super::outcome::{BatchOutcome, Message, NotHandled, Reason};
use super::{Shift, Worker};
use crate::error::chain;

/// The most answers in one group: bounds the size of one statement behind it.
const MAX_GROUP: usize = 1_000;

/// For how long a worker that is to leave deleting to its caller tries to record what was done: on
/// Lambda the function's time runs out meanwhile, for all tasks of the batch. Others try as long as
/// they hold the tasks.
const RECORD_TIME_OF_A_FUNCTION: Duration = Duration::from_secs(2);

/// The longest wait between two such tries.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// A group, sorted by what is to be done.
#[derive(Default)]
struct Group {
    record: Vec<(TaskToken, Json)>,
    send: Vec<Outgoing>,
    /// Handled once the answers are sent.
    answered: Vec<Message>,
    /// Handled without an answer.
    expired: Vec<Message>,
    free: Vec<TaskToken>,
    hide: Vec<(Receipt, Duration)>,
    outcome: BatchOutcome,
}

impl Shift {
    /// Answers what finishes, group by group, until everything that was taken in has finished.
    pub(super) async fn answer_all(
        &self,
        mut finished: mpsc::UnboundedReceiver<Finished>,
        mut report: impl FnMut(BatchOutcome),
    ) {
        let mut group = Vec::new();
        while let Some(first) = finished.recv().await {
            group.push(first);
            // Whoever is about to finish too may do so before the group is closed.
            tokio::task::yield_now().await;
            while group.len() < MAX_GROUP {
                let Ok(next) = finished.try_recv() else { break };
                group.push(next);
            }
            report(self.answer(std::mem::take(&mut group)).await);
        }
    }

    async fn answer(&self, finished: Vec<Finished>) -> BatchOutcome {
        let worker = &self.worker;
        let mut group = Group::default();
        let mut holds = Vec::new();
        let mut slots = Vec::new();
        for Finished { messages, hold, verdict, slot } in finished {
            // What is given back must not be hidden again by a renewal.
            if matches!(verdict, Verdict::Later { .. }) {
                self.holding.remove(hold);
            }
            holds.extend(hold);
            slots.extend(slot);
            group.add(worker, messages, verdict);
        }
        let outcome = worker.settle(group).await;
        self.holding.remove(holds);
        drop(slots);
        outcome
    }
}

impl Group {
    fn add(&mut self, worker: &Worker, messages: Vec<Message>, verdict: Verdict) {
        match verdict {
            Verdict::Answer { token, whose, answer } => {
                self.send.push(worker.answer(&whose, &answer));
                self.record.push((token, answer));
                self.answered.extend(messages);
            }
            Verdict::Again { whose, answer } => {
                self.send.push(worker.answer(&whose, &answer));
                self.answered.extend(messages);
            }
            Verdict::Expired => self.expired.extend(messages),
            Verdict::Later { token, after, error } => {
                self.free.push(token);
                self.hide.extend(messages.iter().map(|m| (m.receipt.clone(), spread(after))));
                self.leave(messages, &Reason::RetryLater { after, error });
            }
            Verdict::Left(reason) => {
                if reason == Reason::InProgress {
                    let wait = worker.busy_wait();
                    let hidden = messages.iter().map(|m| (m.receipt.clone(), spread(wait)));
                    self.hide.extend(hidden);
                }
                self.leave(messages, &reason);
            }
        }
    }

    fn leave(&mut self, messages: Vec<Message>, reason: &Reason) {
        let left = messages.into_iter().map(|message| message.not_handled(reason.clone()));
        self.outcome.failed.extend(left);
    }
}

impl Worker {
    /// Each kind of call once, and none that has nothing to do. What is not deleted comes again, and
    /// is answered from the record.
    async fn settle(&self, mut group: Group) -> BatchOutcome {
        if !group.record.is_empty() && !self.fluxling.is_idempotent() {
            self.record(&group.record).await;
        }
        let receipts = |messages: Vec<Message>| messages.into_iter().map(|message| message.receipt);
        let mut handled: Vec<Receipt> = receipts(std::mem::take(&mut group.expired)).collect();
        let answers = std::mem::take(&mut group.send);
        if answers.is_empty() {
            self.delete(&handled).await;
        } else {
            let answered = std::mem::take(&mut group.answered);
            let of_answered: Vec<_> =
                answered.iter().map(|message| message.receipt.clone()).collect();
            let sent = if self.deletes {
                let all: Vec<_> = handled.iter().chain(&of_answered).cloned().collect();
                self.queue.answer(&self.name, answers, &all).await
            } else {
                self.queue.send(answers).await
            };
            match sent {
                Ok(()) => handled.extend(of_answered),
                Err(error) => {
                    self.delete(&handled).await;
                    group.leave(answered, &Reason::NotAnswered(Arc::from(chain(&error))));
                }
            }
        }
        self.free(&group.free, &group.hide).await;
        self.note(&group.outcome.failed).await;
        group.outcome.handled = handled;
        group.outcome
    }

    /// Notes with the messages why they cannot be handled, where the queue keeps that.
    async fn note(&self, failed: &[NotHandled]) {
        let failures: Vec<(Receipt, String)> = failed
            .iter()
            .filter(|one| one.reason.is_failure())
            .map(|one| (one.receipt.clone(), one.reason.to_string()))
            .collect();
        if !failures.is_empty()
            && let Err(error) = self.queue.note_failures(&self.name, &failures).await
        {
            tracing::warn!(error = chain(&error), "cannot note why messages could not be handled");
        }
    }

    /// Records what was done, and tries again where that fails: the messages stay hidden meanwhile.
    async fn record(&self, outcomes: &[(TaskToken, Json)]) {
        let mut recording = Outage::of("record what was done");
        let time = if self.deletes { self.lease() } else { RECORD_TIME_OF_A_FUNCTION };
        let until = Instant::now() + time;
        while let Err(error) = self.idempotency.complete(outcomes).await {
            let wait = recording.failed(&error).min(RECORD_AGAIN);
            if Instant::now() + wait >= until {
                // Answered all the same: the work is done, and only a duplicate could repeat it.
                tracing::error!(error = chain(&error), "what was done is not recorded");
                return;
            }
            tokio::time::sleep(wait).await;
        }
        recording.over();
    }

    /// Deletes messages that need no answer.
    async fn delete(&self, receipts: &[Receipt]) {
        if self.deletes
            && !receipts.is_empty()
            && let Err(error) = self.queue.delete(&self.name, receipts).await
        {
            tracing::warn!(error = chain(&error), "cannot delete handled messages");
        }
    }

    /// Gives tasks back, to be delivered again after so long.
    pub(super) async fn free(&self, tokens: &[TaskToken], visibility: &[(Receipt, Duration)]) {
        if !tokens.is_empty()
            && !self.fluxling.is_idempotent()
            && let Err(error) = self.idempotency.release(tokens).await
        {
            tracing::warn!(error = chain(&error), "cannot release tasks; their leases will end");
        }
        if !visibility.is_empty()
            && let Err(error) = self.queue.change_visibility(&self.name, visibility).await
        {
            tracing::warn!(
                error = chain(&error),
                "cannot give messages back; they come back later"
            );
        }
    }

    fn answer(&self, whose: &Whose, answer: &Json) -> Outgoing {
        whose.sends(Outgoing::new(self.core.clone(), answer.to_string()))
    }
}
