//! Handlers of any input and output type behind one type.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::task::Attempt;
use crate::{Task, TaskError, error_name};

type Call = dyn Fn(Arc<Attempt>) -> BoxFuture<'static, Result<Value, TaskError>> + Send + Sync;

/// A capability's handler, from JSON to JSON.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) input_schema: Value,
    pub(crate) output_schema: Value,
    call: Arc<Call>,
}

impl Handler {
    pub(crate) fn new<I, O, F, R>(handler: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Task<I>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, TaskError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let call = move |attempt: Arc<Attempt>| {
            let handler = Arc::clone(&handler);
            async move {
                let input = read_input(&attempt.message.input)?;
                let output = handler(Task::new(input, attempt)).await?;
                serde_json::to_value(output)
                    .map_err(|error| TaskError::fatal(error_name::INVALID_OUTPUT, error))
            }
            .boxed()
        };
        let schemas = SchemaSettings::draft2020_12;
        let input = schemas().for_deserialize().into_generator().into_root_schema_for::<I>();
        let output = schemas().for_serialize().into_generator().into_root_schema_for::<O>();
        Self {
            input_schema: input.to_value(),
            output_schema: output.to_value(),
            call: Arc::new(call),
        }
    }

    pub(crate) fn call(
        &self,
        attempt: Arc<Attempt>,
    ) -> BoxFuture<'static, Result<Value, TaskError>> {
        (self.call)(attempt)
    }
}

fn read_input<I: DeserializeOwned>(input: &Value) -> Result<I, TaskError> {
    serde_path_to_error::deserialize(input).map_err(|error| {
        let place = error.path().to_string();
        let place = if place == "." { "the input".to_owned() } else { format!("`{place}`") };
        TaskError::fatal(error_name::INVALID_INPUT, format!("{place}: {}", error.inner()))
    })
}
