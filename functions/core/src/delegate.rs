//! Delegation: choosing the fluxling for one task, and saying why.
//!
//! Candidates are the fluxlings with the capability. Those that are disabled, lack a label, take
//! no share or failed too often are filtered out; those at their concurrency as well, as long as
//! somebody else has room. Of the rest two are drawn by weight and the better one gets the task
//! (the power of two choices: a herd that follows the same stale numbers splits by itself).

use std::collections::BTreeMap;
use std::sync::Arc;

use fluxus_schema::delegation::{Candidate, Delegation};
use fluxus_schema::fluxling::Fluxling;
use fluxus_schema::{Capability, Timestamp};

/// What a fluxling that has answered nothing yet is taken to need, in milliseconds: little enough
/// that newcomers are tried, enough that one with a good record is preferred.
const UNKNOWN_LATENCY_MS: f64 = 20.0;

/// How much a failed attempt weighs against a slow one: a fluxling half of whose attempts fail
/// counts as six times slower.
const ERROR_WEIGHT: f64 = 10.0;

/// A fluxling as delegation sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// What it says of itself and how it fares.
    pub fluxling: Arc<Fluxling>,
    /// Tasks it has and has not answered, by the freshest count there is.
    pub in_flight: i64,
}

/// A decision: the index of who was chosen among the peers given, and the record of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Who gets the task; nobody where none can take it.
    pub chosen: Option<usize>,
    /// The record.
    pub record: Delegation,
}

/// Chooses who gets a task. `draw` gives random fractions, from 0 up to but without 1.
pub fn delegate(
    peers: &[Peer],
    capability: &Capability,
    labels: &BTreeMap<String, String>,
    now: Timestamp,
    mut draw: impl FnMut() -> f64,
) -> Decision {
    let mut candidates = Vec::new();
    let mut fit = Vec::new();
    for (index, peer) in peers.iter().enumerate() {
        let manifest = &peer.fluxling.manifest;
        if !manifest.capabilities.iter().any(|offered| offered.name == *capability) {
            continue;
        }
        let refused = refusal(peer, labels, now);
        candidates.push(Candidate {
            fluxling: manifest.name.clone(),
            score: None,
            in_flight: peer.in_flight,
            reason: refused.clone().unwrap_or_else(|| "not drawn".to_owned()),
        });
        if refused.is_none() {
            fit.push((candidates.len() - 1, index));
        }
    }
    let has_room = |&(_, index): &(usize, usize)| room(&peers[index]) > 0;
    let crowded = !fit.iter().any(has_room);
    if !crowded {
        for &(candidate, _) in fit.iter().filter(|fit| !has_room(fit)) {
            candidates[candidate].reason = "at its concurrency".to_owned();
        }
        fit.retain(has_room);
    }
    let drawn = draw_two(peers, fit, &mut draw);
    let scored: Vec<_> = drawn
        .into_iter()
        .map(|(candidate, index)| (candidate, index, score(&peers[index])))
        .collect();
    for &(candidate, _, score) in &scored {
        candidates[candidate].score = Some(score);
        candidates[candidate].reason = "drawn, but the other one was better".to_owned();
    }
    let best = scored.iter().min_by(|a, b| a.2.total_cmp(&b.2)).copied();
    let reason = reason(&scored, best, candidates.len(), crowded, capability);
    if let Some((candidate, _, _)) = best {
        candidates[candidate].reason = "chosen".to_owned();
    }
    let fluxling = best.map(|(candidate, _, _)| candidates[candidate].fluxling.clone());
    let record = Delegation { capability: capability.clone(), fluxling, reason, candidates };
    Decision { chosen: best.map(|(_, index, _)| index), record }
}

/// Whether this one takes any tasks at all now.
pub(crate) fn takes_tasks(peer: &Peer, now: Timestamp) -> bool {
    refusal(peer, &BTreeMap::new(), now).is_none()
}

fn refusal(peer: &Peer, labels: &BTreeMap<String, String>, now: Timestamp) -> Option<String> {
    let Fluxling { manifest, enabled, load, .. } = &*peer.fluxling;
    if !enabled {
        return Some("disabled".to_owned());
    }
    if manifest.weight == 0 {
        return Some("its weight is 0".to_owned());
    }
    let lacks = labels.iter().find(|(label, value)| manifest.labels.get(*label) != Some(value));
    if let Some((label, value)) = lacks {
        return Some(format!("lacks the label {label}={value}"));
    }
    match load.circuit_open_until {
        Some(until) if until > now => Some(format!("failed too often; no tasks until {until}")),
        _ => None,
    }
}

fn room(peer: &Peer) -> i64 {
    i64::from(peer.fluxling.manifest.concurrency) - peer.in_flight
}

/// Two of them by weight, or all where there are no more.
fn draw_two(
    peers: &[Peer],
    mut fit: Vec<(usize, usize)>,
    draw: &mut impl FnMut() -> f64,
) -> Vec<(usize, usize)> {
    let mut drawn = Vec::with_capacity(2);
    while drawn.len() < 2 && !fit.is_empty() {
        let weight = |fit: &(usize, usize)| f64::from(peers[fit.1].fluxling.manifest.weight);
        let mut left = draw() * fit.iter().map(weight).sum::<f64>();
        let position = fit.iter().position(|one| {
            left -= weight(one);
            left < 0.0
        });
        drawn.push(fit.swap_remove(position.unwrap_or(fit.len() - 1)));
    }
    drawn
}

/// Expected milliseconds until it would answer, made worse by failures, with its cost on top.
fn score(peer: &Peer) -> f64 {
    let Fluxling { manifest, load, .. } = &*peer.fluxling;
    let known = load.answered > 0 && load.latency_ms > 0.0;
    let latency = if known { load.latency_ms } else { UNKNOWN_LATENCY_MS };
    let concurrency = f64::from(manifest.concurrency.max(1));
    let waiting = 1.0 + peer.in_flight.max(0) as f64 / concurrency;
    latency * waiting * (1.0 + ERROR_WEIGHT * load.error_rate) + manifest.cost
}

fn reason(
    scored: &[(usize, usize, f64)],
    best: Option<(usize, usize, f64)>,
    candidates: usize,
    crowded: bool,
    capability: &Capability,
) -> String {
    let Some((_, _, best)) = best else {
        return match candidates {
            0 => format!("no fluxling offers `{capability}`"),
            _ => format!("none of the {candidates} that offer `{capability}` can take it now"),
        };
    };
    let other = scored.iter().map(|(_, _, score)| *score).fold(best, f64::max);
    let why = match (candidates, scored.len()) {
        (1, _) => "the only one with the capability".to_owned(),
        (_, 1) => format!("the only one of {candidates} that can take it now"),
        _ => format!("the better of two drawn from {candidates}: {best:.0} against {other:.0} ms"),
    };
    if crowded { format!("{why}; all are at their concurrency, so it waits there") } else { why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxus_schema::fluxling::{CapabilityManifest, Load, Manifest};

    fn peer(name: &str, latency_ms: f64, in_flight: i64) -> Peer {
        let manifest = Manifest {
            name: name.parse().unwrap(),
            version: String::new(),
            description: String::new(),
            queue: name.to_owned(),
            capabilities: vec![CapabilityManifest {
                name: "pay".parse().unwrap(),
                input_schema: serde_json::Value::Null,
                output_schema: serde_json::Value::Null,
            }],
            concurrency: 4,
            timeout_ms: 1000,
            idempotent: false,
            labels: BTreeMap::new(),
            weight: 100,
            cost: 0.0,
        };
        let load = Load { latency_ms, answered: 10, ..Load::default() };
        let registered_at = Timestamp::default();
        let fluxling = Fluxling { manifest, enabled: true, registered_at, load };
        Peer { fluxling: Arc::new(fluxling), in_flight }
    }

    fn choose(peers: &[Peer], labels: &[(&str, &str)]) -> Decision {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        delegate(peers, &"pay".parse().unwrap(), &labels, Timestamp::from_millis(10), || 0.0)
    }

    #[test]
    fn the_faster_of_two_is_chosen_and_the_record_says_so() {
        let decision = choose(&[peer("slow", 90.0, 0), peer("fast", 10.0, 0)], &[]);
        assert_eq!(decision.chosen, Some(1));
        assert_eq!(decision.record.reason, "the better of two drawn from 2: 10 against 90 ms");
        let reasons: Vec<_> = decision.record.candidates.iter().map(|c| &*c.reason).collect();
        assert_eq!(reasons, ["drawn, but the other one was better", "chosen"]);
    }

    #[test]
    fn who_is_full_is_passed_over_while_another_has_room() {
        let decision = choose(&[peer("slow", 90.0, 0), peer("full", 10.0, 4)], &[]);
        assert_eq!(decision.chosen, Some(0));
        assert_eq!(decision.record.candidates[1].reason, "at its concurrency");
        let crowded = choose(&[peer("full", 10.0, 9)], &[]);
        assert_eq!(crowded.chosen, Some(0));
        assert!(crowded.record.reason.ends_with("so it waits there"));
    }

    #[test]
    fn who_is_disabled_open_or_elsewhere_is_filtered_out() {
        let mut disabled = peer("disabled", 1.0, 0);
        Arc::make_mut(&mut disabled.fluxling).enabled = false;
        let mut open = peer("open", 1.0, 0);
        Arc::make_mut(&mut open.fluxling).load.circuit_open_until =
            Some(Timestamp::from_millis(11));
        let mut eu = peer("eu", 1.0, 0);
        Arc::make_mut(&mut eu.fluxling)
            .manifest
            .labels
            .insert("region".to_owned(), "eu".to_owned());
        let none =
            choose(&[disabled.clone(), open.clone(), peer("us", 1.0, 0)], &[("region", "eu")]);
        assert_eq!(none.chosen, None);
        assert_eq!(none.record.reason, "none of the 3 that offer `pay` can take it now");
        assert_eq!(choose(&[disabled, open, eu], &[("region", "eu")]).chosen, Some(2));
        assert_eq!(choose(&[], &[]).record.reason, "no fluxling offers `pay`");
    }

    #[test]
    fn weights_share_the_draws() {
        let mut heavy = peer("heavy", 50.0, 0);
        Arc::make_mut(&mut heavy.fluxling).manifest.weight = 300;
        let peers = [heavy, peer("a", 50.0, 0), peer("b", 50.0, 0)];
        let mut draws = (0..30_000)
            .map(|n: u32| f64::from(n.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24));
        let mut won = [0; 3];
        for _ in 0..10_000 {
            let labels = BTreeMap::new();
            let capability = "pay".parse().unwrap();
            let at = Timestamp::default();
            let decision =
                delegate(&peers, &capability, &labels, at, || draws.next().unwrap_or(0.5));
            won[decision.chosen.unwrap()] += 1;
        }
        assert!(won[0] > won[1] && won[0] > won[2], "{won:?}");
    }
}
