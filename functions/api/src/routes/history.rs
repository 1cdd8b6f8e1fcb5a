//! A claim's history, with the service's consecutive ids.

use axum::Json;
use axum::extract::State;
use fluxus_schema::api::HistoryPage;
use fluxus_schema::history::{Details, EventRow, HistoryEvent, Inner, number};
use fluxus_schema::limits::{DEFAULT_PAGE, MAX_HISTORY_PAGE};
use fluxus_schema::{ClaimId, Tenant};
use fluxus_store::history::HistoryCursor;

use super::claims::find;
use crate::App;
use crate::cursor;
use crate::extract::{Caller, Params, Segment};
use crate::openapi::problems;
use crate::payloads;
use crate::problem::Refusal;

/// Steps read with one query.
const STEPS_PER_READ: usize = 1000;

problems!(HistoryProblems: InvalidParameter, ClaimDoesNotExist);

/// Read a claim's history, oldest first.
///
/// The events have the names and details of the Step Functions service, and `ClaimEvaluated` and
/// `TaskDelegated` and `RetryDelayed` beside them. Ids are consecutive over all pages, as
/// `service_events_only` has it: use one setting for all pages. A page has fewer events where their
/// documents are large.
#[utoipa::path(
    get, path = "/v1/claims/{claim_id}/history", operation_id = "getClaimHistory", tag = "claims",
    params(
        ("claim_id" = ClaimId, Path, description = "The claim"),
        ("service_events_only" = Option<bool>, Query,
         description = "Only events that the Step Functions service has; ids count only them"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000,
         description = "Events on the page; 50 unless given"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, body = HistoryPage, description = "A page of events"),
        HistoryProblems,
    ),
)]
pub(crate) async fn history(
    State(app): State<App>,
    Caller(tenant): Caller,
    Segment(claim_id): Segment<ClaimId>,
    mut params: Params,
) -> Result<Json<HistoryPage>, Refusal> {
    let limit = params.limit(DEFAULT_PAGE, MAX_HISTORY_PAGE)? as usize;
    let ours = !params.one::<bool>("service_events_only")?.unwrap_or(false);
    // Ids of the two countings differ, so the cursors of one do not open in the other.
    let list = if ours { "history" } else { "service-history" };
    let given = params.one_with("cursor", |text| cursor::open::<usize>(list, text))?;
    let start = given.unwrap_or(0);
    params.finish()?;
    find(&app, &tenant, claim_id).await?;
    let mut events = page(&app, &tenant, claim_id, start, limit + 1, ours).await?;
    let found = events.len();
    events.truncate(limit);
    payloads::restore(&app, claim_id, &mut events).await?;
    let next_cursor = (events.len() < found).then(|| cursor::seal(list, start + events.len()));
    Ok(Json(HistoryPage { events, next_cursor }))
}

/// Events `start` to `start + most` in the claim's order.
///
/// An event names its predecessor by id, and that may lie anywhere before, so the history is read
/// from its beginning; of what lies before the page only the keys are kept.
async fn page(
    app: &App,
    tenant: &Tenant,
    claim_id: ClaimId,
    start: usize,
    most: usize,
    ours: bool,
) -> Result<Vec<HistoryEvent>, Refusal> {
    let mut rows: Vec<EventRow> = Vec::new();
    let mut count = 0_usize;
    let mut inner = Inner::default();
    let mut after: Option<HistoryCursor> = None;
    loop {
        let store = app.store();
        let read = store.history(tenant, claim_id, after.as_ref(), STEPS_PER_READ).await?;
        for mut row in read.rows {
            if ours || !inner.holds(&row) {
                count += row.events.iter().filter(|event| ours || !event.kind.is_ours()).count();
            }
            if count <= start {
                row.events.iter_mut().for_each(|event| event.details = Details::default());
            }
            rows.push(row);
        }
        after = read.next;
        if after.is_none() || count >= start.saturating_add(most) {
            break;
        }
    }
    Ok(number(rows, ours).into_iter().skip(start).take(most).collect())
}
