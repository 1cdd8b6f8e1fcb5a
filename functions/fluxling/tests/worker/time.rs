//! Timeouts, deadlines, heartbeats, and keeping messages hidden.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fluxling::{Begin, Fluxling, Idempotency, Reason, Task};
use fluxus_queue::Queue;
use fluxus_schema::TaskToken;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{Bench, Counter, VISIBILITY, failed, succeeded, task};

const SECOND: Duration = Duration::from_secs(1);

fn waiting() -> Fluxling {
    let wait = |task: Task<u64>| async move {
        tokio::time::sleep(SECOND * u32::try_from(task.input)?).await;
        Ok(task.input)
    };
    Fluxling::new("wait").capability("wait", wait).timeout(Duration::from_secs(600))
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_stopped_at_the_timeout_and_its_token_cancelled() {
    let seen: Arc<Mutex<Option<CancellationToken>>> = Arc::default();
    let see = seen.clone();
    let hang = move |task: Task<()>| {
        *see.lock().unwrap() = Some(task.cancellation_token());
        assert!(!task.is_cancelled());
        async move {
            assert_eq!(task.remaining(), SECOND * 10);
            std::future::pending::<()>().await;
            Ok(())
        }
    };
    let fluxling = Fluxling::new("hang").capability("hang", hang).timeout(SECOND * 10);
    let bench = Bench::new(fluxling);
    bench.put([task("a", "hang", json!(null))]).await;
    let began = Instant::now();
    bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(began.elapsed(), SECOND * 10);
    let cause = "the handler was stopped after 10000 ms";
    assert_eq!(bench.answers().await, [failed("a", "States.Timeout", cause)]);
    assert!(seen.lock().unwrap().take().unwrap().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_stopped_at_the_deadline() {
    let bench = Bench::new(waiting());
    let mut short = task("a", "wait", json!(60));
    short.deadline = Some(bench.clock.now().plus(SECOND * 3));
    bench.put([short]).await;
    let began = Instant::now();
    bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(began.elapsed().as_secs(), 3);
    let answers = bench.answers().await;
    assert_eq!(answers[0]["error"], "States.Timeout");
}

#[tokio::test(start_paused = true)]
async fn a_task_past_its_deadline_is_dropped_without_an_answer() {
    let bench = Bench::new(waiting().concurrency(1));
    let mut late = task("late", "wait", json!(1));
    late.deadline = Some(bench.clock.now());
    let mut too_late_in_the_end = task("waits", "wait", json!(1));
    too_late_in_the_end.deadline = Some(bench.clock.now().plus(SECOND * 2));
    bench.put([late, task("first", "wait", json!(5)), too_late_in_the_end]).await;
    let outcome = bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!((outcome.handled.len(), outcome.failed.len()), (3, 0));
    assert_eq!(bench.answers().await, [succeeded("first", json!(5))]);
    assert_eq!(bench.depth().await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn messages_stay_hidden_and_leases_hold_while_handlers_run() {
    let bench = Bench::new(waiting());
    bench.put((0..3).map(|n| task(&n.to_string(), "wait", json!(195)))).await;
    let batch = bench.receive().await;
    let look = async {
        for _ in 0..19 {
            tokio::time::sleep(SECOND * 10).await;
            assert_eq!(bench.receive().await, []);
        }
        let token = [TaskToken::from_text("1")];
        let begun = bench.record.0.begin(&token, VISIBILITY).await.unwrap();
        assert_eq!(begun, [Begin::InProgress]);
    };
    let (outcome, ()) = tokio::join!(bench.worker.handle_batch(batch), look);
    assert_eq!(outcome.handled.len(), 3);
    // Every 10 s, for all three together.
    let calls = bench.calls.take();
    assert_eq!(calls, "begin 1, complete 1, delete 1, extend 19, hide 19, send 1");
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_made_up_for() {
    let bench = Bench::new(waiting());
    bench.put([task("a", "wait", json!(100))]).await;
    bench.calls.fail("hide", 2);
    let batch = bench.receive().await;
    let look = async {
        tokio::time::sleep(SECOND * 99).await;
        assert_eq!(bench.receive().await, []);
    };
    let (outcome, ()) = tokio::join!(bench.worker.handle_batch(batch), look);
    assert_eq!(outcome.handled.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_go_out_together_and_often_enough() {
    let bench = Bench::new(waiting());
    let tasks = ["a", "b"].map(|token| {
        let mut task = task(token, "wait", json!(9));
        task.heartbeat_ms = Some(6_000);
        task
    });
    bench.put(tasks).await;
    bench.worker.handle_batch(bench.receive().await).await;
    let answers = bench.answers().await;
    let beats = answers.iter().filter(|answer| answer["type"] == "TaskHeartbeat").count();
    assert_eq!(beats, 8, "at 2, 4, 6 and 8 s for both");
    assert_eq!(bench.calls.take(), "begin 1, complete 1, delete 1, send 5");
}

#[tokio::test(start_paused = true)]
async fn a_handler_sends_its_own_heartbeats() {
    let beat = |task: Task<()>| async move {
        task.heartbeat().await?;
        tokio::time::sleep(SECOND * 15).await;
        task.heartbeat().await
    };
    let fluxling = Fluxling::new("beat").capability("beat", beat).manual_heartbeats();
    let bench = Bench::new(fluxling);
    let mut one = task("a", "beat", json!(null));
    one.heartbeat_ms = Some(1_000);
    bench.put([one]).await;
    bench.worker.handle_batch(bench.receive().await).await;
    let heartbeat = json!({"type": "TaskHeartbeat", "token": "a"});
    let want = [heartbeat.clone(), heartbeat, succeeded("a", json!(null))];
    let mut answers = bench.answers().await;
    answers.sort_by_key(|answer| answer["type"].to_string());
    assert_eq!(answers, want);
    // Besides the renewal at 10 s, one for each heartbeat.
    let calls = bench.calls.take();
    assert_eq!(calls, "begin 1, complete 1, delete 1, extend 3, hide 3, send 3");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_cut_off_gives_back_the_rest() {
    let runs = Counter::default();
    let count = runs.clone();
    let wait = move |task: Task<u64>| {
        count.up();
        async move {
            tokio::time::sleep(SECOND * u32::try_from(task.input)?).await;
            Ok(())
        }
    };
    let bench = Bench::new(Fluxling::new("wait").capability("wait", wait));
    bench.put([task("a", "wait", json!(1)), task("b", "wait", json!(50))]).await;
    let until = Instant::now() + SECOND * 5;
    let outcome = bench.worker.handle_batch_until(bench.receive().await, Some(until)).await;
    assert_eq!(Instant::now(), until);
    assert_eq!((outcome.handled.len(), outcome.failed.len()), (1, 1));
    assert_eq!(outcome.failed[0].reason, Reason::CutOff);
    assert_eq!(bench.answers().await, [succeeded("a", json!(null))]);
    // At once, and its lease is free.
    let outcome = bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!((outcome.handled.len(), runs.get()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_a_long_task_waits_for_it_and_never_dies() {
    let bench = Bench::new(waiting());
    let shutdown = CancellationToken::new();
    let meanwhile = async {
        bench.put([task("a", "wait", json!(590))]).await;
        tokio::time::sleep(SECOND).await;
        bench.put([task("a", "wait", json!(590))]).await;
        tokio::time::sleep(SECOND * 900).await;
        shutdown.cancel();
    };
    tokio::join!(bench.worker.run(shutdown.clone()), meanwhile);
    assert_eq!(bench.answers().await, [(); 2].map(|()| succeeded("a", json!(590))));
    assert_eq!(bench.depth().await, (0, 0));
    assert_eq!(
        bench.queue.0.dead_letters(std::slice::from_ref(&bench.name), 10).await.unwrap(),
        []
    );
}

#[tokio::test(start_paused = true)]
async fn the_task_of_a_worker_that_died_is_taken_over_when_its_message_comes_again() {
    let bench = Bench::new(waiting());
    bench.put([task("a", "wait", json!(9))]).await;
    let batch = bench.receive().await;
    let died = tokio::time::timeout(SECOND, bench.worker.handle_batch(batch)).await;
    assert!(died.is_err());
    assert_eq!(bench.receive().await, []);
    tokio::time::advance(VISIBILITY - SECOND).await;
    let outcome = bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(outcome.handled.len(), 1);
    assert_eq!(bench.answers().await, [succeeded("a", json!(9))]);
}
