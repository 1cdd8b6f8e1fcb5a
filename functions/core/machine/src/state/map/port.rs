//! Reading the items of a distributed Map and writing its results: tasks for whoever offers that.
//!
//! Nothing of them is in the service's history. A source is read page by page, results are written
//! in as many parts as messages need.

use std::sync::Arc;

use fluxus_schema::Json;
use fluxus_schema::id::TaskAddress;
use fluxus_schema::items::{
    FileContent, HeaderLocation, ItemsPage, ReadItems, ResultFile, WriteResults,
};
use fluxus_schema::limits::{MAX_BRANCHES, SERVICE_PAYLOAD_BYTES};
use fluxus_schema::{TaskToken, Timestamp};
use serde_json::{Value, json};

use super::distributed;
use crate::branch::{Attempt, Failure, Port, Status, Visit};
use crate::data_flow::{self, Failed, Reading};
use crate::definition::{Distributed, Kind, Map, PortResource, Reader, State};
use crate::effect::{Dispatch, Effect};
use crate::env::Entropy as _;
use crate::step::{Go, Input, Stepper};

/// Bytes of results in one task: what the service's payload may hold, with room for what is around them.
const PART_BYTES: usize = SERVICE_PAYLOAD_BYTES / 4 * 3;

/// Has the first page of items read.
pub(super) fn read(
    stepper: &mut Stepper<'_>,
    state: &State,
    reader: &Reader,
    visit: &Visit,
    input: &Json,
) -> Result<Go, Failed> {
    let failed = |stepper: &mut Stepper<'_>, cause: &str| {
        let failure = Failure::new("States.ItemReaderFailed", cause);
        Ok(distributed::failed(stepper, visit, failure))
    };
    let config = reader.config.clone();
    if config.csv_header_location == Some(HeaderLocation::Given) {
        let mut headers = config.csv_headers.clone().unwrap_or_default();
        headers.sort_unstable();
        if headers.windows(2).any(|pair| pair[0] == pair[1]) {
            return failed(stepper, "CSV headers cannot contain duplicates.");
        }
    }
    let max_items = match &reader.max_items {
        None => None,
        Some(number) => {
            let most = data_flow::integer(stepper, visit, input, number, "MaxItems")?;
            match u64::try_from(most) {
                Err(_) => return failed(stepper, "field MaxItems must be positive"),
                // The service takes none for no bound.
                Ok(0) => None,
                Ok(most) => Some(most),
            }
        }
    };
    let arguments = arguments(stepper, state, &reader.port, visit)?;
    let resource = reader.port.resource.to_string();
    let asked = ReadItems { resource, arguments, config, max_items, after: None };
    let port = Port::Read { asked: Box::new(asked), items: Vec::new() };
    Ok(ask(stepper, visit.clone(), &reader.port, port))
}

/// Has the results written; the state's result says where they are.
pub(super) fn write(
    stepper: &mut Stepper<'_>,
    state: &State,
    (port, in_lines): (&PortResource, bool),
    visit: &Visit,
    (run_id, run_name): (&str, String),
    results: [(&str, Vec<Value>); 2],
) -> Result<Go, Failed> {
    let arguments = arguments(stepper, state, port, visit)?;
    let prefix = arguments.get("Prefix").and_then(Value::as_str).unwrap_or_default();
    let prefix = prefix.trim_end_matches('/');
    let key = |path: &str| match prefix {
        "" => path.to_owned(),
        prefix => format!("{prefix}/{path}"),
    };
    let mut files = Vec::new();
    let mut listed = json!({ "FAILED": [], "PENDING": [], "SUCCEEDED": [] });
    for (kind, documents) in results {
        let parts = parts(documents);
        for (index, part) in parts.into_iter().enumerate() {
            let suffix = if in_lines { "jsonl" } else { "json" };
            let path = format!("{run_name}/{kind}_{index}.{suffix}");
            let content = match in_lines {
                true => FileContent::Lines(part),
                false => FileContent::Json(Value::Array(part)),
            };
            if let Value::Array(files) = &mut listed[kind] {
                files.push(json!({ "Key": key(&path) }));
            }
            files.push(ResultFile { path, content });
        }
    }
    let manifest = format!("{run_name}/manifest.json");
    let bucket = arguments.get("Bucket").cloned();
    let mut content = json!({ "MapRunArn": run_id, "ResultFiles": listed });
    let mut details = json!({ "Key": key(&manifest) });
    if let Some(bucket) = bucket {
        content["DestinationBucket"] = bucket.clone();
        details["Bucket"] = bucket;
    }
    files.push(ResultFile { path: manifest, content: FileContent::Json(content) });
    let result = Arc::new(json!({ "MapRunArn": run_id, "ResultWriterDetails": details }));
    let resource = port.resource.to_string();
    let asked = Box::new(WriteResults { resource, arguments, files: Vec::new() });
    // The next to be written stands last.
    files.reverse();
    Ok(write_next(stepper, visit.clone(), port, Port::Write { result, files, asked }))
}

/// Splits documents so that each part fits in a task.
fn parts(documents: Vec<Value>) -> Vec<Vec<Value>> {
    let mut parts: Vec<Vec<Value>> = Vec::new();
    let mut bytes = usize::MAX;
    for document in documents {
        let own = document.to_string().len() + 1;
        match parts.last_mut() {
            Some(part) if bytes.saturating_add(own) <= PART_BYTES => {
                bytes += own;
                part.push(document);
            }
            _ => {
                bytes = own;
                parts.push(vec![document]);
            }
        }
    }
    parts
}

fn write_next(stepper: &mut Stepper<'_>, visit: Visit, to: &PortResource, port: Port) -> Go {
    let Port::Write { result, mut files, mut asked } = port else {
        return Go::Lost(visit.state);
    };
    match files.pop() {
        None => distributed::done(stepper, visit, result),
        Some(file) => {
            asked.files = vec![file];
            ask(stepper, visit, to, Port::Write { result, files, asked })
        }
    }
}

/// Takes what happened to a task of this kind; nothing if it does not concern it.
pub(crate) fn on_event(
    stepper: &mut Stepper<'_>,
    state: &State,
    visit: Visit,
    mut task: Attempt,
    event: Input,
) -> Option<Go> {
    let Kind::Map(map) = &state.kind else { return None };
    let distributed = map.distributed.as_deref()?;
    match event {
        Input::TaskStarted { token, .. } if token == task.token && !task.started => {
            task.started = true;
            Some(Go::Await(Status::AwaitingTask { visit, task }))
        }
        Input::TaskHeartbeat { token } if token == task.token => {
            Some(Go::Await(Status::AwaitingTask { visit, task }))
        }
        Input::TaskFailed { token, failure, .. } if token == task.token => {
            let error = match task.port {
                Some(Port::Write { .. }) => "States.ResultWriterFailed",
                _ => "States.ItemReaderFailed",
            };
            let failure = named(failure, error).within_bounds();
            Some(distributed::failed(stepper, &visit, failure))
        }
        Input::TaskSucceeded { token, output, .. } if token == task.token => match task.port? {
            Port::Read { asked, items } => {
                let done =
                    page(stepper, state, (map, distributed), visit, (*asked, items), &output);
                Some(done)
            }
            port @ Port::Write { .. } => {
                let to = distributed.writer.as_ref()?.port.as_ref()?;
                Some(write_next(stepper, visit, to, port))
            }
        },
        _ => None,
    }
}

/// A failure by the name that the States Language has for it; what went wrong says its cause.
fn named(failure: Failure, error: &str) -> Failure {
    match failure.error.as_deref() {
        Some(own) if own.starts_with("States.") => failure,
        Some(own) => {
            let cause = failure.cause.unwrap_or_default();
            Failure::new(error, format!("{own}: {cause}"))
        }
        None => Failure { error: Some(error.to_owned()), ..failure },
    }
}

/// Takes a page of items: has the next one read, or begins.
fn page(
    stepper: &mut Stepper<'_>,
    state: &State,
    (map, distributed): (&Map, &Distributed),
    visit: Visit,
    (asked, mut items): (ReadItems, Vec<Json>),
    output: &Value,
) -> Go {
    let failed = |stepper: &mut Stepper<'_>, cause: String| {
        distributed::failed(stepper, &visit, Failure::new("States.ItemReaderFailed", cause))
    };
    let page: ItemsPage = match serde_json::from_value(output.clone()) {
        Ok(page) => page,
        Err(wrong) => {
            return failed(
                stepper,
                format!("what the reader answered is no page of items: {wrong}"),
            );
        }
    };
    items.extend(page.items.into_iter().map(Arc::new));
    if let Some(most) = asked.max_items {
        items.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    }
    if items.len() > MAX_BRANCHES {
        return failed(stepper, format!("The source has more than {MAX_BRANCHES} items"));
    }
    let wants_more = asked.max_items.is_none_or(|most| (items.len() as u64) < most);
    let reader = distributed.reader.as_ref();
    if let (Some(next), Some(reader), true) = (page.next, reader, wants_more) {
        let asked = Box::new(ReadItems { after: Some(next), ..asked });
        return ask(stepper, visit, &reader.port, Port::Read { asked, items });
    }
    if asked.config.items_pointer.is_some() {
        stepper.inspect(|data| data.after_items_pointer = Some(super::array(&items)));
    }
    match distributed::begin(stepper, state, map, distributed, &visit, items) {
        Ok(go) => go,
        Err(failed) => Go::Fail(visit, failed),
    }
}

fn arguments(
    stepper: &Stepper<'_>,
    state: &State,
    port: &PortResource,
    visit: &Visit,
) -> Result<Value, Failed> {
    let Some(template) = &port.arguments else { return Ok(json!({})) };
    let input = data_flow::selected_input(stepper, state, visit)?;
    let reading = Reading::of(stepper, visit);
    let made = data_flow::evaluate(stepper, reading, &input, |env| template.eval(env))?;
    Ok(Arc::unwrap_or_clone(made))
}

/// Gives the task away, and waits for its answer.
fn ask(stepper: &mut Stepper<'_>, visit: Visit, to: &PortResource, port: Port) -> Go {
    let input = match &port {
        Port::Read { asked, .. } => json!(asked),
        Port::Write { asked, .. } => json!(asked),
    };
    let address = TaskAddress {
        claim_id: stepper.context.claim_id,
        branch_id: stepper.branch.id.clone(),
        revision: stepper.revision,
    };
    let token = TaskToken::new(&address, stepper.entropy.number());
    let task = attempt(token.clone(), to, port, stepper.now);
    stepper.effects.push(Effect::Dispatch(Dispatch {
        token,
        capability: Some(to.capability.clone()),
        labels: to.labels.clone(),
        nested: None,
        input: Arc::new(input),
        state: visit.state.clone(),
        attempt: visit.retry_count(),
        deadline: None,
        heartbeat_s: None,
    }));
    Go::Await(Status::AwaitingTask { visit, task })
}

/// Gives the same task away again.
pub(crate) fn again(
    stepper: &mut Stepper<'_>,
    state: &State,
    visit: Visit,
    port: Port,
) -> Option<Go> {
    let Kind::Map(map) = &state.kind else { return None };
    let distributed = map.distributed.as_deref()?;
    let to = match &port {
        Port::Read { .. } => &distributed.reader.as_ref()?.port,
        Port::Write { .. } => distributed.writer.as_ref()?.port.as_ref()?,
    };
    Some(ask(stepper, visit, to, port))
}

fn attempt(token: TaskToken, to: &PortResource, port: Port, now: Timestamp) -> Attempt {
    Attempt {
        token,
        callback: None,
        capability: Some(to.capability.clone()),
        labels: to.labels.clone(),
        port: Some(port),
        execution: None,
        held: None,
        scheduled_at: now,
        started: false,
        submitted: false,
        deadline: None,
        heartbeat_s: None,
        heartbeat_due: None,
    }
}
