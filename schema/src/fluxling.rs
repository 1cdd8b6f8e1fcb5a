//! Fluxlings: what a worker says of itself, and how it fares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::id::{Capability, FluxlingName};
use crate::problem::Fault;
use crate::time::Timestamp;

/// What a fluxling says of itself when it registers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name, unique in the system.
    pub name: FluxlingName,
    /// Its own version, free text.
    #[serde(default)]
    pub version: String,
    /// What it does, in a sentence.
    #[serde(default)]
    pub description: String,
    /// The queue it takes tasks from.
    pub queue: String,
    /// What it can do.
    pub capabilities: Vec<CapabilityManifest>,
    /// Tasks it works on at a time, over all its instances.
    pub concurrency: u32,
    /// How long one task may take, in milliseconds; past it the attempt counts as failed.
    pub timeout_ms: u64,
    /// Whether running a task twice does no harm, so that no record of finished tasks is kept.
    #[serde(default)]
    pub idempotent: bool,
    /// What tasks can ask for, such as `region: eu`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Share of the tasks it wants relative to others, 0 to 1000; 0 takes none.
    #[serde(default = "Manifest::default_weight")]
    pub weight: u32,
    /// What a task costs here, in any unit that all fluxlings share; breaks near-ties.
    #[serde(default)]
    pub cost: f64,
}

impl Manifest {
    /// The weight of a fluxling that names none.
    pub const DEFAULT_WEIGHT: u32 = 100;

    /// The highest weight.
    pub const MAX_WEIGHT: u32 = 1000;

    /// The bounds that it breaks; whether its queue and its schemas can be used, others know.
    pub fn faults(&self) -> Vec<Fault> {
        let cost = self.cost;
        let most = Self::MAX_WEIGHT;
        let checks = [
            (self.capabilities.is_empty(), "/capabilities", "must not be empty".to_owned()),
            (self.concurrency == 0, "/concurrency", "must be at least 1".to_owned()),
            (self.timeout_ms == 0, "/timeout_ms", "must be at least 1".to_owned()),
            (self.weight > most, "/weight", format!("must be 0 to {most}")),
            (!(cost.is_finite() && cost >= 0.0), "/cost", "must be 0 or more".to_owned()),
        ];
        let broken = checks.into_iter().filter(|(broken, ..)| *broken);
        broken.map(|(_, pointer, detail)| Fault::of_document(pointer, detail)).collect()
    }

    fn default_weight() -> u32 {
        Self::DEFAULT_WEIGHT
    }
}

/// One thing a fluxling can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapabilityManifest {
    /// Its name.
    pub name: Capability,
    /// JSON Schema of the task input.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Value)]
    pub input_schema: Value,
    /// JSON Schema of the output.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Value)]
    pub output_schema: Value,
}

/// A registered fluxling and how it fares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fluxling {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Whether it may be given tasks.
    pub enabled: bool,
    /// When it first registered.
    #[schema(value_type = String, format = DateTime)]
    pub registered_at: Timestamp,
    /// How it fares.
    pub load: Load,
}

/// How a fluxling fares: moving averages over its answered tasks. Zero until it answered one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Load {
    /// Tasks given to it and not answered yet.
    pub in_flight: i64,
    /// Moving average of the time from delegation to answer, in milliseconds.
    pub latency_ms: f64,
    /// Moving average of failed attempts, 0 to 1.
    pub error_rate: f64,
    /// Tasks answered in all.
    pub answered: i64,
    /// No tasks until then, because too many failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub circuit_open_until: Option<Timestamp>,
}
