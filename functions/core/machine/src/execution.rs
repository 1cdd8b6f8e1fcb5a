//! The branches of one execution that are at hand, stepped together.
//!
//! A step concerns one branch. What it leads to in others (children that begin, a parent that goes
//! on, siblings that are aborted) is carried through here as far as those branches are at hand;
//! where they are not, a [`Notice`] says whom to fetch. A simulation has all of them at hand.

mod kept;

use std::collections::{BTreeMap, HashMap, VecDeque};

use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::history::{Details, Event, EventKey, EventKind, EventRow};
use fluxus_schema::limits::MAX_TRANSITIONS_PER_STEP;
use fluxus_schema::{BranchId, HybridTime, Timestamp};

use crate::branch::{Branch, Failure, Status};
use crate::context::ExecutionContext;
use crate::definition::Definition;
use crate::effect::{Dispatch, Effect, Nested};
use crate::state::branches::{ChildEnd, OpenChild};
use crate::step::{Input, Rejected, Step, exhausted, step};

/// Branches of one execution, and what stepping them has made so far.
pub struct Execution<'a> {
    definition: &'a Definition,
    context: &'a ExecutionContext,
    slots: BTreeMap<BranchId, Slot>,
    families: HashMap<Family, Siblings>,
    todo: VecDeque<(BranchId, Input)>,
    clock: HybridTime,
    /// Number of the last event, where all events are at hand.
    counted: Option<u64>,
    begin_at_most: usize,
    /// Branches whose parent is told of their end, and decides whether they are kept.
    told: HashMap<BranchId, Told>,
    made: Made,
}

/// What stepping has made: to be saved and sent together.
#[derive(Debug, Default, PartialEq)]
pub struct Made {
    /// Branches that are new.
    pub inserted: Vec<Branch>,
    /// Branches that changed.
    pub updated: Vec<Branch>,
    /// Branches that are joined or aborted, and needed no more.
    pub deleted: Vec<BranchId>,
    /// The same, with whatever is stored below them: they ended without success, and what was below
    /// them was kept to be redriven.
    pub deleted_trees: Vec<BranchId>,
    /// Events, by step.
    pub rows: Vec<EventRow>,
    /// What must happen outside, with the branch and the revision that asked for it.
    pub effects: Vec<(BranchId, u32, Effect)>,
    /// Whom it concerns that is not at hand.
    pub notices: Vec<Notice>,
}

/// Something that concerns branches which are not at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A branch ended, and its siblings are not all at hand.
    BranchEnded {
        /// The branch that waits for them.
        parent: BranchId,
        /// The revision that created them.
        revision: u32,
        /// The branch that ended, where it failed.
        failed: Option<BranchId>,
    },
    /// A Map may begin more of its items. `after` is the event that the next one follows.
    Room {
        /// The branch in the Map state.
        parent: BranchId,
        /// The revision that created the items.
        revision: u32,
        /// How many may begin.
        room: u32,
        /// The last event of the item that made room.
        after: Option<EventKey>,
    },
}

impl Notice {
    /// Whether it is about the branches that `parent` started at `revision`, or any below them.
    fn is_within(&self, parent: &BranchId, revision: u32) -> bool {
        let (Self::BranchEnded { parent: of, revision: at, .. }
        | Self::Room { parent: of, revision: at, .. }) = self;
        (of == parent && *at == revision) || is_of_family(of, parent, revision)
    }
}

/// Whether `parent` started this branch at `revision`, or one that it is below.
fn is_of_family(id: &BranchId, parent: &BranchId, revision: u32) -> bool {
    let below = id.as_str().strip_prefix(parent.as_str().trim_end_matches('/'));
    let own = below.and_then(|below| below.strip_prefix('/')).and_then(|own| own.split_once('.'));
    own.is_some_and(|(started_at, _)| started_at.parse() == Ok(revision))
}

/// The branches that a parent started at `revision`, and those below them, from when it is to be
/// told of their end until it decides what becomes of them. Nothing happens to them meanwhile.
struct Told {
    revision: u32,
    /// Those at hand.
    present: Vec<Slot>,
    /// Of the parent's own: those that ended before a sibling failed, and were not fetched.
    absent: Vec<BranchId>,
}

/// Parent and revision: what the ids of siblings have in common.
type Family = (BranchId, u32);

struct Slot {
    branch: Branch,
    is_stored: bool,
    changed: bool,
}

/// Siblings that are all at hand.
struct Siblings {
    open: usize,
    /// Indexes of those that have not begun, lowest first.
    pending: VecDeque<usize>,
    total: usize,
}

fn family(id: &BranchId) -> Option<Family> {
    Some((id.parent()?, id.parent_revision()))
}

impl<'a> Execution<'a> {
    /// An execution none of whose branches is at hand yet. At most `begin_at_most` branches that
    /// one state starts begin at once: each is work for the same transaction.
    pub fn new(
        definition: &'a Definition,
        context: &'a ExecutionContext,
        begin_at_most: usize,
    ) -> Self {
        Self {
            definition,
            context,
            slots: BTreeMap::new(),
            families: HashMap::new(),
            todo: VecDeque::new(),
            clock: HybridTime::default(),
            counted: None,
            begin_at_most: begin_at_most.max(1),
            told: HashMap::new(),
            made: Made::default(),
        }
    }

    /// Numbers events exactly, because all branches are at hand from the beginning.
    pub fn with_all_at_hand(mut self) -> Self {
        self.counted = Some(0);
        self
    }

    /// Begins the execution.
    pub fn begin(&mut self, now: Timestamp) {
        let start = self.definition.state(self.definition.start_at);
        let root = Branch::root(start.name.clone(), self.context.input.clone());
        let id = root.id.clone();
        self.slots.insert(id.clone(), Slot { branch: root, is_stored: false, changed: true });
        self.todo.push_back((id, Input::Begin { after: None }));
        self.run(now);
    }

    /// Puts a stored branch at hand.
    pub fn load(&mut self, branch: Branch) {
        self.slots.entry(branch.id.clone()).or_insert(Slot {
            branch,
            is_stored: true,
            changed: false,
        });
    }

    /// Whether this branch is at hand.
    pub fn has(&self, id: &BranchId) -> bool {
        self.slots.contains_key(id)
    }

    /// A branch at hand.
    pub fn branch(&self, id: &BranchId) -> Option<&Branch> {
        self.slots.get(id).map(|slot| &slot.branch)
    }

    /// Tasks made since [`take_made`](Self::take_made) that start an execution of another recipe.
    pub fn nested(&self) -> impl Iterator<Item = (&Dispatch, Nested)> {
        self.made.effects.iter().filter_map(|(id, revision, effect)| match effect {
            Effect::Dispatch(dispatch) if self.stands(id, *revision) => {
                Some((dispatch, dispatch.nested?))
            }
            _ => None,
        })
    }

    /// Whether what the step to `revision` asked for is still needed: the branch was not aborted or
    /// stopped, and has not gone on since.
    pub fn stands(&self, id: &BranchId, revision: u32) -> bool {
        let stands = |branch: &Branch| branch.revision == revision && !branch.has_ended();
        self.branch(id).is_some_and(stands)
    }

    /// Takes an event for one branch and carries through what follows.
    ///
    /// # Errors
    /// [`Rejected`] if the event does not fit; nothing changed.
    pub fn apply(&mut self, id: &BranchId, input: Input, now: Timestamp) -> Result<(), Rejected> {
        let Some(slot) = self.slots.get(id) else {
            return Err(Rejected::unknown(&input));
        };
        if let Input::TimerFired { revision } = input
            && revision == slot.branch.revision
            && let Some(due) = slot.branch.timer().filter(|due| *due > now)
        {
            // Early by somebody else's clock. Nothing has happened, so there is no step: the same
            // timer is set once more.
            let watch = matches!(slot.branch.status, Status::AwaitingTask { .. });
            let effect = Effect::Timer { due, watch };
            self.made.effects.push((id.clone(), revision, effect));
            return Ok(());
        }
        let made = step(self.definition, self.context, &self.current(slot), input, now);
        let made = match made {
            Ok(made) => made,
            Err(rejected) => {
                self.put_back(id);
                return Err(rejected);
            }
        };
        self.take(made, now);
        self.run(now);
        Ok(())
    }

    /// Joins the branches that `parent` started at `revision`. All of them that are still stored
    /// must be at hand; where none has failed, all must have ended.
    ///
    /// # Errors
    /// [`Rejected`] if the parent does not wait for them any more.
    pub fn join(
        &mut self,
        parent: &BranchId,
        revision: u32,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let input = self.branches_ended(parent, revision);
        self.apply(parent, input, now)
    }

    /// Ends the execution now.
    ///
    /// # Errors
    /// [`Rejected`] if it has ended.
    pub fn stop(
        &mut self,
        status: ClaimStatus,
        failure: Failure,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let root = BranchId::root();
        let last = self.slots.values().map(|slot| slot.branch.at).max();
        self.clock = self.clock.max(last.unwrap_or_default());
        self.apply(&root, Input::Stopped { status, failure }, now)?;
        self.made.notices.clear();
        let below: Vec<_> = self.slots.keys().filter(|id| !id.is_root()).cloned().collect();
        below.iter().for_each(|id| self.cut_off(id, now));
        Ok(())
    }

    /// What was made since the beginning, or since this was last asked.
    pub fn take_made(&mut self) -> Made {
        let mut made = std::mem::take(&mut self.made);
        for slot in self.slots.values_mut().filter(|slot| slot.changed) {
            let list = if slot.is_stored { &mut made.updated } else { &mut made.inserted };
            list.push(slot.branch.clone());
            slot.changed = false;
            slot.is_stored = true;
        }
        made
    }

    /// Notices since this was last asked.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.made.notices)
    }

    /// Puts a notice back that was taken and is for somebody else.
    pub fn put_notice(&mut self, notice: Notice) {
        self.made.notices.push(notice);
    }

    /// Whether [`join`](Self::join) has all it needs: every branch that `parent` started at
    /// `revision` has ended and is at hand, or `failed` is one of them, is at hand and failed.
    pub fn can_join(&self, parent: &BranchId, revision: u32, failed: Option<&BranchId>) -> bool {
        let Some(Status::AwaitingBranches { revision: created, total, .. }) =
            self.branch(parent).map(|branch| &branch.status)
        else {
            return false;
        };
        if *created != revision {
            return false;
        }
        if let Some(failed) = failed {
            return self
                .branch(failed)
                .is_some_and(|branch| matches!(branch.status, Status::Failed { .. }));
        }
        (0..*total)
            .all(|index| self.branch(&parent.child(revision, index)).is_some_and(Branch::has_ended))
    }

    /// Notes that the task which this branch holds was given to somebody, as `details` tell.
    pub fn serve(&mut self, id: &BranchId, details: Details, now: Timestamp) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let branch = &mut slot.branch;
        branch.revision += 1;
        branch.at = branch.at.max(self.clock).next(now);
        branch.release(now);
        slot.changed = true;
        self.clock = branch.at;
        let event =
            Event { kind: EventKind::TaskDelegated, previous: branch.last.clone(), details };
        let (revision, at) = (branch.revision, branch.at);
        let row = EventRow { branch_id: id.clone(), revision, at, events: vec![event] };
        self.made.rows.push(row);
        // The timer carries the revision that it watches over.
        if let Some(due) = branch.timer() {
            self.made.effects.push((id.clone(), revision, Effect::Timer { due, watch: true }));
        }
    }

    /// The branch as the next step should see it: nothing in an execution sorts before what led
    /// to it here, and events are numbered exactly where that can be.
    fn current(&self, slot: &Slot) -> Branch {
        let mut branch = slot.branch.clone();
        branch.at = branch.at.max(self.clock);
        // The executions of a distributed Map have histories of their own.
        if branch.execution.is_none() {
            branch.events = self.counted.unwrap_or(branch.events);
        }
        branch
    }

    fn run(&mut self, now: Timestamp) {
        // A loop through branches that wait for nobody comes by here; one within a branch ends in
        // its step.
        let mut joins: HashMap<BranchId, usize> = HashMap::new();
        while let Some((id, input)) = self.todo.pop_front() {
            if let Input::Redriven { after, .. } = input {
                self.redrive_one(&id, after, now);
                continue;
            }
            let Some(slot) = self.slots.get(&id) else { continue };
            let branch = self.current(slot);
            if matches!(input, Input::BranchesEnded { .. }) {
                let joined = joins.entry(id).or_default();
                *joined += 1;
                if *joined > MAX_TRANSITIONS_PER_STEP {
                    let made = exhausted(self.definition, self.context, &branch, now);
                    self.take(made, now);
                    continue;
                }
            }
            // What is put on the list here fits where its branch stands.
            match step(self.definition, self.context, &branch, input, now) {
                Ok(made) => self.take(made, now),
                Err(_) => self.put_back(&branch.id),
            }
        }
    }

    fn take(&mut self, made: Step, now: Timestamp) {
        let Step { branch, children, begin, effects, events, handover } = made;
        let id = branch.id.clone();
        let revision = branch.revision;
        self.clock = branch.at;
        if let (Some(counted), None) = (&mut self.counted, &branch.execution) {
            *counted += events.iter().filter(|event| !event.kind.is_ours()).count() as u64;
        }
        if !events.is_empty() {
            let at = branch.at;
            self.made.rows.push(EventRow { branch_id: id.clone(), revision, at, events });
        }
        let tagged = effects.into_iter().map(|effect| (id.clone(), revision, effect));
        self.made.effects.extend(tagged);
        if !children.is_empty() {
            self.adopt(&id, revision, children, begin);
        }
        let ended = branch.has_ended();
        if let Some(told) = self.told.remove(&id) {
            self.keep_or_remove(told, &branch, now);
        }
        let slot = self.slots.entry(id.clone());
        let slot = slot.or_insert(Slot { branch: branch.clone(), is_stored: false, changed: true });
        slot.branch = branch;
        slot.changed = true;
        if ended && !id.is_root() {
            self.child_ended(&id, handover);
        }
    }

    fn adopt(&mut self, parent: &BranchId, revision: u32, children: Vec<Branch>, begin: usize) {
        let total = children.len();
        let now = begin.min(self.begin_at_most);
        for (index, branch) in children.into_iter().enumerate() {
            if index < now {
                self.todo.push_back((branch.id.clone(), Input::Begin { after: None }));
            }
            let slot = Slot { branch, is_stored: false, changed: true };
            self.slots.insert(slot.branch.id.clone(), slot);
        }
        let mut rest = begin - now;
        while rest > 0 {
            let some = rest.min(self.begin_at_most);
            rest -= some;
            let room = u32::try_from(some).unwrap_or(u32::MAX);
            let notice = Notice::Room { parent: parent.clone(), revision, room, after: None };
            self.made.notices.push(notice);
        }
        let siblings = Siblings { open: total, pending: (begin..total).collect(), total };
        self.families.insert((parent.clone(), revision), siblings);
    }

    fn child_ended(&mut self, id: &BranchId, handover: Option<EventKey>) {
        let Some(branch) = self.branch(id) else { return };
        let failed = branch.has_failed_all();
        let in_turns = branch.own_item().is_some_and(|item| item.in_turns);
        let Some(family) = family(id) else { return };
        let (parent, revision) = family.clone();
        let Some(siblings) = self.families.get_mut(&family) else {
            if in_turns && !failed {
                let notice =
                    Notice::Room { parent: parent.clone(), revision, room: 1, after: handover };
                self.made.notices.push(notice);
            }
            let failed = failed.then(|| id.clone());
            self.made.notices.push(Notice::BranchEnded { parent, revision, failed });
            return;
        };
        siblings.open -= 1;
        if failed || siblings.open == 0 {
            let input = self.branches_ended(&parent, revision);
            self.todo.push_back((parent, input));
        } else if in_turns && let Some(next) = siblings.pending.pop_front() {
            let next = parent.child(revision, next);
            self.todo.push_back((next, Input::Begin { after: handover }));
        }
    }

    /// The end of a family, as its parent is told; its members are needed no more.
    fn branches_ended(&mut self, parent: &BranchId, revision: u32) -> Input {
        let total = match self.families.remove(&(parent.clone(), revision)) {
            Some(siblings) => siblings.total,
            None => match self.branch(parent).map(|branch| &branch.status) {
                Some(Status::AwaitingBranches { total, revision: created, .. })
                    if *created == revision =>
                {
                    *total
                }
                _ => 0,
            },
        };
        let members: Vec<_> = (0..total).map(|index| parent.child(revision, index)).collect();
        self.made.notices.retain(|notice| !notice.is_within(parent, revision));
        let mut ended = Vec::with_capacity(members.len());
        let mut open = Vec::new();
        let mut absent = Vec::new();
        for id in &members {
            let Some(slot) = self.slots.get(id) else {
                absent.push(id.clone());
                continue;
            };
            match ChildEnd::of(&slot.branch) {
                Some(end) => ended.push(end),
                None => open.push(OpenChild::of(self.definition, &slot.branch)),
            }
        }
        let succeeded = open.is_empty() && ended.iter().all(|end| end.outcome.is_ok());
        // Where all succeeded there is nothing below them any more.
        let present = if succeeded {
            members
        } else {
            let whole = |id: &&BranchId| is_of_family(id, parent, revision);
            self.slots.keys().filter(whole).cloned().collect()
        };
        let present: Vec<Slot> = present.iter().filter_map(|id| self.slots.remove(id)).collect();
        // Whatever comes next sorts after all that they did: it led there, or is cut off by it.
        let last = present.iter().map(|slot| slot.branch.at).max();
        self.clock = self.clock.max(last.unwrap_or_default());
        self.told.insert(parent.clone(), Told { revision, present, absent });
        Input::BranchesEnded { revision, ended, open }
    }
}
