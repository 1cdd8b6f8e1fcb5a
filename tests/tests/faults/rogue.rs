//! A fluxling that keeps none of the rules: it never answers, answers twice, too late, nonsense, or
//! more than there is room for.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fluxling::{Fluxling, Task};
use fluxus_postgres::{Database, Options};
use fluxus_queue::bounds::MAX_BODY_BYTES;
use fluxus_queue::{Outgoing, PostgresQueue, PostgresQueueOptions, Queue as _, QueueName, Receive};
use fluxus_schema::limits::MAX_PAYLOAD_BYTES;
use fluxus_schema::message::{CORE_QUEUE, CoreMessage, TaskMessage};
use fluxus_schema::{Tenant, Timestamp};
use fluxus_store::Store;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::house::House;

/// The ways in which it misbehaves.
pub const MODES: [&str; 5] = ["silent", "twice", "late", "nonsense", "large"];

/// How long its tasks may take, in whole seconds: recipes say so.
pub const TIMEOUT_S: u64 = 2;

/// What marks its nonsense, so that it can be told from what nobody meant to send.
pub const NONSENSE: &str = "fault-nonsense";

/// How much more than there is room for a large answer is: once so much that no queue takes it, and
/// once so little that only the core can tell.
const TOO_MUCH_BYTES: [usize; 2] = [300 * 1024, 64 * 1024];

/// How late a late answer comes.
const LATE_BY: Duration = Duration::from_secs(TIMEOUT_S + 1);

/// Is the process of the rogue fluxling, until it is killed.
pub async fn run(database_url: &str) -> anyhow::Result<ExitCode> {
    let options = Options { max_connections: 2, ..Options::default() };
    let database = Database::connect(database_url, options).await?;
    let fluxling = Fluxling::new("fault-rogue")
        .capability("fault.rogue", async |_task: Task<Value>| Ok(Value::Null))
        .idempotent(true);
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now = Timestamp::from_millis(0).plus(since);
    let store = Store::new(database.clone());
    store.register_fluxling(&Tenant::default(), &fluxling.manifest(), now).await?;
    let queue = PostgresQueue::new(database, PostgresQueueOptions::default()).await?;
    println!("Ready");
    let request =
        Receive { max: 100, wait: Duration::from_secs(1), visibility: Duration::from_secs(2) };
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    loop {
        pace.tick().await;
        let Ok(received) = queue.receive(&fluxling.queue(), request).await else { continue };
        for message in received {
            let Ok(task) = serde_json::from_str::<TaskMessage>(&message.body) else { continue };
            let answers = misbehave(&task)?;
            let mut sent = true;
            for answer in answers {
                let is_too_large = answer.body.len() > MAX_BODY_BYTES;
                sent &= queue.send(vec![answer]).await.is_ok() || is_too_large;
            }
            // Whatever fails here is done once more, which is in its nature.
            if sent {
                let _ = queue.delete(&fluxling.queue(), &[message.receipt]).await;
            }
        }
    }
}

fn misbehave(task: &TaskMessage) -> anyhow::Result<Vec<Outgoing>> {
    let text = |name: &str| task.input[name].as_str().unwrap_or_default().to_owned();
    let (key, step) = (text("key"), text("step"));
    let done = || {
        let nonce = Uuid::now_v7().simple().to_string();
        House::from_env().note_effect(&key, &step, &nonce);
        json!({"key": key, "step": step, "nonce": nonce})
    };
    let core = QueueName::new(CORE_QUEUE)?;
    let answer = |output: Value| {
        let token = task.token.clone();
        let message = CoreMessage::TaskSucceeded { token, output: output.into(), report: None };
        Ok::<_, anyhow::Error>(Outgoing::new(core.clone(), serde_json::to_string(&message)?))
    };
    Ok(match text("mode").as_str() {
        "twice" => vec![answer(done())?, answer(done())?],
        "late" => vec![answer(done())?.delayed(LATE_BY)],
        "large" => {
            let answers =
                TOO_MUCH_BYTES.map(|more| answer(json!("x".repeat(MAX_PAYLOAD_BYTES + more))));
            answers.into_iter().collect::<Result<_, _>>()?
        }
        "nonsense" => {
            let bodies = [
                NONSENSE.to_owned(),
                json!({"type": "TaskExploded", "token": task.token, "note": NONSENSE}).to_string(),
                json!({"type": "TaskSucceeded", "token": NONSENSE, "output": 1}).to_string(),
            ];
            bodies.map(|body| Outgoing::new(core.clone(), body)).into()
        }
        _ => Vec::new(),
    })
}
