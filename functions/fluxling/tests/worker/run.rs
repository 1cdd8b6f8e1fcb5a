//! The long-lived loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use fluxling::{Fluxling, Task, TaskError};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{Bench, Counter, failed, succeeded, task};

const SECOND: Duration = Duration::from_secs(1);

fn waiting() -> Fluxling {
    let wait = |task: Task<u64>| async move {
        tokio::time::sleep(SECOND * u32::try_from(task.input)?).await;
        Ok(task.input)
    };
    Fluxling::new("wait").capability("wait", wait).timeout(Duration::from_secs(600))
}

/// Runs the worker, does something meanwhile, and shuts down.
async fn while_running<T>(bench: &Bench, meanwhile: impl Future<Output = T>) -> T {
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let meanwhile = async {
        let result = meanwhile.await;
        stop.cancel();
        result
    };
    tokio::join!(bench.worker.run(shutdown), meanwhile).1
}

#[tokio::test(start_paused = true)]
async fn tasks_are_answered_as_they_come() {
    let bench = Bench::new(waiting());
    while_running(&bench, async {
        for n in 0..3 {
            bench.put([task(&n.to_string(), "wait", json!(0))]).await;
            tokio::time::sleep(SECOND).await;
            assert_eq!(bench.answers().await, [succeeded(&n.to_string(), json!(0))]);
        }
        bench.put_text("no JSON").await;
        tokio::time::sleep(SECOND).await;
    })
    .await;
    assert_eq!(bench.depth().await, (0, 1));
}

#[tokio::test(start_paused = true)]
async fn it_receives_on_while_slow_tasks_run_and_never_more_than_its_concurrency() {
    let (at_work, highest) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let (now, most) = (at_work.clone(), highest.clone());
    let wait = move |task: Task<u64>| {
        let (at_work, highest) = (at_work.clone(), highest.clone());
        async move {
            highest.fetch_max(at_work.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(SECOND * u32::try_from(task.input)?).await;
            at_work.fetch_sub(1, SeqCst);
            Ok(())
        }
    };
    let bench = Bench::new(Fluxling::new("wait").capability("wait", wait).concurrency(3));
    bench.put([task("slow", "wait", json!(50))]).await;
    bench.put((0..20).map(|n| task(&n.to_string(), "wait", json!(1)))).await;
    while_running(&bench, async {
        tokio::time::sleep(SECOND * 15).await;
        assert_eq!(bench.answers().await.len(), 20, "two at a time beside the slow one");
        assert_eq!((now.load(SeqCst), bench.depth().await), (1, (0, 1)));
        tokio::time::sleep(SECOND * 40).await;
        assert_eq!(bench.answers().await.len(), 1);
    })
    .await;
    assert_eq!(most.load(SeqCst), 3);
    assert_eq!(bench.depth().await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_handlers_end_and_takes_nothing_new() {
    let bench = Bench::new(waiting().concurrency(1));
    bench.put([task("a", "wait", json!(10)), task("b", "wait", json!(10))]).await;
    let began = Instant::now();
    while_running(&bench, tokio::time::sleep(SECOND)).await;
    assert_eq!(began.elapsed(), SECOND * 10);
    assert_eq!(bench.answers().await, [succeeded("a", json!(10))]);
    assert_eq!(bench.depth().await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_shuts_down_at_once() {
    let bench = Bench::new(waiting());
    let began = Instant::now();
    while_running(&bench, tokio::time::sleep(SECOND)).await;
    assert_eq!(began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_period_the_rest_goes_back_at_once() {
    let mut bench = Bench::new(waiting());
    bench.worker = bench.worker.clone().grace(SECOND * 5);
    bench.put([task("a", "wait", json!(2)), task("b", "wait", json!(500))]).await;
    let began = Instant::now();
    while_running(&bench, tokio::time::sleep(SECOND)).await;
    assert_eq!(began.elapsed(), SECOND * 6);
    assert_eq!(bench.answers().await, [succeeded("a", json!(2))]);
    assert_eq!(bench.depth().await, (1, 0));
    let again = bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(again.handled.len(), 1, "its lease is free");
}

#[tokio::test(start_paused = true)]
async fn a_handler_hears_of_the_shutdown_and_may_leave_its_task_to_others() {
    let leave = |task: Task<bool>| async move {
        task.cancelled().await;
        let error = if task.input { TaskError::retryable } else { TaskError::fatal };
        Err::<(), _>(error("Stopped".to_owned(), "shutting down"))
    };
    let bench = Bench::new(Fluxling::new("leave").capability("leave", leave));
    bench.put([task("a", "leave", json!(true)), task("b", "leave", json!(false))]).await;
    while_running(&bench, tokio::time::sleep(SECOND)).await;
    assert_eq!(bench.answers().await, [failed("b", "Stopped", "shutting down")]);
    assert_eq!(bench.depth().await, (1, 0), "the retryable one is there for another worker");
}

#[tokio::test(start_paused = true)]
async fn outages_are_waited_out() {
    let bench = Bench::new(waiting());
    bench.calls.fail("receive", 4);
    bench.calls.fail("begin", 1);
    bench.put([task("a", "wait", json!(0))]).await;
    while_running(&bench, tokio::time::sleep(SECOND * 60)).await;
    assert_eq!(bench.answers().await, [succeeded("a", json!(0))]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_worker_makes_few_calls() {
    let runs = Counter::default();
    let count = runs.clone();
    let fast = move |_: Task<()>| {
        count.up();
        async { Ok(()) }
    };
    let bench = Bench::new(Fluxling::new("fast").capability("fast", fast).concurrency(100));
    bench.put((0..1000).map(|n| task(&n.to_string(), "fast", json!(null)))).await;
    while_running(&bench, tokio::time::sleep(SECOND)).await;
    assert_eq!(runs.get(), 1000);
    // Ten full receives and the one that waits.
    let calls = bench.calls.take();
    assert_eq!(calls, "begin 10, complete 10, delete 10, receive 11, send 10");
}
