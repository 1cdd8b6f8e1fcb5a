//! Lambda by AWS's SDK.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata as _, SdkError};
use aws_sdk_lambda::operation::RequestId as _;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types;

use crate::invocation::{Invocation, InvocationType, InvokeError, Invoked, Invoker, document};

/// How long a connection to Lambda may take to come about. The answer has no bound of its own: the
/// longest function takes 15 minutes, and the task's deadline comes first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// AWS's SDK. It sends each request once: whether a function may run twice is for the recipe's
/// Retry to say.
pub(crate) struct Sdk(Client);

impl Sdk {
    /// The SDK as the environment has it.
    pub(crate) async fn from_env() -> Self {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .load()
            .await;
        Self(Client::new(&config))
    }
}

#[async_trait]
impl Invoker for Sdk {
    async fn invoke(&self, invocation: Invocation) -> Result<Invoked, InvokeError> {
        let kind = match invocation.invocation_type {
            InvocationType::RequestResponse => types::InvocationType::RequestResponse,
            InvocationType::Event => types::InvocationType::Event,
            InvocationType::DryRun => types::InvocationType::DryRun,
        };
        let invoke = self.0.invoke().function_name(invocation.function).invocation_type(kind);
        let invoke = invoke
            .set_qualifier(invocation.qualifier)
            .set_client_context(invocation.client_context)
            .payload(Blob::new(invocation.payload));
        let output = invoke.send().await.map_err(|error| refused(&error))?;
        let bytes = output.payload().map(Blob::as_ref).unwrap_or_default();
        Ok(Invoked {
            status: u16::try_from(output.status_code()).unwrap_or_default(),
            payload: document(bytes)?,
            function_error: output.function_error().map(str::to_owned),
            executed_version: output.executed_version().map(str::to_owned),
            request_id: output.request_id().map(str::to_owned),
        })
    }
}

fn refused<E>(error: &SdkError<E>) -> InvokeError
where
    E: std::error::Error + aws_sdk_lambda::error::ProvideErrorMetadata + 'static,
{
    match error.code() {
        Some(code) => InvokeError::Refused {
            code: code.to_owned(),
            message: error.message().unwrap_or("no reason was given").to_owned(),
        },
        None => InvokeError::Client { message: DisplayErrorContext(error).to_string() },
    }
}
