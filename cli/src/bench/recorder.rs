//! What was measured, claim by claim and second by second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval_at};

use super::client::Ended;
use super::meter::{Memory, Scale};

/// Longest latency that is told apart, in microseconds: ten minutes.
const MAX_LATENCY_US: u64 = 600_000_000;

/// Digits of a latency that are kept: three, so that it is right to a thousandth.
const DIGITS: u8 = 3;

/// After how many samples memory is looked at: the kernel walks through all pages of all processes of
/// Postgres for it, which took a hundredth of what was measured.
const WEIGH_EVERY: u32 = 5;

/// How long one sample covers. Of a run longer than this many samples, pairs are put together, so
/// that what is kept stays small however long it is.
const SAMPLE: Duration = Duration::from_secs(1);
const MAX_SAMPLES: usize = 600;

/// Most reasons for failures that are told apart: more are noise in one.
const MAX_REASONS: usize = 20;

/// All others.
const OTHER: &str = "for other reasons";

/// Records how claims end. Clones record into the same.
#[derive(Clone)]
pub(super) struct Recorder {
    inner: Arc<Mutex<Inner>>,
    /// Another that is told the same.
    beside: Option<Arc<Mutex<Inner>>>,
}

struct Inner {
    /// One for each part that the scenario tells apart.
    parts: Vec<Counted>,
    /// Since the last sample.
    window: Counted,
    /// Why claims failed, and how often.
    reasons: BTreeMap<String, u64>,
}

/// Claims that ended.
#[derive(Clone)]
pub(super) struct Counted {
    /// Of those that ended as they should, in microseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) failed: u64,
}

/// Percentiles of a latency.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p99_9_ms: f64,
    pub(super) max_ms: f64,
}

/// What happened in a second, or a few.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    /// Its end, from the beginning of the measuring.
    pub(super) at_s: f64,
    pub(super) claims_per_s: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// In bytes.
    pub(super) memory: Memory,
}

impl Recorder {
    /// For so many parts.
    pub(super) fn new(parts: usize) -> anyhow::Result<Self> {
        let window = Counted { latency: histogram()?, failed: 0 };
        let parts = vec![window.clone(); parts];
        let inner = Inner { parts, window, reasons: BTreeMap::new() };
        Ok(Self { inner: Arc::new(Mutex::new(inner)), beside: None })
    }

    /// One that records into this and into another.
    pub(super) fn with(&self, other: &Self) -> Self {
        Self { inner: self.inner.clone(), beside: Some(other.inner.clone()) }
    }

    pub(super) fn record(&self, part: usize, latency_us: u64, ended: &Ended) {
        for inner in [Some(&self.inner), self.beside.as_ref()].into_iter().flatten() {
            let mut inner = lock(inner);
            let Inner { parts, window, reasons } = &mut *inner;
            if let Ended::Badly(reason) = ended {
                count(reasons, reason);
            }
            for counted in parts.get_mut(part).into_iter().chain([window]) {
                match ended {
                    Ended::Well => counted.latency.saturating_record(latency_us),
                    Ended::Badly(_) => counted.failed += 1,
                    Ended::Unseen => {}
                }
            }
        }
    }

    /// How each part stands now.
    pub(super) fn parts(&self) -> Vec<Counted> {
        self.inner().parts.clone()
    }

    /// Why claims failed, and how often: the most frequent reason first.
    pub(super) fn reasons(&self) -> Vec<(String, u64)> {
        let mut reasons: Vec<_> = self.inner().reasons.clone().into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }

    /// Takes samples until the answer is stopped.
    pub(super) fn sample(&self, scale: Option<Scale>) -> Sampling {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let (kept, recorder, began) = (samples.clone(), self.clone(), Instant::now());
        let task = tokio::spawn(async move {
            let mut ticks = interval_at(tokio::time::Instant::now() + SAMPLE, SAMPLE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut last, mut every, mut ticked) = (began, 1, 0);
            let mut memory = Memory::default();
            loop {
                ticks.tick().await;
                if ticked % WEIGH_EVERY == 0 {
                    memory = scale.map(Scale::weigh).unwrap_or_default();
                }
                ticked += 1;
                if ticked % every != 0 {
                    continue;
                }
                let sample = recorder.take_sample(began, last, memory);
                last = Instant::now();
                let mut kept = lock(&kept);
                kept.push(sample);
                if kept.len() >= MAX_SAMPLES {
                    every *= 2;
                    *kept = kept.chunks(2).map(Sample::together).collect();
                }
            }
        });
        Sampling { task, samples }
    }

    fn take_sample(&self, began: Instant, last: Instant, memory: Memory) -> Sample {
        let mut inner = self.inner();
        let window = &mut inner.window.latency;
        let Percentiles { p50_ms, p99_ms, max_ms, .. } = Percentiles::of(window);
        let claims_per_s = window.len() as f64 / last.elapsed().as_secs_f64();
        window.reset();
        let at_s = began.elapsed().as_secs_f64();
        Sample { at_s, claims_per_s, p50_ms, p99_ms, max_ms, memory }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

/// Samples that are being taken.
pub(super) struct Sampling {
    task: JoinHandle<()>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

impl Sampling {
    /// Ends it; the samples.
    pub(super) fn stop(self) -> Vec<Sample> {
        self.task.abort();
        std::mem::take(&mut *lock(&self.samples))
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sample {
    /// One of several in a row. The percentiles are the worst of theirs.
    fn together(samples: &[Self]) -> Self {
        let most = |number: fn(&Self) -> f64| samples.iter().map(number).fold(0.0, f64::max);
        let sum: f64 = samples.iter().map(|one| one.claims_per_s).sum();
        let last = samples.last();
        Self {
            at_s: last.map_or(0.0, |one| one.at_s),
            claims_per_s: sum / samples.len().max(1) as f64,
            p50_ms: most(|one| one.p50_ms),
            p99_ms: most(|one| one.p99_ms),
            max_ms: most(|one| one.max_ms),
            memory: last.map(|one| one.memory).unwrap_or_default(),
        }
    }
}

impl Counted {
    pub(super) fn ended(&self) -> u64 {
        self.latency.len()
    }

    /// All of them.
    pub(super) fn sum(parts: &[Self]) -> anyhow::Result<Self> {
        let mut sum = Self { latency: histogram()?, failed: 0 };
        for part in parts {
            sum.latency.add(&part.latency)?;
            sum.failed += part.failed;
        }
        Ok(sum)
    }
}

impl Percentiles {
    pub(super) fn of(latency: &Histogram<u64>) -> Self {
        let ms = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p99_9_ms: ms(0.999),
            max_ms: latency.max() as f64 / 1e3,
        }
    }
}

fn count(reasons: &mut BTreeMap<String, u64>, reason: &str) {
    let is_known = reasons.contains_key(reason);
    let reason = if is_known || reasons.len() < MAX_REASONS { reason } else { OTHER };
    *reasons.entry(reason.to_owned()).or_default() += 1;
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, MAX_LATENCY_US, DIGITS)?)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_and_failures_have_no_latency() {
        let recorder = Recorder::new(2).expect("a recorder");
        let badly = |reason: &str| Ended::Badly(reason.to_owned());
        recorder.record(0, 1_000, &Ended::Well);
        recorder.record(1, 3_000, &Ended::Well);
        recorder.record(1, 9_000_000, &badly("FAILED"));
        recorder.record(1, 9_000_000, &Ended::Unseen);
        assert_eq!(recorder.reasons(), [("FAILED".to_owned(), 1)]);
        let parts = recorder.parts();
        assert_eq!((parts[0].ended(), parts[1].ended(), parts[1].failed), (1, 1, 1));
        let sum = Counted::sum(&parts).expect("a sum");
        let max_ms = Percentiles::of(&sum.latency).max_ms;
        assert_eq!((sum.ended(), sum.failed), (2, 1));
        assert!((max_ms - 3.0).abs() < 0.01, "{max_ms}");
    }

    #[test]
    fn samples_put_together_keep_the_worst() {
        let sample = |at_s, claims_per_s, p99_ms| Sample {
            at_s,
            claims_per_s,
            p50_ms: 0.0,
            p99_ms,
            max_ms: 0.0,
            memory: Memory::default(),
        };
        let one = Sample::together(&[sample(1.0, 10.0, 5.0), sample(2.0, 30.0, 4.0)]);
        assert_eq!((one.at_s, one.claims_per_s, one.p99_ms), (2.0, 20.0, 5.0));
    }
}
