//! What the claims of a run are fulfilled by, and how each must end.

use std::collections::BTreeSet;
use std::time::Duration;

use fluxus_schema::payload::INLINE_BYTES;
use serde_json::{Value, json};

use crate::fluxlings::{BROKEN, SPOILED};
use crate::rogue::{MODES, TIMEOUT_S};

/// Items of a Map.
const ITEMS: usize = 4;

/// The activity that workers poll for.
pub const ACTIVITY: &str = "fault-worker";

/// The activity that nobody polls for.
const NOBODY: &str = "fault-nobody";

/// How long a task may be without a sign of life, in seconds, and how long it takes where it gives
/// some, in milliseconds.
const HEARTBEAT_S: u64 = 1;
const HEARTBEAT_NAP_MS: u64 = 1_400;

/// Names the large text of a claim's body.
pub const BODY: &str = "body";

/// How long claims have that are to run out of time.
const DEADLINE: Duration = Duration::from_secs(2);

/// A kind of claim.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub name: String,
    definition: Value,
    /// The steps whose outcome must be in the output, each once.
    pub steps: BTreeSet<String>,
    /// Its claims carry documents of megabytes, so there are fewer of them.
    pub is_heavy: bool,
    /// Large texts that the output has, one of the body and one of each step that got it.
    pub ballasts: usize,
    /// Steps whose outcome may be there, once.
    pub perhaps: BTreeSet<String>,
    pub end: End,
}

/// How claims end, whatever befalls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Succeeded,
    /// By their deadline.
    TimedOut,
    /// The client that submitted them cancels them.
    Cancelled,
}

impl End {
    /// The word for it in the table.
    pub fn status(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::TimedOut => "TIMED_OUT",
            Self::Cancelled => "ABORTED",
        }
    }
}

impl Recipe {
    fn new(name: &str, definition: Value, steps: &[&str]) -> Self {
        let steps = steps.iter().map(|step| (*step).to_owned()).collect();
        let (name, perhaps, end) = (name.to_owned(), BTreeSet::new(), End::Succeeded);
        Self { name, definition, steps, is_heavy: false, ballasts: 0, perhaps, end }
    }

    /// One whose claims are ended from outside, somewhere on their way.
    fn ending(name: &str, end: End) -> Self {
        Self { end, ..Self::new(name, for_ever(), &[]) }
    }

    /// One whose claims carry large texts.
    fn heavy(name: &str, definition: Value, steps: &[&str], ballasts: usize) -> Self {
        Self { is_heavy: true, ballasts, ..Self::new(name, definition, steps) }
    }

    /// The type of its claims.
    pub fn claim_type(&self) -> String {
        format!("fault.{}", self.name)
    }

    /// The document of `PUT /v1/recipes/{name}`.
    pub fn put(&self) -> Value {
        json!({"definition": self.definition, "claim_types": [self.claim_type()]})
    }
}

/// All of them.
pub fn all() -> Vec<Recipe> {
    let items: Vec<String> = (0..ITEMS).map(|item| format!("item-{item}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let mut recipes = vec![
        Recipe::new("three", three(), &["a", "b", "c"]),
        Recipe::new("parallel", parallel(), &["left", "right", "after"]),
        Recipe::new("map", map(), &items),
        Recipe::new("wait", wait(), &["after"]),
        Recipe::new("retry", retry(), &["again", "after"]),
        Recipe::new("nested", nested(), &["a", "b", "c"]),
        Recipe::new("asked", asked(), &["person", "after"]),
        Recipe::new("polled", polled(), &["polled", "after"]),
        Recipe::new("beating", beating(), &["fluxling", "worker"]),
        Recipe::heavy("large", three(), &["a", "b", "c"], 1),
        Recipe::heavy("bulky", bulky(), &["fluxling", "worker"], 3),
        Recipe::ending("late", End::TimedOut),
        Recipe::ending("unwanted", End::Cancelled),
    ];
    recipes.extend(MODES.iter().map(|mode| {
        let mut recipe = Recipe::new(&format!("rogue-{mode}"), rogue(mode), &["after"]);
        recipe.perhaps = ["rogue".to_owned()].into();
        recipe.is_heavy = *mode == "large";
        recipe
    }));
    recipes
}

/// Whatever befalls a task on its way, it is tried again.
fn patient() -> Value {
    json!([{"ErrorEquals": [SPOILED], "MaxAttempts": 0},
           {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 50,
            "BackoffRate": 1}])
}

/// A task that does a step and puts what came of it under the step's name.
fn work(step: &str, next: Option<&str>) -> Value {
    let mut state = json!({
        "Type": "Task", "Resource": "fluxling:fault.work",
        "Parameters": {"key.$": "$.key", "step": step, "nap_ms": 5},
        "ResultPath": format!("$.{step}"), "Retry": patient(),
    });
    go_on(&mut state, next);
    state
}

/// The same by a worker who polls for it.
fn polled_work(step: &str, next: Option<&str>) -> Value {
    let mut state = work(step, next);
    state["Resource"] = json!(activity(ACTIVITY));
    state["Parameters"] = json!({"key.$": "$.key", "step": step});
    state
}

fn activity(name: &str) -> String {
    format!("arn:aws:states:eu-central-1:123456789012:activity:{name}")
}

fn go_on(state: &mut Value, next: Option<&str>) {
    match next {
        Some(next) => state["Next"] = json!(next),
        None => state["End"] = json!(true),
    }
}

fn three() -> Value {
    let mut second = work("b", Some("C"));
    // Sets a timer that is void soon after.
    second["TimeoutSeconds"] = json!(30);
    json!({"StartAt": "A", "States": {
        "A": work("a", Some("B")), "B": second, "C": work("c", None)}})
}

fn parallel() -> Value {
    let branch = |step: &str| json!({"StartAt": step, "States": {step: work(step, None)}});
    json!({"StartAt": "Both", "States": {
        "Both": {"Type": "Parallel", "Branches": [branch("left"), branch("right")],
                 "ResultSelector": {"left.$": "$[0].left", "right.$": "$[1].right"},
                 "ResultPath": "$.both", "Next": "After"},
        "After": work("after", None)}})
}

fn map() -> Value {
    let item = json!({
        "Type": "Task", "Resource": "fluxling:fault.work",
        "Parameters": {"key.$": "$.key", "step.$": "States.Format('item-{}', $.index)"},
        "Retry": patient(), "TimeoutSeconds": 30, "End": true});
    json!({"StartAt": "Items", "States": {"Items": {
        "Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 2,
        "ItemSelector": {"key.$": "$.key", "index.$": "$$.Map.Item.Index"},
        "ItemProcessor": {"StartAt": "Item", "States": {"Item": item}},
        "ResultPath": "$.done", "End": true}}})
}

fn wait() -> Value {
    json!({"StartAt": "Wait", "States": {
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "After"}, "After": work("after", None)}})
}

/// Vanished workers are noticed by the time alone.
fn polled() -> Value {
    let mut polled = polled_work("polled", Some("After"));
    polled["TimeoutSeconds"] = json!(3);
    json!({"StartAt": "Polled", "States": {"Polled": polled, "After": work("after", None)}})
}

/// Whoever does not beat is noticed, and nothing else bounds the time.
fn beating() -> Value {
    let mut fluxling = work("fluxling", Some("Worker"));
    fluxling["Parameters"]["nap_ms"] = json!(HEARTBEAT_NAP_MS);
    fluxling["HeartbeatSeconds"] = json!(HEARTBEAT_S);
    let mut worker = polled_work("worker", None);
    worker["HeartbeatSeconds"] = json!(HEARTBEAT_S);
    json!({"StartAt": "Fluxling", "States": {"Fluxling": fluxling, "Worker": worker}})
}

/// Inputs and results past what is kept in their rows, of a fluxling and of a worker.
fn bulky() -> Value {
    let mut fluxling = work("fluxling", Some("Worker"));
    fluxling["Parameters"]["ballast.$"] = json!("$.ballast");
    let mut worker = polled_work("worker", None);
    worker["Parameters"]["ballast.$"] = json!("$.ballast");
    worker["TimeoutSeconds"] = json!(10);
    json!({"StartAt": "Fluxling", "States": {"Fluxling": fluxling, "Worker": worker}})
}

/// Works without end, in three branches; one of them waits between, one for a worker.
fn for_ever() -> Value {
    let mut resting = work("resting", Some("Rest"));
    resting["ResultPath"] = Value::Null;
    let mut busy = work("busy", Some("busy"));
    busy["ResultPath"] = Value::Null;
    busy["Parameters"]["nap_ms"] = json!(100);
    let mut nobody = polled_work("nobody", None);
    nobody["Resource"] = json!(activity(NOBODY));
    json!({"StartAt": "All", "States": {"All": {
        "Type": "Parallel", "End": true, "Branches": [
            {"StartAt": "nobody", "States": {"nobody": nobody}},
            {"StartAt": "busy", "States": {"busy": busy}},
            {"StartAt": "Rest", "States": {
                "Rest": {"Type": "Wait", "Seconds": 1, "Next": "resting"}, "resting": resting}}]}}})
}

fn retry() -> Value {
    let mut again = work("again", Some("Broken"));
    again["Parameters"]["failing"] = json!(2);
    let mut broken = work("broken", Some("After"));
    broken["Parameters"]["failing"] = json!(1_000_000);
    broken["Retry"] = json!([
        {"ErrorEquals": [BROKEN], "MaxAttempts": 0},
        patient()[1]
    ]);
    broken["Catch"] = json!([
        {"ErrorEquals": [BROKEN], "ResultPath": "$.failure", "Next": "After"}
    ]);
    json!({"StartAt": "Again", "States": {
        "Again": again, "Broken": broken, "After": work("after", None)}})
}

fn nested() -> Value {
    json!({"StartAt": "Inner", "States": {"Inner": {
        "Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": "three", "Input": {"key.$": "$.key"}},
        "ResultSelector": {"output.$": "$.Output"}, "ResultPath": "$.inner", "End": true}}})
}

fn asked() -> Value {
    json!({"StartAt": "Ask", "States": {
        "Ask": {
            "Type": "Task", "Resource": "fluxling:fault.ask.waitForTaskToken",
            "Parameters": {"token.$": "$$.Task.Token", "key.$": "$.key", "step": "person"},
            "Retry": patient(), "ResultPath": "$.person", "Next": "After"},
        "After": work("after", None)}})
}

fn rogue(mode: &str) -> Value {
    json!({"StartAt": "Rogue", "States": {
        "Rogue": {
            "Type": "Task", "Resource": "fluxling:fault.rogue", "TimeoutSeconds": TIMEOUT_S,
            "Parameters": {"key.$": "$.key", "step": "rogue", "mode": mode},
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "After"}],
            "ResultPath": "$.rogue", "Next": "After"},
        "After": work("after", None)}})
}

/// A text past what is kept in rows, another for each name.
pub fn ballast(of: &str) -> String {
    format!("{of} ").repeat(INLINE_BYTES / of.len())
}

/// The claim of a recipe, under a key.
pub fn claim(recipe: &Recipe, key: &str) -> Value {
    let items: Vec<usize> = (0..ITEMS).collect();
    let mut body = json!({"key": key, "items": items});
    if recipe.ballasts > 0 {
        // Goes along through all states, past what is kept in their rows.
        body["ballast"] = json!(ballast(BODY));
    }
    let mut claim = json!({"type": recipe.claim_type(), "body": body});
    if recipe.end == End::TimedOut {
        let deadline = fluxus_store::clock::now().plus(DEADLINE);
        claim["deadline"] = json!(deadline.to_string());
    }
    claim
}
