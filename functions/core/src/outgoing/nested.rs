//! What executions that tasks start, and that started claims, ask of a batch.

use fluxus_machine::{Branch, Dispatch, Execution, Failure, Nested, Pattern, Status};
use fluxus_schema::BranchId;
use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::history::{EventKind, EventRow};
use fluxus_schema::message::CoreMessage;

use super::Out;
use crate::error::CoreError;
use crate::nested::{self, Ended, Outcome};
use crate::prepared::Subject;

impl Out<'_> {
    /// A task that starts an execution. Where the task waits for more, that it was started is part
    /// of the step that asked for it; otherwise it is the answer, which comes as any other does.
    pub(super) fn started(
        &mut self,
        subject: &Subject,
        (dispatch, nested): (&Dispatch, Nested),
        row: Option<&mut EventRow>,
        branch: Option<&mut Branch>,
    ) -> Result<(), CoreError> {
        let token = dispatch.token.clone();
        let answer = match self.outcomes.get(&token) {
            Some(Outcome::Started { claim_id, output }) => {
                if nested.pattern != Pattern::RequestResponse
                    && let (Some(definition), Some(row), Some(branch)) =
                        (&subject.definition, row, branch)
                {
                    branch.submit(definition, row, *claim_id, output.clone());
                    return Ok(());
                }
                CoreMessage::TaskSucceeded { token, output: output.clone(), report: None }
            }
            Some(Outcome::Refused(Failure { error, cause })) => CoreMessage::TaskFailed {
                token,
                error: error.clone().unwrap_or_default(),
                cause: cause.clone().unwrap_or_default(),
                report: None,
            },
            // Whoever starts executions is asked for all tasks that this sees.
            None => return Ok(()),
        };
        self.message(subject, &answer, std::time::Duration::ZERO)
    }

    /// Stops executions whose end nobody waits for any more, because the branch that did was
    /// aborted or its claim was stopped. As on the service, a task whose own time is over leaves
    /// its execution running.
    pub(super) fn abandon(
        &mut self,
        subject: &Subject,
        execution: &Execution<'_>,
        rows: &[EventRow],
    ) -> Result<(), CoreError> {
        for (_, before) in &subject.branches {
            let Status::AwaitingTask { task, .. } = &before.status else { continue };
            let Some(claim_id) = task.execution else { continue };
            let after = execution.branch(&before.id).map(|branch| &branch.status);
            let is_cut_off = matches!(after, None | Some(Status::Stopped { .. }));
            if is_cut_off && !is_answered(rows, &before.id) {
                let cause =
                    format!("the claim {} that waited for it was cut off", subject.claim_id);
                let stopped = CoreMessage::Stopped {
                    claim_id,
                    status: ClaimStatus::Aborted,
                    error: None,
                    cause: Some(cause),
                    redrive_count: None,
                };
                let for_claim = (claim_id, &subject.tenant, subject.priority);
                self.messages.push(nested::message(for_claim, &stopped)?);
            }
        }
        Ok(())
    }

    /// The end of a claim that a task started: those who wait for it are to be told.
    pub(super) fn note_end(
        &mut self,
        subject: &Subject,
        status: ClaimStatus,
        output: Option<&String>,
        failure: &Failure,
    ) {
        if subject.origin.is_none() {
            return;
        }
        self.nested_ended.push(Ended {
            claim_id: subject.claim_id,
            name: subject.context.name.clone(),
            machine: subject.context.state_machine_id.clone(),
            input: subject.context.input.clone(),
            status,
            output: output.cloned(),
            failure: failure.clone(),
            started_at: subject.received_at,
            ended_at: self.now,
            priority: subject.priority,
        });
    }
}

/// Whether a task of the branch got its answer in these steps.
fn is_answered(rows: &[EventRow], branch_id: &BranchId) -> bool {
    let of_branch = rows.iter().filter(|row| row.branch_id == *branch_id);
    let mut events = of_branch.flat_map(|row| &row.events);
    events.any(|event| matches!(event.kind, EventKind::TaskSucceeded | EventKind::TaskFailed))
}
