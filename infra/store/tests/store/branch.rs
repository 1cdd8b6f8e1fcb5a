//! Branches: locking, joining, taking turns, and finding those that nobody serves.

use fluxus_schema::ClaimId;
use fluxus_store::branch::{
    Children, Join, Pending, Unserved, join, lock, still_pending, take_pending, unserved,
};
use fluxus_store::{BranchRow, BranchStatus, Changes, LoadedBranch, Store};

use crate::sample::{Done, child, key, root, running, save, stepped, store, tenant};

/// A root at revision 1 with children of these statuses, and one grandchild under the first.
async fn family(
    store: &Store,
    statuses: &[BranchStatus],
) -> anyhow::Result<(ClaimId, Vec<BranchRow>)> {
    let claim = running(store, 1).await?[0];
    let parent = stepped(&root(claim));
    let mut rows: Vec<_> =
        statuses.iter().enumerate().map(|(n, status)| child(&parent, n, *status)).collect();
    let changes =
        Changes { update: vec![parent.clone()], insert: rows.clone(), ..Changes::default() };
    save(store, &changes).await?;
    rows.insert(0, parent);
    Ok((claim, rows))
}

fn names(loaded: &[LoadedBranch]) -> Vec<&str> {
    loaded.iter().map(|branch| branch.row.branch_id.as_str()).collect()
}

const ENDED: BranchStatus = BranchStatus::Ended;
const OPEN: BranchStatus = BranchStatus::Open;
const PENDING: BranchStatus = BranchStatus::Pending;

#[tokio::test]
async fn branches_come_in_order_and_share_their_claim() -> Done {
    let store = store().await;
    let (_, a) = family(&store, &[OPEN, ENDED]).await?;
    let (_, b) = family(&store, &[OPEN]).await?;
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let mut keys = vec![key(&b[1]), key(&a[2]), key(&a[0]), key(&a[2]), key(&b[0])];
    keys.push(key(&stepped(&child(&a[1], 9, OPEN))));
    let loaded = lock(&tx, &keys, &[]).await?;
    assert_eq!(tx.statements(), 1);
    let mut expected = [&a[0], &a[2], &b[0], &b[1]];
    expected.sort_by_key(|row| row.key());
    assert_eq!(loaded.iter().map(|branch| &branch.row).collect::<Vec<_>>(), expected);
    assert!(std::sync::Arc::ptr_eq(&loaded[0].claim, &loaded[1].claim));
    let claim = &loaded[0].claim;
    assert_eq!(&*claim.body, "{\"a\":[1,\"é\\u0000\"]}");
    assert_eq!((claim.recipe.as_str(), claim.recipe_version), ("r", 1));
    assert_eq!(&claim.seed, b"0123456789abcdef");
    Ok(())
}

#[tokio::test]
async fn the_second_list_brings_what_has_not_ended_below() -> Done {
    let store = store().await;
    let (_, rows) = family(&store, &[OPEN, ENDED, PENDING]).await?;
    let below = [child(&rows[1], 0, OPEN), child(&rows[1], 1, ENDED), child(&rows[2], 0, OPEN)];
    save(&store, &Changes { insert: below.to_vec(), ..Changes::default() }).await?;
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let whole = lock(&tx, &[], &[key(&rows[0])]).await?;
    assert_eq!(names(&whole), ["/", "/1.0", "/1.0/0.0", "/1.1/0.0", "/1.2"]);
    let part = lock(&tx, &[key(&rows[0])], &[key(&rows[1])]).await?;
    assert_eq!(names(&part), ["/", "/1.0", "/1.0/0.0"]);
    let ended = lock(&tx, &[], &[key(&rows[2])]).await?;
    assert_eq!(names(&ended), ["/1.1", "/1.1/0.0"], "the one that is named comes in any status");
    assert_eq!(names(&lock(&tx, &[], &[]).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn who_waits_for_a_lock_sees_the_newest_version() -> Done {
    let store = store().await;
    let claim = running(&store, 1).await?[0];
    let mut first = store.session().await?;
    let tx = first.begin().await?;
    lock(&tx, &[key(&root(claim))], &[]).await?;
    let other = Store::clone(&store);
    let waiting = tokio::spawn(async move {
        let mut session = other.session().await?;
        let tx = session.begin().await?;
        let loaded = lock(&tx, &[key(&root(claim))], &[]).await?;
        anyhow::Ok(loaded[0].row.revision)
    });
    wait_for_a_waiter(&store).await?;
    let update = vec![stepped(&root(claim))];
    fluxus_store::changes::save(&tx, &Changes { update, ..Changes::default() }).await?;
    tx.commit().await?;
    assert_eq!(waiting.await??, 1);
    Ok(())
}

/// Until some session of this database waits for a lock.
async fn wait_for_a_waiter(store: &Store) -> Done {
    let waiting = "SELECT FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let session = store.session().await?;
    while session.query(waiting, &[]).await?.is_empty() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_share_branches_never_deadlock() -> Done {
    let store = store().await;
    let ids = running(&store, 30).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6_usize {
        let (store, ids) = (Store::clone(&store), ids.clone());
        tasks.spawn(async move {
            for round in 0..10 {
                let pick = |k: usize| key(&root(ids[(k * (2 * n + 1) + round) % 30]));
                let keys: Vec<_> = (0..20).map(pick).collect();
                let mut session = store.session().await?;
                let tx = session.begin().await?;
                let loaded = lock(&tx, &keys[..10], &keys[10..]).await?;
                let update = loaded.iter().map(|branch| stepped(&branch.row)).collect();
                fluxus_store::changes::save(&tx, &Changes { update, ..Changes::default() }).await?;
                tx.commit().await?;
            }
            anyhow::Ok(())
        });
    }
    for result in tasks.join_all().await {
        result?;
    }
    Ok(())
}

#[tokio::test]
async fn a_join_waits_for_the_last_child() -> Done {
    let store = store().await;
    let (_, all) = family(&store, &[ENDED, ENDED]).await?;
    let (_, some) = family(&store, &[ENDED, OPEN]).await?;
    // A failed child keeps its own children; they are not those of the root.
    let below = child(&all[1], 0, OPEN);
    save(&store, &Changes { insert: vec![below], ..Changes::default() }).await?;
    let of = |row: &BranchRow, parent_revision| Join {
        claim_id: row.claim_id,
        parent: row.branch_id.clone(),
        parent_revision,
    };
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let parents = [of(&all[0], 1), of(&all[0], 1), of(&some[0], 1), of(&all[0], 2)];
    assert_eq!(join(&tx, &parents).await?, &all[1..]);
    assert_eq!(tx.statements(), 1);
    Ok(())
}

#[tokio::test]
async fn the_next_items_are_the_lowest_that_nobody_holds() -> Done {
    let store = store().await;
    let (claim, rows) = family(&store, &[OPEN, ENDED, PENDING, PENDING, PENDING, PENDING]).await?;
    let next = |how_many| {
        [Pending {
            claim_id: claim,
            parent: rows[0].branch_id.clone(),
            parent_revision: 1,
            how_many,
        }]
    };
    let (mut one, mut two) = (store.session().await?, store.session().await?);
    let (first, second) = (one.begin().await?, two.begin().await?);
    let taken = take_pending(&first, &next(2)).await?;
    assert_eq!(taken.iter().map(|row| row.position).collect::<Vec<_>>(), [2, 3]);
    assert!(taken.iter().all(|row| row.status == OPEN && row.revision == 0));
    let rest = take_pending(&second, &next(9)).await?;
    assert_eq!(rest.iter().map(|row| row.position).collect::<Vec<_>>(), [4, 5]);
    let held = still_pending(&second, next(7).to_vec()).await?;
    assert_eq!(held, next(7), "the first holds some");
    first.commit().await?;
    assert_eq!(still_pending(&second, held).await?, []);
    second.commit().await?;
    assert_eq!(store.waiting(claim).await?.len(), 6, "the root and five items");
    let children =
        Children { parent: rows[0].branch_id.clone(), parent_revision: 1, open: 5, total: 6 };
    assert_eq!(store.children(claim).await?, [children]);
    Ok(())
}

#[tokio::test]
async fn a_fluxling_that_registers_finds_who_waits_for_it() -> Done {
    let store = store().await;
    let ids = running(&store, 3).await?;
    let waits = |n: usize, capability: Option<&str>| BranchRow {
        unserved: capability.map(|name| name.parse().expect("a name")),
        ..stepped(&root(ids[n]))
    };
    let update = vec![waits(0, Some("a")), waits(1, Some("b")), waits(2, None)];
    save(&store, &Changes { update, ..Changes::default() }).await?;
    let session = store.session().await?;
    let found = unserved(&session, &["a".parse()?, "c".parse()?], 10).await?;
    let capability = "a".parse()?;
    assert_eq!(found, [Unserved { key: key(&root(ids[0])), tenant: tenant(), capability }]);
    Ok(())
}
