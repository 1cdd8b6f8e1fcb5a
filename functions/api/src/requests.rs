//! Counts this process's requests, for `GET /metrics`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Method;

/// Upper bounds of the latency buckets, in seconds: from an idle group commit to a full wait.
pub(crate) const BUCKETS: [f64; 11] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Requests by method, route and status. The labels are few: routes are templates, and methods
/// that the API does not know count as one.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<BTreeMap<Key, Count>>);

/// What requests are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) route: String,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
}

/// How many there were and how long they took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count {
    pub(crate) total: u64,
    pub(crate) seconds: f64,
    /// By [`BUCKETS`], each for itself; those past the last are in `total` only.
    pub(crate) buckets: [u64; BUCKETS.len()],
}

impl Requests {
    pub(crate) fn count(&self, method: &Method, route: &str, status: u16, took: Duration) {
        let method = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            _ => "OTHER",
        };
        let seconds = took.as_secs_f64();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key { route: route.to_owned(), method, status };
        let count = counts.entry(key).or_default();
        count.total += 1;
        count.seconds += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            count.buckets[bucket] += 1;
        }
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<Key, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
