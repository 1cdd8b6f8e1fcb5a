//! Claims with large bodies, size by size.

use std::time::Instant;

use super::args::Payload;
use super::closed::{Amount, Mix, clients};
use super::recipes::Recipe;
use super::recorder::Recorder;
use super::report::{Part, Report, Run};
use super::target::Bench;

/// What runs of each size before it is counted.
const WARM_UP: Amount = Amount::Claims(32);

/// Runs one size after another.
pub(super) async fn run(args: &Payload, bench: &Bench<'_>) -> anyhow::Result<Report> {
    let recipes = Recipe::payloads(args);
    let recorder = Recorder::new(recipes.len())?;
    let measuring = Run::begin(bench, &recorder).await?;
    let mut parts = Vec::new();
    for (at, (name, recipe)) in recipes.iter().enumerate() {
        bench.client.put(recipe).await?;
        // Its place among the parts, so that the loop records there.
        let mix = Mix::of(recipe.clone()).in_place(at);
        let (client, stop) = (&bench.client, &bench.stop);
        clients(client, &mix, WARM_UP, args.concurrency, &Recorder::new(recipes.len())?, stop)
            .await?;
        let began = Instant::now();
        let amount = Amount::Claims(args.claims);
        clients(client, &mix, amount, args.concurrency, &recorder, stop).await?;
        if let Some(counted) = recorder.parts().get(at) {
            parts.push(Part::new(name.clone(), counted, began.elapsed()));
        }
    }
    let transitions = recipes.iter().map(|(_, recipe)| recipe.transitions).collect();
    let run = measuring.end(&recorder, transitions).await?;
    let title = format!("bodies through three tasks, {} claims at a time", args.concurrency);
    run.report("payload", title, parts)
}
