//! Which dead letters are meant, and whose they are.

use std::collections::BTreeSet;

use fluxus_queue::{DeadLetter, MessageId, QueueName};
use fluxus_schema::api::WhichLetters;
use fluxus_schema::message::{CoreMessage, TaskMessage};
use fluxus_schema::problem::Fault;
use fluxus_schema::{ClaimId, Tenant};
use fluxus_store::claim;

use super::MAX_LOOKED_AT;
use crate::App;
use crate::problem::{Kind, Refusal};

/// How many ids a refusal lists.
const MAX_SHOWN: usize = 20;

/// The letters that are meant; none for all of the queue.
///
/// # Errors
/// Where it is not said which; [`Kind::DeadLetterDoesNotExist`] where one of them is not there: it
/// may be a slip, so nothing is done to the others.
pub(super) async fn chosen(
    app: &App,
    tenant: &Tenant,
    queue: &QueueName,
    which: WhichLetters,
) -> Result<Option<Vec<MessageId>>, Refusal> {
    let WhichLetters { message_ids, all } = which;
    let refused = |detail: String| {
        let fault = Fault::of_document("/message_ids", detail);
        Err(Refusal::faulty(Kind::InvalidDocument, vec![fault]))
    };
    if all != message_ids.is_empty() {
        const DETAIL: &str = "name letters, or say `\"all\": true`; not both, and not neither";
        return refused(DETAIL.to_owned());
    }
    if message_ids.len() > MAX_LOOKED_AT {
        return refused(format!("names more than {MAX_LOOKED_AT} letters"));
    }
    if all && *tenant == Tenant::default() {
        return Ok(None);
    }
    let ids: Vec<_> = message_ids.into_iter().map(MessageId).collect();
    let queues = app.outbound().queue();
    let found = match all {
        true => queues.list_dead(queue, None, MAX_LOOKED_AT).await?,
        false => queues.find_dead(queue, &ids).await?,
    };
    let own: BTreeSet<MessageId> =
        own(app, tenant, found).await?.into_iter().map(|letter| letter.message_id).collect();
    let missing: Vec<_> = ids.iter().filter(|id| !own.contains(*id)).collect();
    match missing.is_empty() {
        true => Ok(Some(own.into_iter().collect())),
        false => Err(not_there(queue, &missing)),
    }
}

fn not_there(queue: &QueueName, missing: &[&MessageId]) -> Refusal {
    let shown: Vec<_> = missing.iter().take(MAX_SHOWN).map(|id| format!("`{}`", id.0)).collect();
    let more = if missing.len() > MAX_SHOWN { ", …" } else { "" };
    let detail = format!(
        "the queue `{queue}` has no dead letter {}{more}; nothing was done to any",
        shown.join(", ")
    );
    Refusal::new(Kind::DeadLetterDoesNotExist, detail)
}

/// Those of the tenant's. The default tenant runs the system and sees all, also what cannot be read.
pub(super) async fn own(
    app: &App,
    tenant: &Tenant,
    letters: Vec<DeadLetter>,
) -> Result<Vec<DeadLetter>, Refusal> {
    if *tenant == Tenant::default() || letters.is_empty() {
        return Ok(letters);
    }
    let ids: Vec<ClaimId> = letters.iter().filter_map(|one| about(&one.body)).collect();
    let session = app.store().session().await?;
    let found = claim::find(&session, tenant, &ids).await?;
    let own: BTreeSet<ClaimId> = found.into_iter().map(|claim| claim.claim_id).collect();
    let is_own = |letter: &DeadLetter| about(&letter.body).is_some_and(|id| own.contains(&id));
    Ok(letters.into_iter().filter(is_own).collect())
}

/// The claim that a message is about.
pub(super) fn about(body: &str) -> Option<ClaimId> {
    if let Ok(task) = serde_json::from_str::<TaskMessage>(body) {
        return Some(task.claim_id);
    }
    let message = serde_json::from_str::<CoreMessage>(body).ok()?;
    message.about().map(|(claim_id, _)| claim_id)
}
