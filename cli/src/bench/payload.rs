//! Claims with large bodies, size by size.

use std::time::{Duration, Instant};

use super::args::Payload;
use super::closed::{Amount, Mix, clients};
use super::recipes::Recipe;
use super::recorder::Recorder;
use super::report::{Part, Report, Run};
use super::target::Bench;

/// How many claims run of each size before any is counted, at most.
const WARM_UP: u64 = 32;

/// Runs one size after another.
pub(super) async fn run(args: &Payload, bench: &Bench<'_>) -> anyhow::Result<Report> {
    let recipes = Recipe::payloads(args);
    let recorder = Recorder::new(recipes.len())?;
    let measuring = Run::begin(bench, &recorder).await?;
    let mut parts = Vec::new();
    let mut took = Duration::ZERO;
    for (at, (name, recipe)) in recipes.iter().enumerate() {
        bench.client.put(recipe).await?;
        // Its place among the parts, so that the loop records there.
        let mix = Mix::of(recipe.clone()).in_place(at);
        let (client, stop) = (&bench.client, &bench.stop);
        let warm_up = Amount::Claims(WARM_UP.min(args.claims));
        let unread = Recorder::new(recipes.len())?;
        clients(client, &mix, warm_up, args.concurrency, &unread, stop).await?;
        let began = Instant::now();
        let amount = Amount::Claims(args.claims);
        clients(client, &mix, amount, args.concurrency, &recorder, stop).await?;
        let this = began.elapsed();
        took += this;
        if let Some(counted) = recorder.parts().get(at) {
            parts.push(Part::new(name.clone(), counted, this));
        }
    }
    let transitions = recipes.iter().map(|(_, recipe)| recipe.transitions).collect();
    let mut run = measuring.end(&recorder, transitions).await?;
    // Without the time in between.
    run.took = took;
    let title = format!("bodies through three tasks, {} claims at a time", args.concurrency);
    run.report("payload", title, parts)
}
