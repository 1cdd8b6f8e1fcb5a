//! Clients in a closed loop: submit, wait for the end, next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::args::Closed;
use super::client::{Client, micros_since};
use super::recipes::Recipe;
use super::recorder::Recorder;
use super::report::{Report, Run};
use super::target::Bench;

/// What runs before anything is counted, where the measure is time: pools fill, plans settle.
const WARM_UP: Duration = Duration::from_secs(3);

/// Likewise, where the measure is a number of claims: a tenth of it, and no more than this.
const MAX_WARM_UP_CLAIMS: u64 = 2_000;

/// How much is submitted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Amount {
    Claims(u64),
    /// None is begun after it.
    Time(Duration),
}

impl Amount {
    /// What goes before so many claims.
    pub(super) fn warm_up(claims: u64) -> Self {
        Self::Claims((claims / 10).clamp(1, MAX_WARM_UP_CLAIMS))
    }
}

/// Recipes, and how often each comes: the mix of a loop.
#[derive(Clone)]
pub(super) struct Mix {
    recipes: Arc<[Recipe]>,
    /// Which recipe comes when; from its end it goes on at its beginning.
    order: Arc<[usize]>,
    /// Where the first recipe stands among the parts of the recorder.
    place: usize,
}

impl Mix {
    pub(super) fn of(recipe: Recipe) -> Self {
        Self { recipes: [recipe].into(), order: [0].into(), place: 0 }
    }

    /// The same mix, recorded from this part on.
    pub(super) fn in_place(self, place: usize) -> Self {
        Self { place, ..self }
    }

    /// Recipes with their shares, spread evenly.
    pub(super) fn new(recipes: Vec<(Recipe, u32)>) -> Self {
        let shares: Vec<u32> = recipes.iter().map(|(_, share)| *share).collect();
        let sum: u32 = shares.iter().sum();
        let mut given = vec![0_u32; shares.len()];
        let mut order = Vec::new();
        for at in 0..sum {
            // Whoever is furthest behind its share comes next.
            let behind = |which: &usize| {
                i64::from(shares[*which]) * i64::from(at + 1)
                    - i64::from(given[*which]) * i64::from(sum)
            };
            if let Some(next) = (0..shares.len()).max_by_key(behind) {
                given[next] += 1;
                order.push(next);
            }
        }
        let recipes = recipes.into_iter().map(|(recipe, _)| recipe).collect();
        Self { recipes, order: order.into(), place: 0 }
    }

    pub(super) fn recipes(&self) -> &[Recipe] {
        &self.recipes
    }

    /// The recipe that comes as number `number`, and the part that it is recorded as.
    pub(super) fn at(&self, number: u64) -> (usize, &Recipe) {
        let place = self.order[(number % self.order.len() as u64) as usize];
        (self.place + place, &self.recipes[place])
    }
}

/// Runs the clients until the amount is done, or they are stopped.
pub(super) async fn clients(
    client: &Client,
    mix: &Mix,
    amount: Amount,
    concurrency: u32,
    recorder: &Recorder,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let (claims, until) = match amount {
        Amount::Claims(claims) => (claims, None),
        Amount::Time(time) => (u64::MAX, Some(Instant::now() + time)),
    };
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..u64::from(concurrency).min(claims) {
        let (client, mix, next) = (client.clone(), mix.clone(), next.clone());
        let (recorder, stop) = (recorder.clone(), stop.clone());
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let began = Instant::now();
                let is_over = until.is_some_and(|until| began >= until);
                if number >= claims || is_over || stop.is_cancelled() {
                    return anyhow::Ok(());
                }
                let (place, recipe) = mix.at(number);
                let ended = client.fulfil(recipe, &stop).await?;
                recorder.record(place, micros_since(began), &ended);
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(())
}

/// Three tasks in a row, or the recipe of somebody's choice, in a loop.
pub(super) async fn run(args: &Closed, bench: &Bench<'_>) -> anyhow::Result<Report> {
    let recipe = Recipe::tasks();
    bench.client.put(&recipe).await?;
    let mix = Mix::of(recipe);
    let (warm_up, amount) = match args.seconds {
        Some(seconds) => (Amount::Time(WARM_UP), Amount::Time(Duration::from_secs(seconds))),
        None => (Amount::warm_up(args.claims), Amount::Claims(args.claims)),
    };
    let title = format!("three tasks, {} claims at a time", args.concurrency);
    let run = measured(bench, &mix, warm_up, amount, args.concurrency).await?;
    run.report("closed", title, Vec::new())
}

/// A loop with its warm-up, and what it spent.
pub(super) async fn measured(
    bench: &Bench<'_>,
    mix: &Mix,
    warm_up: Amount,
    amount: Amount,
    concurrency: u32,
) -> anyhow::Result<Run> {
    let (client, stop) = (&bench.client, &bench.stop);
    let parts = mix.recipes().len();
    let unread = Recorder::new(parts)?;
    clients(client, mix, warm_up, concurrency, &unread, stop).await.context("warm up")?;
    let recorder = Recorder::new(parts)?;
    let measuring = Run::begin(bench, &recorder).await?;
    clients(client, mix, amount, concurrency, &recorder, stop).await?;
    let transitions = mix.recipes().iter().map(|recipe| recipe.transitions).collect();
    measuring.end(&recorder, transitions).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_spread_evenly() {
        let mix = Mix::new(vec![(Recipe::tasks(), 2), (Recipe::single(), 1)]);
        let order: Vec<usize> = (0..6).map(|number| mix.at(number).0).collect();
        assert_eq!(order, [0, 1, 0, 0, 1, 0]);
    }
}
