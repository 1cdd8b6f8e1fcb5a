//! History: reading it in order, page by page.

use fluxus_schema::history::EventKind;
use fluxus_schema::{BranchId, HybridTime};
use fluxus_store::history::HistoryCursor;
use fluxus_store::{BranchRow, Changes, HistoryRow, Store};
use serde_json::json;

use crate::sample::{Done, at, hybrid, record, root, running, save, store, tenant};

async fn recorded(store: &Store, history: Vec<HistoryRow>) -> Done {
    save(store, &Changes { history, ..Changes::default() }).await
}

#[tokio::test]
async fn a_history_is_read_page_by_page_without_tearing_a_step() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    let step = |revision, us: i64| BranchRow {
        revision,
        changed_at: HybridTime::from_micros(hybrid(1).as_micros() + us),
        ..root(id)
    };
    let (first, second, third) = (step(1, 0), step(2, 1), step(3, 2));
    let rows = vec![
        record(&third, 0, &["TaskStateExited"]),
        record(&second, 1, &["TaskStarted", "TaskSucceeded"]),
        record(&second, 0, &["TaskScheduled"]),
        record(&first, 0, &["TaskStateEntered"]),
    ];
    recorded(&store, rows).await?;
    let all = store.history(&tenant(), id, None, usize::MAX).await?;
    assert_eq!(all.rows.iter().map(|row| row.revision).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(all.next, None);
    let kinds: Vec<_> = all.rows[1].events.iter().map(|event| event.kind).collect();
    use EventKind::{TaskScheduled, TaskStarted, TaskSucceeded};
    assert_eq!(kinds, [TaskScheduled, TaskStarted, TaskSucceeded], "the parts in order");
    let page = store.history(&tenant(), id, None, 2).await?;
    assert_eq!(page.rows, &all.rows[..2]);
    let next = page.next.expect("more");
    let expected =
        HistoryCursor { at: second.changed_at, branch_id: BranchId::root(), revision: 2 };
    assert_eq!(next, expected);
    let page = store.history(&tenant(), id, Some(&next), 2).await?;
    assert_eq!((page.rows.as_slice(), page.next), (&all.rows[2..], None));
    assert_eq!(store.history(&"other".parse()?, id, None, 9).await?.rows, [], "another's");
    Ok(())
}

#[tokio::test]
async fn decisions_are_found_among_the_events() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    let delegation = json!({
        "capability": "c", "fluxling": "f", "reason": "the only one", "candidates": [],
    });
    let events = json!([{ "type": "TaskScheduled" }, { "type": "TaskDelegated", "d": delegation }]);
    let rows = vec![
        HistoryRow { events: events.to_string(), ..record(&root(id), 0, &[]) },
        record(&BranchRow { revision: 1, ..root(id) }, 0, &["TaskSucceeded"]),
    ];
    recorded(&store, rows).await?;
    let decisions = store.decisions(&tenant(), id).await?;
    assert_eq!(decisions.len(), 1);
    assert_eq!(decisions[0].at, at(1));
    assert_eq!(decisions[0].delegation.reason, "the only one");
    Ok(())
}

#[tokio::test]
async fn people_read_the_history_in_sql() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    recorded(&store, vec![record(&root(id), 0, &["TaskScheduled", "TaskStarted"])]).await?;
    let odd = HistoryRow {
        events: r#"[{"type":"TaskSucceeded","prev":"/#0:1","d":{"output":"\u0000"}}]"#.to_owned(),
        ..record(&BranchRow { revision: 1, ..root(id) }, 0, &[])
    };
    recorded(&store, vec![odd]).await?;
    let sql = "SELECT position, type, previous, details::text FROM history_event
                ORDER BY revision, position";
    let rows = store.session().await?.query(sql, &[]).await?;
    let read = |row: &fluxus_postgres::Row| (row.get::<_, i32>(0), row.get::<_, String>(1));
    let read: Vec<_> = rows.iter().map(read).collect();
    let expected = [(0, "TaskScheduled"), (1, "TaskStarted"), (0, "TaskSucceeded")];
    assert_eq!(read, expected.map(|(position, kind)| (position, kind.to_owned())));
    assert_eq!(rows[2].get::<_, String>(2), "/#0:1");
    assert_eq!(rows[2].get::<_, String>(3), r#"{"output":"\ufffd"}"#);
    Ok(())
}

#[tokio::test]
async fn partitions_are_made_ahead_and_take_over_what_came_before_them() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    // Far from the days that the migration made.
    let far = fluxus_schema::Timestamp::parse("2040-02-28T23:59:59.999Z").expect("a time");
    let row = BranchRow { changed_at: HybridTime::default().next(far), ..root(id) };
    recorded(&store, vec![record(&row, 0, &["TaskScheduled"])]).await?;
    let place = async || -> anyhow::Result<String> {
        let sql = "SELECT tableoid::regclass::text FROM history";
        Ok(store.session().await?.query(sql, &[]).await?[0].get(0))
    };
    assert_eq!(place().await?, "history_default");
    let (a, b) = tokio::join!(store.ensure_partitions(far, 2), store.ensure_partitions(far, 2));
    assert_eq!(a? + b?, 3, "each made once");
    assert_eq!(place().await?, "history_20400228");
    assert_eq!(store.ensure_partitions(far, 2).await?, 0);
    let history = store.history(&tenant(), id, None, 9).await?;
    assert_eq!(history.rows[0].at, row.changed_at);
    Ok(())
}
