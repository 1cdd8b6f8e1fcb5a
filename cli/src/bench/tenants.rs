//! Two tenants: one has a backlog, the other submits single claims. How long does the one delay the
//! other?

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
    singles(&other, &recipe, args.singles.min(20), (&unread, ALONE), stop).await?;
    let recorder = Recorder::new(2)?;
    let measuring = Run::begin(bench, &recorder).await?;
    singles(&other, &recipe, args.singles, (&recorder, ALONE), stop).await?;

    crate::output::note(&format!("submitting a backlog of {} claims", args.backlog));
    let began = Instant::now();
    submit(&crowd, &recipe, args.backlog, stop).await?;
    let submitting = began.elapsed();
    let began = Instant::now();
    singles(&other, &recipe, args.singles, (&recorder, BESIDE), stop).await?;
    let lasted = crowd.has_open().await?;
    let beside = began.elapsed();
    let run = measuring.end(&recorder, vec![recipe.transitions; 2]).await?;

    let part = |(name, counted): (&str, &Counted)| Part::new(name.to_owned(), counted, beside);
    let names = ["claims alone", "claims beside the backlog"];
    let parts: Vec<Part> = names.into_iter().zip(&run.parts).map(part).collect();
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
    if !lasted && !stop.is_cancelled() {
        crate::output::note(
            "the backlog was worked off before the last single claim: say a larger --backlog",
        );
    }
    Ok(report)
}

/// Claims one after another.
async fn singles(
    client: &Client,
    recipe: &Recipe,
    claims: u64,
    (recorder, part): (&Recorder, usize),
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    for _ in 0..claims {
        if stop.is_cancelled() {
            break;
        }
        let began = Instant::now();
        let ended = client.fulfil(recipe, stop).await?;
        recorder.record(part, micros_since(began), ended);
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
