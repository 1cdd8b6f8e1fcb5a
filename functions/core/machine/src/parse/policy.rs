//! Reading `Retry` and `Catch`.

use std::sync::Arc;

use fluxus_schema::limits::MAX_SECONDS;
use serde_json::Value;

use super::expression::Sees;
use super::field::Fields;
use super::machine::Scope;
use super::{Faults, wording};
use crate::definition::{Catcher, Language, PathField, Retrier};

/// The service's bound on `MaxAttempts`.
const MAX_ATTEMPTS: u64 = 99_999_999;

/// The service's bound on `MaxDelaySeconds`: a year.
const MAX_DELAY_SECONDS: u64 = 31_622_400;

/// Attempts after the first where a retrier names no number, as the language says.
const DEFAULT_ATTEMPTS: u64 = 3;

pub(crate) fn retry(fields: &mut Fields<'_>, faults: &mut Faults) -> Vec<Retrier> {
    let entries = entries(fields, "Retry", faults);
    let last = entries.len().saturating_sub(1);
    let compile = |(index, mut entry): (usize, Fields<'_>)| {
        entry.ignore("Comment");
        let errors = errors(&mut entry, index == last, faults);
        let interval_s = entry.whole("IntervalSeconds", 0, MAX_SECONDS, faults).unwrap_or(1);
        let max_attempts = entry.whole("MaxAttempts", 0, MAX_ATTEMPTS, faults);
        let backoff_rate = entry.float("BackoffRate", 1.0, f64::MAX, faults).unwrap_or(2.0);
        let max_delay_s = entry.whole("MaxDelaySeconds", 1, MAX_DELAY_SECONDS, faults);
        if max_delay_s.is_some_and(|most| most <= interval_s) {
            faults.add(entry.at("MaxDelaySeconds"), "must be greater than IntervalSeconds");
        }
        let full_jitter = entry.one_of("JitterStrategy", &["NONE", "FULL"], faults) == Some("FULL");
        entry.finish(&[], faults);
        let max_attempts =
            u32::try_from(max_attempts.unwrap_or(DEFAULT_ATTEMPTS)).unwrap_or(u32::MAX);
        Retrier { errors, interval_s, max_attempts, backoff_rate, max_delay_s, full_jitter }
    };
    entries.into_iter().enumerate().map(compile).collect()
}

pub(crate) fn catch(
    fields: &mut Fields<'_>,
    scope: &Scope<'_, '_>,
    faults: &mut Faults,
) -> Vec<Catcher> {
    let entries = entries(fields, "Catch", faults);
    let last = entries.len().saturating_sub(1);
    let compile = |(index, mut entry): (usize, Fields<'_>)| {
        entry.ignore("Comment");
        let errors = errors(&mut entry, index == last, faults);
        let (result_path, output) = match entry.language {
            Language::JsonPath => (entry.reference_field("ResultPath", faults), None),
            Language::Jsonata => {
                (PathField::Whole, entry.template_seeing(Sees::ErrorOutput, "Output", faults))
            }
        };
        let assign = entry.template_seeing(Sees::ErrorOutput, "Assign", faults);
        entry.required("Next");
        let next = entry.text("Next", faults);
        let next = next.and_then(|name| scope.target(name, entry.at("Next"), faults));
        entry.finish(&["ResultPath", "Output"], faults);
        Some(Catcher { errors, next: next?, result_path, output, assign })
    };
    entries.into_iter().enumerate().filter_map(compile).collect()
}

fn entries<'a>(
    fields: &mut Fields<'a>,
    name: &'static str,
    faults: &mut Faults,
) -> Vec<Fields<'a>> {
    let pointer = fields.at(name);
    match fields.value(name) {
        None => Vec::new(),
        Some(Value::Array(entries)) => entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| fields.within(entry, format!("{pointer}/{index}"), faults))
            .collect(),
        Some(_) => {
            faults.add(pointer, wording::ARRAY);
            Vec::new()
        }
    }
}

fn errors(entry: &mut Fields<'_>, is_last: bool, faults: &mut Faults) -> Vec<Arc<str>> {
    let pointer = entry.at("ErrorEquals");
    let values = entry.entries("ErrorEquals", faults).unwrap_or_default();
    let mut names: Vec<Arc<str>> = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let Some(name) = value.as_str() else {
            faults.add(format!("{pointer}/{index}"), wording::STRING);
            continue;
        };
        if name == "States.ALL" && (values.len() > 1 || !is_last) {
            faults.add(format!("{pointer}/{index}"), wording::ALL_ALONE);
        }
        names.push(Arc::from(name));
    }
    names
}
