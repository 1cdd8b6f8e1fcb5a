//! Batches: constant calls, duplicates, groups.

use std::time::Duration;

use fluxling::{Fluxling, Reason, Task};
use serde_json::json;

use crate::support::{Bench, Counter, succeeded, task};

fn doubling(runs: Counter) -> Fluxling {
    Fluxling::new("math").capability("math.double", move |task: Task<i64>| {
        runs.up();
        async move { Ok(task.input * 2) }
    })
}

#[tokio::test(start_paused = true)]
async fn a_batch_costs_a_constant_number_of_calls() {
    for size in [1, 10, 100] {
        let bench = Bench::new(doubling(Counter::default()).concurrency(128));
        let tasks = (0..size).map(|n| task(&format!("t{n:03}"), "math.double", json!(n)));
        bench.put(tasks).await;
        let outcome = bench.worker.handle_batch(bench.receive().await).await;
        assert_eq!((outcome.handled.len(), outcome.failed.len()), (size, 0));
        assert_eq!(bench.calls.take(), "begin 1, complete 1, delete 1, send 1");
        let answers = bench.answers().await;
        assert_eq!(answers.len(), size);
        assert_eq!(
            answers[size - 1],
            succeeded(&format!("t{:03}", size - 1), json!(2 * (size - 1)))
        );
        assert_eq!(bench.depth().await, (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_fluxling_keeps_no_record() {
    let bench = Bench::new(doubling(Counter::default()).idempotent(true));
    bench.put([task("a", "math.double", json!(4))]).await;
    bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!(bench.calls.take(), "delete 1, send 1");
    assert_eq!(bench.answers().await, [succeeded("a", json!(8))]);
}

#[tokio::test(start_paused = true)]
async fn a_task_delivered_again_is_answered_again_but_not_run_again() {
    let runs = Counter::default();
    let bench = Bench::new(doubling(runs.clone()));
    for _ in 0..3 {
        bench.put([task("a", "math.double", json!(4))]).await;
        let outcome = bench.worker.handle_batch(bench.receive().await).await;
        assert_eq!((outcome.handled.len(), outcome.failed.len()), (1, 0));
        assert_eq!(bench.answers().await, [succeeded("a", json!(8))]);
    }
    assert_eq!(runs.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_report_says_who_and_how_long() {
    let slow = |_: Task<()>| async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        Ok(())
    };
    let bench = Bench::new(Fluxling::new("slow").capability("slow", slow));
    bench.put([task("a", "slow", json!(null))]).await;
    let started = bench.clock.now();
    let batch = bench.receive().await;
    bench.worker.handle_batch(batch).await;
    let core = fluxus_queue::QueueName::new("core").unwrap();
    let request =
        fluxus_queue::Receive { max: 1, wait: Duration::ZERO, visibility: Duration::from_secs(1) };
    let received = fluxus_queue::Queue::receive(&bench.queue.0, &core, request).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&received[0].body).unwrap();
    let report = json!({"fluxling": "slow", "started_at": started, "took_ms": 1500});
    assert_eq!(answer["report"], report);
}

#[tokio::test(start_paused = true)]
async fn duplicates_within_a_batch_are_one_task() {
    let runs = Counter::default();
    for fluxling in [doubling(runs.clone()), doubling(runs.clone()).idempotent(true)] {
        let before = runs.get();
        let bench = Bench::new(fluxling);
        bench.put(["a", "b", "a", "a"].map(|token| task(token, "math.double", json!(1)))).await;
        let outcome = bench.worker.handle_batch(bench.receive().await).await;
        assert_eq!((outcome.handled.len(), runs.get() - before), (4, 2));
        assert_eq!(bench.answers().await.len(), 2);
        assert_eq!(bench.depth().await, (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn two_deliveries_at_the_same_time_run_once() {
    let runs = Counter::default();
    let count = runs.clone();
    let slow = move |_: Task<()>| {
        let n = count.up();
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(n)
        }
    };
    let bench = Bench::new(Fluxling::new("slow").capability("slow", slow));
    bench.put([task("a", "slow", json!(null))]).await;
    let first = bench.receive().await;
    bench.put([task("a", "slow", json!(null))]).await;
    let second = bench.receive().await;
    let (first, second) =
        tokio::join!(bench.worker.handle_batch(first), bench.worker.handle_batch(second));
    assert_eq!((first.handled.len(), second.handled.len()), (1, 0));
    assert_eq!(second.failed[0].reason, Reason::InProgress);
    assert_eq!(runs.get(), 1);
    assert_eq!(
        bench.depth().await,
        (0, 1),
        "the second comes again, to be answered from the record"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fast_task_does_not_wait_for_a_slow_one() {
    let wait = |task: Task<u64>| async move {
        tokio::time::sleep(Duration::from_secs(task.input)).await;
        Ok(())
    };
    let bench = Bench::new(Fluxling::new("wait").capability("wait", wait));
    bench.put([task("fast1", "wait", json!(1)), task("fast2", "wait", json!(1))]).await;
    bench.put([task("slow", "wait", json!(9))]).await;
    let batch = bench.receive().await;
    let look = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        (bench.answers().await.len(), bench.calls.take())
    };
    let (outcome, (early, calls)) = tokio::join!(bench.worker.handle_batch(batch), look);
    assert_eq!((early, calls.as_str()), (2, "begin 1, complete 1, delete 1, send 1"));
    assert_eq!(outcome.handled.len(), 3);
    assert_eq!(bench.calls.take(), "complete 1, delete 1, send 1");
}

#[tokio::test(start_paused = true)]
async fn concurrency_bounds_the_handlers_of_a_batch() {
    let (now, most) = (Counter::default(), Counter::default());
    let (at_work, highest) =
        (std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0)), most.clone());
    let count = now.clone();
    let wait = move |_: Task<()>| {
        let (at_work, highest) = (at_work.clone(), highest.clone());
        count.up();
        async move {
            use std::sync::atomic::Ordering::SeqCst;
            let together = at_work.fetch_add(1, SeqCst) + 1;
            while i64::from(highest.get()) < together {
                highest.up();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            at_work.fetch_sub(1, SeqCst);
            Ok(())
        }
    };
    let bench = Bench::new(Fluxling::new("wait").capability("wait", wait).concurrency(3));
    bench.put((0..10).map(|n| task(&n.to_string(), "wait", json!(null)))).await;
    let outcome = bench.worker.handle_batch(bench.receive().await).await;
    assert_eq!((outcome.handled.len(), now.get(), most.get()), (10, 10, 3));
}
