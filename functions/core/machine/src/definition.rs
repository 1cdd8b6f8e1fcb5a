//! A recipe's state machine, parsed, checked and compiled once; then shared by all executions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fluxus_schema::items::{self, InputType, ReaderConfig};
use fluxus_schema::problem::{Fault, FaultCode};
use fluxus_schema::{Capability, Json, StateName};
use serde_json::Value;

use crate::comparison::Rule;
use crate::jsonata;
use crate::jsonpath::Path;
use crate::parse;
use crate::resource::Resource;
use crate::template::{Expression, Template};

/// A state machine that can be stepped.
#[derive(Debug)]
pub struct Definition {
    /// All states, those of Parallel branches and Map processors included. Names are unique.
    pub(crate) states: Vec<State>,
    pub(crate) by_name: BTreeMap<StateName, StateId>,
    /// Where an execution begins.
    pub(crate) start_at: StateId,
    /// How long an execution may take.
    pub(crate) timeout: Option<Duration>,
    /// What is odd about it, though it can run.
    pub(crate) warnings: Vec<Fault>,
}

/// Index of a state in its [`Definition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StateId(pub(crate) usize);

impl Definition {
    /// Parses, checks and compiles a definition in Amazon States Language.
    ///
    /// # Errors
    /// Every fault and warning there is, each with the JSON pointer to its place.
    pub fn parse(definition: &Value) -> Result<Self, Vec<Fault>> {
        parse::definition(definition)
    }

    /// What is odd about it, though it can run: each is of severity `WARNING`.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// What Fluxus cannot run for real, though the language allows it: integrations with services
    /// that no fluxling stands for, and data sets that none reads. Simulation with mocks can run all
    /// of them.
    pub fn unsupported(&self) -> Vec<Fault> {
        let faults = self.states.iter().filter_map(|state| match &state.kind {
            Kind::Task(task) => Some((&state.pointer, task.unsupported()?)),
            Kind::Map(map) => Some((&state.pointer, map.unsupported()?)),
            _ => None,
        });
        let fault = |(pointer, (field, detail)): (&String, (&str, String))| {
            Fault::new(FaultCode::UnsupportedResource, format!("{pointer}/{field}"), detail)
        };
        faults.map(fault).collect()
    }

    /// The same, where only those activities exist that the states named by `is_there` ask for.
    pub(crate) fn with_activities(mut self, is_there: impl Fn(&StateName) -> bool) -> Self {
        for state in &mut self.states {
            if let Kind::Task(Task { resource: Resource::Activity { exists, .. }, .. }) =
                &mut state.kind
            {
                *exists = is_there(&state.name);
            }
        }
        self
    }

    /// How long an execution may take before it ends as timed out.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The capabilities that its tasks ask for, each once, in order.
    pub fn capabilities(&self) -> Vec<Capability> {
        let asked = self.states.iter().flat_map(|state| match &state.kind {
            Kind::Task(task) => task.resource.capability().into_iter().collect(),
            Kind::Map(map) => map.ports().map(|port| port.capability.clone()).collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let mut all: Vec<_> = asked.collect();
        all.sort();
        all.dedup();
        all
    }

    pub(crate) fn state(&self, id: StateId) -> &State {
        &self.states[id.0]
    }

    pub(crate) fn state_named(&self, name: &str) -> Option<&State> {
        self.by_name.get(name).map(|id| self.state(*id))
    }
}

/// One state.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: StateName,
    /// JSON pointer to it in the definition.
    pub(crate) pointer: String,
    pub(crate) kind: Kind,
    pub(crate) flow: Flow,
    pub(crate) assign: Option<Template>,
    pub(crate) then: Then,
    pub(crate) retry: Vec<Retrier>,
    pub(crate) catch: Vec<Catcher>,
}

/// What follows a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Next(StateId),
    /// The end of the execution, of the Parallel branch, or of the Map item.
    End,
}

/// What a state does.
#[derive(Debug)]
pub(crate) enum Kind {
    Pass { result: Option<Json> },
    Task(Task),
    Choice { choices: Vec<Choice>, default: Option<StateId> },
    Wait(Wait),
    Succeed,
    Fail { error: Option<Text>, cause: Option<Text> },
    Parallel { branches: Vec<StateId> },
    Map(Map),
}

/// One of the `Choices` of a Choice state.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) condition: Condition,
    pub(crate) next: StateId,
    pub(crate) assign: Option<Template>,
    /// Only in JSONata.
    pub(crate) output: Option<Template>,
}

/// When a choice is taken.
#[derive(Debug)]
pub(crate) enum Condition {
    /// JSONPath: a tree of comparisons.
    Rule(Rule),
    /// JSONata: an expression, or a plain truth value.
    Jsonata(Flag),
}

/// A truth value given as it is or by a JSONata expression.
#[derive(Debug)]
pub(crate) enum Flag {
    Literal(bool),
    Jsonata(jsonata::Expression),
}

/// How JSON flows through a state.
#[derive(Debug)]
pub(crate) enum Flow {
    Path(PathFlow),
    Jsonata(JsonataFlow),
}

/// The query language of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Language {
    #[default]
    JsonPath,
    Jsonata,
}

/// How JSON flows through a state whose language is JSONata.
#[derive(Debug, Default)]
pub(crate) struct JsonataFlow {
    pub(crate) arguments: Option<Template>,
    pub(crate) output: Option<Template>,
}

/// How JSON flows through a state whose language is JSONPath.
#[derive(Debug, Default)]
pub(crate) struct PathFlow {
    pub(crate) input_path: PathField,
    pub(crate) parameters: Option<Template>,
    pub(crate) result_selector: Option<Template>,
    pub(crate) result_path: PathField,
    pub(crate) output_path: PathField,
}

/// A path field that may be left out (`$`), or be `null` (nothing in, nothing kept).
#[derive(Debug, Default)]
pub(crate) enum PathField {
    #[default]
    Whole,
    Null,
    Path(Path),
}

/// A text given as it is, or computed.
#[derive(Debug)]
pub(crate) enum Text {
    Literal(Arc<str>),
    Computed {
        /// The field, as failures name it.
        field: &'static str,
        expression: Expression,
    },
}

/// A number given as it is, by a path, or by a JSONata expression.
#[derive(Debug)]
pub(crate) enum Number {
    Literal(u64),
    Path(Path),
    Jsonata(jsonata::Expression),
}

/// A Task state.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) resource: Resource,
    pub(crate) timeout: Option<Number>,
    pub(crate) heartbeat: Option<Number>,
    /// `{"RoleArn": ...}`: the role in which the service would call the resource.
    pub(crate) credentials: Option<Template>,
}

/// A Wait state.
#[derive(Debug)]
pub(crate) enum Wait {
    Seconds(Number),
    Until(fluxus_schema::Timestamp),
    UntilPath(Path),
    UntilJsonata(jsonata::Expression),
}

/// A Map state.
#[derive(Debug)]
pub(crate) struct Map {
    /// Where each item, or batch of items, is an execution of its own.
    pub(crate) distributed: Option<Box<Distributed>>,
    pub(crate) items: Items,
    pub(crate) item_selector: Option<Template>,
    pub(crate) max_concurrency: Option<Number>,
    pub(crate) start_at: StateId,
}

impl Map {
    /// Whether its results are written somewhere.
    pub(crate) fn writes(&self) -> bool {
        self.distributed.as_ref().is_some_and(|it| it.writer.is_some())
    }

    /// The field for which it cannot be run for real, and why. What the fluxlings of others read is
    /// for them to say.
    fn unsupported(&self) -> Option<(&'static str, String)> {
        let reader = self.distributed.as_deref()?.reader.as_ref()?;
        if reader.port.capability.as_str() != items::READ {
            return None;
        }
        let unread = match reader.config.input_type {
            InputType::Json | InputType::Jsonl | InputType::Csv => return None,
            InputType::Manifest => "MANIFEST",
            InputType::Parquet => "PARQUET",
        };
        let detail = format!(
            "`{unread}` runs only in a simulation; give the items as JSON, JSONL or CSV, or write a \
             fluxling that reads it and name its capability, such as `fluxling:{}.read`",
            unread.to_lowercase()
        );
        Some(("ItemReader/ReaderConfig/InputType", detail))
    }

    /// Whom it has read and write.
    fn ports(&self) -> impl Iterator<Item = &PortResource> {
        let distributed = self.distributed.as_deref();
        let reader = distributed.and_then(|it| it.reader.as_ref()).map(|reader| &reader.port);
        let writer = distributed.and_then(|it| it.writer.as_ref()?.port.as_ref());
        reader.into_iter().chain(writer)
    }
}

/// What only a distributed Map has.
#[derive(Debug)]
pub(crate) struct Distributed {
    pub(crate) label: Option<Arc<str>>,
    pub(crate) reader: Option<Reader>,
    pub(crate) batcher: Option<Batcher>,
    pub(crate) writer: Option<Writer>,
    pub(crate) tolerated_count: Option<Number>,
    pub(crate) tolerated_percentage: Option<Share>,
}

/// A share in a hundred, given as it is, by a path, or by a JSONata expression.
#[derive(Debug)]
pub(crate) enum Share {
    Literal(f64),
    Path(Path),
    Jsonata(jsonata::Expression),
}

/// `ItemReader`.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) port: PortResource,
    pub(crate) config: ReaderConfig,
    pub(crate) max_items: Option<Number>,
}

/// `ItemBatcher`.
#[derive(Debug)]
pub(crate) struct Batcher {
    pub(crate) max_items: Option<Number>,
    pub(crate) max_bytes: Option<Number>,
    pub(crate) input: Option<Template>,
}

/// `ResultWriter`.
#[derive(Debug)]
pub(crate) struct Writer {
    /// None where the results stay with the state.
    pub(crate) port: Option<PortResource>,
    pub(crate) transformation: Transformation,
    /// One document a line, not one array.
    pub(crate) in_lines: bool,
}

/// What becomes of the results of a Map's executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transformation {
    /// Each with what there is to know of its execution.
    None,
    /// The outputs.
    Compact,
    /// The outputs, and those that are arrays taken apart.
    Flatten,
}

/// Whom a Map has read or write.
#[derive(Debug)]
pub(crate) struct PortResource {
    /// As the recipe names it.
    pub(crate) resource: Arc<str>,
    pub(crate) capability: Capability,
    pub(crate) labels: BTreeMap<String, String>,
    /// `Parameters` or `Arguments`.
    pub(crate) arguments: Option<Template>,
}

/// What a Map works on.
#[derive(Debug)]
pub(crate) enum Items {
    /// The state's input.
    Input,
    /// What a path finds in it.
    Path(Path),
    /// `Items` in JSONata: an expression, or an array that may hold some.
    Jsonata(ItemsTemplate),
}

/// `Items` as written.
#[derive(Debug)]
pub(crate) enum ItemsTemplate {
    Expression(jsonata::Expression),
    Array(Template),
}

/// One entry of `Retry`.
#[derive(Debug)]
pub(crate) struct Retrier {
    pub(crate) errors: Vec<Arc<str>>,
    pub(crate) interval_s: u64,
    pub(crate) max_attempts: u32,
    pub(crate) backoff_rate: f64,
    pub(crate) max_delay_s: Option<u64>,
    pub(crate) full_jitter: bool,
}

/// One entry of `Catch`.
#[derive(Debug)]
pub(crate) struct Catcher {
    pub(crate) errors: Vec<Arc<str>>,
    pub(crate) next: StateId,
    /// Only in JSONPath.
    pub(crate) result_path: PathField,
    /// Only in JSONata.
    pub(crate) output: Option<Template>,
    pub(crate) assign: Option<Template>,
}
