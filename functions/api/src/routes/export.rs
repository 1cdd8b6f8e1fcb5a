//! Exports: claims with their histories, line by line.

use std::fmt;
use std::str::FromStr;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fluxus_schema::export::ExportLine;
use fluxus_schema::history::{HistoryEvent, Numbering};
use fluxus_schema::id::ClaimType;
use fluxus_schema::{ClaimId, Tenant, Timestamp};
use fluxus_store::history::HistoryCursor;
use http::header::CONTENT_TYPE;
use tokio::sync::mpsc;

use super::claims::find;
use crate::App;
use crate::cursor;
use crate::extract::{Caller, Params, invalid};
use crate::openapi::problems;
use crate::payloads;
use crate::problem::{Refusal, chain};

/// What the cursors of exports belong to.
const LIST: &str = "export";

/// Media type of JSON Lines.
const JSON_LINES: &str = "application/jsonl";

/// Ids of claims that one query asks for. Each claim is read by itself.
const CLAIMS_AT_ONCE: usize = 500;

/// Steps that one query reads.
const STEPS_AT_ONCE: usize = 200;

/// Lines that wait for a client that reads slowly; nothing more is read meanwhile.
const LINES_AHEAD: usize = 16;

problems!(ExportProblems: InvalidParameter, ClaimDoesNotExist);

/// Export claims with their histories, as JSON Lines.
///
/// Each line is a document (`ExportLine`): a claim, then its events in order, numbered from 1. Every
/// line has a `cursor`, with which an export that broke off goes on behind it; ask with the same
/// filters. The last line is `{"kind":"end"}`, or `{"kind":"continue","cursor":…}` where the answer
/// could not hold more. An answer without either broke off.
#[utoipa::path(
    get, path = "/v1/export", operation_id = "exportClaims", tag = "claims",
    params(
        ("claim_id" = Option<ClaimId>, Query, description = "Only this claim"),
        ("type" = Option<String>, Query, description = "Only claims of this type"),
        ("from" = Option<String>, Query, format = DateTime,
         description = "Received at this time or later (RFC 3339)"),
        ("to" = Option<String>, Query, format = DateTime,
         description = "Received before this time (RFC 3339)"),
        ("service_events_only" = Option<bool>, Query,
         description = "Only events that the Step Functions service has; ids count only them"),
        ("cursor" = Option<String>, Query, description = "`cursor` of the last line that arrived"),
    ),
    responses(
        (status = 200, body = ExportLine, content_type = "application/jsonl",
         description = "Lines, each an `ExportLine`"),
        ExportProblems,
    ),
)]
pub(crate) async fn export(
    State(app): State<App>,
    Caller(tenant): Caller,
    mut params: Params,
) -> Result<Response, Refusal> {
    let only: Option<ClaimId> = params.one("claim_id")?;
    let claim_type: Option<ClaimType> = params.one("type")?;
    let from = params.one_with("from", Timestamp::parse)?;
    let to = params.one_with("to", Timestamp::parse)?;
    let ours = !params.one::<bool>("service_events_only")?.unwrap_or(false);
    let wrong = "is not the `cursor` of a line of an export; without it an export begins anew";
    let place = params.one_with("cursor", |text| {
        cursor::key::<Place>(LIST, text).ok_or_else(|| wrong.to_owned())
    })?;
    params.finish()?;
    if let Some(claim_id) = only {
        if claim_type.is_some() || from.is_some() || to.is_some() {
            return Err(invalid("claim_id", "excludes `type`, `from` and `to`"));
        }
        find(&app, &tenant, claim_id).await?;
    }
    let (lines, receiver) = mpsc::channel(LINES_AHEAD);
    let most = app.limits().max_export_bytes;
    let what = What { only, claim_type, from, to, ours };
    let mut writing = Writing { app, tenant, what, lines, most, written: 0 };
    tokio::spawn(async move {
        let outcome = writing.all(place).await;
        match outcome {
            Ok(()) | Err(Stop::Gone) => {}
            Err(Stop::Failed(reason)) => {
                tracing::error!(error = reason, "an export broke off");
                // The answer ends without its end.
                let _gone = writing.lines.send(Err(std::io::Error::other("broke off"))).await;
            }
        }
    });
    let stream = futures::stream::unfold(receiver, async |mut receiver| {
        let line: Result<Bytes, std::io::Error> = receiver.recv().await?;
        Some((line, receiver))
    });
    Ok(([(CONTENT_TYPE, JSON_LINES)], Body::from_stream(stream)).into_response())
}

/// Behind which line an export goes on: how many events of this claim it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    claim_id: ClaimId,
    events: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.claim_id, self.events)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = || {
            let (claim_id, events) = text.split_once('/')?;
            Some(Self { claim_id: claim_id.parse().ok()?, events: events.parse().ok()? })
        };
        place().ok_or_else(|| "is not the place of a line".to_owned())
    }
}

/// Which claims, and which events of them.
struct What {
    only: Option<ClaimId>,
    claim_type: Option<ClaimType>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    ours: bool,
}

/// Why an export does not go on.
enum Stop {
    /// Nobody listens any more, or the answer is full.
    Gone,
    Failed(String),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal.cause().unwrap_or_else(|| refusal.reason()))
    }
}

impl From<fluxus_store::StoreError> for Stop {
    fn from(error: fluxus_store::StoreError) -> Self {
        Self::Failed(chain(&error))
    }
}

struct Writing {
    app: App,
    tenant: Tenant,
    what: What,
    lines: mpsc::Sender<Result<Bytes, std::io::Error>>,
    most: usize,
    written: usize,
}

impl Writing {
    async fn all(&mut self, place: Option<Place>) -> Result<(), Stop> {
        if let Some(claim_id) = self.what.only {
            let events = place.filter(|place| place.claim_id == claim_id);
            self.claim(claim_id, events.map(|place| place.events)).await?;
            return self.line(&ExportLine::End, None).await;
        }
        let mut after = None;
        if let Some(Place { claim_id, events }) = place {
            self.claim(claim_id, Some(events)).await?;
            after = Some(claim_id);
        }
        loop {
            let What { claim_type, from, to, .. } = &self.what;
            let store = self.app.store();
            let ids = store
                .claim_ids(&self.tenant, claim_type.as_ref(), (*from, *to), after, CLAIMS_AT_ONCE)
                .await?;
            for claim_id in &ids {
                self.claim(*claim_id, None).await?;
            }
            after = ids.last().copied();
            if after.is_none() {
                return self.line(&ExportLine::End, None).await;
            }
        }
    }

    /// A claim and its events, or the events that are missing. One that is gone meanwhile has none.
    async fn claim(&mut self, claim_id: ClaimId, done: Option<u64>) -> Result<(), Stop> {
        if done.is_none() {
            let found = self.app.store().claim(&self.tenant, claim_id).await?;
            let Some(claim) = found else { return Ok(()) };
            let place = Place { claim_id, events: 0 };
            let cursor = cursor::seal(LIST, place);
            let line = ExportLine::Claim { cursor, claim: Box::new(claim) };
            self.line(&line, Some(place)).await?;
        }
        let done = done.unwrap_or(0);
        let mut numbering = Numbering::new(self.what.ours);
        let mut after: Option<HistoryCursor> = None;
        loop {
            let store = self.app.store();
            let read = store.history(&self.tenant, claim_id, after.as_ref(), STEPS_AT_ONCE).await?;
            for row in read.rows {
                let mut events = Vec::new();
                numbering.add(row, &mut events);
                events.retain(|event| event.id > done);
                self.events(claim_id, events).await?;
            }
            after = read.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn events(
        &mut self,
        claim_id: ClaimId,
        mut events: Vec<HistoryEvent>,
    ) -> Result<(), Stop> {
        while !events.is_empty() {
            let rest = payloads::restore(&self.app, claim_id, &mut events).await?;
            for event in events {
                let place = Place { claim_id, events: event.id };
                let cursor = cursor::seal(LIST, place);
                let line = ExportLine::Event { cursor, claim_id, event: Box::new(event) };
                self.line(&line, Some(place)).await?;
            }
            events = rest;
        }
        Ok(())
    }

    /// Sends a line. The last one that the answer can hold is followed by one that says so.
    async fn line(&mut self, line: &ExportLine, place: Option<Place>) -> Result<(), Stop> {
        self.send(line).await?;
        match place {
            Some(place) if self.written >= self.most => {
                let cursor = cursor::seal(LIST, place);
                self.send(&ExportLine::Continue { cursor }).await?;
                Err(Stop::Gone)
            }
            _ => Ok(()),
        }
    }

    async fn send(&mut self, line: &ExportLine) -> Result<(), Stop> {
        let written = serde_json::to_vec(line).map_err(|error| Stop::Failed(error.to_string()));
        let mut line = written?;
        line.push(b'\n');
        self.written = self.written.saturating_add(line.len());
        self.lines.send(Ok(line.into())).await.map_err(|_gone| Stop::Gone)
    }
}
