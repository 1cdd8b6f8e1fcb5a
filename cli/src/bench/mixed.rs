//! Several recipes in one closed loop.

use super::args::Mixed;
use super::closed::{Amount, Mix, measured};
use super::recipes::Recipe;
use super::report::{Part, Report};
use super::target::Bench;

/// Runs the mix.
pub(super) async fn run(args: &Mixed, bench: &Bench<'_>) -> anyhow::Result<Report> {
    let chosen = args.recipes.iter().filter(|(_, share)| *share > 0);
    let recipes = chosen.clone().map(|(name, share)| Ok((Recipe::mixed(name)?, *share)));
    let recipes = recipes.collect::<anyhow::Result<Vec<_>>>()?;
    for (recipe, _) in &recipes {
        bench.client.put(recipe).await?;
    }
    let mix = Mix::new(recipes);
    let (warm_up, amount) = (Amount::warm_up(args.claims), Amount::Claims(args.claims));
    let run = measured(bench, &mix, warm_up, amount, args.concurrency).await?;
    let parts = chosen.zip(&run.parts);
    let parts = parts.map(|((name, _), counted)| Part::new(name.clone(), counted, run.took));
    let parts: Vec<Part> = parts.collect();
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    let title = format!("{}, {} claims at a time", names.join(" and "), args.concurrency);
    run.report("mixed", title, parts)
}
