//! Histories without what differs from run to run.

use serde_json::Value;

/// Milliseconds since 1970 are numbers of so many digits.
const MILLIS_DIGITS: usize = 13;

/// Ids and tokens are runs of such characters that are as long as this.
const ID_CHARS: usize = 36;

/// The events as texts: in order, or sorted where branches ran side by side.
pub fn told(events: &[Value]) -> Vec<String> {
    let has_branches = events.iter().any(|event| {
        let kind = event["type"].as_str().unwrap_or_default();
        kind.starts_with("Map") || kind.starts_with("Parallel")
    });
    let mut told: Vec<_> = events.iter().map(|event| text(event.clone(), has_branches)).collect();
    if has_branches {
        told.sort();
    }
    told
}

fn text(mut event: Value, has_branches: bool) -> String {
    let fields = event.as_object_mut().expect("an event");
    for name in ["timestamp", "branch"] {
        fields.shift_remove(name);
    }
    if has_branches {
        for name in ["id", "previousEventId"] {
            fields.shift_remove(name);
        }
    }
    undate(&mut event);
    anonymous(&event.to_string())
}

/// Removes dates, wherever they stand.
fn undate(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                !["date", "started_at", "startDate", "stopDate"].contains(&&**name)
            });
            fields.values_mut().for_each(undate);
        }
        Value::Array(items) => items.iter_mut().for_each(undate),
        // Documents stand in events as JSON text.
        Value::String(text) if text.starts_with(['{', '[']) => {
            if let Ok(mut document) = serde_json::from_str(text) {
                undate(&mut document);
                *text = document.to_string();
            }
        }
        _ => {}
    }
}

/// The text with every id, token and time replaced.
fn anonymous(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || "-_".contains(c) {
            run.push(c);
            continue;
        }
        let is_time = run.len() == MILLIS_DIGITS && run.bytes().all(|b| b.is_ascii_digit());
        out.push_str(match &*run {
            _ if is_time => "TIME",
            run if run.len() < ID_CHARS => run,
            _ => "ID",
        });
        run.clear();
        out.push(c);
    }
    out
}
