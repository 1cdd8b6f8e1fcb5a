//! What holds for every execution, whatever comes in and in which order.
//!
//! Definitions are made of all kinds of states, schedules of answers, failures, timers, duplicates,
//! late and contradicting events. Failing cases print what they are made of.

// Helpers of tests may fail loudly, wherever they stand.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use fluxus_machine::{
    Branch, Definition, Effect, Execution, ExecutionContext, Failure, Input, Made, Mocks, Operator,
    Resume, Seed, Status, simulate, step,
};
use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::history::EventKey;
use fluxus_schema::limits::SERVICE_PAYLOAD_BYTES;
use fluxus_schema::{BranchId, ClaimId, TaskToken, Timestamp};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A state machine without names: those are given when it is written out.
#[derive(Debug, Clone)]
enum Tree {
    Task { retry: u64, catch: bool, timeout: bool, heartbeat: bool, callback: bool },
    Wait(u64),
    Choice(Vec<Tree>),
    Parallel { branches: Vec<Vec<Tree>>, retry: u64, catch: bool },
    Map { items: usize, most: u64, inner: Vec<Tree>, catch: bool },
    Pass,
}

fn tree() -> impl Strategy<Value = Vec<Tree>> {
    let task = (0..3u64, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(retry, catch, timeout, heartbeat, callback)| Tree::Task {
            retry,
            catch,
            timeout,
            heartbeat,
            callback,
        },
    );
    let leaf = prop_oneof![4 => task, 1 => (0..20u64).prop_map(Tree::Wait), 1 => Just(Tree::Pass)];
    let state = leaf.prop_recursive(3, 12, 3, |inner| {
        let some = || prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            some().prop_map(Tree::Choice),
            (prop::collection::vec(some(), 1..4), 0..2u64, any::<bool>())
                .prop_map(|(branches, retry, catch)| Tree::Parallel { branches, retry, catch }),
            (0..4usize, 0..3u64, some(), any::<bool>())
                .prop_map(|(items, most, inner, catch)| Tree::Map { items, most, inner, catch }),
        ]
    });
    prop::collection::vec(state, 1..4)
}

/// Writes a machine out. `count` gives names, which are unique in all of a definition.
fn written(states: &[Tree], count: &mut usize) -> Value {
    let mut name = || {
        *count += 1;
        format!("S{count}")
    };
    let names: Vec<_> = (0..=states.len()).map(|_| name()).collect();
    // A machine must not set a variable of the machines around it.
    let last = format!("last{}.$", names[0]);
    let mut all = Map::new();
    for (index, tree) in states.iter().enumerate() {
        let next = &names[index + 1];
        let retrier = |most: &u64| json!([{ "ErrorEquals": ["States.ALL"], "MaxAttempts": most, "IntervalSeconds": 3 }]);
        let catcher = |catch: &bool| match catch {
            true => json!([{ "ErrorEquals": ["States.ALL"], "Next": next, "ResultPath": "$.e" }]),
            false => json!([]),
        };
        let state = match tree {
            Tree::Task { retry, catch, timeout, heartbeat, callback } => {
                let kind = if *callback { "fluxling:do.waitForTaskToken" } else { "fluxling:do" };
                let mut task = json!({
                    "Type": "Task", "Resource": kind, "ResultPath": "$.r", "Next": next,
                    "Retry": retrier(retry), "Catch": catcher(catch), "Assign": { &last: "$" }
                });
                if *timeout {
                    task["TimeoutSeconds"] = json!(30);
                }
                if *heartbeat {
                    task["HeartbeatSeconds"] = json!(7);
                }
                task
            }
            Tree::Wait(seconds) => json!({ "Type": "Wait", "Seconds": seconds, "Next": next }),
            Tree::Choice(inner) => {
                // Into the inner states, or past them.
                let inner = written(inner, count);
                let start = inner["StartAt"].clone();
                for (name, mut state) in inner["States"].as_object().cloned().unwrap_or_default() {
                    if state["Type"] == "Succeed" {
                        state = json!({ "Type": "Pass", "Next": next });
                    }
                    all.insert(name, state);
                }
                json!({
                    "Type": "Choice", "Default": next,
                    "Choices": [{ "Variable": "$.go", "BooleanEquals": true, "Next": start }]
                })
            }
            Tree::Parallel { branches, retry, catch } => json!({
                "Type": "Parallel", "ResultPath": "$.p", "Next": next, "Retry": retrier(retry),
                "Catch": catcher(catch),
                "Branches": branches.iter().map(|one| written(one, count)).collect::<Vec<_>>()
            }),
            Tree::Map { items, most, inner, catch } => json!({
                "Type": "Map", "ResultPath": "$.m", "Next": next, "MaxConcurrency": most,
                "ItemsPath": format!("$.items[0:{items}]"), "Catch": catcher(catch),
                "ItemSelector": { "go.$": "$.go", "items.$": "$.items" },
                "ItemProcessor": written(inner, count)
            }),
            Tree::Pass => json!({ "Type": "Pass", "Next": next }),
        };
        all.insert(names[index].clone(), state);
    }
    all.insert(names[states.len()].clone(), json!({ "Type": "Succeed" }));
    json!({ "StartAt": names[0], "States": all })
}

/// What happens next, by numbers that choose among what there is.
#[derive(Debug, Clone)]
enum Next {
    Succeed(usize),
    Fail(usize),
    Start(usize),
    Beat(usize),
    Callback(usize),
    Fire(usize),
    FireEarly(usize),
    Again(usize),
    Retry(usize),
    Skip(usize),
    Stop,
    Redrive,
}

fn next() -> impl Strategy<Value = Next> {
    let n = any::<u16>().prop_map(usize::from);
    prop_oneof![
        6 => n.clone().prop_map(Next::Succeed),
        2 => n.clone().prop_map(Next::Fail),
        1 => n.clone().prop_map(Next::Start),
        1 => n.clone().prop_map(Next::Beat),
        3 => n.clone().prop_map(Next::Callback),
        4 => n.clone().prop_map(Next::Fire),
        1 => n.clone().prop_map(Next::FireEarly),
        4 => n.clone().prop_map(Next::Again),
        1 => n.clone().prop_map(Next::Retry),
        1 => n.prop_map(Next::Skip),
        1 => Just(Next::Stop),
        3 => Just(Next::Redrive),
    ]
}

fn context(go: bool) -> ExecutionContext {
    let started_at = Timestamp::from_millis(0);
    ExecutionContext {
        claim_id: ClaimId::new(started_at, &[1; 10]),
        id: "claim".to_owned(),
        name: "claim".to_owned(),
        input: json!({ "go": go, "items": [1, 2, 3, 4] }).into(),
        role_arn: None,
        started_at,
        state_machine_id: "recipe:1".to_owned(),
        state_machine_name: "recipe".to_owned(),
        region: None,
        seed: Seed([3; 16]),
        max_payload_bytes: SERVICE_PAYLOAD_BYTES,
        redrive_count: 0,
        redriven_at: None,
    }
}

/// An execution that is driven and watched. What it knows of branches comes back from JSON with
/// each step, as from a store.
struct Run<'a> {
    definition: &'a Definition,
    context: &'a ExecutionContext,
    branches: BTreeMap<BranchId, Branch>,
    now: Timestamp,
    tasks: Vec<(BranchId, TaskToken, Option<TaskToken>)>,
    timers: Vec<(BranchId, u32, Timestamp)>,
    /// Inputs that were taken.
    taken: Vec<(BranchId, Input)>,
    known: HashSet<EventKey>,
    gone: BTreeSet<BranchId>,
    steps: String,
}

impl<'a> Run<'a> {
    fn new(definition: &'a Definition, context: &'a ExecutionContext) -> Self {
        let mut run = Self {
            definition,
            context,
            branches: BTreeMap::new(),
            now: context.started_at,
            tasks: Vec::new(),
            timers: Vec::new(),
            taken: Vec::new(),
            known: HashSet::new(),
            gone: BTreeSet::new(),
            steps: String::new(),
        };
        let mut execution = Execution::new(definition, context, usize::MAX);
        execution.begin(run.now);
        let made = execution.take_made();
        run.keep(made);
        run
    }

    /// Gives one input; whether it was taken.
    fn give(&mut self, id: &BranchId, input: Input) -> bool {
        if let Some(branch) = self.branches.get(id) {
            let one = || step(self.definition, self.context, branch, input.clone(), self.now);
            let made = one();
            assert_eq!(made, one(), "the same step came out otherwise");
            let revision = made.map_or(branch.revision + 1, |made| made.branch.revision);
            assert_eq!(revision, branch.revision + 1);
        }
        let mut execution = Execution::new(self.definition, self.context, usize::MAX);
        // All of them, since those of one family must all be at hand to be joined.
        for branch in self.branches.values() {
            let stored = serde_json::to_string(branch).expect("writes");
            execution.load(serde_json::from_str(&stored).expect("reads"));
        }
        let taken = match &input {
            Input::Stopped { status, failure } => {
                execution.stop(*status, failure.clone(), self.now).is_ok()
            }
            Input::Redriven { .. } => execution.redrive(self.now).is_ok(),
            input => execution.apply(id, input.clone(), self.now).is_ok(),
        };
        let mut notices = execution.take_notices();
        while let Some(notice) = notices.pop() {
            self.follow(&mut execution, notice);
            notices.extend(execution.take_notices());
        }
        let mut made = execution.take_made();
        if taken && matches!(input, Input::TimerFired { .. }) && made.updated.is_empty() {
            // It came early: it is set once more, and nothing else.
            assert_eq!(made.effects.drain(..).len(), 1);
            assert_eq!(made, Made::default(), "an early timer changed something");
            return false;
        }
        if taken {
            self.taken.push((id.clone(), input));
            self.keep(made);
        } else {
            assert_eq!(made, Made::default(), "a rejected input changed something");
        }
        taken
    }

    /// Does what the core does about branches that are elsewhere.
    fn follow(&self, execution: &mut Execution<'_>, notice: fluxus_machine::Notice) {
        match notice {
            fluxus_machine::Notice::BranchEnded { parent, revision, failed } => {
                if execution.can_join(&parent, revision, failed.as_ref()) {
                    execution.join(&parent, revision, self.now).expect("can be joined");
                }
            }
            fluxus_machine::Notice::Room { parent, revision, after, .. } => {
                let mut index = 0;
                loop {
                    let id = parent.child(revision, index);
                    let Some(branch) = execution.branch(&id) else { return };
                    if matches!(branch.status, Status::Pending { .. }) {
                        execution.apply(&id, Input::Begin { after }, self.now).expect("may begin");
                        return;
                    }
                    index += 1;
                }
            }
        }
    }

    fn keep(&mut self, made: Made) {
        self.steps.push_str(&format!("{made:?}\n"));
        let Made { inserted, updated, deleted, deleted_trees, rows, effects, notices } = made;
        assert_eq!(notices, vec![]);
        let mut last = None;
        for row in &rows {
            assert!(last < Some(row.at), "steps are out of order");
            last = Some(row.at);
            for (position, event) in (0..).zip(&row.events) {
                if let Some(previous) = &event.previous {
                    assert!(self.known.contains(previous), "{:?} after {previous}", event.kind);
                }
                let (branch_id, revision) = (row.branch_id.clone(), row.revision);
                let key = EventKey { branch_id, revision, position };
                assert!(self.known.insert(key), "a step was recorded twice");
            }
        }
        for branch in inserted.into_iter().chain(updated) {
            let before = self.branches.get(&branch.id);
            let revision = before.map_or(0, |before| before.revision);
            assert!(revision <= branch.revision, "{} went back", branch.id);
            if before.is_some() {
                assert!(revision < branch.revision, "{} was kept without a step", branch.id);
            }
            assert!(!self.gone.contains(&branch.id), "{} came back", branch.id);
            self.branches.insert(branch.id.clone(), branch);
        }
        for id in deleted {
            assert!(self.branches.remove(&id).is_some(), "{id} was not there");
            self.gone.insert(id);
        }
        for id in deleted_trees {
            let tree = |one: &BranchId| *one == id || one.is_below(&id);
            self.branches.retain(|one, _| !tree(one));
            self.gone.insert(id);
        }
        for (id, revision, effect) in effects {
            match effect {
                Effect::Dispatch(dispatch) => {
                    let callback = self.branches.get(&id).and_then(|branch| match &branch.status {
                        Status::AwaitingTask { task, .. } => task.callback.clone(),
                        _ => None,
                    });
                    self.tasks.push((id, dispatch.token, callback));
                }
                Effect::Timer { due, .. } => self.timers.push((id, revision, due)),
            }
        }
        self.assert_waits();
    }

    /// Whoever has not ended waits for something that can come; nobody is without a parent.
    fn assert_waits(&self) {
        for branch in self.branches.values() {
            if let Some(parent) = branch.id.parent() {
                let of = branch.id.parent_revision();
                let waits = self.branches.get(&parent).is_some_and(|parent| {
                    matches!(parent.status, Status::AwaitingBranches { revision, .. }
                        if revision == of)
                        // Or it failed through them, and they are kept to be redriven.
                        || matches!(parent.resume(), Some(Resume::Branches { revision, .. })
                            if *revision == of && branch.has_ended())
                });
                assert!(waits, "nobody waits for {}", branch.id);
            }
            match &branch.status {
                Status::AwaitingTask { task, .. } => {
                    let given = self.tasks.iter().any(|(_, token, _)| *token == task.token);
                    assert!(given, "{}: its task was given to nobody", branch.id);
                    if task.due().is_some() {
                        self.assert_timer(branch);
                    }
                }
                Status::AwaitingRetry { .. } | Status::AwaitingTimer { .. } => {
                    self.assert_timer(branch);
                }
                Status::AwaitingBranches { total, revision, .. } => {
                    let mut children = (0..*total)
                        .map(|index| self.branches.get(&branch.id.child(*revision, index)));
                    assert!(children.clone().all(|child| child.is_some()));
                    let is_open = children.any(|child| child.is_some_and(|one| !one.has_ended()));
                    assert!(is_open, "{} waits for branches that have ended", branch.id);
                }
                Status::Pending { .. } => {
                    let in_turns = branch.item.as_ref().is_some_and(|item| item.in_turns);
                    assert!(in_turns, "{} has not begun", branch.id);
                }
                Status::Succeeded { .. } | Status::Failed { .. } | Status::Stopped { .. } => {}
            }
            assert_eq!(branch.waiting().is_none(), branch.has_ended());
        }
    }

    fn assert_timer(&self, branch: &Branch) {
        let set = |(id, revision, _): &&(BranchId, u32, Timestamp)| {
            *id == branch.id && *revision == branch.revision
        };
        assert!(self.timers.iter().any(|timer| set(&timer)), "{} has no timer", branch.id);
    }

    fn has_ended(&self) -> bool {
        self.branches.get(&BranchId::root()).is_some_and(Branch::has_ended)
    }

    fn succeeded(&self) -> Vec<(BranchId, Branch)> {
        let has_succeeded =
            |(_, branch): &(&BranchId, &Branch)| matches!(branch.status, Status::Succeeded { .. });
        let all = self.branches.iter().filter(has_succeeded);
        all.map(|(id, branch)| (id.clone(), branch.clone())).collect()
    }

    fn on(&mut self, next: &Next) {
        fn pick<T: Clone>(list: &[T], number: usize) -> Option<T> {
            (!list.is_empty()).then(|| list[number % list.len()].clone())
        }
        let failure = || Failure::new("Broken", "by the test");
        match *next {
            Next::Succeed(n) => {
                if let Some((id, token, _)) = pick(&self.tasks, n) {
                    self.give(
                        &id,
                        Input::TaskSucceeded { token, output: json!(n).into(), report: None },
                    );
                }
            }
            Next::Fail(n) => {
                if let Some((id, token, callback)) = pick(&self.tasks, n) {
                    let token = if n % 2 == 0 { token } else { callback.unwrap_or(token) };
                    self.give(&id, Input::TaskFailed { token, failure: failure(), report: None });
                }
            }
            Next::Start(n) => {
                if let Some((id, token, _)) = pick(&self.tasks, n) {
                    self.give(&id, Input::TaskStarted { token, worker: None });
                }
            }
            Next::Beat(n) => {
                if let Some((id, token, callback)) = pick(&self.tasks, n) {
                    let token = if n % 2 == 0 { token } else { callback.unwrap_or(token) };
                    self.give(&id, Input::TaskHeartbeat { token });
                }
            }
            Next::Callback(n) => {
                if let Some((id, _, Some(token))) = pick(&self.tasks, n) {
                    let output = json!("called").into();
                    self.give(&id, Input::TaskSucceeded { token, output, report: None });
                }
            }
            Next::Fire(n) => {
                if let Some((id, revision, due)) = pick(&self.timers, n) {
                    self.now = self.now.max(due);
                    self.give(&id, Input::TimerFired { revision });
                }
            }
            Next::FireEarly(n) => {
                if let Some((id, revision, _)) = pick(&self.timers, n) {
                    self.give(&id, Input::TimerFired { revision });
                }
            }
            Next::Again(n) => {
                if let Some((id, input)) = pick(&self.taken, n) {
                    let again = self.give(&id, input.clone());
                    // Only a heartbeat, and the callback's own, count as often as they come.
                    assert!(
                        !again
                            || matches!(
                                input,
                                Input::TaskHeartbeat { .. }
                                    | Input::Stopped { .. }
                                    | Input::Redriven { .. }
                            ),
                        "{input:?} was taken twice"
                    );
                }
            }
            Next::Retry(n) | Next::Skip(n) => {
                let ids: Vec<_> = self.branches.keys().cloned().collect();
                let Some(id) = pick(&ids, n) else { return };
                let handles = self.branches.get(&id).and_then(Branch::handles);
                let Some(handles) = handles else { return };
                let by = Operator { name: Some("ines".to_owned()), reason: None };
                let revision = handles.revision;
                let (input, may) = match next {
                    Next::Retry(_) => (Input::TaskRetried { revision, by }, handles.can_retry),
                    _ => {
                        let output = json!("by hand").into();
                        (Input::TaskSkipped { revision, output, by }, handles.can_skip)
                    }
                };
                let is_task = matches!(self.branches[&id].status, Status::AwaitingTask { .. });
                let taken = self.give(&id, input);
                assert_eq!(taken, may && (is_task || taken), "{id} cannot be handled as it says");
            }
            Next::Redrive => {
                let root = BranchId::root();
                let failed = self.branches[&root].resume().is_some();
                let before = self.succeeded();
                let redriven = Input::Redriven { after: None, afresh: false };
                assert_eq!(self.give(&root, redriven), failed);
                // What had succeeded below a state that failed is not done again.
                for (id, branch) in before {
                    if let Some(now) = self.branches.get(&id) {
                        assert_eq!(*now, branch, "{id} had succeeded, and changed");
                    }
                }
            }
            Next::Stop => {
                if self.taken.len() > 25 {
                    let status = ClaimStatus::Aborted;
                    self.give(&BranchId::root(), Input::Stopped { status, failure: failure() });
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in(
        states in tree(),
        go in any::<bool>(),
        script in prop::collection::vec(next(), 0..80),
    ) {
        let document = written(&states, &mut 0);
        let definition = Definition::parse(&document)
            .unwrap_or_else(|faults| panic!("{faults:#?}\n{document:#}"));
        let context = context(go);
        let mut run = Run::new(&definition, &context);
        let mut twin = Run::new(&definition, &context);
        for next in &script {
            run.on(next);
            twin.on(next);
        }
        prop_assert_eq!(&run.steps, &twin.steps, "the same inputs made other steps");
        if run.has_ended() {
            let root = BranchId::root();
            prop_assert!(run.branches.values().all(Branch::has_ended), "branches are left");
            if let Status::Succeeded { .. } = run.branches[&root].status {
                let left: Vec<_> = run.branches.keys().collect();
                prop_assert_eq!(left, [&root], "branches are left");
            }
            for (id, input) in run.taken.clone() {
                if matches!(input, Input::Redriven { .. }) {
                    continue;
                }
                prop_assert!(!run.give(&id, input), "something happened after the end");
            }
        }
    }

    #[test]
    fn a_simulation_ends_or_says_what_it_waits_for(states in tree(), go in any::<bool>()) {
        let document = written(&states, &mut 0);
        let definition = Definition::parse(&document)
            .unwrap_or_else(|faults| panic!("{faults:#?}\n{document:#}"));
        let (context, mocks) = (context(go), Mocks::new());
        let simulated = simulate(&definition, &context, &mocks);
        prop_assert!(simulated.status.has_ended() || !simulated.unanswered.is_empty());
        prop_assert_eq!(&simulate(&definition, &context, &mocks), &simulated);
        for (event, id) in simulated.events.iter().zip(1..) {
            prop_assert_eq!(event.id, id);
            prop_assert!(event.previous_event_id < id);
        }
    }
}
