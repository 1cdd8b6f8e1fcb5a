//! The audit finds what is broken by hand, and nothing where all is sound.

use fluxus_queue::MIGRATION;
use fluxus_schema::id::TaskAddress;
use fluxus_schema::{BranchId, ClaimId, ClaimStatus, TaskToken};
use fluxus_store::{Activity, BranchRow, Changes, HistoryRow, Store, TimerRow, audit};
use serde_json::{Value, json};

use crate::sample::{
    Done, TestStore, at, end, hybrid, insert, intake, new_claim, record, root, save, start, store,
    tenant,
};

/// A sound database with one claim of each kind: fulfilled, under way, waiting, refused.
struct Sound {
    store: TestStore,
    fulfilled: ClaimId,
    under_way: ClaimId,
    received: ClaimId,
}

async fn sound() -> anyhow::Result<Sound> {
    let store = store().await;
    store.session().await?.batch(MIGRATION).await?;
    let intakes: Vec<_> = (0..4).map(|n| intake(n, new_claim("t"))).collect();
    insert(&store, &intakes).await?;
    let [fulfilled, under_way, received, refused] = [0, 1, 2, 3].map(|n| intakes[n].claim_id);
    let first = BranchRow { revision: 1, changed_at: hybrid(2), ..root(under_way) };
    let due = at(100_000_000_000);
    let begun = Changes {
        start: vec![start(fulfilled), start(under_way)],
        insert: vec![root(fulfilled), first],
        history: [begins(fulfilled), begins(under_way)].concat(),
        set_timers: vec![timer(under_way, due)],
        ..Changes::default()
    };
    save(&store, &begun).await?;
    let mut rejected = end(refused, ClaimStatus::Rejected, true);
    rejected.cause = Some("why".to_owned());
    let refusal = json!({"verdict": "REJECTED", "error": "E", "cause": "why"});
    let events = json!([{"type": "ClaimEvaluated", "d": refusal}]);
    let ended = Changes {
        end: vec![end(fulfilled, ClaimStatus::Succeeded, true), rejected],
        history: vec![ends(fulfilled), step(refused, 0, &events)],
        ..Changes::default()
    };
    save(&store, &ended).await?;
    let token = token(under_way, 1);
    send(&store, &json!({"type": "ClaimSubmitted", "claim_id": received})).await?;
    send(&store, &json!({"type": "TaskSucceeded", "token": token, "output": 1})).await?;
    Ok(Sound { store, fulfilled, under_way, received })
}

fn step(claim_id: ClaimId, revision: u32, events: &Value) -> HistoryRow {
    let changed_at = hybrid(i64::from(revision) + 1);
    let row = record(&BranchRow { revision, changed_at, ..root(claim_id) }, 0, &[]);
    HistoryRow { events: events.to_string(), ..row }
}

fn begins(claim_id: ClaimId) -> Vec<HistoryRow> {
    let scheduled = json!({"resource": "c", "timeoutInSeconds": 9});
    let delegated = json!({"fluxling": "f"});
    let first = json!([
        {"type": "ExecutionStarted"},
        {"type": "TaskStateEntered"},
        {"type": "TaskScheduled", "prev": "/#1:1", "d": scheduled},
        {"type": "TaskDelegated", "prev": "/#1:2", "d": delegated},
    ]);
    let verdict = json!([{"type": "ClaimEvaluated", "d": {"verdict": "ACCEPTED"}}]);
    vec![step(claim_id, 0, &verdict), step(claim_id, 1, &first)]
}

fn ends(claim_id: ClaimId) -> HistoryRow {
    let events = json!([
        {"type": "TaskSucceeded", "prev": "/#1:2"},
        {"type": "TaskStateExited", "prev": "/#2:0"},
        {"type": "ExecutionSucceeded", "prev": "/#2:1", "d": {"output": {"done": true}}},
    ]);
    step(claim_id, 2, &events)
}

fn timer(claim_id: ClaimId, due_at: fluxus_schema::Timestamp) -> TimerRow {
    let (queue, body) = ("core".to_owned(), "{}".to_owned());
    TimerRow { priority: 5, claim_id, key: "/".to_owned(), tenant: tenant(), due_at, queue, body }
}

fn token(claim_id: ClaimId, revision: u32) -> TaskToken {
    TaskToken::new(&TaskAddress { claim_id, branch_id: BranchId::root(), revision }, 7)
}

async fn send(store: &Store, message: &Value) -> Done {
    run(
        store,
        &format!(
            "INSERT INTO fluxus_queue.message (visible_at, sent_at, queue, body)
         VALUES (now(), now(), 'core', '{message}')"
        ),
    )
    .await
}

async fn run(store: &Store, sql: &str) -> Done {
    Ok(store.session().await?.batch(sql).await?)
}

async fn found(store: &Store, activity: Activity) -> anyhow::Result<Vec<String>> {
    let found = audit(store, activity).await?;
    Ok(found.into_iter().map(|violation| violation.what).collect())
}

#[tokio::test]
async fn a_sound_database_has_no_violation() -> Done {
    let sound = sound().await?;
    assert_eq!(found(&sound.store, Activity::UnderWay).await?, [""; 0]);
    let drained = found(&sound.store, Activity::Drained).await?;
    assert_eq!(drained.len(), 2, "both messages are undelivered: {drained:?}");
    Ok(())
}

/// Breaks a sound database, and expects just this to be found.
async fn check(breaks: impl Fn(&Sound) -> String, expected: &[&str]) -> Done {
    let sound = sound().await?;
    run(&sound.store, &breaks(&sound)).await?;
    assert_eq!(found(&sound.store, Activity::UnderWay).await?, expected, "{}", breaks(&sound));
    Ok(())
}

#[tokio::test]
async fn a_step_that_is_recorded_twice_is_found() -> Done {
    let again = |sound: &Sound| {
        format!(
            "INSERT INTO history SELECT claim_id, recorded_at + interval '1 s', branch_id, revision,
                    part, tenant, events FROM history WHERE claim_id = '{}' AND revision = 2",
            sound.fulfilled
        )
    };
    check(
        again,
        &[
            "step /#2 is recorded at 2026-11-23T00:00:00.003Z and at 2026-11-23T00:00:01.003Z",
            "branch / goes from revision 2 to 2",
            "TaskSucceeded at /#2 of no task: it has a result already",
            "is SUCCEEDED and its execution ended 2 times, not 1",
        ],
    )
    .await
}

#[tokio::test]
async fn a_step_that_is_missing_is_found() -> Done {
    let lost = |sound: &Sound| {
        format!("DELETE FROM history WHERE claim_id = '{}' AND revision = 1", sound.fulfilled)
    };
    check(
        lost,
        &[
            "TaskSucceeded /#2:0 follows /#1:2, which is not there before it",
            "3 events have a cause, and 2 are numbered after one",
            "branch / goes from revision 0 to 2",
            "TaskSucceeded at /#2 of no task: it has a result already",
            "is SUCCEEDED and began 0 times",
        ],
    )
    .await
}

#[tokio::test]
async fn an_end_that_is_told_otherwise_is_found() -> Done {
    let events = |from: &'static str, to: &'static str| {
        move |sound: &Sound| {
            format!(
                "UPDATE history SET events = replace(events::text, '{from}', '{to}')::json
                  WHERE claim_id = '{}'",
                sound.fulfilled
            )
        }
    };
    let wrong = "is SUCCEEDED, and its history ends with ExecutionFailed";
    check(events("ExecutionSucceeded", "ExecutionFailed"), &[wrong]).await?;
    let output = "has another output than its history says";
    check(events("\"done\":true", "\"done\":false"), &[output]).await?;
    let cause = "TaskStateExited /#2:1 follows /#1:3, which the service does not have";
    check(events("/#2:0", "/#1:3"), &[cause]).await
}

#[tokio::test]
async fn a_claim_that_ended_twice_is_found() -> Done {
    check(
        |_| "UPDATE claim_tally SET ended = 2 WHERE status = 'SUCCEEDED'".to_owned(),
        &["2 ends of `t` of `default` as SUCCEEDED are tallied, not 1"],
    )
    .await?;
    check(
        |_| "DELETE FROM claim_tally WHERE status = 'REJECTED'".to_owned(),
        &["1 ends of `t` of `default` as REJECTED are not tallied"],
    )
    .await
}

#[tokio::test]
async fn what_an_ended_claim_left_behind_is_found() -> Done {
    let left = |table: &'static str| {
        move |sound: &Sound| {
            let Sound { fulfilled, under_way, .. } = sound;
            format!(
                "CREATE TEMP TABLE left_over AS SELECT * FROM {table} WHERE claim_id = '{under_way}';
                 UPDATE left_over SET claim_id = '{fulfilled}';
                 INSERT INTO {table} SELECT * FROM left_over"
            )
        }
    };
    check(left("timer"), &["is SUCCEEDED and has the timer `/`"]).await?;
    check(
        left("branch"),
        &[
            "branch / is at revision 1; 2 is recorded",
            "is SUCCEEDED and its branch / is there as OPEN",
        ],
    )
    .await
}

#[tokio::test]
async fn a_wait_for_an_execution_that_ended_is_found() -> Done {
    let waits_for = |ended: bool| {
        move |sound: &Sound| {
            let token = token(sound.under_way, 1);
            let of = if ended { sound.fulfilled } else { sound.received };
            format!(
                "DELETE FROM fluxus_queue.message WHERE body LIKE '%TaskSucceeded%';
                 INSERT INTO waiter VALUES ('{of}', '{token}', 'default', false)"
            )
        }
    };
    check(waits_for(false), &[]).await?;
    check(waits_for(true), &["has ended, and a task waits for its end"]).await
}

#[tokio::test]
async fn a_claim_that_nothing_moves_on_is_found() -> Done {
    let lost = |kind: &'static str| {
        move |_: &Sound| format!("DELETE FROM fluxus_queue.message WHERE body LIKE '%{kind}%'")
    };
    check(lost("ClaimSubmitted"), &["is RECEIVED, and no message is there to begin it"]).await?;
    check(lost("TaskSucceeded"), &["branch / waits for a task whose message is lost"]).await?;
    let timer = "branch / waits for a task without the timer that bounds it";
    check(|_| "DELETE FROM timer".to_owned(), &[timer]).await?;
    let of = |sound: &Sound| sound.under_way;
    check(
        |sound| format!("DELETE FROM branch WHERE claim_id = '{}'", of(sound)),
        &["is RUNNING without a root branch"],
    )
    .await?;
    check(
        |sound| format!("UPDATE branch SET revision = 2 WHERE claim_id = '{}'", of(sound)),
        &["branch / is at revision 2; 1 is recorded"],
    )
    .await?;
    let deadline = "has a deadline, and nothing to end it then";
    let sql = |sound: &Sound| {
        format!("UPDATE claim SET deadline = now() WHERE claim_id = '{}'", of(sound))
    };
    check(sql, &[deadline]).await
}

#[tokio::test]
async fn rows_of_no_claim_are_found() -> Done {
    let sound = sound().await?;
    run(&sound.store, &format!("DELETE FROM claim WHERE claim_id = '{}'", sound.under_way)).await?;
    let found = audit(&sound.store, Activity::UnderWay).await?;
    let told: Vec<_> = found.iter().map(ToString::to_string).collect();
    let expected = |table| {
        let id = sound.under_way;
        format!("claim {id}: does not exist, and the table {table} has rows of it")
    };
    assert_eq!(told, [expected("branch"), expected("timer"), expected("history")]);
    Ok(())
}

#[tokio::test]
async fn tasks_that_may_be_done_twice_are_found() -> Done {
    let sound = sound().await?;
    let remember = |token: &TaskToken, status: &str| {
        let outcome = if status == "DONE" { "'{}'" } else { "NULL" };
        format!(
            "INSERT INTO idempotency (token, tenant, status, outcome, lease_until, created_at)
             VALUES ('{token}', 'default', '{status}', {outcome}, now(), '2026-11-01')"
        )
    };
    let register = "INSERT INTO fluxling (tenant, name, manifest, enabled, registered_at)
                    VALUES ('default', 'f', '{}', true, now())";
    run(&sound.store, register).await?;
    run(&sound.store, &remember(&token(sound.received, 1), "DONE")).await?;
    let lost = "the task of /#1 was answered and is not DONE";
    assert_eq!(found(&sound.store, Activity::UnderWay).await?, [lost]);
    let known = token(sound.fulfilled, 1);
    run(&sound.store, &remember(&known, "DONE")).await?;
    assert_eq!(found(&sound.store, Activity::UnderWay).await?, [""; 0]);
    run(&sound.store, &remember(&token(sound.under_way, 1), "STARTED")).await?;
    assert_eq!(found(&sound.store, Activity::UnderWay).await?, [""; 0], "it is in hand");
    let drained = found(&sound.store, Activity::Drained).await?;
    assert!(drained.contains(&"the task of /#1 was begun and is not DONE".to_owned()));
    Ok(())
}
