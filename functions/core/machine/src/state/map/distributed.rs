//! A distributed Map: each item, or batch of items, is an execution of its own.
//!
//! Those executions see no variables of the state and have a history of their own. What is
//! tolerated is judged when all of them have ended; where nothing is, the first failure ends the
//! rest. Source: AWS Step Functions, "Using Map state in Distributed mode".

use std::sync::Arc;

use fluxus_schema::Json;
use fluxus_schema::history::{Details, EventKind};
use fluxus_schema::limits::{MAX_BRANCHES, SERVICE_PAYLOAD_BYTES};
use serde_json::{Value, json};

use super::{array, items, limit, port, selected};
use crate::branch::{Branch, ChildExecution, Failure, MapItem, Status, Variables, Visit};
use crate::data_flow::{self, Failed, Reading};
use crate::definition::{Batcher, Distributed, Flow, Map, Share, State, Transformation};
use crate::entropy::{Entropy, Purpose};
use crate::intrinsic;
use crate::redrive::Resume;
use crate::state::branches::{self, ChildEnd};
use crate::state::or_fail;
use crate::step::{Go, Stepper, failure_details};

/// How many of the executions may fail.
#[derive(Debug, Default, Clone, Copy)]
struct Tolerated {
    count: Option<u64>,
    percentage: Option<f64>,
}

impl Tolerated {
    fn is_nothing(self) -> bool {
        self.count.unwrap_or(0) == 0 && self.percentage.is_none_or(|share| share <= 0.0)
    }

    fn is_exceeded(self, failed: usize, total: usize) -> bool {
        let share = failed as f64 * 100.0 / total.max(1) as f64;
        match (self.count, self.percentage) {
            (None, None) => failed > 0,
            (count, percentage) => {
                count.is_some_and(|most| failed as u64 > most)
                    || percentage.is_some_and(|most| share > most)
            }
        }
    }
}

pub(super) fn run(
    stepper: &mut Stepper<'_>,
    state: &State,
    map: &Map,
    distributed: &Distributed,
    visit: Visit,
) -> Go {
    or_fail(visit, |visit| {
        let input = data_flow::selected_input(stepper, state, visit)?;
        let Some(reader) = &distributed.reader else {
            let items = items(stepper, state, map, visit, &input)?;
            if let Flow::Path(_) = state.flow {
                stepper.inspect(|data| data.after_items_path = Some(array(&items)));
            }
            start(stepper, distributed, visit, &input, items.len())?;
            return begin(stepper, state, map, distributed, visit, items);
        };
        start(stepper, distributed, visit, &input, 0)?;
        limit(stepper, map, visit, &input)?;
        port::read(stepper, state, reader, visit, &input)
    })
}

/// Records the beginning of the run.
fn start(
    stepper: &mut Stepper<'_>,
    distributed: &Distributed,
    visit: &Visit,
    input: &Value,
    length: usize,
) -> Result<(), Failed> {
    stepper.record(EventKind::MapStateStarted, Details::new().with("length", length as u64));
    let tolerated = tolerated(stepper, distributed, visit, input)?;
    stepper.inspect(|data| data.tolerated_failure_count = tolerated.count);
    stepper.inspect(|data| data.tolerated_failure_percentage = tolerated.percentage);
    let details = Details::new().with("mapRunArn", &*run_id(stepper, distributed, visit));
    stepper.record(EventKind::MapRunStarted, details);
    Ok(())
}

/// Starts the executions of the items.
pub(super) fn begin(
    stepper: &mut Stepper<'_>,
    state: &State,
    map: &Map,
    distributed: &Distributed,
    visit: &Visit,
    items: Vec<Json>,
) -> Result<Go, Failed> {
    let input = data_flow::selected_input(stepper, state, visit)?;
    let limit = limit(stepper, map, visit, &input)?;
    let tolerated = tolerated(stepper, distributed, visit, &input)?;
    if items.len() > MAX_BRANCHES {
        let cause = format!("The Map has {} items; the bound is {MAX_BRANCHES}", items.len());
        return Ok(failed(stepper, visit, Failure::new("States.ItemReaderFailed", cause)));
    }
    let mut inputs = Vec::with_capacity(items.len());
    for (index, value) in items.into_iter().enumerate() {
        let item = MapItem {
            state: visit.state.clone(),
            index,
            value,
            in_turns: false,
            is_above: false,
            is_tolerated: !tolerated.is_nothing(),
        };
        let selected = selected(stepper, map, visit, &input, &item)?;
        inputs.push((selected, item));
    }
    if map.item_selector.is_some() {
        let selected: Vec<_> = inputs.iter().map(|(input, _)| input.clone()).collect();
        stepper.inspect(|data| data.after_item_selector = Some(array(&selected)));
    }
    if let Some(batcher) = &distributed.batcher {
        inputs = batched(stepper, batcher, visit, &input, inputs)?;
        let batches: Vec<_> = inputs.iter().map(|(input, _)| input.clone()).collect();
        stepper.inspect(|data| data.after_item_batcher = Some(array(&batches)));
    }
    let total = inputs.len();
    if total == 0 {
        return Ok(succeeded(stepper, state, distributed, visit, Vec::new(), &[]));
    }
    let begin = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(total);
    stepper.begin = begin.min(total);
    for (index, (input, item)) in inputs.into_iter().enumerate() {
        let item = MapItem { in_turns: stepper.begin < total, ..item };
        let made = branches::child(stepper, index, map.start_at, input.clone(), Some(item));
        let child = ChildExecution { first: made.id.clone(), input, started_at: stepper.now };
        stepper.children.push(Branch {
            execution: Some(Arc::new(child)),
            events: 0,
            variables: Variables::new(),
            ..made
        });
    }
    let revision = stepper.revision;
    Ok(Go::Await(Status::AwaitingBranches { visit: visit.clone(), total, revision }))
}

/// Puts items together, as many as a batch may hold.
fn batched(
    stepper: &Stepper<'_>,
    batcher: &Batcher,
    visit: &Visit,
    input: &Json,
    inputs: Vec<(Json, MapItem)>,
) -> Result<Vec<(Json, MapItem)>, Failed> {
    let number = |number: &Option<_>, name| match number {
        Some(number) => data_flow::number(stepper, visit, input, number, (name, 1)).map(Some),
        None => Ok(None),
    };
    let most = number(&batcher.max_items, "MaxItemsPerBatch")?.unwrap_or(u64::MAX);
    let bytes = number(&batcher.max_bytes, "MaxInputBytesPerBatch")?;
    let bytes =
        bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(SERVICE_PAYLOAD_BYTES);
    let reading = Reading::of(stepper, visit);
    let beside = match &batcher.input {
        Some(template) => {
            Some(data_flow::evaluate(stepper, reading, input, |env| template.eval(env))?)
        }
        None => None,
    };
    let document = |items: Vec<Value>| {
        let mut batch = json!({ "Items": items });
        if let Some(beside) = &beside {
            batch["BatchInput"] = (**beside).clone();
        }
        batch
    };
    let around = document(Vec::new()).to_string().len();
    let mut batches: Vec<(Json, MapItem)> = Vec::new();
    let mut rest: Vec<Value> = Vec::new();
    let mut size = around;
    let mut close = |rest: &mut Vec<Value>, item: &MapItem| {
        let batch = Arc::new(document(std::mem::take(rest)));
        data_flow::bounded(stepper, visit, &batch)?;
        let index = batches.len();
        batches.push((batch.clone(), MapItem { index, value: batch, ..item.clone() }));
        Ok::<_, Failed>(())
    };
    let last = inputs.last().map(|(_, item)| item.clone());
    for (input, item) in inputs {
        let own = input.to_string().len() + 1;
        if !rest.is_empty() && (rest.len() as u64 >= most || size + own > bytes) {
            close(&mut rest, &item)?;
            size = around;
        }
        size += own;
        rest.push(Arc::unwrap_or_clone(input));
    }
    if let (Some(last), false) = (last, rest.is_empty()) {
        close(&mut rest, &last)?;
    }
    Ok(batches)
}

/// Goes on with what came of the executions.
pub(crate) fn join(
    stepper: &mut Stepper<'_>,
    state: &State,
    distributed: &Distributed,
    visit: Visit,
    mut ended: Vec<ChildEnd>,
) -> Go {
    let judged = data_flow::selected_input(stepper, state, &visit)
        .and_then(|input| tolerated(stepper, distributed, &visit, &input));
    let tolerated = match judged {
        Ok(tolerated) => tolerated,
        Err(failed) => return Go::Fail(visit, failed),
    };
    ended.sort_by_key(|child| child.index);
    let failures = ended.iter().filter(|child| child.outcome.is_err()).count();
    if tolerated.is_exceeded(failures, ended.len()) {
        stepper.resume = Resume::of(&stepper.branch.status).map(|resume| *resume);
        let cause = "The specified tolerated failure threshold was exceeded";
        let failure = Failure::new("States.ExceedToleratedFailureThreshold", cause);
        return failed(stepper, &visit, failure);
    }
    let outputs = ended.iter().filter_map(|child| child.outcome.as_ref().ok());
    let outputs = outputs.map(|output| (**output).clone()).collect();
    succeeded(stepper, state, distributed, &visit, outputs, &ended)
}

/// Ends the run well, once its results are written.
fn succeeded(
    stepper: &mut Stepper<'_>,
    state: &State,
    distributed: &Distributed,
    visit: &Visit,
    outputs: Vec<Value>,
    ended: &[ChildEnd],
) -> Go {
    let Some(writer) = &distributed.writer else {
        return done(stepper, visit.clone(), Arc::new(Value::Array(outputs)));
    };
    let results = |is_ok: bool| {
        let these = ended.iter().filter(|child| child.outcome.is_ok() == is_ok);
        these.map(|child| told(stepper, distributed, visit, child)).collect::<Vec<_>>()
    };
    let (well, badly) = match writer.transformation {
        Transformation::None => (results(true), results(false)),
        Transformation::Compact => (outputs, results(false)),
        Transformation::Flatten => {
            let flat = outputs.into_iter().flat_map(|output| match output {
                Value::Array(items) => items,
                other => vec![other],
            });
            (flat.collect(), results(false))
        }
    };
    match &writer.port {
        None => done(stepper, visit.clone(), Arc::new(Value::Array(well))),
        Some(port) => {
            let run = run_id(stepper, distributed, visit);
            let run = (run.as_str(), run_name(stepper, visit));
            let results = [("SUCCEEDED", well), ("FAILED", badly)];
            match port::write(stepper, state, (port, writer.in_lines), visit, run, results) {
                Ok(go) => go,
                Err(failed) => Go::Fail(visit.clone(), failed),
            }
        }
    }
}

/// What there is to know of one execution: the service's fields.
fn told(
    stepper: &Stepper<'_>,
    distributed: &Distributed,
    visit: &Visit,
    child: &ChildEnd,
) -> Value {
    let id = &stepper.context.id;
    let mut told = json!({
        "ExecutionArn": format!("{id}/{}", child.index),
        "MapRunArn": run_id(stepper, distributed, visit),
        "StateMachineArn": stepper.context.state_machine_id,
        "StopDate": child.at.timestamp(),
    });
    match &child.outcome {
        Ok(output) => {
            told["Status"] = "SUCCEEDED".into();
            told["Output"] = output.to_string().into();
        }
        Err(failure) => {
            told["Status"] = "FAILED".into();
            told["Error"] = json!(failure.error);
            told["Cause"] = json!(failure.cause);
        }
    }
    told
}

/// The run is over.
pub(super) fn done(stepper: &mut Stepper<'_>, visit: Visit, result: Json) -> Go {
    let succeeded = stepper.record(EventKind::MapRunSucceeded, Details::new());
    stepper.note(EventKind::MapStateSucceeded, Details::new(), Some(succeeded));
    Go::Result(visit, result)
}

/// The run failed.
pub(super) fn failed(stepper: &mut Stepper<'_>, visit: &Visit, failure: Failure) -> Go {
    stepper.record(EventKind::MapRunFailed, failure_details(&failure));
    stepper.branches_failed = Some(EventKind::MapStateFailed);
    Go::Fail(visit.clone(), failure.into())
}

/// The name of the run, which grows from the visit: a retried Map is another run.
fn run_name(stepper: &Stepper<'_>, visit: &Visit) -> String {
    let entered = u32::try_from(visit.entered_event).unwrap_or(u32::MAX);
    let nth = entered.wrapping_mul(1_000).wrapping_add(visit.retry_count());
    let entropy = Entropy::new(stepper.context.seed, Purpose::MapRun, &stepper.branch.id, nth);
    intrinsic::uuid(&entropy)
}

/// The id of the run: an ARN in a simulation.
pub(crate) fn run_id(stepper: &Stepper<'_>, distributed: &Distributed, visit: &Visit) -> String {
    let machine = stepper.context.state_machine_id.replace(":stateMachine:", ":mapRun:");
    let label = distributed.label.as_deref().unwrap_or(&visit.state);
    format!("{machine}/{label}:{}", run_name(stepper, visit))
}

fn tolerated(
    stepper: &Stepper<'_>,
    distributed: &Distributed,
    visit: &Visit,
    input: &Value,
) -> Result<Tolerated, Failed> {
    let count = match &distributed.tolerated_count {
        None => None,
        Some(number) => {
            let count = data_flow::integer(stepper, visit, input, number, "ToleratedFailureCount")?;
            let count = u64::try_from(count).map_err(|_| {
                let cause = "ToleratedFailureCount cannot be negative.";
                data_flow::runtime(visit, "States.Runtime", cause)
            })?;
            Some(count)
        }
    };
    let percentage = match &distributed.tolerated_percentage {
        None => None,
        Some(share) => Some(percentage(stepper, visit, input, share)?),
    };
    Ok(Tolerated { count, percentage })
}

fn percentage(
    stepper: &Stepper<'_>,
    visit: &Visit,
    input: &Value,
    share: &Share,
) -> Result<f64, Failed> {
    const NAME: &str = "ToleratedFailurePercentage";
    let value = match share {
        Share::Literal(share) => return Ok(*share),
        Share::Path(path) => {
            let value = data_flow::at_path(stepper, Reading::of(stepper, visit), input, path)?;
            if !value.is_number() {
                let shown = data_flow::shown(&value);
                let cause = format!(
                    "The {NAME}Path field refers to value \"{shown}\" which is not a valid float: \
                     {path}"
                );
                return Err(data_flow::runtime(visit, "States.Runtime", &cause).into());
            }
            value
        }
        Share::Jsonata(expression) => {
            data_flow::typed(stepper, visit, NAME, expression, "number", Value::is_number)?
        }
    };
    let number = value.as_f64().unwrap_or(f64::NAN);
    if (0.0..=100.0).contains(&number) {
        return Ok(number);
    }
    let cause = format!("{NAME} must be between 0 and 100.");
    Err(match share {
        Share::Jsonata(_) => Failed::query_late(visit, NAME, &cause),
        _ => data_flow::runtime(visit, "States.Runtime", &cause).into(),
    })
}
