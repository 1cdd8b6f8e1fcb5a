//! Map: runs its processor once for each item of an array.
//!
//! An inline Map's items are branches of the same execution; those of a [`distributed`] one are
//! executions of their own. Source: States Language, "Map State".

pub(crate) mod distributed;
pub(crate) mod port;

use std::sync::Arc;

use fluxus_schema::Json;
use fluxus_schema::history::{Details, EventKind};
use fluxus_schema::limits::MAX_BRANCHES;
use serde_json::Value;

use super::{branches, or_fail};
use crate::branch::{MapItem, Visit};
use crate::data_flow::{self, Failed, Reading};
use crate::definition::{Flow, Items, ItemsTemplate, Kind, Map, State};
use crate::step::{Go, Stepper};

pub(super) fn run(stepper: &mut Stepper<'_>, state: &State, map: &Map, visit: Visit) -> Go {
    if let Some(distributed) = &map.distributed {
        return distributed::run(stepper, state, map, distributed, visit);
    }
    or_fail(visit, |visit| {
        let input = data_flow::selected_input(stepper, state, visit)?;
        let items = items(stepper, state, map, visit, &input)?;
        if let Flow::Path(_) = state.flow {
            stepper.inspect(|data| data.after_items_path = Some(array(&items)));
        }
        let limit = limit(stepper, map, visit, &input)?;
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
                is_tolerated: false,
                is_above: false,
            };
            let child_input = selected(stepper, map, visit, &input, &item)?;
            let child = branches::child(stepper, index, map.start_at, child_input, Some(item));
            stepper.children.push(child);
        }
        if map.item_selector.is_some() {
            let inputs = |stepper: &Stepper<'_>| -> Vec<Json> {
                stepper.children.iter().filter_map(|child| child.pending_input().cloned()).collect()
            };
            stepper.inspect(|data| data.after_item_selector = Some(array(&inputs(stepper))));
        }
        branches::note_iterations(stepper);
        Ok(branches::wait(stepper, visit.clone(), length))
    })
}

/// How many of the items of a Map that is visited may be at work at a time, of `total`.
pub(crate) fn at_a_time(
    stepper: &Stepper<'_>,
    state: &State,
    visit: &Visit,
    total: usize,
) -> usize {
    let Kind::Map(map) = &state.kind else { return total };
    let limit = data_flow::selected_input(stepper, state, visit)
        .and_then(|input| limit(stepper, map, visit, &input));
    let limit = limit.ok().and_then(|limit| usize::try_from(limit).ok());
    limit.filter(|limit| *limit > 0).unwrap_or(total)
}

/// How many items may be at work at a time; 0 stands for no limit.
fn limit(stepper: &Stepper<'_>, map: &Map, visit: &Visit, input: &Value) -> Result<u64, Failed> {
    let limit = match &map.max_concurrency {
        Some(number) => data_flow::number(stepper, visit, input, number, ("MaxConcurrency", 0))?,
        None => 0,
    };
    stepper.inspect(|data| data.max_concurrency = Some(limit));
    Ok(limit)
}

/// What an item's states get: the item, or what ItemSelector makes of it.
fn selected(
    stepper: &Stepper<'_>,
    map: &Map,
    visit: &Visit,
    input: &Json,
    item: &MapItem,
) -> Result<Json, Failed> {
    let Some(template) = &map.item_selector else { return Ok(item.value.clone()) };
    let reading = Reading { item: Some(item), ..Reading::of(stepper, visit) };
    let made = data_flow::evaluate(stepper, reading, input, |env| template.eval(env))?;
    data_flow::bounded(stepper, visit, &made)?;
    Ok(made)
}

fn array(items: &[Json]) -> Json {
    Arc::new(items.iter().map(|item| (**item).clone()).collect())
}

fn items(
    stepper: &Stepper<'_>,
    state: &State,
    map: &Map,
    visit: &Visit,
    input: &Json,
) -> Result<Vec<Json>, Failed> {
    let reading = Reading::of(stepper, visit);
    let found = match &map.items {
        Items::Input => (**input).clone(),
        Items::Path(path) => data_flow::at_path(stepper, reading, input, path)?,
        Items::Jsonata(ItemsTemplate::Expression(expression)) => {
            data_flow::typed(stepper, visit, "Items", expression, "array", Value::is_array)?
        }
        Items::Jsonata(ItemsTemplate::Array(template)) => {
            let made = data_flow::evaluate(stepper, reading, input, |env| template.eval(env))?;
            Arc::unwrap_or_clone(made)
        }
    };
    let Value::Array(items) = found else {
        if let Flow::Jsonata(_) = state.flow {
            let cause = format!("Map state input must be an array but was: {found}");
            return Err(Failed::query(visit, None, &cause));
        }
        let cause = match &map.items {
            Items::Path(path) => format!("Reference path \"{path}\" must point to array."),
            _ => "Reference path \"$\" must point to array.".to_owned(),
        };
        return Err(data_flow::runtime(visit, "States.Runtime", &cause).into());
    };
    if items.len() > MAX_BRANCHES {
        let cause = format!("The Map has {} items; the bound is {MAX_BRANCHES}", items.len());
        return Err(data_flow::runtime(visit, "States.Runtime", &cause).into());
    }
    Ok(items.into_iter().map(Arc::new).collect())
}
