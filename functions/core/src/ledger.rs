//! The port of a step: what a batch asks of the store within its transaction.
//!
//! It has two sides: [`Joint`] is the tables in Postgres and the way messages leave there, and a
//! model stands in for both where steps are simulated. Each function is one that is in the store,
//! under its name there; calls are static, so the seam costs nothing.

use std::collections::HashMap;

use fluxus_schema::{ClaimId, RecipeName, Tenant};
use fluxus_store::branch::{Join, Left, Pending};
use fluxus_store::claim::{Inserted, Intake, Namesake, Waiter};
use fluxus_store::recipe::{Definition, TypeRoute};
use fluxus_store::{
    BranchKey, BranchRow, Changes, ClaimRow, LoadedBranch, StoreError, Transaction, branch,
    changes, claim, recipe,
};

/// One transaction. Whoever has it commits it, or drops it with all that was done in it.
pub(crate) trait Ledger {
    /// See [`claim::lock_received`].
    async fn lock_received(&self, ids: &[ClaimId]) -> Result<Vec<ClaimRow>, StoreError>;

    /// See [`branch::lock`].
    async fn lock_branches(
        &self,
        keys: &[BranchKey],
        with_descendants: &[BranchKey],
    ) -> Result<Vec<LoadedBranch>, StoreError>;

    /// See [`branch::lock_kept`].
    async fn lock_kept(&self, ids: &[ClaimId]) -> Result<Vec<LoadedBranch>, StoreError>;

    /// See [`branch::expect`].
    async fn expect(&self, left: &[Left]) -> Result<(), StoreError>;

    /// See [`branch::join`].
    async fn join(&self, parents: &[Join]) -> Result<Vec<BranchRow>, StoreError>;

    /// See [`branch::take_pending`].
    async fn take_pending(&self, wanted: &[Pending]) -> Result<Vec<BranchRow>, StoreError>;

    /// See [`branch::still_pending`].
    async fn still_pending(&self, wanted: Vec<Pending>) -> Result<Vec<Pending>, StoreError>;

    /// See [`recipe::for_claims`].
    async fn routes(&self, ids: &[ClaimId]) -> Result<Vec<TypeRoute>, StoreError>;

    /// See [`recipe::definitions`].
    async fn definitions(
        &self,
        versions: &[(Tenant, RecipeName, i32)],
    ) -> Result<Vec<Definition>, StoreError>;

    /// See [`recipe::versions`].
    async fn versions(&self, asked: &[Asked]) -> Result<HashMap<Asked, i32>, StoreError>;

    /// See [`claim::insert`].
    async fn insert_claims(&self, intakes: &[Intake]) -> Result<Vec<Inserted>, StoreError>;

    /// See [`claim::hold`].
    async fn hold_claims(&self, ids: &[ClaimId]) -> Result<Vec<Namesake>, StoreError>;

    /// See [`claim::wait`].
    async fn wait(&self, waiters: &[Waiter]) -> Result<(), StoreError>;

    /// See [`claim::take_waiters`].
    async fn take_waiters(&self, ids: &[ClaimId]) -> Result<Vec<Waiter>, StoreError>;

    /// See [`changes::save`].
    async fn save(&self, changes: &Changes) -> Result<(), StoreError>;
}

/// A recipe that is asked for by name, and maybe by version.
pub(crate) type Asked = (Tenant, RecipeName, Option<i32>);

/// A transaction in Postgres.
pub(crate) struct Joint<'a> {
    pub(crate) tx: &'a Transaction<'a>,
}

impl Ledger for Joint<'_> {
    async fn lock_received(&self, ids: &[ClaimId]) -> Result<Vec<ClaimRow>, StoreError> {
        claim::lock_received(self.tx, ids).await
    }

    async fn lock_branches(
        &self,
        keys: &[BranchKey],
        with_descendants: &[BranchKey],
    ) -> Result<Vec<LoadedBranch>, StoreError> {
        branch::lock(self.tx, keys, with_descendants).await
    }

    async fn lock_kept(&self, ids: &[ClaimId]) -> Result<Vec<LoadedBranch>, StoreError> {
        branch::lock_kept(self.tx, ids).await
    }

    async fn expect(&self, left: &[Left]) -> Result<(), StoreError> {
        branch::expect(self.tx, left).await
    }

    async fn join(&self, parents: &[Join]) -> Result<Vec<BranchRow>, StoreError> {
        branch::join(self.tx, parents).await
    }

    async fn take_pending(&self, wanted: &[Pending]) -> Result<Vec<BranchRow>, StoreError> {
        branch::take_pending(self.tx, wanted).await
    }

    async fn still_pending(&self, wanted: Vec<Pending>) -> Result<Vec<Pending>, StoreError> {
        branch::still_pending(self.tx, wanted).await
    }

    async fn routes(&self, ids: &[ClaimId]) -> Result<Vec<TypeRoute>, StoreError> {
        recipe::for_claims(self.tx, ids).await
    }

    async fn definitions(
        &self,
        versions: &[(Tenant, RecipeName, i32)],
    ) -> Result<Vec<Definition>, StoreError> {
        recipe::definitions(self.tx, versions).await
    }

    async fn versions(&self, asked: &[Asked]) -> Result<HashMap<Asked, i32>, StoreError> {
        recipe::versions(self.tx, asked).await
    }

    async fn insert_claims(&self, intakes: &[Intake]) -> Result<Vec<Inserted>, StoreError> {
        claim::insert(self.tx, intakes).await
    }

    async fn hold_claims(&self, ids: &[ClaimId]) -> Result<Vec<Namesake>, StoreError> {
        claim::hold(self.tx, ids).await
    }

    async fn wait(&self, waiters: &[Waiter]) -> Result<(), StoreError> {
        claim::wait(self.tx, waiters).await
    }

    async fn take_waiters(&self, ids: &[ClaimId]) -> Result<Vec<Waiter>, StoreError> {
        claim::take_waiters(self.tx, ids).await
    }

    async fn save(&self, changes: &Changes) -> Result<(), StoreError> {
        // On the heap, once for each batch: within each other, the futures of a batch are too large for
        // the stack of a worker thread in a build that is not optimised.
        Box::pin(changes::save(self.tx, changes)).await
    }
}
