//! `fluxus claim watch`: follows a claim until it ends.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use fluxus_schema::api::Explanation;
use fluxus_schema::history::HistoryEvent;
use fluxus_schema::limits::MAX_HISTORY_PAGE;
use fluxus_schema::{BranchId, Claim};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{OneClaim, history, show};
use crate::client::{Client, ClientError, Document, PATIENCE};
use crate::exit::Exit;
use crate::explain::{Workers, waiting_sentence};
use crate::moment::now;
use crate::output::{Printer, note};
use crate::story::Story;

/// Pause between two looks while things happen: what a person takes for "at once".
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Longest pause between two looks while nothing happens, so that many watchers cost little.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// After so long without news it is told, once, what the claim waits for.
const QUIET: Duration = Duration::from_secs(2);

/// Most strands that are then told; the others are for `claim explain`.
const MAX_TOLD: usize = 3;

/// Which claim.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Prints the history so far, then each event as it happens, then the claim. Ctrl-C ends the watching
(exit code 130), not the claim. With --output json each line is one event, the last the claim.

Example:
  fluxus claim watch 01890a5d-ac96-774b-bcce-b302099a8057 && echo fulfilled")]
pub struct Args {
    /// Which claim
    #[command(flatten)]
    pub claim: OneClaim,
}

/// Follows the claim; the exit code is by its outcome.
///
/// # Errors
/// Where the server refuses or stays away for long, or stdout cannot be written.
pub async fn run(args: &Args, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    tokio::select! {
        outcome = follow(args, client, printer) => outcome,
        _ = tokio::signal::ctrl_c() => {
            note("The claim goes on without us.");
            Ok(Exit::Interrupted)
        }
    }
}

async fn follow(args: &Args, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let id = args.claim.id.to_string();
    let mut tail = Tail::new(client, &id);
    let mut story = Story::new(printer.width);
    let mut pause = FIRST_PAUSE;
    let mut seen: Option<Instant> = None;
    let mut news_at = Instant::now();
    let mut told_quiet = false;
    let mut told_away = false;
    loop {
        let (document, claim) = match tail.look().await {
            Ok(found) => found,
            Err(error) if error.is_passing() && seen.is_some_and(|at| at.elapsed() < PATIENCE) => {
                if !told_away {
                    note(&format!("{error}.\nTrying again for {} s.", PATIENCE.as_secs()));
                }
                told_away = true;
                tokio::time::sleep(LONGEST_PAUSE).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        (seen, told_away) = (Some(Instant::now()), false);
        let news = !tail.news.is_empty();
        for (event, raw) in tail.news.drain(..) {
            if printer.is_json() {
                printer.raw(raw.get().as_bytes())?;
            } else if let Some(line) = story.tell(&event) {
                printer.text(&format!("{line}\n"))?;
            }
        }
        if claim.status.has_ended() {
            if !printer.is_json() {
                printer.text("\n")?;
            }
            show::print(&document, client, printer).await?;
            return Ok(Exit::of_claim(claim.status));
        }
        if news {
            (pause, news_at, told_quiet) = (FIRST_PAUSE, Instant::now(), false);
        } else {
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
        if !told_quiet && !printer.is_json() && news_at.elapsed() > QUIET {
            told_quiet = true;
            tell_waiting(client, &id).await;
        }
        tokio::time::sleep(pause).await;
    }
}

/// Says on stderr what the claim waits for. It is a courtesy: where it fails, nothing is said.
async fn tell_waiting(client: &Client, id: &str) {
    let Ok(call) = client.get(&["claims", id, "explain"]) else { return };
    let Ok(document) = call.send().await else { return };
    let Ok(explanation) = document.read::<Explanation>() else { return };
    let waiting = &explanation.waiting;
    let workers = Workers::of(client, id, waiting).await;
    for strand in waiting.iter().take(MAX_TOLD) {
        note(&format!("… {}", waiting_sentence(strand, &workers, now())));
    }
    if waiting.len() > MAX_TOLD {
        note(&format!(
            "… and {} more strands: fluxus claim explain {id}",
            waiting.len() - MAX_TOLD
        ));
    }
}

/// The growing end of one claim's history.
///
/// Branches run side by side, so an event of one can take its place before events of another that
/// were read already, and ids and pages then move. Within one branch the order never changes. So
/// it is counted how many events of each branch were told, and what is past the count is news.
struct Tail<'a> {
    client: &'a Client,
    id: &'a str,
    told: HashMap<BranchId, usize>,
    /// Where the last pages begin. Reading starts at the one before the last, since a late event
    /// can still take its place there.
    starts: VecDeque<Start>,
    /// What was read and not told yet; kept where a later page fails.
    news: Vec<(HistoryEvent, Box<RawValue>)>,
}

/// Where a page begins: its cursor, its first event, and the events of each branch before it.
#[derive(Clone, Default)]
struct Start {
    cursor: Option<String>,
    first: Option<HistoryEvent>,
    before: HashMap<BranchId, usize>,
}

#[derive(Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

impl<'a> Tail<'a> {
    fn new(client: &'a Client, id: &'a str) -> Self {
        Self { client, id, told: HashMap::new(), starts: VecDeque::new(), news: Vec::new() }
    }

    /// Reads the claim, then what is new in its history: in this order, so that a claim that has
    /// ended comes with all its events.
    async fn look(&mut self) -> Result<(Document, Claim), ClientError> {
        let document = self.client.get(&["claims", self.id])?.send().await?;
        let claim: Claim = document.read()?;
        if claim.status.has_ended() {
            // The last look reads everything once more: nothing that came late is left out.
            self.starts.clear();
        }
        while !self.read().await? {
            self.starts.clear();
        }
        Ok((document, claim))
    }

    /// Reads from the last pages on; false where these have moved, so that the counts before them
    /// no longer hold.
    async fn read(&mut self) -> Result<bool, ClientError> {
        let mut start = self.starts.front().cloned().unwrap_or_default();
        loop {
            let call = history::page(self.client, self.id, MAX_HISTORY_PAGE, false)?;
            let document = call.query_opt("cursor", start.cursor.as_deref()).send().await?;
            let page: Page = document.read()?;
            let mut seen = start.before.clone();
            for (index, raw) in page.events.into_iter().enumerate() {
                let event: HistoryEvent = document.part(&raw)?;
                if index == 0 && start.first.as_ref().is_some_and(|first| *first != event) {
                    return Ok(false);
                }
                if index == 0 {
                    start.first = Some(event.clone());
                }
                let count = seen.entry(event.branch.clone()).or_default();
                *count += 1;
                let told = self.told.entry(event.branch.clone()).or_default();
                if *count > *told {
                    *told = *count;
                    self.news.push((event, raw));
                }
            }
            let next_cursor = page.next_cursor.filter(|next| Some(next) != start.cursor.as_ref());
            self.remember(start);
            let Some(cursor) = next_cursor else { return Ok(true) };
            let known = self.starts.iter().find(|start| start.cursor.as_ref() == Some(&cursor));
            let first = known.and_then(|start| start.first.clone());
            start = Start { cursor: Some(cursor), first, before: seen };
        }
    }

    fn remember(&mut self, start: Start) {
        match self.starts.iter_mut().find(|known| known.cursor == start.cursor) {
            Some(known) => *known = start,
            None => self.starts.push_back(start),
        }
        if self.starts.len() > 2 {
            self.starts.pop_front();
        }
    }
}
