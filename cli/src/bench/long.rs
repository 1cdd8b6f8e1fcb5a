//! Many claims, in windows: whether it stays as fast, and whether the tables stay in order.

use std::time::Instant;

use super::args::Long;
use super::closed::{Amount, Mix, clients};
use super::recipes::Recipe;
use super::recorder::Recorder;
use super::report::{Figure, Part, Report, Run, Tables};
use super::target::Bench;

/// Runs window after window.
pub(super) async fn run(args: &Long, bench: &Bench<'_>) -> anyhow::Result<Report> {
    let recipe = Recipe::tasks();
    bench.client.put(&recipe).await?;
    let mix = Mix::of(recipe.clone());
    let (client, stop) = (&bench.client, &bench.stop);
    let unread = Recorder::new(1)?;
    clients(client, &mix, Amount::warm_up(args.claims), args.concurrency, &unread, stop).await?;
    let windows = args.claims.div_ceil(args.window);
    let all = Recorder::new(1)?;
    let measuring = Run::begin(bench, &all).await?;
    let mut parts = Vec::new();
    for window in 0..windows {
        let first = window * args.window;
        let claims = args.window.min(args.claims - first);
        // The whole is recorded beside, so that samples go on over all windows.
        let recorder = Recorder::new(1)?;
        let began = Instant::now();
        let amount = Amount::Claims(claims);
        let both = all.with(&recorder);
        clients(client, &mix, amount, args.concurrency, &both, stop).await?;
        let took = began.elapsed();
        if let Some(counted) = recorder.parts().first().filter(|counted| counted.ended() > 0) {
            let mut part = Part::new(format!("to {}", first + counted.ended()), counted, took);
            if let Some(meter) = &bench.meter {
                part.tables = Some(Tables::of(&meter.tables().await?));
            }
            crate::output::note(&format!("{}: {:.0} claims/s", part.name, part.claims_per_s));
            parts.push(part);
        }
        if stop.is_cancelled() {
            break;
        }
    }
    let run = measuring.end(&all, vec![recipe.transitions]).await?;
    let title = format!("three tasks, {} claims at a time", args.concurrency);
    let figures = figures(&parts);
    let mut report = run.report("long", title, parts)?;
    report.figures = figures;
    Ok(report)
}

fn figures(parts: &[Part]) -> Vec<Figure> {
    let [first, .., last] = parts else { return Vec::new() };
    let ratio = last.claims_per_s / first.claims_per_s;
    let (early, late) = parts.split_at(parts.len() / 2);
    let halves = rate(late) / rate(early);
    let mut figures = vec![
        Figure::new("the last window over the first", ratio, "times as fast"),
        // Single windows differ by chance: one of them has more of the vacuum's work in it.
        Figure::new("the second half over the first", halves, "times as fast"),
    ];
    let dead = |part: &Part| part.tables.as_ref().map(|tables| tables.dead_rows);
    if let Some(most) = parts.iter().filter_map(dead).max() {
        figures.push(Figure::new("most dead rows at the end of a window", most as f64, ""));
    }
    figures
}

/// Claims a second of these windows together.
fn rate(parts: &[Part]) -> f64 {
    let claims: f64 = parts.iter().map(|part| part.claims as f64).sum();
    let seconds: f64 = parts.iter().map(|part| part.claims as f64 / part.claims_per_s).sum();
    claims / seconds
}
