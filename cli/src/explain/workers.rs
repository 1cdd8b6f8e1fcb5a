//! Who has the tasks of activities: the history says it, the explanation does not.

use std::collections::HashMap;

use fluxus_schema::BranchId;
use fluxus_schema::api::{HistoryPage, Waiting, WaitingFor};
use fluxus_schema::history::{EventKind, HistoryEvent};
use fluxus_schema::limits::MAX_HISTORY_PAGE;

use crate::claim::history;
use crate::client::Client;

/// Most pages of history that are read for it: of a longer one nobody waits for the end.
const MAX_PAGES: usize = 20;

/// The workers that have the tasks of a claim's activities, by branch.
#[derive(Debug, Clone, Default)]
pub struct Workers {
    names: HashMap<BranchId, String>,
    /// Whether the whole history was read: only then is a task that is not there with nobody.
    is_whole: bool,
}

/// Who has the task of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder<'a> {
    /// This worker.
    Worker(&'a str),
    /// Nobody yet.
    Nobody,
    /// The history could not be read.
    Unknown,
}

impl Workers {
    /// Reads the history where a strand waits for an activity. It is a courtesy: where it fails,
    /// nobody is known.
    pub async fn of(client: &Client, id: &str, waiting: &[Waiting]) -> Self {
        let mut workers = Self::default();
        let is_activity = |strand: &Waiting| match &strand.reason {
            WaitingFor::Task { capability, .. } => capability.is_activity(),
            _ => false,
        };
        if !waiting.iter().any(is_activity) {
            return workers;
        }
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let Ok(call) = history::page(client, id, MAX_HISTORY_PAGE, false) else { break };
            let Ok(document) = call.query_opt("cursor", cursor.as_deref()).send().await else {
                break;
            };
            let Ok(page) = document.read::<HistoryPage>() else { break };
            page.events.iter().for_each(|event| workers.see(event));
            cursor = page.next_cursor;
            if cursor.is_none() {
                workers.is_whole = true;
                break;
            }
        }
        workers
    }

    /// Takes in the next event.
    pub(super) fn see(&mut self, event: &HistoryEvent) {
        match event.kind {
            EventKind::ActivityStarted => {
                let details = event.details.get(event.kind.details_field());
                let name = details.and_then(|details| details["workerName"].as_str());
                let name = name.unwrap_or("a worker without a name").to_owned();
                self.names.insert(event.branch.clone(), name);
            }
            // Another attempt, for whoever takes it.
            EventKind::ActivityScheduled => drop(self.names.remove(&event.branch)),
            _ => {}
        }
    }

    pub(super) fn holder(&self, branch: &BranchId) -> Holder<'_> {
        match self.names.get(branch) {
            Some(name) if self.is_whole => Holder::Worker(name),
            None if self.is_whole => Holder::Nobody,
            _ => Holder::Unknown,
        }
    }

    #[cfg(test)]
    pub(super) fn whole(events: &[HistoryEvent]) -> Self {
        let mut workers = Self { is_whole: true, ..Self::default() };
        events.iter().for_each(|event| workers.see(event));
        workers
    }
}
