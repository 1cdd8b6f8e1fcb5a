//! Recipes and claims by chance: small, and out of all kinds of states.

use std::time::Duration;

use fluxus_schema::{ClaimId, NewClaim, Tenant, Timestamp};
use fluxus_store::Intake;
use fluxus_store::recipe::{Definition, TypeRoute};
use serde_json::{Map, Value, json};

use super::chance::Chance;
use super::fluxling::{AGAIN, BROKEN, CAUSE};

/// How deep states that hold states lie within each other.
const MAX_DEPTH: usize = 1;

/// A bound on tasks that is never reached where nothing may depend on time, in seconds.
const FAR: i64 = 20 * 24 * 3600;

/// What is to be done.
pub(super) struct Workload {
    pub(super) routes: Vec<TypeRoute>,
    pub(super) definitions: Vec<Definition>,
    pub(super) claims: Vec<Intake>,
    /// The capability that nobody offers in the beginning.
    pub(super) has_latecomer: bool,
    /// Whether branches may be aborted, so that what they recorded is a matter of time.
    pub(super) is_racy: bool,
    /// How long an execution of the recipe may take.
    pub(super) timeout: Option<Duration>,
}

/// Makes recipes.
struct Maker<'a> {
    chance: &'a mut Chance,
    /// Whether claims must come out the same whatever happens.
    calm: bool,
    states: usize,
    may_nest: bool,
    has_latecomer: bool,
    is_racy: bool,
}

/// Recipes and claims for them, received `at`.
pub(super) fn workload(chance: &mut Chance, calm: bool, at: i64) -> Workload {
    let mut maker =
        Maker { chance, calm, states: 0, may_nest: false, has_latecomer: false, is_racy: false };
    let tenants = [Tenant::default(), "other".parse().expect("a tenant")];
    let child = maker.machine(0, 1);
    // It has nobody beside it.
    maker.is_racy = false;
    maker.may_nest = true;
    let length = 1 + maker.chance.below(3);
    let mut recipe = maker.machine(MAX_DEPTH, length);
    let Maker { has_latecomer, is_racy, .. } = maker;
    let seconds = (!calm && chance.one_in(6)).then(|| chance.below(100) + 1);
    if let Some(seconds) = seconds {
        recipe["TimeoutSeconds"] = json!(seconds);
    }
    let (child, recipe) = (child.to_string(), recipe.to_string());
    let schema = chance.one_in(6).then(|| json!({ "required": ["n"] }).to_string());
    let mut workload = Workload {
        routes: Vec::new(),
        definitions: Vec::new(),
        claims: Vec::new(),
        has_latecomer,
        is_racy,
        timeout: seconds.map(|seconds| Duration::from_secs(seconds as u64)),
    };
    for tenant in &tenants {
        for (name, definition) in [("child", &child), ("recipe", &recipe)] {
            workload.definitions.push(Definition {
                tenant: tenant.clone(),
                name: name.parse().expect("a name"),
                version: 1,
                definition: definition.clone(),
            });
        }
        workload.routes.push(TypeRoute {
            tenant: tenant.clone(),
            claim_type: "ask".parse().expect("a type"),
            schema: schema.clone(),
            recipe: Some(("recipe".parse().expect("a name"), 1)),
        });
    }
    for _ in 0..=chance.below(3) {
        let tenant = tenants[usize::from(chance.one_in(3))].clone();
        workload.claims.push(intake(chance, calm, tenant, at));
    }
    workload
}

fn intake(chance: &mut Chance, calm: bool, tenant: Tenant, at: i64) -> Intake {
    let received_at = Timestamp::from_millis(at);
    let mut body = json!({ "n": chance.below(10), "items": [1, 2, 3] });
    if chance.one_in(8) {
        body = json!({ "items": [], "n": "none" });
    }
    if chance.one_in(12) {
        body = json!({});
    }
    let claim_type = if chance.one_in(12) { "unknown" } else { "ask" };
    let mut claim: NewClaim =
        serde_json::from_value(json!({ "type": claim_type, "body": body })).expect("a claim");
    if !calm && chance.one_in(6) {
        claim.deadline = Some(Timestamp::from_millis(at + chance.between(0, 100_000)));
    }
    Intake {
        claim_id: ClaimId::new(received_at, &chance.bytes()),
        tenant,
        claim,
        seed: chance.bytes(),
        traceparent: None,
        origin: None,
        received_at,
    }
}

impl Maker<'_> {
    /// A machine of so many states and one that ends it.
    fn machine(&mut self, depth: usize, length: usize) -> Value {
        let names: Vec<String> = (0..length).map(|_| self.name()).collect();
        let last = self.name();
        let mut states = Map::new();
        let mut start_at = last.clone();
        for name in names.iter().rev() {
            let (name, state) = self.state(name, &start_at, &last, depth);
            states.insert(name.clone(), state);
            start_at = name;
        }
        let fails = self.chance.one_in(12);
        let end = match fails {
            true => json!({ "Type": "Fail", "Error": BROKEN, "Cause": CAUSE }),
            false => json!({ "Type": "Succeed" }),
        };
        self.is_racy |= fails && depth < MAX_DEPTH;
        states.insert(last, end);
        json!({ "StartAt": start_at, "States": states })
    }

    fn name(&mut self) -> String {
        self.states += 1;
        format!("S{}", self.states)
    }

    /// A state that goes to `next`; `last` is where its machine ends.
    fn state(&mut self, name: &str, next: &str, last: &str, depth: usize) -> (String, Value) {
        let kind = self.chance.below(if depth > 0 { 13 } else { 8 });
        let state = match kind {
            0..=3 => return self.task(name, next, depth),
            4 => {
                let seconds = [1, 30, 1000][self.chance.below(3)];
                json!({ "Type": "Wait", "Seconds": seconds, "Next": next })
            }
            5 => json!({
                "Type": "Choice", "Default": next,
                "Choices": [{
                    "And": [
                        { "Variable": "$.n", "IsPresent": true },
                        { "Variable": "$.n", "IsNumeric": true },
                        { "Variable": "$.n", "NumericGreaterThan": 4 }
                    ],
                    "Next": last
                }]
            }),
            6 => json!({
                "Type": "Pass", "Result": { "passed": name }, "ResultPath": "$.pass", "Next": next
            }),
            7 | 8 if self.may_nest => self.nested(next),
            7 | 8 => json!({ "Type": "Wait", "Seconds": 2, "Next": next }),
            9 | 10 => self.map(next, depth),
            _ => self.parallel(next, depth),
        };
        (name.to_owned(), state)
    }

    /// A task; its name says how it will go.
    fn task(&mut self, name: &str, next: &str, depth: usize) -> (String, Value) {
        let mut task = json!({
            "Type": "Task", "Resource": "fluxling:work", "ResultPath": "$.r", "Next": next
        });
        if self.chance.one_in(5) {
            task["Resource"] = json!("fluxling:ask.waitForTaskToken");
            task["Parameters"] = json!({ "token.$": "$$.Task.Token", "n.$": "$" });
            task["TimeoutSeconds"] = json!(if self.calm { FAR } else { 30 });
        } else if self.chance.one_in(6) {
            task["Resource"] = json!("fluxling:late");
            task["TimeoutSeconds"] = json!(if self.calm { FAR } else { 60 });
            self.has_latecomer = true;
        }
        for (field, most) in [("TimeoutSeconds", 3), ("HeartbeatSeconds", 2)] {
            if self.chance.one_in(3) {
                let seconds = if self.calm { FAR - 1 } else { self.chance.between(1, most) };
                task[field] = json!(seconds);
            }
        }
        if task.get("TimeoutSeconds").is_none() && task.get("HeartbeatSeconds").is_some() {
            task["TimeoutSeconds"] = json!(if self.calm { FAR } else { 30 });
        }
        if let (Some(timeout), Some(heartbeat)) =
            (task["TimeoutSeconds"].as_i64(), task["HeartbeatSeconds"].as_i64())
            && heartbeat >= timeout
        {
            task["TimeoutSeconds"] = json!(heartbeat + 1);
        }
        let retries = self.chance.below(3);
        if retries > 0 {
            task["Retry"] = json!([{
                "ErrorEquals": [AGAIN, "States.Timeout"], "IntervalSeconds": 1,
                "MaxAttempts": retries, "BackoffRate": 2.0
            }]);
        }
        let is_caught = self.chance.one_in(3);
        if is_caught {
            task["Catch"] =
                json!([{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": next }]);
        }
        let nature = match self.chance.below(8) {
            0 => "x".to_owned(),
            1..=3 if retries > 0 => format!("f{}", 1 + self.chance.below(retries)),
            _ => "w".to_owned(),
        };
        self.is_racy |= nature == "x" && !is_caught && depth < MAX_DEPTH;
        (format!("{name}-{nature}"), task)
    }

    fn caught(&mut self, mut state: Value, next: &str) -> Value {
        if self.chance.one_in(2) {
            state["Catch"] =
                json!([{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": next }]);
        }
        state
    }

    fn parallel(&mut self, next: &str, depth: usize) -> Value {
        let branches: Vec<Value> = (0..=self.chance.below(3))
            .map(|_| {
                let length = 1 + self.chance.below(2);
                self.machine(depth - 1, length)
            })
            .collect();
        let state = json!({
            "Type": "Parallel", "Branches": branches, "ResultPath": "$.p", "Next": next
        });
        self.caught(state, next)
    }

    fn map(&mut self, next: &str, depth: usize) -> Value {
        let mut processor = self.machine(depth - 1, 1);
        let mut state = json!({
            "Type": "Map", "ItemsPath": "$.items", "ResultPath": "$.m", "Next": next,
            "MaxConcurrency": self.chance.below(3),
            "ItemSelector": {
                "n.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "items": [1]
            }
        });
        if self.chance.one_in(3) {
            processor["ProcessorConfig"] =
                json!({ "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" });
            if self.chance.one_in(2) {
                state["ToleratedFailureCount"] = json!(self.chance.below(3));
            }
        }
        state["ItemProcessor"] = processor;
        self.caught(state, next)
    }

    fn nested(&mut self, next: &str) -> Value {
        let mut state = json!({
            "Type": "Task", "Next": next,
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": { "StateMachineArn": "child", "Input": { "n": 5, "items": [1, 2] } },
            "ResultSelector": { "o.$": "$.Output" }, "ResultPath": "$.c",
            "Catch": [{ "ErrorEquals": ["States.ALL"], "ResultPath": null, "Next": next }]
        });
        match self.chance.below(4) {
            0 | 2 if !self.calm => state["Parameters"]["Name"] = json!("same"),
            1 => {
                state["Resource"] = json!("arn:aws:states:::states:startExecution");
                state["ResultSelector"] = json!({ "started": true });
            }
            _ => {}
        }
        state
    }
}
