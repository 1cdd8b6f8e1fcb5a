//! Open loops: so many claims a second, however long they take.
//!
//! Each claim has a moment at which it is due. Its latency counts from then, so a system that falls
//! behind is not spared by clients who wait for it: the claims that it keeps from being submitted in
//! time are late already.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::args::{Open, Ramp, Steady};
use super::client::{Client, micros_since};
use super::recipes::Recipe;
use super::recorder::{Counted, Recorder};
use super::report::{Figure, Part, Report, Run};
use super::target::Bench;

/// Claims a second, for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stage {
    rate: f64,
    time: Duration,
}

impl Stage {
    /// When its claims are due, from its beginning.
    fn due(self) -> impl Iterator<Item = Duration> {
        let claims = (self.rate * self.time.as_secs_f64()).round().max(1.0) as u64;
        (0..claims).map(move |number| Duration::from_secs_f64(number as f64 / self.rate))
    }
}

/// So many claims a second.
pub(super) async fn steady(args: &Steady, bench: &Bench<'_>) -> anyhow::Result<Report> {
    let recipe = Recipe::tasks();
    bench.client.put(&recipe).await?;
    let (warm_up, time) = args.times();
    let unread = Recorder::new(1)?;
    let before = Stage { rate: args.rate, time: warm_up };
    if !warm_up.is_zero() {
        let Bench { client, stop, .. } = bench;
        submit(client, &recipe, &[before], args.open, &unread, stop).await.context("warm up")?;
    }
    let stage = Stage { rate: args.rate, time };
    let run = measured(bench, &recipe, &[stage], args.open).await?;
    let title = format!("three tasks, {} claims a second", args.rate);
    let mut report = run.report("steady", title, Vec::new())?;
    report.figures.push(Figure::new("claims offered per second", args.rate, ""));
    Ok(report)
}

/// More and more claims a second.
pub(super) async fn ramp(args: &Ramp, bench: &Bench<'_>) -> anyhow::Result<Report> {
    let recipe = Recipe::tasks();
    bench.client.put(&recipe).await?;
    let stages = stages(args);
    let run = measured(bench, &recipe, &stages, args.open).await?;
    let part = |(stage, counted): (&Stage, &Counted)| {
        Part::new(format!("{:.0} a second", stage.rate), counted, stage.time)
    };
    let parts: Vec<Part> = stages.iter().zip(&run.parts).map(part).collect();
    let kept_up = |part: &Part| part.failed == 0 && part.latency.p99_ms <= args.bound_ms;
    // Only up to the first step at which it did not: a later one may be spared by luck.
    let count = parts.iter().take_while(|part| part.claims > 0 && kept_up(part)).count();
    let most = count.checked_sub(1).and_then(|at| stages.get(at)).map_or(0.0, |stage| stage.rate);
    let title = format!("three tasks, {} to {} claims a second", args.from, args.to);
    let mut report = run.report("ramp", title, parts)?;
    let name = format!("kept up, with a p99 of {} ms at most, to", args.bound_ms);
    report.figures.push(Figure::new(&name, most, "claims a second"));
    Ok(report)
}

fn stages(args: &Ramp) -> Vec<Stage> {
    let time = Duration::from_secs(args.seconds);
    let step = (args.to - args.from) / f64::from(args.steps - 1);
    (0..args.steps).map(|at| Stage { rate: args.from + step * f64::from(at), time }).collect()
}

async fn measured(
    bench: &Bench<'_>,
    recipe: &Recipe,
    stages: &[Stage],
    open: Open,
) -> anyhow::Result<Run> {
    let recorder = Recorder::new(stages.len())?;
    let measuring = Run::begin(bench, &recorder).await?;
    submit(&bench.client, recipe, stages, open, &recorder, &bench.stop).await?;
    measuring.end(&recorder, vec![recipe.transitions; stages.len()]).await
}

/// Submits the claims of all stages, each when it is due, and waits for their ends.
async fn submit(
    client: &Client,
    recipe: &Recipe,
    stages: &[Stage],
    open: Open,
    recorder: &Recorder,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(open.in_flight as usize));
    let mut claims = JoinSet::new();
    let mut from = Instant::now();
    for (at, stage) in stages.iter().enumerate() {
        for due in stage.due() {
            let due = from + due;
            let place = async {
                sleep_until(due).await;
                places.clone().acquire_owned().await
            };
            let place = tokio::select! {
                place = place => place?,
                () = stop.cancelled() => break,
            };
            let (client, recipe) = (client.clone(), recipe.clone());
            let (recorder, stop) = (recorder.clone(), stop.clone());
            claims.spawn(async move {
                let ended = client.fulfil(&recipe, &stop).await?;
                recorder.record(at, micros_since(due.into_std()), &ended);
                drop(place);
                anyhow::Ok(())
            });
            while let Some(ended) = claims.try_join_next() {
                ended??;
            }
        }
        from += stage.time;
    }
    while let Some(ended) = claims.join_next().await {
        ended??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_due_at_equal_distances() {
        let stage = Stage { rate: 4.0, time: Duration::from_secs(1) };
        let due: Vec<u128> = stage.due().map(|due| due.as_millis()).collect();
        assert_eq!(due, [0, 250, 500, 750]);
    }
}
