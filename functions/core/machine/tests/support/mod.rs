//! Drives an execution by hand and writes down what happens.

#![allow(dead_code)] // Each test program uses its own part.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use expect_test::Expect;
use fluxus_machine::{
    Attempt, Branch, Definition, Dispatch, Effect, Execution, ExecutionContext, Failure, Input,
    Made, Operator, Rejected, Seed, Status,
};
use fluxus_schema::claim::ClaimStatus;
use fluxus_schema::history::{EventKey, EventKind, EventRow};
use fluxus_schema::limits::SERVICE_PAYLOAD_BYTES;
use fluxus_schema::{BranchId, ClaimId, Json, TaskToken, Timestamp};
use serde_json::{Value, json};

/// Something that happens. A task is named by its state, which means its oldest attempt that is
/// not answered, or by state and number, as `"Pay#1"`: the second that was scheduled.
#[derive(Debug, Clone)]
pub enum On {
    Started(&'static str),
    Ok(&'static str, Value),
    Fail(&'static str, &'static str, &'static str),
    /// It failed, told by an event of its own.
    FailAs(&'static str, EventKind, &'static str),
    /// The request was handed over.
    Submitted(&'static str, Value),
    Beat(&'static str),
    /// Somebody calls back with the token that the recipe gave away.
    Callback(&'static str, Value),
    CallbackFail(&'static str, &'static str, &'static str),
    CallbackBeat(&'static str),
    /// Time passes until the next timer is due, and it fires.
    Fire,
    /// The next timer fires, though its time has not come.
    FireEarly,
    /// All timers so far fire again.
    FireOld,
    /// Seconds pass.
    Pass(u64),
    /// Nobody can be given the task: the branch holds it.
    Hold(&'static str),
    Stop,
    TimeOut,
    /// The execution goes on where it ended.
    Redrive,
    /// An operator has the task of this branch tried again.
    Again(&'static str),
    /// An operator ends the task of this branch with this output.
    Skip(&'static str, Value),
}

pub use On::*;

/// Runs `definition` on `input`, lets `script` happen, and compares the transcript.
#[track_caller]
pub fn check(definition: &Value, input: &Value, script: &[On], expected: &Expect) {
    let definition = Definition::parse(definition).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let context = context(input.clone());
    let mut run = Run::begin(&definition, &context);
    for on in script {
        run.on(on);
    }
    expected.assert_eq(&run.transcript);
}

pub fn context(input: Value) -> ExecutionContext {
    let started_at = Timestamp::from_millis(1_000_000);
    ExecutionContext {
        claim_id: ClaimId::new(started_at, &[1; 10]),
        id: "claim".to_owned(),
        name: "claim".to_owned(),
        input: input.into(),
        role_arn: None,
        started_at,
        state_machine_id: "recipe:1".to_owned(),
        state_machine_name: "recipe".to_owned(),
        region: None,
        seed: Seed([7; 16]),
        max_payload_bytes: SERVICE_PAYLOAD_BYTES,
        redrive_count: 0,
        redriven_at: None,
    }
}

/// A state machine of these states; the first one begins. `Caught` goes where no catcher names it.
pub fn machine(mut states: Value) -> Value {
    if let Some(states) = states.as_object_mut()
        && !states.values().any(|state| state.to_string().contains(r#""Next":"Caught""#))
    {
        states.shift_remove("Caught");
    }
    let first = states.as_object().and_then(|states| states.keys().next()).cloned();
    json!({ "StartAt": first, "States": states })
}

struct Run<'a> {
    definition: &'a Definition,
    context: &'a ExecutionContext,
    execution: Execution<'a>,
    now: Timestamp,
    tasks: Vec<Given>,
    timers: Vec<(Timestamp, BranchId, u32)>,
    fired: usize,
    ids: HashMap<EventKey, u64>,
    statuses: BTreeMap<BranchId, String>,
    transcript: String,
}

struct Given {
    branch: BranchId,
    dispatch: Dispatch,
    callback: Option<TaskToken>,
    answered: bool,
}

impl<'a> Run<'a> {
    fn begin(definition: &'a Definition, context: &'a ExecutionContext) -> Self {
        let mut run = Self {
            definition,
            context,
            execution: Execution::new(definition, context, usize::MAX).with_all_at_hand(),
            now: context.started_at,
            tasks: Vec::new(),
            timers: Vec::new(),
            fired: 0,
            ids: HashMap::new(),
            statuses: BTreeMap::new(),
            transcript: String::new(),
        };
        run.say("> Begin");
        run.execution.begin(run.now);
        run.settle();
        run
    }

    fn say(&mut self, line: &str) {
        self.transcript.push_str(line);
        self.transcript.push('\n');
    }

    fn on(&mut self, on: &On) {
        let said = match on {
            Ok(name, output) => format!("> Ok {name} {}", self.without_tokens(output)),
            Callback(name, output) => format!("> Callback {name} {}", self.without_tokens(output)),
            Fail(name, error, _) => format!("> Fail {name} {error}"),
            FailAs(name, event, error) => format!("> FailAs {name} {} {error}", event.as_str()),
            Submitted(name, output) => format!("> Submitted {name} {output}"),
            CallbackFail(name, error, _) => format!("> CallbackFail {name} {error}"),
            Started(name) => format!("> Started {name}"),
            Beat(name) => format!("> Beat {name}"),
            CallbackBeat(name) => format!("> CallbackBeat {name}"),
            Hold(name) => format!("> Hold {name}"),
            Fire | FireEarly | FireOld | Pass(_) | Stop | TimeOut | Redrive => format!("> {on:?}"),
            Again(branch) => format!("> Again {branch}"),
            Skip(branch, output) => format!("> Skip {branch} {output}"),
        };
        self.say(&said);
        match on {
            Fire | FireEarly => {
                self.timers[self.fired..].sort_by_key(|timer| timer.0);
                let Some((due, branch, revision)) = self.timers.get(self.fired).cloned() else {
                    self.say("  no timer is set");
                    return;
                };
                self.fired += 1;
                if matches!(on, Fire) {
                    self.now = self.now.max(due);
                }
                self.apply(&branch, Input::TimerFired { revision });
            }
            FireOld => {
                let old: Vec<_> = self.timers[..self.fired].to_vec();
                for (_, branch, revision) in old {
                    self.apply(&branch, Input::TimerFired { revision });
                }
            }
            Pass(seconds) => self.now = self.now.plus(std::time::Duration::from_secs(*seconds)),
            Stop | TimeOut => {
                let (status, error) = match on {
                    Stop => (ClaimStatus::Aborted, "Cancelled"),
                    _ => (ClaimStatus::TimedOut, "States.Timeout"),
                };
                let failure = Failure::new(error, "by the test");
                let stopped = self.execution.stop(status, failure, self.now);
                self.note(stopped);
                self.settle();
            }
            Redrive => {
                let redriven = self.execution.redrive(self.now);
                self.note(redriven);
                self.settle();
            }
            Again(branch) | Skip(branch, _) => {
                let id: BranchId = branch.parse().expect("a branch");
                let handles = self.execution.branch(&id).and_then(Branch::handles);
                let revision = handles.expect("a task").revision;
                let by = Operator { name: Some("ines".into()), reason: Some("mended".into()) };
                let input = match on {
                    Skip(_, output) => {
                        Input::TaskSkipped { revision, output: output.clone().into(), by }
                    }
                    _ => Input::TaskRetried { revision, by },
                };
                self.apply(&id, input);
            }
            Started(name) | Beat(name) | Ok(name, _) | Fail(name, ..) | Hold(name) => {
                self.task(name, on);
            }
            Callback(name, _) | CallbackFail(name, ..) | CallbackBeat(name) => self.task(name, on),
            FailAs(name, ..) | Submitted(name, _) => self.task(name, on),
        }
    }

    fn task(&mut self, name: &str, on: &On) {
        let (state, number) = match name.split_once('#') {
            Some((state, number)) => (state, number.parse().ok()),
            None => (name, None),
        };
        let mut of_state = self.tasks.iter_mut().filter(|task| &*task.dispatch.state == state);
        let task = match number {
            Some(number) => of_state.nth(number),
            None => of_state.find(|task| !task.answered),
        };
        let task = task.unwrap_or_else(|| panic!("no task `{name}`"));
        let branch = task.branch.clone();
        let token = task.dispatch.token.clone();
        let callback = || task.callback.clone().expect("a callback");
        let failure = |error: &str, cause: &str| {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Failure { error: given(error), cause: given(cause) }
        };
        let input = match on {
            Started(_) => Input::TaskStarted { token, worker: None },
            Beat(_) => Input::TaskHeartbeat { token },
            CallbackBeat(_) => Input::TaskHeartbeat { token: callback() },
            Ok(_, output) => {
                Input::TaskSucceeded { token, output: output.clone().into(), report: None }
            }
            Fail(_, error, cause) => {
                Input::TaskFailed { token, failure: failure(error, cause), report: None }
            }
            FailAs(_, event, error) => {
                Input::TaskFailedAs { token, event: *event, failure: failure(error, "") }
            }
            Submitted(_, output) => Input::TaskSubmitted { token, output: output.clone().into() },
            Callback(_, output) => {
                let output = Json::from(output.clone());
                Input::TaskSucceeded { token: callback(), output, report: None }
            }
            CallbackFail(_, error, cause) => {
                let failure = failure(error, cause);
                Input::TaskFailed { token: callback(), failure, report: None }
            }
            Hold(_) => {
                let input = task.dispatch.input.clone();
                self.hold(&branch, &input);
                return;
            }
            _ => return,
        };
        let ends = matches!(on, Fail(..) | FailAs(..) | Callback(..) | CallbackFail(..));
        task.answered |= ends || (matches!(on, Ok(..)) && task.callback.is_none());
        self.apply(&branch, input);
    }

    fn hold(&mut self, id: &BranchId, input: &Json) {
        // As it comes back from the store.
        let mut stored = Execution::new(self.definition, self.context, usize::MAX);
        for known in self.statuses.keys() {
            let Some(branch) = self.execution.branch(known) else { continue };
            let mut branch = branch.clone();
            if known == id {
                branch.hold(input.clone());
            }
            stored.load(branch);
        }
        self.execution = stored;
    }

    fn apply(&mut self, branch: &BranchId, input: Input) {
        let applied = self.execution.apply(branch, input, self.now);
        self.note(applied);
        self.settle();
    }

    fn note(&mut self, applied: Result<(), Rejected>) {
        if let Err(rejected) = applied {
            self.say(&format!("  rejected: {rejected}"));
        }
    }

    /// Writes down what was made.
    fn settle(&mut self) {
        let Made { rows, effects, inserted, updated, deleted, .. } = self.execution.take_made();
        for branch in inserted.iter().chain(&updated) {
            self.statuses.entry(branch.id.clone()).or_default();
        }
        for row in &rows {
            self.events(row);
        }
        for (branch, revision, effect) in effects {
            let gone = self.execution.branch(&branch).is_none();
            let gone = if gone { " (gone)" } else { "" };
            match effect {
                Effect::Dispatch(dispatch) => self.given(branch, dispatch, gone),
                Effect::Timer { due, watch } => {
                    let due_s = self.seconds(due);
                    let watch = if watch { " watch" } else { "" };
                    self.say(&format!("  ! timer at {due_s} for {branch}{watch}{gone}"));
                    self.timers.push((due, branch, revision));
                }
            }
        }
        for branch in inserted.iter().chain(&updated) {
            let status = self.status(branch);
            if self.statuses.get(&branch.id) != Some(&status) {
                self.say(&format!("  = {} {status}", branch.id));
                self.statuses.insert(branch.id.clone(), status);
            }
        }
        for id in deleted {
            self.statuses.remove(&id);
            self.say(&format!("  = {id} gone"));
        }
    }

    fn events(&mut self, row: &EventRow) {
        for (position, event) in (0u32..).zip(&row.events) {
            let (branch_id, revision) = (row.branch_id.clone(), row.revision);
            let id = self.ids.len() as u64 + 1;
            self.ids.insert(EventKey { branch_id, revision, position }, id);
            let previous = event.previous.as_ref().map_or(0, |key| self.ids[key]);
            let mut details = json!(event.details);
            if let Value::Object(details) = &mut details {
                for usual in ["resource", "resourceType", "region"] {
                    details.shift_remove(usual);
                }
            }
            let details = self.without_tokens(&details);
            let kind = event.kind.as_str();
            let mut line = format!("  {id} <{previous} {kind}");
            if !row.branch_id.is_root() {
                let _ = write!(line, " {}", row.branch_id);
            }
            if details != "{}" {
                let _ = write!(line, " {details}");
            }
            self.say(&line);
        }
    }

    fn given(&mut self, branch: BranchId, dispatch: Dispatch, gone: &str) {
        let callback = self.execution.branch(&branch).and_then(|branch| match &branch.status {
            Status::AwaitingTask { task: Attempt { callback, .. }, .. } => callback.clone(),
            _ => None,
        });
        let input = dispatch.input.clone();
        let mut line = format!("  ! dispatch {}", dispatch.state);
        if dispatch.attempt > 0 {
            let _ = write!(line, " attempt {}", dispatch.attempt);
        }
        if let Some(deadline) = dispatch.deadline {
            let _ = write!(line, " deadline {}", self.seconds(deadline));
        }
        if let Some(seconds) = dispatch.heartbeat_s {
            let _ = write!(line, " heartbeat {seconds}s");
        }
        self.tasks.push(Given { branch, dispatch, callback, answered: false });
        let input = self.without_tokens(&input);
        self.say(&format!("{line}{gone} {input}"));
    }

    fn status(&self, branch: &Branch) -> String {
        let state = |visit: &fluxus_machine::Visit| visit.state.to_string();
        let mut text = match &branch.status {
            Status::Pending { start_at, .. } => format!("waits to begin at {start_at}"),
            Status::AwaitingTask { visit, task } => {
                let mut text = format!("awaits task {}", state(visit));
                if task.submitted {
                    text.push_str(" (callback)");
                }
                if task.held.is_some() {
                    text.push_str(" (nobody has it)");
                }
                text
            }
            Status::AwaitingRetry { visit, due } => {
                format!("awaits retry of {} at {}", state(visit), self.seconds(*due))
            }
            Status::AwaitingTimer { visit, due } => {
                format!("awaits time {} in {}", self.seconds(*due), state(visit))
            }
            Status::AwaitingBranches { visit, total, .. } => {
                format!("awaits {total} branches in {}", state(visit))
            }
            Status::Succeeded { output } => {
                format!("SUCCEEDED {}", self.without_tokens(&Value::clone(output)))
            }
            Status::Failed { failure, .. } => format!("FAILED {}", told(failure)),
            Status::Stopped { status, failure, .. } => format!("{status} {}", told(failure)),
        };
        if !branch.variables.is_empty() {
            let _ = write!(text, " with {}", json!(branch.variables));
        }
        text
    }

    fn seconds(&self, at: Timestamp) -> String {
        let ms = at.since(self.context.started_at).as_millis();
        match ms % 1000 {
            0 => format!("{}s", ms / 1000),
            _ => format!("{ms}ms"),
        }
    }

    /// Tokens are long and say nothing to a reader; long texts neither.
    fn without_tokens(&self, value: &Value) -> String {
        let mut text = value.to_string();
        for branch in self.statuses.keys().filter_map(|id| self.execution.branch(id)) {
            if let Status::AwaitingTask { task, .. } = &branch.status
                && let Some(token) = &task.callback
            {
                text = text.replace(token.as_str(), "<token>");
            }
        }
        for token in self.tasks.iter().filter_map(|task| task.callback.as_ref()) {
            text = text.replace(token.as_str(), "<token>");
        }
        if text.chars().count() > 300 {
            let some: String = text.chars().take(60).collect();
            text = format!("{some}… ({} bytes)", text.len());
        }
        text
    }
}

fn told(Failure { error, cause }: &Failure) -> String {
    let mut cause = cause.as_deref().unwrap_or("-").to_owned();
    if cause.chars().count() > 300 {
        let end: String = cause.chars().skip(cause.chars().count() - 12).collect();
        cause = format!("({} characters){end}", cause.chars().count());
    }
    format!("{}: {cause}", error.as_deref().unwrap_or("-"))
}

/// The last line of the transcript of an execution that runs by itself.
pub fn last_line(definition: &Value, input: &Value) -> String {
    let definition = Definition::parse(definition).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let context = context(input.clone());
    let run = Run::begin(&definition, &context);
    run.transcript.lines().last().unwrap_or_default().trim().to_owned()
}
