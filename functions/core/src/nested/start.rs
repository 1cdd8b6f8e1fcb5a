//! Starting executions: for each task that asks, a claim, or the reason why there is none.

use std::collections::{BTreeMap, HashMap, HashSet};

use fluxus_machine::{Failure, Nested, Pattern};
use fluxus_queue::{Outgoing, QueueName};
use fluxus_schema::limits::MAX_EXECUTION_DEPTH;
use fluxus_schema::message::{CORE_QUEUE, CoreMessage};
use fluxus_schema::{ClaimId, Json, NewClaim, TaskToken, Tenant, Timestamp};
use fluxus_store::Message;
use fluxus_store::claim::{Inserted, Intake, Namesake, Origin, Waiter};
use serde_json::{Value, json};

use super::ask::{Ask, unknown_machine};
use crate::error::CoreError;
use crate::ledger::Ledger;

/// The type of claims that recipes start. Their recipe is named, so the type chooses none.
const CLAIM_TYPE: &str = "execution";

/// A task that starts an execution.
pub(crate) struct Start {
    pub(crate) token: TaskToken,
    pub(crate) nested: Nested,
    /// The task's input.
    pub(crate) input: Json,
    pub(crate) tenant: Tenant,
    /// The claim whose task it is, and how many executions wait for that one.
    pub(crate) parent: (ClaimId, u32),
    pub(crate) seed: [u8; 16],
    pub(crate) traceparent: Option<String>,
    /// That of the claim whose task it is: whoever waits for an execution lends it its own.
    pub(crate) priority: u8,
}

/// What became of a [`Start`].
pub(crate) enum Outcome {
    /// The execution is there; `output` is what starting it gives back.
    Started { claim_id: ClaimId, output: Json },
    /// It is not, and the task fails.
    Refused(Failure),
}

/// By the task's token.
pub(crate) type Outcomes = HashMap<TaskToken, Outcome>;

/// Starts executions: none or five statements, however many they are. With what became of each,
/// and the messages that begin those that are new.
pub(crate) async fn start(
    ledger: &impl Ledger,
    starts: Vec<Start>,
    now: Timestamp,
) -> Result<(Outcomes, Vec<Message>), CoreError> {
    let mut outcomes = Outcomes::new();
    let mut asked = Vec::with_capacity(starts.len());
    for start in starts {
        match read(&start) {
            Ok(ask) => asked.push((start, ask)),
            Err(failure) => {
                outcomes.insert(start.token, Outcome::Refused(failure));
            }
        }
    }
    let intakes = intakes(ledger, asked, now, &mut outcomes).await?;
    if intakes.is_empty() {
        return Ok((outcomes, Vec::new()));
    }
    let (starts, intakes): (Vec<Start>, Vec<Intake>) = intakes.into_iter().unzip();
    let inserted = ledger.insert_claims(&intakes).await?;
    let namesakes = namesakes(ledger, &inserted).await?;
    let (mut waiters, mut messages) = (Vec::new(), Vec::new());
    for ((start, intake), inserted) in starts.into_iter().zip(&intakes).zip(&inserted) {
        let outcome = outcome(&start, intake, inserted, &namesakes);
        if let Outcome::Started { claim_id, .. } = &outcome {
            if start.nested.pattern.is_sync() {
                waiters.push(Waiter {
                    claim_id: *claim_id,
                    token: start.token.clone(),
                    tenant: start.tenant.clone(),
                    as_json: start.nested.pattern == Pattern::Sync2,
                });
            }
            if !inserted.duplicate {
                let begin = CoreMessage::ClaimSubmitted { claim_id: *claim_id };
                let for_claim = (*claim_id, &start.tenant, start.priority);
                messages.push(message(for_claim, &begin)?.yielding());
            }
        }
        outcomes.insert(start.token, outcome);
    }
    if !waiters.is_empty() {
        ledger.wait(&waiters).await?;
    }
    Ok((outcomes, messages))
}

/// A message to the core about a claim, of this tenant and priority.
pub(crate) fn message(
    (claim_id, tenant, priority): (ClaimId, &Tenant, u8),
    message: &CoreMessage,
) -> Result<Message, CoreError> {
    let body = serde_json::to_string(message)?;
    let outgoing = Outgoing::new(QueueName::new(CORE_QUEUE)?, body).in_group(tenant.as_str());
    let outgoing = outgoing.with_priority(priority);
    Ok(Message { claim_id, tenant: tenant.clone(), outgoing })
}

fn read(start: &Start) -> Result<Ask, Failure> {
    if start.depth() > MAX_EXECUTION_DEPTH {
        let cause = format!(
            "{MAX_EXECUTION_DEPTH} executions wait for this one, each for the next: more may not"
        );
        return Err(Failure::new("Fluxus.TooDeep", cause));
    }
    Ask::read(&start.input)
}

impl Start {
    fn depth(&self) -> u32 {
        self.parent.1 + u32::from(self.nested.pattern != Pattern::RequestResponse)
    }
}

/// The claims to be written, for those whose recipe exists.
async fn intakes(
    ledger: &impl Ledger,
    asked: Vec<(Start, Ask)>,
    now: Timestamp,
    outcomes: &mut Outcomes,
) -> Result<Vec<(Start, Intake)>, CoreError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let key = |start: &Start, ask: &Ask| (start.tenant.clone(), ask.recipe.clone(), ask.version);
    let keys: Vec<_> = asked.iter().map(|(start, ask)| key(start, ask)).collect();
    let versions = ledger.versions(&keys).await?;
    let mut intakes = Vec::with_capacity(asked.len());
    for (start, ask) in asked {
        let arn = start.input["StateMachineArn"].as_str().unwrap_or_default();
        let made = match versions.get(&key(&start, &ask)) {
            Some(version) => intake(&start, ask, *version, now)?,
            None => Err(unknown_machine(arn)),
        };
        match made {
            Ok(intake) => intakes.push((start, intake)),
            Err(failure) => {
                outcomes.insert(start.token, Outcome::Refused(failure));
            }
        }
    }
    Ok(intakes)
}

fn intake(
    start: &Start,
    ask: Ask,
    version: i32,
    now: Timestamp,
) -> Result<Result<Intake, Failure>, CoreError> {
    let Ask { recipe, name, input, .. } = ask;
    let claim = NewClaim {
        claim_type: CLAIM_TYPE.parse()?,
        subject: None,
        body: input,
        idempotency_key: name.as_ref().map(|name| format!("{CLAIM_TYPE}:{recipe}:{name}")),
        priority: start.priority.into(),
        deadline: None,
        attributes: BTreeMap::new(),
    };
    if let Some(fault) = claim.faults().first() {
        let cause = format!("Invalid State Machine Execution Input: '{}'", fault.detail);
        return Ok(Err(Failure::new("StepFunctions.InvalidExecutionInputException", cause)));
    }
    let origin = Origin { parent: start.parent.0, recipe, version, name, depth: start.depth() };
    Ok(Ok(Intake {
        claim_id: start.nested.claim_id,
        tenant: start.tenant.clone(),
        claim,
        seed: start.seed,
        traceparent: start.traceparent.clone(),
        origin: Some(origin),
        received_at: now,
    }))
}

/// The claims whose names were taken already.
async fn namesakes(
    ledger: &impl Ledger,
    inserted: &[Inserted],
) -> Result<HashMap<ClaimId, Namesake>, CoreError> {
    let known = inserted.iter().filter(|inserted| inserted.duplicate);
    let known: HashSet<_> = known.map(|inserted| inserted.claim_id).collect();
    if known.is_empty() {
        return Ok(HashMap::new());
    }
    let known: Vec<_> = known.into_iter().collect();
    let held = ledger.hold_claims(&known).await?;
    Ok(held.into_iter().map(|namesake| (namesake.claim_id, namesake)).collect())
}

/// As on the service, a name that is taken stands for the same execution while that runs and has
/// the same input.
fn outcome(
    start: &Start,
    intake: &Intake,
    inserted: &Inserted,
    namesakes: &HashMap<ClaimId, Namesake>,
) -> Outcome {
    let claim_id = inserted.claim_id;
    let started = |at: Timestamp| {
        let output = json!({ "ExecutionArn": claim_id, "StartDate": at.as_millis() });
        Outcome::Started { claim_id, output: output.into() }
    };
    if !inserted.duplicate {
        return started(intake.received_at);
    }
    let is_same = |namesake: &&Namesake| {
        let body = serde_json::from_str::<Value>(&namesake.body);
        !namesake.status.has_ended()
            && body.is_ok_and(|body| body == intake.claim.body)
            // It would wait for itself.
            && claim_id != start.parent.0
    };
    match namesakes.get(&claim_id).filter(is_same) {
        Some(namesake) => started(namesake.received_at),
        None => {
            let cause = format!("Execution Already Exists: '{claim_id}'");
            let error = "StepFunctions.ExecutionAlreadyExistsException";
            Outcome::Refused(Failure::new(error, cause))
        }
    }
}
