//! Timers: set, cleared, and taken when due.

use fluxus_store::{Changes, TimerRow, timer};

use crate::sample::{Done, at, running, save, store, tenant};

#[tokio::test]
async fn due_timers_are_taken_once_the_earliest_first() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    let row = |key: &str, ms| TimerRow {
        priority: 5,
        claim_id: id,
        key: key.to_owned(),
        tenant: tenant(),
        due_at: at(ms),
        queue: "core".to_owned(),
        body: format!("{{\"{key}\":1}}"),
    };
    let set_timers = vec![row("a", 30), row("b", 10), row("c", 20), row("d", 99)];
    save(&store, &Changes { set_timers, ..Changes::default() }).await?;
    // The last word on a key counts.
    let set_timers = vec![row("c", 5), row("c", 40)];
    save(&store, &Changes { set_timers, ..Changes::default() }).await?;
    let (mut one, mut two) = (store.session().await?, store.session().await?);
    assert_eq!(timer::next_due(&one).await?, Some(at(10)));
    let (first, second) = (one.begin().await?, two.begin().await?);
    assert_eq!(timer::take_due(&first, at(50), 2).await?, [row("b", 10), row("a", 30)]);
    assert_eq!(timer::take_due(&second, at(50), 9).await?, [row("c", 40)], "not those held");
    first.commit().await?;
    second.rollback().await?;
    let tx = one.begin().await?;
    assert_eq!(timer::take_due(&tx, at(50), 9).await?, [row("c", 40)]);
    tx.commit().await?;
    let clear_timers = vec![(id, "d".to_owned()), (id, "gone".to_owned())];
    save(&store, &Changes { clear_timers, ..Changes::default() }).await?;
    assert_eq!(timer::next_due(&one).await?, None);
    Ok(())
}
