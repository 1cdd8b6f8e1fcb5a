//! Functions on arrays.

use serde_json::Value;

use super::MAX_RANGE_ITEMS;
use crate::jsonpath::java;

/// The service compares what the values print as, so that `true` is found in `["true"]`.
pub(super) fn contains(items: &[Value], wanted: &Value) -> bool {
    let wanted = java::to_string(wanted);
    items.iter().any(|item| java::to_string(item) == wanted)
}

pub(super) fn partition(items: &[Value], size: usize) -> Option<Value> {
    if size == 0 {
        return None;
    }
    Some(Value::Array(items.chunks(size).map(|chunk| Value::Array(chunk.to_vec())).collect()))
}

/// From `first` up, or down, to and with `last`.
pub(super) fn range(first: i64, last: i64, step: i64) -> Option<Value> {
    let mut items: Vec<Value> = Vec::new();
    if step == 0 {
        return None;
    }
    let mut next = Some(first);
    while let Some(item) = next.filter(|next| if step > 0 { *next <= last } else { *next >= last })
    {
        if items.len() == MAX_RANGE_ITEMS {
            return None;
        }
        items.push(item.into());
        next = item.checked_add(step);
    }
    Some(Value::Array(items))
}
