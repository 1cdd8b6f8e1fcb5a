//! The service's consecutive ids, given when a history is read.

use std::collections::HashMap;

use super::{EventRow, HistoryEvent, Inner, Texts};
use crate::id::BranchId;

/// Puts the rows of one claim in order and gives the service's consecutive ids.
/// `ours` says whether events that the service does not have are kept.
pub fn number(mut rows: Vec<EventRow>, ours: bool) -> Vec<HistoryEvent> {
    rows.sort_by(|a, b| (a.at, &a.branch_id, a.revision).cmp(&(b.at, &b.branch_id, b.revision)));
    let mut numbered = Vec::with_capacity(rows.iter().map(|row| row.events.len()).sum());
    let mut numbering = Numbering::new(ours);
    for row in rows {
        numbering.add(row, &mut numbered);
    }
    numbered
}

/// Numbers the rows of one claim as they come, in the order in which they are read. Of what was
/// numbered it keeps the keys, and no document.
pub struct Numbering {
    ours: bool,
    count: u64,
    texts: Texts,
    inner: Inner,
    /// One entry for each row, not for each event: its ids are consecutive.
    rows_before: HashMap<(BranchId, u32), RowIds>,
}

impl Numbering {
    /// Before the first row. `ours` says whether events that the service does not have are kept.
    pub fn new(ours: bool) -> Self {
        let (texts, inner) = (Texts::default(), Inner::default());
        Self { ours, count: 0, texts, inner, rows_before: HashMap::new() }
    }

    /// Adds the events of the next row to `numbered`.
    pub fn add(&mut self, row: EventRow, numbered: &mut Vec<HistoryEvent>) {
        if self.inner.holds(&row) && !self.ours {
            return;
        }
        let EventRow { branch_id, revision, at, events } = row;
        let mut own = RowIds { first: self.count + 1, left_out: Vec::new() };
        for (position, event) in (0u32..).zip(events) {
            if !self.ours && event.kind.is_ours() {
                own.left_out.push(position);
                continue;
            }
            let previous = event.previous.and_then(|key| {
                if key.revision == revision && key.branch_id == branch_id {
                    return (key.position < position).then(|| own.of(key.position)).flatten();
                }
                self.rows_before.get(&(key.branch_id, key.revision))?.of(key.position)
            });
            self.count += 1;
            numbered.push(HistoryEvent {
                id: self.count,
                previous_event_id: previous.unwrap_or(0),
                timestamp: at.timestamp(),
                kind: event.kind,
                branch: branch_id.clone(),
                details: event.kind.render(event.details, &mut self.texts),
            });
        }
        self.rows_before.insert((branch_id, revision), own);
    }
}

/// The ids of one row's events.
struct RowIds {
    first: u64,
    /// Positions of events that have none.
    left_out: Vec<u32>,
}

impl RowIds {
    fn of(&self, position: u32) -> Option<u64> {
        if self.left_out.contains(&position) {
            return None;
        }
        let left_out = self.left_out.iter().filter(|before| **before < position).count();
        Some(self.first + u64::from(position) - left_out as u64)
    }
}
