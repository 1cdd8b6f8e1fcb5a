//! Map: runs its processor once for each item of an array.
//!
//! Source: States Language, "Map State".

use std::sync::Arc;

use fluxus_schema::Json;
use fluxus_schema::history::{Details, EventKind};
use fluxus_schema::limits::MAX_BRANCHES;
use serde_json::Value;

use super::{branches, or_fail};
use crate::branch::{MapItem, Visit};
use crate::data_flow::{self, Reading};
use crate::definition::{Map, State};
use crate::step::{Go, Stepper};

pub(super) fn run(stepper: &mut Stepper<'_>, state: &State, map: &Map, visit: Visit) -> Go {
    or_fail(visit, |visit| {
        let input = data_flow::selected_input(stepper, state, visit)?;
        let items = items(stepper, map, visit, &input)?;
        let limit = match &map.max_concurrency {
            Some(number) => {
                data_flow::number(stepper, visit, &input, number, ("MaxConcurrencyPath", 0))?
            }
            None => 0,
        };
        let length = items.len();
        let started = Details::new().with("length", length as u64);
        stepper.record(EventKind::MapStateStarted, started);
        if items.is_empty() {
            let last = stepper.last.clone();
            stepper.note(EventKind::MapStateSucceeded, Details::new(), last);
            return Ok(Go::Result(visit.clone(), Arc::new(Value::Array(Vec::new()))));
        }
        // 0 stands for no limit.
        let begin = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(length);
        stepper.begin = begin.min(length);
        for (index, value) in items.into_iter().enumerate() {
            let item = MapItem {
                state: visit.state.clone(),
                index,
                value,
                in_turns: stepper.begin < length,
                is_above: false,
            };
            let reading = Reading { visit, item: Some(&item), token: None };
            let child_input = match &map.item_selector {
                Some(template) => {
                    let made =
                        data_flow::evaluate(stepper, reading, &input, |env| template.eval(env))?;
                    data_flow::bounded(visit, &made)?;
                    made
                }
                None => item.value.clone(),
            };
            let child = branches::child(stepper, index, map.start_at, child_input, Some(item));
            stepper.children.push(child);
        }
        branches::note_iterations(stepper);
        Ok(branches::wait(stepper, visit.clone(), length))
    })
}

fn items(
    stepper: &Stepper<'_>,
    map: &Map,
    visit: &Visit,
    input: &Json,
) -> Result<Vec<Json>, crate::branch::Failure> {
    let found = match &map.items_path {
        Some(path) => data_flow::at_path(stepper, Reading::of(stepper, visit), input, path)?,
        None => (**input).clone(),
    };
    let Value::Array(items) = found else {
        let cause = match &map.items_path {
            Some(path) => format!("Reference path \"{path}\" must point to array."),
            None => "Reference path \"$\" must point to array.".to_owned(),
        };
        return Err(data_flow::runtime(visit, "States.Runtime", &cause));
    };
    if items.len() > MAX_BRANCHES {
        let cause = format!("The Map has {} items; the bound is {MAX_BRANCHES}", items.len());
        return Err(data_flow::runtime(visit, "States.Runtime", &cause));
    }
    Ok(items.into_iter().map(Arc::new).collect())
}
