//! What ended long ago goes; what is open keeps its history.

use std::time::Duration;

use fluxus_postgres::types::Type;
use fluxus_schema::{ClaimId, ClaimStatus, Timestamp};
use fluxus_store::{Changes, Retention, Retired, Store};
use serde_json::json;

use crate::sample::{
    Done, at, end, insert, intake, new_claim, record, root, running, save, start, store, tenant,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The partition of the day that all of it happens on.
const PARTITION: &str = "history_20261123";

fn later() -> Timestamp {
    at(0).plus(40 * DAY)
}

fn of(dry_run: bool) -> Retention {
    Retention { older_than: at(0).plus(10 * DAY), dry_run, at_most: usize::MAX }
}

/// Claims that recorded something on that day.
async fn told(store: &Store, how_many: usize) -> anyhow::Result<Vec<ClaimId>> {
    store.ensure_partitions(at(0), 0).await?;
    let ids = running(store, how_many).await?;
    let history = ids.iter().map(|id| record(&root(*id), 0, &["ExecutionStarted"])).collect();
    save(store, &Changes { history, ..Changes::default() }).await?;
    Ok(ids)
}

async fn ended(store: &Store, ids: &[ClaimId]) -> anyhow::Result<()> {
    let end = ids.iter().map(|id| end(*id, ClaimStatus::Failed, false)).collect();
    save(store, &Changes { end, ..Changes::default() }).await
}

async fn count(store: &Store, table: &str, id: ClaimId) -> anyhow::Result<i64> {
    let sql = format!("SELECT count(*) FROM {table} WHERE claim_id = $1");
    let rows = store.session().await?.query(&sql, &[(&id.0, Type::UUID)]).await?;
    Ok(rows[0].get(0))
}

fn days(retired: &Retired) -> Vec<&str> {
    retired.days.iter().map(|day| &*day.partition).collect()
}

#[tokio::test]
async fn an_open_claim_keeps_its_days_and_loses_nothing() -> Done {
    let store = store().await;
    let ids = told(&store, 3).await?;
    ended(&store, &ids[..2]).await?;

    let dry = store.retire(later(), of(true)).await?;
    assert_eq!((dry.claims, dry.payloads, dry.more, dry.dry_run), (2, 0, false, true));
    assert!(dry.claim_bytes > 1000, "{dry:?}");
    let kept = &dry.kept_days[..];
    assert_eq!(kept.len(), 1, "{dry:?}");
    assert_eq!((&*kept[0].partition, kept[0].claims, kept[0].open), (PARTITION, 1, 1));
    assert_eq!(count(&store, "history", ids[0]).await?, 1, "nothing went");

    let retired = store.retire(later(), of(false)).await?;
    let same = Retired { dry_run: true, days: dry.days.clone(), ..retired.clone() };
    assert_eq!(same, dry, "it does what it said");
    for table in ["claim", "history", "branch", "timer"] {
        assert_eq!(count(&store, table, ids[0]).await?, 0, "{table}");
    }
    for table in ["claim", "history", "branch"] {
        assert_eq!(count(&store, table, ids[2]).await?, 1, "{table}");
    }

    ended(&store, &ids[2..]).await?;
    let retired = store.retire(later(), of(false)).await?;
    assert_eq!((retired.claims, days(&retired)), (1, vec![PARTITION]));
    let again = store.retire(later(), of(false)).await?;
    assert_eq!((again.claims, again.days, again.kept_days), (0, vec![], vec![]));
    Ok(())
}

#[tokio::test]
async fn payloads_and_keys_go_with_their_claim() -> Done {
    let store = store().await;
    let mut claim = new_claim("t");
    claim.body = json!("x".repeat(1_000_000));
    claim.idempotency_key = Some("key".to_owned());
    let intake = intake(1, claim);
    insert(&store, std::slice::from_ref(&intake)).await?;
    let id = intake.claim_id;
    assert_eq!(count(&store, "payload", id).await?, 1);
    let found = store.claim(&tenant(), id).await?.expect("is there");
    assert_eq!(found.body, intake.claim.body);
    save(&store, &Changes { start: vec![start(id)], ..Changes::default() }).await?;
    ended(&store, &[id]).await?;
    let retired = store.retire(later(), of(false)).await?;
    assert_eq!((retired.claims, retired.payloads), (1, 1));
    assert_eq!(count(&store, "payload", id).await?, 0);
    let again = insert(&store, &[intake]).await?;
    assert!(!again[0].duplicate, "the key is free again");
    Ok(())
}

#[tokio::test]
async fn it_goes_in_bounded_steps_and_never_takes_what_is_young() -> Done {
    let store = store().await;
    let ids = told(&store, 1_200).await?;
    ended(&store, &ids).await?;
    let some = Retention { at_most: 700, ..of(false) };
    let retired = store.retire(later(), some).await?;
    assert_eq!((retired.claims, retired.more, days(&retired)), (700, true, vec![]));
    let retired = store.retire(later(), some).await?;
    assert_eq!((retired.claims, retired.more), (500, false));
    assert!(days(&retired).contains(&PARTITION), "{retired:?}");

    let ids = told(&store, 1).await?;
    ended(&store, &ids).await?;
    let now = at(0).plus(DAY / 2);
    let all = Retention { older_than: now.plus(DAY), dry_run: false, at_most: usize::MAX };
    assert_eq!(store.retire(now, all).await?.claims, 0);
    Ok(())
}

#[tokio::test]
async fn a_day_that_is_being_read_stays_for_the_next_time() -> Done {
    let store = store().await;
    let ids = told(&store, 1).await?;
    ended(&store, &ids).await?;
    let mut session = store.session().await?;
    let reading = session.begin().await?;
    reading.query(&format!("SELECT count(*) FROM {PARTITION}"), &[]).await?;
    let retired = store.retire(later(), of(false)).await?;
    let busy = retired.kept_days.iter().find(|day| day.partition == PARTITION);
    assert!(busy.is_some_and(|day| day.busy), "{retired:?}");
    reading.rollback().await?;
    assert_eq!(days(&store.retire(later(), of(false)).await?), [PARTITION]);
    Ok(())
}
