//! Invokes Lambda functions: `lambda.invoke` and `lambda.call`.
//!
//! A recipe's `arn:aws:states:::lambda:invoke` asks for the first, a function's ARN as `Resource`
//! for the second. Both take the parameters of Lambda's `Invoke`:
//!
//! ```json
//! {"FunctionName": "resize", "Payload": {"image": "7.png"}, "Qualifier": "live"}
//! ```
//!
//! `lambda.invoke` answers as Step Functions' integration does, see [`Output`]; `lambda.call` with
//! what the function gave back, alone. Retrying is the recipe's: nothing is invoked twice for one
//! attempt, unless the worker died.
//!
//! | error name | when |
//! | --- | --- |
//! | what the function says, such as `ValueError` | it failed; the cause is what it gave back |
//! | `Lambda.Unknown` | it failed and does not say by what name |
//! | `Lambda.ResourceNotFoundException` and the like | Lambda refused; the name is its own |
//! | `Lambda.SdkClientException` | Lambda could not be reached, or its answer not be read |
//! | `Lambda.InvalidRequest` | the parameters are not what `Invoke` takes |

#[cfg(feature = "aws")]
mod aws;
mod endpoint;
mod invocation;

use std::sync::Arc;
use std::time::Duration;

use ::fluxling::{Fluxling, Task, TaskError};
use serde_json::Value;

pub use endpoint::Endpoint;
pub use invocation::{Input, Invocation, InvocationType, InvokeError, Invoked, Invoker, Output};

/// Invocations at a time: they mostly wait.
const CONCURRENCY: u32 = 64;

/// The longest time for one task: that of the longest function, with room for the SDK's own. Where
/// this fluxling is a Lambda function itself, its own timeout comes first.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The fluxling.
pub fn fluxling(invoker: Arc<dyn Invoker>) -> Fluxling {
    let caller = invoker.clone();
    Fluxling::new("lambda")
        .version(env!("CARGO_PKG_VERSION"))
        .description("Invokes Lambda functions.")
        .capability("lambda.invoke", move |task: Task<Input>| {
            let invoker = invoker.clone();
            async move { Ok(Output::from(invoke(&*invoker, task.input).await?)) }
        })
        .capability("lambda.call", move |task: Task<Input>| {
            let invoker = caller.clone();
            async move { Ok::<Value, TaskError>(invoke(&*invoker, task.input).await?.payload) }
        })
        .concurrency(CONCURRENCY)
        .timeout(TIMEOUT)
}

/// The invoker of a deployed fluxling: AWS's SDK.
///
/// # Errors
/// Where this was built without feature `aws`.
#[cfg(feature = "aws")]
pub async fn invoker() -> Result<Arc<dyn Invoker>, ::fluxling::lambda::Error> {
    Ok(Arc::new(aws::Sdk::from_env().await))
}

/// The invoker of a deployed fluxling: AWS's SDK.
///
/// # Errors
/// Where this was built without feature `aws`.
#[cfg(not(feature = "aws"))]
pub async fn invoker() -> Result<Arc<dyn Invoker>, ::fluxling::lambda::Error> {
    Ok(Arc::new(endpoint::Missing))
}

async fn invoke(invoker: &dyn Invoker, input: Input) -> Result<Invoked, TaskError> {
    let invoked = invoker.invoke(input.check()?).await.map_err(InvokeError::into_task_error)?;
    match &invoked.function_error {
        None => Ok(invoked),
        Some(_) => Err(invocation::failed(&invoked.payload)),
    }
}
