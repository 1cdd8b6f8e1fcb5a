//! The suite that every [`Idempotency`] adapter passes. It needs no clock: it uses leases of length
//! zero, which have ended at once, and leases of an hour, which do not end.

#![expect(clippy::expect_used, reason = "the suite runs in tests and reports by panicking")]

use std::time::Duration;

use fluxus_schema::{Json, TaskToken};
use serde_json::json;

use super::{Begin, Idempotency};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Runs the whole suite. `run` keeps the tokens of one run apart from those of others on a record
/// that lasts.
///
/// # Panics
/// Where the adapter does not conform.
pub async fn check(record: &dyn Idempotency, run: &str) {
    let suite = Suite { record, run };
    suite.a_task_is_begun_once().await;
    suite.an_ended_lease_frees_the_task().await;
    suite.an_extended_lease_holds().await;
    suite.an_outcome_is_kept_as_it_was().await;
    suite.the_first_outcome_stays().await;
    suite.a_task_may_be_completed_twice_in_one_call().await;
    suite.a_released_task_begins_anew().await;
    suite.a_batch_keeps_its_order().await;
    suite.an_empty_batch_is_fine().await;
    suite.two_workers_cannot_both_begin().await;
}

struct Suite<'a> {
    record: &'a dyn Idempotency,
    run: &'a str,
}

impl Suite<'_> {
    fn token(&self, name: &str) -> TaskToken {
        TaskToken::from_text(&format!("{}-{name}", self.run))
    }

    async fn begin(&self, names: &[&str], lease: Duration) -> Vec<Begin> {
        let tokens: Vec<_> = names.iter().map(|name| self.token(name)).collect();
        self.record.begin(&tokens, lease).await.expect("begin")
    }

    async fn complete(&self, name: &str, outcome: serde_json::Value) {
        let outcomes = [(self.token(name), Json::new(outcome))];
        self.record.complete(&outcomes).await.expect("complete");
    }

    async fn a_task_is_begun_once(&self) {
        assert_eq!(self.begin(&["once"], HOUR).await, [Begin::New]);
        assert_eq!(self.begin(&["once"], HOUR).await, [Begin::InProgress]);
    }

    async fn an_ended_lease_frees_the_task(&self) {
        assert_eq!(self.begin(&["ended"], Duration::ZERO).await, [Begin::New]);
        assert_eq!(self.begin(&["ended"], HOUR).await, [Begin::New]);
        assert_eq!(self.begin(&["ended"], HOUR).await, [Begin::InProgress]);
    }

    async fn an_extended_lease_holds(&self) {
        assert_eq!(self.begin(&["extended"], Duration::ZERO).await, [Begin::New]);
        let tokens = [self.token("extended"), self.token("never begun")];
        self.record.extend(&tokens, HOUR).await.expect("extend");
        assert_eq!(self.begin(&["extended"], HOUR).await, [Begin::InProgress]);
        assert_eq!(self.begin(&["never begun"], HOUR).await, [Begin::New]);
    }

    /// Where a lease was taken over, one worker may do a task twice at the same time.
    async fn a_task_may_be_completed_twice_in_one_call(&self) {
        self.begin(&["twice", "beside"], HOUR).await;
        let outcome = |name: &str, n: u32| (self.token(name), Json::new(json!({ "n": n })));
        let outcomes = [outcome("twice", 1), outcome("beside", 2), outcome("twice", 3)];
        self.record.complete(&outcomes).await.expect("complete");
        let begun = self.begin(&["twice", "beside"], HOUR).await;
        assert!(matches!(begun[0], Begin::Done(_)), "{begun:?}");
        assert_eq!(begun[1], Begin::Done(Json::new(json!({ "n": 2 }))));
    }

    async fn an_outcome_is_kept_as_it_was(&self) {
        let outcome = json!({"type": "TaskSucceeded", "output": {"b": 1.5, "a": ["ü", null]}});
        self.begin(&["done"], HOUR).await;
        self.complete("done", outcome.clone()).await;
        let tokens = [self.token("done")];
        self.record.extend(&tokens, HOUR).await.expect("extend");
        assert_eq!(self.begin(&["done"], HOUR).await, [Begin::Done(Json::new(outcome))]);
    }

    async fn the_first_outcome_stays(&self) {
        self.begin(&["twice"], HOUR).await;
        self.complete("twice", json!(1)).await;
        self.complete("twice", json!(2)).await;
        assert_eq!(self.begin(&["twice"], HOUR).await, [Begin::Done(Json::new(json!(1)))]);
        self.complete("never begun before", json!(3)).await;
        let begun = self.begin(&["never begun before"], HOUR).await;
        assert_eq!(begun, [Begin::Done(Json::new(json!(3)))]);
    }

    async fn a_released_task_begins_anew(&self) {
        self.begin(&["released", "finished"], HOUR).await;
        self.complete("finished", json!(null)).await;
        let tokens = ["released", "finished", "unknown"].map(|name| self.token(name));
        self.record.release(&tokens).await.expect("release");
        let begun = self.begin(&["released", "finished"], HOUR).await;
        assert_eq!(begun, [Begin::New, Begin::Done(Json::new(json!(null)))]);
    }

    async fn a_batch_keeps_its_order(&self) {
        self.begin(&["z done", "b held"], HOUR).await;
        self.complete("z done", json!("z")).await;
        let begun = self.begin(&["z done", "y new", "b held", "a new"], HOUR).await;
        let done = Begin::Done(Json::new(json!("z")));
        assert_eq!(begun, [done, Begin::New, Begin::InProgress, Begin::New]);
    }

    async fn an_empty_batch_is_fine(&self) {
        assert_eq!(self.begin(&[], HOUR).await, []);
        self.record.extend(&[], HOUR).await.expect("extend");
        self.record.complete(&[]).await.expect("complete");
        self.record.release(&[]).await.expect("release");
    }

    async fn two_workers_cannot_both_begin(&self) {
        let (one, other) = tokio::join!(self.begin(&["race"], HOUR), self.begin(&["race"], HOUR));
        let new = [one, other].concat().iter().filter(|begin| **begin == Begin::New).count();
        assert_eq!(new, 1);
    }
}
