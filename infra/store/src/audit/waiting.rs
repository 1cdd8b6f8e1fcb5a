//! Claims that have not ended: each of their branches waits for something that will come.

use std::collections::HashSet;

use fluxus_schema::{BranchId, ClaimStatus};

use super::errand::Errand;
use super::load::{Branch, Facts, Timer};
use super::story::Story;
use crate::branch::BranchStatus;

/// Key of the timer that ends a claim that is out of time.
const DEADLINE_TIMER: &str = "deadline";

pub(super) fn check(
    claim: &Facts,
    story: &Story,
    branches: &[Branch],
    timers: &[Timer],
    errands: &HashSet<Errand>,
    note: &mut impl FnMut(String),
) {
    let look = Look { story, branches, timers, errands };
    if claim.status == ClaimStatus::Received {
        if !errands.contains(&Errand::Beginning) && !errands.contains(&Errand::Stop) {
            note("is RECEIVED, and no message is there to begin it".to_owned());
        }
        return;
    }
    if !branches.iter().any(|branch| branch.branch_id.is_root()) {
        note("is RUNNING without a root branch".to_owned());
    }
    if claim.has_deadline && !look.has_timer(DEADLINE_TIMER) && !errands.contains(&Errand::Stop) {
        note("has a deadline, and nothing to end it then".to_owned());
    }
    for branch in branches {
        if let Some(parent) = &branch.parent
            && !branches.iter().any(|other| other.branch_id == *parent)
        {
            note(format!("branch {} has no parent", branch.branch_id));
        }
        if branch.status == BranchStatus::Open
            && let Some(what) = look.missing(branch)
        {
            note(format!("branch {} {what}", branch.branch_id));
        }
        if branch.status == BranchStatus::Ended && branch.branch_id.is_root() {
            note("is RUNNING, and its root branch has ended".to_owned());
        }
    }
}

struct Look<'a> {
    story: &'a Story,
    branches: &'a [Branch],
    timers: &'a [Timer],
    errands: &'a HashSet<Errand>,
}

impl Look<'_> {
    fn has_timer(&self, key: &str) -> bool {
        self.timers.iter().any(|timer| timer.key == key)
    }

    /// Whether a branch will be told of the time: by a timer, or a message that is on its way.
    fn will_be_woken(&self, branch: &Branch) -> bool {
        let fired = Errand::Time(branch.branch_id.clone(), branch.revision);
        self.has_timer(branch.branch_id.as_str()) || self.errands.contains(&fired)
    }

    /// What an open branch lacks to go on; nothing where something will come.
    fn missing(&self, branch: &Branch) -> Option<&'static str> {
        if let Some(attempt) = self.story.open_attempt(&branch.branch_id) {
            let task = Errand::Task(branch.branch_id.clone(), attempt.revision);
            // Nobody can send heartbeats for a task that nobody was given yet.
            let is_waiting =
                branch.is_unserved || (attempt.waits_for_outside && self.errands.contains(&task));
            let is_timed = attempt.has_timeout || (attempt.has_heartbeat && !is_waiting);
            if is_timed && !self.will_be_woken(branch) {
                return Some("waits for a task without the timer that bounds it");
            }
            let is_due = |timer: &&Timer| timer.is_due && timer.key == branch.branch_id.as_str();
            let comes = attempt.waits_for_outside
                || branch.is_unserved
                || self.errands.contains(&task)
                // A task whose time is over may be dropped on its way.
                || self.timers.iter().any(|timer| is_due(&timer))
                || self.errands.iter().any(|errand| is_time(errand, &branch.branch_id));
            return (!comes).then_some("waits for a task whose message is lost");
        }
        let is_child = |other: &&Branch| other.parent.as_ref() == Some(&branch.branch_id);
        let children: Vec<_> = self.branches.iter().filter(is_child).collect();
        let Some(first) = children.first() else {
            let woken = self.will_be_woken(branch);
            return (!woken).then_some("waits for nothing: no task, timer, message or branch");
        };
        if children.iter().any(|child| child.status == BranchStatus::Open) {
            return None;
        }
        let family = (branch.branch_id.clone(), first.branch_id.parent_revision());
        let pending = children.iter().any(|child| child.status == BranchStatus::Pending);
        let room = pending && self.errands.contains(&Errand::Room(family.0.clone(), family.1));
        let comes = room || self.errands.contains(&Errand::Join(family.0, family.1));
        (!comes).then_some("waits for branches, none of which goes on")
    }
}

fn is_time(errand: &Errand, of: &BranchId) -> bool {
    matches!(errand, Errand::Time(branch_id, _) if branch_id == of)
}
