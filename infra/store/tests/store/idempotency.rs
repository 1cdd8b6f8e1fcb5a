//! The record of tasks: each is done once.

use std::time::Duration;

use fluxus_schema::Tenant;
use fluxus_store::Outcome::{Done as Finished, InProgress, New};
use fluxus_store::{Outcome, Store, idempotency};

use crate::sample::{Done, at, store};

const LEASE: Duration = Duration::from_millis(100);

async fn begin(store: &Store, tokens: &[&str], ms: i64) -> anyhow::Result<Vec<Outcome>> {
    let tenant = Tenant::default();
    let tokens: Vec<_> = tokens.iter().map(|token| (*token, &tenant)).collect();
    let session = store.session().await?;
    let begun = idempotency::begin(&session, &tokens, LEASE, at(ms)).await?;
    Ok(begun.into_iter().map(|begin| begin.outcome).collect())
}

#[tokio::test]
async fn work_is_done_once() -> Done {
    let store = store().await;
    assert_eq!(begin(&store, &["a", "b", "a"], 0).await?, [New, New, InProgress]);
    assert_eq!(begin(&store, &["b", "a", "c"], 99).await?, [InProgress, InProgress, New]);
    let session = store.session().await?;
    idempotency::complete(&session, &[("a", &Tenant::default(), r#"{"ok":1}"#)], at(1)).await?;
    idempotency::complete(&session, &[("a", &Tenant::default(), r#"{"ok":2}"#)], at(2)).await?;
    let finished = Finished(r#"{"ok":1}"#.to_owned());
    assert_eq!(begin(&store, &["a", "a", "b"], 100).await?, [finished.clone(), finished, New]);
    Ok(())
}

#[tokio::test]
async fn a_lease_ends_unless_it_is_extended() -> Done {
    let store = store().await;
    begin(&store, &["a", "b", "c"], 0).await?;
    let session = store.session().await?;
    idempotency::extend(&session, &["a"], LEASE, at(50)).await?;
    idempotency::release(&session, &["b"]).await?;
    assert_eq!(begin(&store, &["a", "b", "c"], 99).await?, [InProgress, New, InProgress]);
    assert_eq!(begin(&store, &["a", "b", "c"], 149).await?, [InProgress, InProgress, New]);
    assert_eq!(begin(&store, &["a"], 150).await?, [New]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_begins() -> Done {
    let store = store().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = Store::clone(&store);
        let mut tokens = ["a", "b", "c", "d", "e"];
        tokens.rotate_left(n % 5);
        tasks.spawn(async move { begin(&store, &tokens, 0).await.expect("begins") });
    }
    let outcomes: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == New).count(), 5);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == InProgress).count(), 35);
    Ok(())
}

#[tokio::test]
async fn old_records_are_forgotten() -> Done {
    let store = store().await;
    begin(&store, &["a", "b"], 0).await?;
    begin(&store, &["c"], 10).await?;
    let session = store.session().await?;
    assert_eq!(idempotency::purge_older(&session, at(10), 1).await?, 1);
    assert_eq!(idempotency::purge_older(&session, at(10), 9).await?, 1);
    assert_eq!(idempotency::purge_older(&session, at(10), 9).await?, 0);
    assert_eq!(begin(&store, &["c"], 11).await?, [InProgress]);
    Ok(())
}
