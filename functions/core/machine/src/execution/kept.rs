//! Branches that ended without success are kept, so that they can be redriven.
//!
//! A parent that fails through its branches keeps them as they ended; one that retries or catches
//! does not need them. What was still at work is cut off, and says where it would go on.

use std::collections::VecDeque;

use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::history::EventKey;
use fluxus_schema::{BranchId, Timestamp};

use super::{Execution, Notice, Siblings, Told, is_of_family};
use crate::branch::{Branch, Failure, Status};
use crate::redrive::Resume;
use crate::step::{Input, Rejected, step};

impl Execution<'_> {
    /// Goes on where the execution ended without success. All its branches that are stored must be
    /// at hand.
    ///
    /// # Errors
    /// [`Rejected`] if it has not ended, ended well, or does not know where it would go on.
    pub fn redrive(&mut self, now: Timestamp) -> Result<(), Rejected> {
        let root = BranchId::root();
        let input = Input::Redriven { after: None, afresh: false };
        if self.branch(&root).and_then(Branch::resume).is_none() {
            return Err(match self.branch(&root) {
                Some(branch) => Rejected::of(branch, &input),
                None => Rejected::unknown(&input),
            });
        }
        let last = self.slots.values().map(|slot| slot.branch.at).max();
        self.clock = self.clock.max(last.unwrap_or_default());
        self.todo.push_back((root, input));
        self.run(now);
        Ok(())
    }

    /// Redrives one branch, and puts those of its branches on the list that did not succeed.
    pub(super) fn redrive_one(&mut self, id: &BranchId, after: Option<EventKey>, now: Timestamp) {
        let Some(slot) = self.slots.get(id) else { return };
        let branch = self.current(slot);
        let family = match branch.resume() {
            Some(Resume::Branches { total, revision, .. }) => Some((*total, *revision)),
            _ => None,
        };
        let members: Vec<BranchId> =
            family.iter().flat_map(|family| children(id, *family)).collect();
        // One that does not know where it would go on cannot be redriven; the state can.
        let goes_on = |branch: &Branch| has_succeeded(branch) || branch.resume().is_some();
        let afresh = !members.iter().all(|id| self.branch(id).is_some_and(goes_on));
        let input = Input::Redriven { after: after.clone(), afresh };
        let Ok(made) = step(self.definition, self.context, &branch, input, now) else { return };
        let begins = matches!(made.branch.status, Status::Pending { .. });
        let at_a_time = made.begin;
        // The first event of the root says that the execution was redriven; all others follow it.
        let after = after.or_else(|| {
            let (branch_id, revision) = (made.branch.id.clone(), made.branch.revision);
            Some(EventKey { branch_id, revision, position: 0 })
        });
        if afresh && let Some((_, revision)) = family {
            self.forget(id, revision);
        }
        self.take(made, now);
        if begins {
            self.todo.push_back((id.clone(), Input::Begin { after }));
        } else if let (Some((total, revision)), false) = (family, afresh) {
            self.redrive_family((id, revision, total), &members, at_a_time, after.as_ref(), now);
        }
    }

    fn redrive_family(
        &mut self,
        (parent, revision, total): (&BranchId, u32, usize),
        members: &[BranchId],
        at_a_time: usize,
        after: Option<&EventKey>,
        now: Timestamp,
    ) {
        let open: Vec<&BranchId> =
            members.iter().filter(|id| !self.branch(id).is_some_and(has_succeeded)).collect();
        if open.is_empty() {
            // It was cut off between their end and its own step.
            let input = self.branches_ended(parent, revision);
            self.todo.push_back((parent.clone(), input));
            return;
        }
        let at_once = at_a_time.min(self.begin_at_most);
        let mut pending = VecDeque::new();
        let mut in_room = 0;
        for (nth, id) in open.iter().enumerate() {
            // What is below must be at hand, and may not be later: these do not wait for a turn.
            let is_whole = matches!(
                self.branch(id).and_then(Branch::resume),
                Some(Resume::Branches { .. }) | None
            );
            if nth < at_once || is_whole {
                let redriven = Input::Redriven { after: after.cloned(), afresh: false };
                self.todo.push_back(((*id).clone(), redriven));
                continue;
            }
            self.await_turn(id, now);
            if nth < at_a_time {
                in_room += 1;
            } else {
                pending.push_back(id.index());
            }
        }
        while in_room > 0 {
            let some = in_room.min(self.begin_at_most);
            in_room -= some;
            let room = u32::try_from(some).unwrap_or(u32::MAX);
            let notice = Notice::Room { parent: parent.clone(), revision, room, after: None };
            self.made.notices.push(notice);
        }
        let siblings = Siblings { open: open.len(), pending, total };
        self.families.insert((parent.clone(), revision), siblings);
    }

    fn await_turn(&mut self, id: &BranchId, now: Timestamp) {
        let clock = self.clock;
        let Some(slot) = self.slots.get_mut(id) else { return };
        let Some(resume) = slot.branch.resume().cloned() else { return };
        slot.branch.revision += 1;
        slot.branch.at = slot.branch.at.max(clock).next(now);
        slot.branch.status = resume.in_turn();
        slot.changed = true;
    }

    /// What becomes of branches whose parent took a step on their end.
    pub(super) fn keep_or_remove(&mut self, told: Told, parent: &Branch, now: Timestamp) {
        let failed_by_them = matches!(
            parent.resume(),
            Some(Resume::Branches { revision, .. }) if *revision == told.revision
        );
        if failed_by_them {
            for slot in told.present {
                let id = slot.branch.id.clone();
                self.slots.insert(id.clone(), slot);
                self.cut_off(&id, now);
            }
            return;
        }
        for slot in told.present.into_iter().filter(|slot| slot.is_stored) {
            if matches!(slot.branch.resume(), Some(Resume::Branches { .. })) {
                self.made.deleted_trees.push(slot.branch.id.clone());
            }
            self.made.deleted.push(slot.branch.id);
        }
        self.made.deleted_trees.extend(told.absent);
    }

    /// The parent was not to be told: it does not wait for them.
    pub(super) fn put_back(&mut self, parent: &BranchId) {
        let told = self.told.remove(parent);
        for slot in told.into_iter().flat_map(|told| told.present) {
            self.slots.insert(slot.branch.id.clone(), slot);
        }
    }

    /// Removes what is left of the branches that `parent` started at `revision`.
    fn forget(&mut self, parent: &BranchId, revision: u32) {
        let whole = |id: &&BranchId| is_of_family(id, parent, revision);
        let below: Vec<_> = self.slots.keys().filter(whole).cloned().collect();
        below.iter().for_each(|id| self.remove(id));
    }

    /// Ends a branch from outside; where it would go on it keeps.
    pub(super) fn cut_off(&mut self, id: &BranchId, now: Timestamp) {
        let clock = self.clock;
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.branch.has_ended() {
            return;
        }
        let resume = Resume::of(&slot.branch.status);
        slot.branch.revision += 1;
        slot.branch.at = slot.branch.at.max(clock).next(now);
        slot.branch.status =
            Status::Stopped { status: ClaimStatus::Aborted, failure: Failure::default(), resume };
        slot.changed = true;
    }

    fn remove(&mut self, id: &BranchId) {
        let Some(slot) = self.slots.remove(id) else { return };
        self.clock = self.clock.max(slot.branch.at);
        if slot.is_stored {
            self.made.deleted.push(id.clone());
        }
    }
}

fn has_succeeded(branch: &Branch) -> bool {
    matches!(branch.status, Status::Succeeded { .. })
}

fn children(parent: &BranchId, (total, revision): (usize, u32)) -> impl Iterator<Item = BranchId> {
    (0..total).map(move |index| parent.child(revision, index))
}
