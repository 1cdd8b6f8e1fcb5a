//! What can go wrong with a task, a message, the queue and the record.

use std::time::Duration;

use fluxling::{Fluxling, Reason, Task, TaskError};
use fluxus_queue::Queue as _;
use fluxus_queue::bounds::MAX_RECEIVES;
use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use serde_json::json;

use crate::support::{Bench, Counter, VISIBILITY, failed, succeeded, task};

fn moody() -> Fluxling {
    Fluxling::new("moody")
        .capability("echo", |task: Task<String>| async move { Ok(task.input) })
        .capability("decline", |_: Task<()>| async {
            Err::<(), _>(TaskError::fatal("Payments.Declined", "no money"))
        })
        .capability("panic", |task: Task<u8>| async move {
            assert!(task.input == 0, "{} is too much", task.input);
            Ok(())
        })
        .capability("long", |task: Task<usize>| async move { Ok("x".repeat(task.input)) })
}

#[tokio::test(start_paused = true)]
async fn each_task_fails_on_its_own() {
    let bench = Bench::new(moody());
    bench
        .put([
            task("a", "echo", json!("hi")),
            task("b", "decline", json!(null)),
            task("c", "panic", json!(7)),
            task("d", "echo", json!(5)),
            task("e", "fly", json!({})),
            task("f", "long", json!(MAX_PAYLOAD_BYTES - 2)),
            task("g", "long", json!(MAX_PAYLOAD_BYTES - 1)),
        ])
        .await;
    bench.put_text("no JSON").await;
    let outcome = bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(outcome.handled.len(), 7);
    let [unreadable] = &outcome.failed[..] else { panic!("{outcome:?}") };
    assert!(matches!(unreadable.reason, Reason::Unreadable(_)), "{unreadable:?}");
    assert_eq!(bench.depth().await, (0, 1));

    let invalid = "the input: invalid type: integer `5`, expected a string";
    let long = "the output has 6291457 bytes, past MAX_PAYLOAD_BYTES = 6291456";
    let want = [
        succeeded("a", json!("hi")),
        failed("b", "Payments.Declined", "no money"),
        failed("c", "Fluxling.Panic", "7 is too much"),
        failed("d", "Fluxling.InvalidInput", invalid),
        failed("e", "Fluxling.UnknownCapability", "fluxling `moody` does not offer `fly`"),
        succeeded("f", json!("x".repeat(MAX_PAYLOAD_BYTES - 2))),
        failed("g", "States.DataLimitExceeded", long),
    ];
    assert_eq!(bench.answers().await, want);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_could_not_be_sent_is_sent_from_the_record() {
    let runs = Counter::default();
    let count = runs.clone();
    let once = move |_: Task<()>| {
        let n = count.up();
        async move { Ok(n) }
    };
    let bench = Bench::new(Fluxling::new("once").capability("once", once));
    bench.put([task("a", "once", json!(null))]).await;
    bench.calls.fail("send", 1);
    let outcome = bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(outcome.handled, []);
    assert!(matches!(outcome.failed[0].reason, Reason::NotAnswered(_)), "{outcome:?}");

    assert_eq!(bench.receive().await, []);
    tokio::time::advance(VISIBILITY).await;
    let outcome = bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(outcome.handled.len(), 1);
    assert_eq!(bench.answers().await, [succeeded("a", json!(1))]);
    assert_eq!(runs.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_the_record_nothing_is_run() {
    let bench = Bench::new(moody());
    bench.put([task("a", "echo", json!("x")), task("b", "echo", json!("y"))]).await;
    bench.calls.fail("begin", 1);
    let outcome = bench.worker.handle_batch(bench.receive().await).await;
    let reason = Reason::NotBegun("cannot begin in the idempotency record: out of order".into());
    assert_eq!(outcome.failed.iter().map(|f| &f.reason).collect::<Vec<_>>(), [&reason; 2]);
    assert_eq!(bench.calls.take(), "begin 1");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_sent_though_it_could_not_be_recorded_or_its_message_not_deleted() {
    let bench = Bench::new(moody());
    bench.put([task("a", "echo", json!("x"))]).await;
    bench.calls.fail("complete", 4);
    bench.calls.fail("delete", 1);
    let outcome = bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!((outcome.handled.len(), outcome.failed.len()), (1, 0));
    assert_eq!(bench.answers().await, [succeeded("a", json!("x"))]);
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_recorded_before_it_is_answered_though_the_record_was_away() {
    let bench = Bench::new(moody());
    bench.put([task("a", "echo", json!("x"))]).await;
    bench.calls.fail("complete", 3);
    bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(bench.calls.take(), "begin 1, complete 4, delete 1, send 1");
    assert_eq!(bench.answers().await, [succeeded("a", json!("x"))]);
    // A duplicate is answered from the record: nothing is done, and nothing recorded, again.
    bench.put([task("a", "echo", json!("x"))]).await;
    bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(bench.calls.take(), "begin 1, delete 1, send 1");
}

#[tokio::test(start_paused = true)]
async fn a_task_is_retried_later_until_its_receives_are_used_up() {
    let runs = Counter::default();
    let count = runs.clone();
    let later = move |_: Task<()>| {
        let n = count.up();
        let after = Duration::from_secs(5);
        async move { Err::<(), _>(TaskError::retry_later("Busy", format!("try {n}"), after)) }
    };
    let bench = Bench::new(Fluxling::new("later").capability("later", later));
    bench.put([task("a", "later", json!(null))]).await;
    for n in 1..MAX_RECEIVES {
        let outcome = bench.worker.handle_batch(bench.receive().await).await;
        let error = format!("Busy: try {n}").into();
        let reason = Reason::RetryLater { after: Duration::from_secs(5), error };
        assert_eq!(outcome.failed[0].reason, reason);
        assert_eq!(bench.receive().await, []);
        // What is put off comes back up to a quarter later, spread.
        tokio::time::advance(Duration::from_millis(6_250)).await;
    }
    assert_eq!(bench.answers().await, [] as [serde_json::Value; 0]);
    bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(bench.answers().await, [failed("a", "Busy", "try 5")]);
    assert_eq!(bench.depth().await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_costs_a_constant_number_of_calls() {
    let later = |_: Task<()>| async {
        Err::<(), _>(TaskError::retry_later("Busy", "now", Duration::from_secs(5)))
    };
    let bench = Bench::new(Fluxling::new("later").capability("later", later));
    bench.put((0..10).map(|n| task(&n.to_string(), "later", json!(null)))).await;
    bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(bench.calls.take(), "begin 1, hide 1, release 1");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_says_why_each_attempt_failed() {
    let bench = Bench::new(moody());
    bench.put_text("{}").await;
    for _attempt in 0..MAX_RECEIVES {
        let batch = bench.receive().await;
        assert_eq!(batch.len(), 1);
        bench.worker.handle_batch(batch).await;
        tokio::time::advance(VISIBILITY).await;
    }
    assert!(bench.receive().await.is_empty());
    let letters = bench.queue.0.list_dead(&bench.name, None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].attempts.len(), MAX_RECEIVES as usize);
    for attempt in &letters[0].attempts {
        let failure = attempt.failure.as_deref().unwrap_or_default();
        assert!(failure.starts_with("the message is no task: missing field"), "{failure}");
    }
    assert!(letters[0].reason.contains("the message is no task"), "{}", letters[0].reason);
}
