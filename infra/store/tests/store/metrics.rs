//! The numbers behind the metrics.

use std::time::Duration;

use fluxus_schema::ClaimStatus;
use fluxus_store::{BranchRow, Changes, OutboxRow, TimerRow, outbox};

use crate::sample::{
    Done, at, end, insert, intake, new_claim, root, running, save, start, stepped, store, tenant,
};

#[tokio::test]
async fn a_snapshot_counts_what_there_is() -> Done {
    let store = store().await;
    let ids = running(&store, 4).await?;
    insert(&store, &[intake(3, new_claim("t")), intake(5, new_claim("t"))]).await?;
    let refused = intake(1, new_claim("u"));
    insert(&store, std::slice::from_ref(&refused)).await?;
    let timer = |key: &str, ms| TimerRow {
        priority: 5,
        claim_id: ids[0],
        key: key.to_owned(),
        tenant: tenant(),
        due_at: at(ms),
        queue: "q".to_owned(),
        body: "{}".to_owned(),
    };
    let unserved = Some("c".parse()?);
    let changes = Changes {
        end: vec![
            end(ids[1], ClaimStatus::Succeeded, true),
            end(ids[2], ClaimStatus::Succeeded, true),
            end(refused.claim_id, ClaimStatus::Rejected, false),
        ],
        update: vec![BranchRow { unserved, ..stepped(&root(ids[3])) }],
        set_timers: vec![timer("a", 20), timer("b", 99)],
        ..Changes::default()
    };
    save(&store, &changes).await?;
    let straight = intake(7, new_claim("t"));
    insert(&store, std::slice::from_ref(&straight)).await?;
    let changes = Changes {
        start: vec![start(straight.claim_id)],
        end: vec![end(straight.claim_id, ClaimStatus::Succeeded, true)],
        ..Changes::default()
    };
    save(&store, &changes).await?;
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let row = OutboxRow {
        tenant: tenant(),
        claim_id: ids[0],
        queue: "q".to_owned(),
        body: "{}".to_owned(),
        delay_ms: 0,
    };
    outbox::insert(&tx, &[row], at(40)).await?;
    tx.commit().await?;

    let metrics = store.metrics(at(50)).await?;
    let counts = |counts: &[fluxus_store::metrics::ClaimCount]| -> Vec<_> {
        counts.iter().map(|c| (c.claim_type.to_string(), c.status.as_str(), c.count)).collect()
    };
    let of = |claim_type: &str, status, count| (claim_type.to_owned(), status, count);
    assert_eq!(counts(&metrics.open), [of("t", "RECEIVED", 2), of("t", "RUNNING", 2)]);
    assert_eq!(counts(&metrics.ended), [of("t", "SUCCEEDED", 3), of("u", "REJECTED", 1)]);
    assert_eq!(metrics.oldest_received, Some(Duration::from_millis(47)));
    assert_eq!((metrics.timers, metrics.timers_due), (2, 1));
    assert_eq!(metrics.timer_lag, Some(Duration::from_millis(30)));
    assert_eq!((metrics.outbox, metrics.outbox_age), (1, Some(Duration::from_millis(10))));
    assert_eq!((metrics.unserved.len(), metrics.unserved[0].count), (1, 1));
    Ok(())
}
