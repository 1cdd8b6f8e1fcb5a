//! Saving what a batch came to: all of it or nothing.

use fluxus_schema::ClaimStatus;
use fluxus_store::{BranchRow, BranchStatus, Changes, StoreError, TimerRow, changes, timer};

use crate::sample::{
    Done, at, child, end, insert, intake, key, new_claim, record, root, running, save, start,
    stepped, store, tenant,
};

fn timer_row(row: &BranchRow, name: &str) -> TimerRow {
    TimerRow {
        priority: 5,
        claim_id: row.claim_id,
        key: name.to_owned(),
        tenant: tenant(),
        due_at: at(5),
        queue: "q".to_owned(),
        body: name.to_owned(),
    }
}

/// Changes of every kind for `n` claims at once, except ends.
async fn everything(store: &fluxus_store::Store, n: usize) -> anyhow::Result<Changes> {
    let ids = running(store, n).await?;
    let roots: Vec<_> = ids.iter().map(|id| stepped(&root(*id))).collect();
    let gone: Vec<_> = roots.iter().map(|row| child(row, 0, BranchStatus::Ended)).collect();
    let timers = roots.iter().map(|row| timer_row(row, "old")).collect();
    save(store, &Changes { insert: gone.clone(), set_timers: timers, ..Changes::default() })
        .await?;
    let begin: Vec<_> = (0..n).map(|_| intake(1, new_claim("t"))).collect();
    insert(store, &begin).await?;
    let ended = running(store, n).await?;
    Ok(Changes {
        accept: Default::default(),
        delete_trees: Vec::new(),
        redrive: Vec::new(),
        start: begin.iter().map(|intake| start(intake.claim_id)).collect(),
        end: ended.iter().map(|id| end(*id, ClaimStatus::Succeeded, true)).collect(),
        insert: roots.iter().map(|row| child(row, 1, BranchStatus::Pending)).collect(),
        history: roots.iter().map(|row| record(row, 0, &["PassStateEntered"])).collect(),
        delete: gone.iter().map(key).collect(),
        set_timers: roots.iter().map(|row| timer_row(row, "new")).collect(),
        clear_timers: roots.iter().map(|row| (row.claim_id, "old".to_owned())).collect(),
        update: roots,
        payloads: Vec::new(),
    })
}

#[tokio::test]
async fn a_save_of_500_costs_as_many_statements_as_a_save_of_one() -> Done {
    let store = store().await;
    let mut session = store.session().await?;
    for n in [1, 500] {
        let everything = everything(&store, n).await?;
        let tx = session.begin().await?;
        changes::save(&tx, &everything).await?;
        assert_eq!(tx.statements(), 8, "for {n}");
        tx.commit().await?;
    }
    let tx = session.begin().await?;
    changes::save(&tx, &Changes::default()).await?;
    assert_eq!(tx.statements(), 0);
    Ok(())
}

#[tokio::test]
async fn every_change_is_saved() -> Done {
    let store = store().await;
    let changes = everything(&store, 2).await?;
    save(&store, &changes).await?;
    let claim = store.claim(&tenant(), changes.start[0].claim_id).await?.expect("there");
    assert_eq!((claim.status, claim.recipe_version), (ClaimStatus::Running, Some(1)));
    let claim = store.claim(&tenant(), changes.end[0].claim_id).await?.expect("there");
    assert_eq!((claim.status, claim.ended_at), (ClaimStatus::Succeeded, Some(at(9))));
    assert_eq!(store.waiting(claim.claim_id).await?, [], "its branches are gone");
    let updated = &changes.update[0];
    let rows = store.waiting(updated.claim_id).await?;
    assert_eq!(rows, [updated.clone(), changes.insert[0].clone()]);
    let history = store.history(&tenant(), updated.claim_id, None, usize::MAX).await?;
    assert_eq!(history.rows.len(), 1);
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let timers = timer::take_due(&tx, at(5), 10).await?;
    assert_eq!(timers.iter().map(|timer| &*timer.key).collect::<Vec<_>>(), ["new", "new"]);
    Ok(())
}

#[tokio::test]
async fn a_claim_may_start_and_end_in_one_step() -> Done {
    let store = store().await;
    let given = intake(1, new_claim("t"));
    insert(&store, std::slice::from_ref(&given)).await?;
    let (id, row) = (given.claim_id, root(given.claim_id));
    let changes = Changes {
        start: vec![start(id)],
        end: vec![end(id, ClaimStatus::Succeeded, true)],
        insert: vec![row.clone()],
        history: vec![record(&row, 0, &["ExecutionStarted", "ExecutionSucceeded"])],
        set_timers: vec![timer_row(&row, "deadline")],
        ..Changes::default()
    };
    save(&store, &changes).await?;
    let claim = store.claim(&tenant(), id).await?.expect("there");
    assert_eq!(claim.status, ClaimStatus::Succeeded);
    assert_eq!(claim.started_at, Some(at(1)));
    assert_eq!(store.waiting(id).await?, []);
    assert_eq!(timer::next_due(&store.session().await?).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_failed_claim_keeps_its_branches_and_loses_its_timers() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    let row = stepped(&root(id));
    let set_timers = vec![timer_row(&row, "t")];
    save(&store, &Changes { set_timers, ..Changes::default() }).await?;
    let ended = BranchRow { status: BranchStatus::Ended, failed: true, ..row };
    let changes = Changes {
        end: vec![end(id, ClaimStatus::Failed, false)],
        update: vec![ended],
        ..Changes::default()
    };
    save(&store, &changes).await?;
    let claim = store.claim(&tenant(), id).await?.expect("there");
    assert_eq!(
        claim.cause.as_deref(),
        Some("because\u{fffd}"),
        "what Postgres cannot hold is shown"
    );
    let mut session = store.session().await?;
    assert_eq!(timer::next_due(&session).await?, None);
    let tx = session.begin().await?;
    let kept = fluxus_store::branch::lock(&tx, &[key(&root(id))], &[]).await?;
    assert!(kept[0].row.failed);
    assert_eq!(kept[0].claim.status, ClaimStatus::Failed);
    Ok(())
}

async fn conflicts(store: &fluxus_store::Store, changes: Changes) -> Done {
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let error = changes::save(&tx, &changes).await.expect_err("a conflict");
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    assert!(error.is_transient());
    Ok(())
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_a_conflict() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    let none = Changes::default;
    let stale = BranchRow { revision: 0, ..root(id) };
    conflicts(&store, Changes { update: vec![stale], ..none() }).await?;
    let gone = child(&root(id), 3, BranchStatus::Open);
    conflicts(&store, Changes { update: vec![stepped(&gone)], ..none() }).await?;
    conflicts(&store, Changes { insert: vec![root(id)], ..none() }).await?;
    conflicts(&store, Changes { start: vec![start(id)], ..none() }).await?;
    let end = vec![end(id, ClaimStatus::Aborted, true)];
    save(&store, &Changes { end: end.clone(), ..none() }).await?;
    conflicts(&store, Changes { end, ..none() }).await?;
    Ok(())
}
