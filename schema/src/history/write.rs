//! Writing events as they are stored, with a say in how their documents are written.

use serde::Serialize;

use super::{Detail, Event};
use crate::Json;

impl Event {
    /// Appends the event's JSON, just as serializing it would, but for the documents among its
    /// details: those are written by `document`, which may leave references in their place.
    pub fn write(&self, to: &mut Vec<u8>, document: &mut impl FnMut(&Json, &mut Vec<u8>)) {
        to.extend_from_slice(b"{\"type\":");
        put(to, &self.kind);
        if let Some(previous) = &self.previous {
            to.extend_from_slice(b",\"prev\":");
            put(to, previous);
        }
        if !self.details.is_empty() {
            to.extend_from_slice(b",\"d\":{");
            for (position, (name, detail)) in self.details.0.iter().enumerate() {
                if position > 0 {
                    to.push(b',');
                }
                put(to, name);
                to.push(b':');
                match detail {
                    Detail::Json(json) => document(json, to),
                    Detail::Text(_) | Detail::Number(_) => put(to, detail),
                }
            }
            to.push(b'}');
        }
        to.push(b'}');
    }
}

/// These types serialize to texts and numbers, and a buffer takes all: nothing can fail.
fn put(to: &mut Vec<u8>, value: &impl Serialize) {
    let _ = serde_json::to_writer(to, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::{Details, EventKind};

    #[test]
    fn an_event_is_written_as_it_is_serialized() {
        let details = Details::new()
            .with("input", json!({"a": [1, "\"\u{0}"]}))
            .with("name", "A \"name\"")
            .with("count", 3_u64);
        let previous = Some("/#1:2".to_owned().try_into().expect("a key"));
        let full = Event { kind: EventKind::PassStateEntered, previous, details };
        let bare =
            Event { kind: EventKind::MapStateStarted, previous: None, details: Details::new() };
        for event in [full, bare] {
            let mut text = Vec::new();
            event.write(&mut text, &mut |json, to| {
                to.extend_from_slice(json.to_string().as_bytes());
            });
            assert_eq!(text, serde_json::to_vec(&event).expect("writes"));
        }
    }
}
