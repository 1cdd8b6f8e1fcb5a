//! Two tenants: one has a backlog, the other submits single claims. How long does the one delay the
//! other?

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::args::Tenants;
use super::client::{Client, micros_since};
use super::recipes::Recipe;
use super::recorder::{Counted, Recorder};
use super::report::{Figure, Part, Report, Run};
use super::target::Bench;

/// Connections over which the backlog is submitted.
const SUBMITTERS: u64 = 64;

/// Single claims that run before any is counted, at most.
const WARM_UP: u64 = 20;

/// The parts that are told apart.
const ALONE: usize = 0;
const BESIDE: usize = 1;

/// Runs single claims alone, then beside a backlog.
pub(super) async fn run(args: &Tenants, bench: &Bench<'_>) -> anyhow::Result<Report> {
    let recipe = Recipe::tasks();
    let [crowd, other] = bench.two_clients(args.keys.as_deref());
    crowd.put(&recipe).await.context("as the first tenant")?;
    other.put(&recipe).await.context("as the second tenant")?;
    let stop = &bench.stop;
    let unread = Recorder::new(2)?;
    singles(&other, &recipe, WARM_UP.min(args.singles), (&unread, ALONE), stop, None).await?;
    let recorder = Recorder::new(2)?;
    let measuring = Run::begin(bench, &recorder).await?;
    let alone = Instant::now();
    singles(&other, &recipe, args.singles, (&recorder, ALONE), stop, None).await?;
    let alone = alone.elapsed();

    crate::output::note(&format!("submitting a backlog of {} claims", args.backlog));
    let beside = Instant::now();
    let submitted = AtomicBool::new(false);
    // From its first claim on: a system that keeps up leaves no backlog to be waited for.
    let submitting = async {
        submit(&crowd, &recipe, args.backlog, stop).await?;
        submitted.store(true, Ordering::Relaxed);
        anyhow::Ok(beside.elapsed())
    };
    let crowded = Some((&crowd, &submitted));
    let taken = singles(&other, &recipe, args.singles, (&recorder, BESIDE), stop, crowded);
    let (submitting, ()) = tokio::try_join!(submitting, taken)?;
    let beside = beside.elapsed();
    let run = measuring.end(&recorder, vec![recipe.transitions; 2]).await?;

    let names = ["claims alone", "claims beside the backlog"];
    let parts = names.into_iter().zip(&run.parts).zip([alone, beside]);
    let parts: Vec<Part> =
        parts.map(|((name, counted), took)| Part::new(name.to_owned(), counted, took)).collect();
    let counted = run.parts.get(BESIDE).map_or(0, Counted::ended);
    let delay = |of: fn(&Part) -> f64| of(&parts[BESIDE]) - of(&parts[ALONE]);
    let figures = vec![
        Figure::new("delay at p50", delay(|part| part.latency.p50_ms), "ms"),
        Figure::new("delay at p99", delay(|part| part.latency.p99_ms), "ms"),
        Figure::new("longest beside the backlog", parts[BESIDE].latency.max_ms, "ms"),
        Figure::new("submitting the backlog took", submitting.as_secs_f64(), "s"),
    ];
    let title = format!("single claims beside another tenant's backlog of {}", args.backlog);
    let mut report = run.report("tenants", title, parts)?;
    report.figures = figures;
    // What is spent is mostly the backlog's, whose claims are not counted.
    report.spent = None;
    if counted < args.singles && !stop.is_cancelled() {
        crate::output::note(&format!(
            "the backlog was worked off after {counted} single claims: say a larger --backlog"
        ));
    }
    Ok(report)
}

/// Claims one after another, as long as somebody else's are submitted or open, if so wished.
async fn singles(
    client: &Client,
    recipe: &Recipe,
    claims: u64,
    (recorder, part): (&Recorder, usize),
    stop: &CancellationToken,
    beside: Option<(&Client, &AtomicBool)>,
) -> anyhow::Result<()> {
    for _ in 0..claims {
        if stop.is_cancelled() {
            break;
        }
        if let Some((beside, submitted)) = beside
            && submitted.load(Ordering::Relaxed)
            && !beside.has_open().await?
        {
            break;
        }
        let began = Instant::now();
        let ended = client.fulfil(recipe, stop).await?;
        recorder.record(part, micros_since(began), &ended);
    }
    Ok(())
}

/// Submits claims and leaves them.
async fn submit(
    client: &Client,
    recipe: &Recipe,
    claims: u64,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut submitters = JoinSet::new();
    for first in 0..SUBMITTERS.min(claims) {
        let (client, recipe, stop) = (client.clone(), recipe.clone(), stop.clone());
        submitters.spawn(async move {
            let mut number = first;
            while number < claims && !stop.is_cancelled() {
                client.submit(&recipe).await?;
                number += SUBMITTERS;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = submitters.join_next().await {
        ended??;
    }
    Ok(())
}
