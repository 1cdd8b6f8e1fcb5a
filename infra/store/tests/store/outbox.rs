//! The outbox: kept until sent.

use fluxus_store::{OutboxRow, outbox};

use crate::sample::{Done, at, running, store, tenant};

#[tokio::test]
async fn what_was_not_sent_is_found_again() -> Done {
    let store = store().await;
    let claim_id = running(&store, 1).await?[0];
    let row = |n: u32| OutboxRow {
        tenant: tenant(),
        claim_id,
        queue: "q".to_owned(),
        body: n.to_string(),
        delay_ms: n,
    };
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let ids = outbox::insert(&tx, &(0..5).map(row).collect::<Vec<_>>(), at(1)).await?;
    assert_eq!(outbox::insert(&tx, &[], at(1)).await?, [0; 0]);
    assert_eq!(tx.statements(), 1);
    tx.commit().await?;
    outbox::delete(&session, &ids[1..3]).await?;
    let mut other = store.session().await?;
    let (one, two) = (session.begin().await?, other.begin().await?);
    assert_eq!(outbox::take_unsent(&one, at(1), 9).await?, [], "none is older");
    let unsent = outbox::take_unsent(&one, at(2), 2).await?;
    assert_eq!(
        unsent.iter().map(|u| (u.outbox_id, u.row.clone())).collect::<Vec<_>>(),
        [(ids[0], row(0)), (ids[3], row(3)),]
    );
    let rest = outbox::take_unsent(&two, at(2), 9).await?;
    assert_eq!(rest.iter().map(|unsent| unsent.outbox_id).collect::<Vec<_>>(), [ids[4]]);
    outbox::delete(&one, &[ids[0], ids[3]]).await?;
    one.commit().await?;
    let left = outbox::take_unsent(&two, at(2), 9).await?;
    assert_eq!(left.len(), 1);
    Ok(())
}
