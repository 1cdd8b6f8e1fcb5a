//! The fluxling `bench`, which `fluxus bench` measures with: as little work as a task can be.

use fluxling::{Fluxling, Task};
use fluxus_schema::Json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tasks at a time: more than a batch, so that the worker never waits for itself.
const CONCURRENCY: u32 = 512;

/// Input and output of `bench.add`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Count {
    /// The number.
    pub n: i64,
}

/// The fluxling: `bench.add` takes `{"n": 1}` and gives `{"n": 2}`, `bench.echo` gives what it takes.
pub fn fluxling() -> Fluxling {
    Fluxling::new("bench")
        .version(env!("CARGO_PKG_VERSION"))
        .description("Adds one: for measuring.")
        .capability("bench.add", async |task: Task<Count>| {
            Ok(Count { n: task.input.n.saturating_add(1) })
        })
        .capability("bench.echo", async |task: Task<Json>| Ok(task.input))
        .concurrency(CONCURRENCY)
        .idempotent(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[tokio::test]
    async fn it_gives_back_what_it_takes() {
        let output = super::fluxling().call("bench.echo", json!({"text": [1, "two"]})).await;
        assert_eq!(output, Ok(json!({"text": [1, "two"]})));
    }

    #[tokio::test]
    async fn it_adds_one() {
        let output = super::fluxling().call("bench.add", json!({"n": 41})).await;
        assert_eq!(output, Ok(json!({"n": 42})));
    }
}
