//! One claim with a Map of many tasks, beside as many claims of one task.

use std::time::{Duration, Instant};

use super::args::FanOut;
use super::client::{Ended, micros_since};
use super::closed::{Amount, Mix, clients};
use super::recipes::Recipe;
use super::recorder::Recorder;
use super::report::{Figure, Part, Report, Run};
use super::target::Bench;

/// The parts that are told apart.
const MAP: usize = 0;
const CLAIMS: usize = 1;

/// Runs both in turn.
pub(super) async fn run(args: &FanOut, bench: &Bench<'_>) -> anyhow::Result<Report> {
    let (map, single) = (Recipe::map(args.items), Recipe::single());
    for recipe in [&map, &single] {
        bench.client.put(recipe).await?;
    }
    let mix = Mix::of(single.clone()).in_place(CLAIMS);
    let (client, stop) = (&bench.client, &bench.stop);
    let unread = Recorder::new(2)?;
    clients(client, &mix, Amount::warm_up(args.items), args.concurrency, &unread, stop).await?;
    let recorder = Recorder::new(2)?;
    let measuring = Run::begin(bench, &recorder).await?;
    let (mut maps, mut claims) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let began = Instant::now();
        let ended = client.fulfil(&map, stop).await?;
        recorder.record(MAP, micros_since(began), &ended);
        if ended != Ended::Well {
            break;
        }
        let map_took = began.elapsed();
        let began = Instant::now();
        let amount = Amount::Claims(args.items);
        clients(client, &mix, amount, args.concurrency, &recorder, stop).await?;
        if stop.is_cancelled() {
            break;
        }
        // A round counts as a whole.
        maps.push(map_took);
        claims.push(began.elapsed());
    }
    let run = measuring.end(&recorder, vec![map.transitions, single.transitions]).await?;
    let names = [format!("a Map of {} tasks", args.items), "claims of one task".to_owned()];
    let took = [maps.iter().sum::<Duration>(), claims.iter().sum()];
    let parts = names.into_iter().zip(&run.parts).zip(took);
    let parts = parts.map(|((name, counted), took)| Part::new(name, counted, took)).collect();
    let title = format!(
        "a Map of {} tasks beside as many claims, {} at a time",
        args.items, args.concurrency
    );
    let mut report = run.report("fan-out", title, parts)?;
    if let (Some(map), Some(claims)) = (median(maps), median(claims)) {
        report.figures = vec![
            Figure::new("the Map took", map, "s, median"),
            Figure::new("the claims took", claims, "s, median"),
            Figure::new("the Map over the claims", map / claims, "times"),
        ];
    }
    Ok(report)
}

fn median(mut times: Vec<Duration>) -> Option<f64> {
    times.sort();
    let upper = times.get(times.len() / 2)?.as_secs_f64();
    if times.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(times.get(times.len() / 2 - 1)?.as_secs_f64(), upper))
}
