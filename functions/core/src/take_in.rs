//! Claims that come in and begin at once, in one transaction, where the API and the core are one
//! process: the claim need not be told of by a message, and read again.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use fluxus_queue::Receipt;
use fluxus_schema::message::CoreMessage;
use fluxus_store::claim::{Accepted, Inserted, Intake};
use fluxus_store::{Outbound, claim, recipe};
use futures::FutureExt as _;

use crate::Core;
use crate::batch::{Expects, panic_text};
use crate::clock;
use crate::error::CoreError;
use crate::inbox::Item;
use crate::ledger::Joint;
use crate::prepared::Loaded;

impl Core {
    /// Whether it may begin claims as they come in: the workers have the time for it. Where they fall
    /// behind, who begins first is decided where all claims wait.
    pub fn keeps_up(&self) -> bool {
        match self.outbound() {
            Outbound::Joined(queue) => queue.keeps_up(self.core_queue()),
            Outbound::Relayed { .. } => false,
        }
    }

    /// Takes in claims that clients submit, and begins those that are new. Answers in the order given,
    /// as [`claim::insert`] does.
    ///
    /// # Errors
    /// [`CoreError`]; nothing took effect, so have them [inserted](claim::insert) and tell the core by
    /// messages. One of the claims may be known to somebody who claimed at the same time, or be one
    /// that cannot be stepped.
    pub async fn take_in(&self, intakes: &[Intake]) -> Result<Vec<Inserted>, CoreError> {
        // A panic is a bug; the claim that meets it must not take those of others along.
        let taken = AssertUnwindSafe(self.transact_intake(intakes)).catch_unwind().await;
        taken.unwrap_or_else(|panic| Err(CoreError::Panicked(panic_text(&*panic))))
    }

    async fn transact_intake(&self, intakes: &[Intake]) -> Result<Vec<Inserted>, CoreError> {
        let mut session = self.store().session().await?;
        let tx = session.begin().await?;
        let types: BTreeSet<_> =
            intakes.iter().map(|intake| (&intake.tenant, &intake.claim.claim_type)).collect();
        let types: Vec<_> = types.into_iter().collect();
        let (known, routes) =
            futures::try_join!(claim::find_known(&tx, intakes), recipe::for_types(&tx, &types))?;
        let is_new =
            |(intake, known): (&Intake, &Option<Inserted>)| known.is_none().then(|| intake.clone());
        let new: Vec<_> = intakes.iter().zip(&known).filter_map(is_new).collect();
        if !new.is_empty() {
            let items: Vec<_> = new.iter().map(submitted).collect();
            let received = new.iter().map(Intake::row).collect();
            let loaded = Loaded { received, routes, ..Loaded::default() };
            // The time is read only now: it must not be earlier than that of the claims.
            let now = clock::now();
            let ledger = Joint { tx: &tx };
            let expects = Expects::new(&ledger, Vec::new());
            let stepper = self.stepper();
            let mut step = Box::pin(stepper.settle(expects, &items, loaded, now)).await?;
            step.changes.accept = Accepted::new(new, &mut step.changes.payloads)?;
            let (enqueued, told) = self.commit(tx, step, &[], now).await?;
            drop(session);
            self.committed(enqueued, told).await;
        }
        let answer = |(intake, known): (&Intake, Option<Inserted>)| {
            known.unwrap_or_else(|| Inserted::new(intake))
        };
        Ok(intakes.iter().zip(known).map(answer).collect())
    }
}

/// What a message about the claim would say.
pub(crate) fn submitted(intake: &Intake) -> Item {
    Item {
        receipt: Receipt("none".to_owned()),
        message: CoreMessage::ClaimSubmitted { claim_id: intake.claim_id },
        address: None,
    }
}
