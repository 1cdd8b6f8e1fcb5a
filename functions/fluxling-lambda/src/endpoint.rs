//! Lambda's `Invoke` over plain HTTP, unsigned: what `sam local start-lambda`, the runtime interface
//! emulator and emulators of AWS serve. For a developer's machine.

use async_trait::async_trait;
use reqwest::{Client, Url};

use crate::invocation::{Invocation, InvokeError, Invoked, Invoker, document};

/// An endpoint that speaks Lambda's protocol and asks for no signature.
#[derive(Debug, Clone)]
pub struct Endpoint {
    client: Client,
    url: Url,
}

impl Endpoint {
    /// The endpoint at this address: `http://127.0.0.1:3001`.
    ///
    /// # Errors
    /// What is wrong with the address, or with this machine's TLS.
    pub fn new(url: &str) -> Result<Self, InvokeError> {
        let text = url;
        let url = Url::parse(text).ok().filter(|url| url.has_host());
        let url = url.ok_or_else(|| InvokeError::NoEndpoint { url: text.to_owned() })?;
        let failed = |error: reqwest::Error| InvokeError::Client { message: error.to_string() };
        let client = Client::builder().build().map_err(failed)?;
        Ok(Self { client, url })
    }

    fn path(&self, invocation: &Invocation) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            let path = path.pop_if_empty();
            path.extend(["2015-03-31", "functions", &invocation.function, "invocations"]);
        }
        if let Some(qualifier) = &invocation.qualifier {
            url.query_pairs_mut().append_pair("Qualifier", qualifier);
        }
        url
    }
}

#[async_trait]
impl Invoker for Endpoint {
    async fn invoke(&self, invocation: Invocation) -> Result<Invoked, InvokeError> {
        let failed = |error: reqwest::Error| InvokeError::Client { message: error.to_string() };
        let url = self.path(&invocation);
        let kind = invocation.invocation_type.as_str();
        let mut request = self.client.post(url).header("X-Amz-Invocation-Type", kind);
        if let Some(context) = invocation.client_context {
            request = request.header("X-Amz-Client-Context", context);
        }
        let response = request.body(invocation.payload).send().await.map_err(failed)?;
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let status = response.status();
        let (function_error, executed_version, request_id, code) = (
            header("X-Amz-Function-Error"),
            header("X-Amz-Executed-Version"),
            header("x-amzn-RequestId"),
            header("x-amzn-ErrorType"),
        );
        let bytes = response.bytes().await.map_err(failed)?;
        if !status.is_success() {
            let code = code.unwrap_or_else(|| "ServiceException".to_owned());
            // The service's header may go on after the name: `NotFound:http://...`.
            let code = code.split(':').next().unwrap_or_default().to_owned();
            let text = String::from_utf8_lossy(&bytes);
            return Err(InvokeError::Refused { code, message: format!("{status}: {text}") });
        }
        let payload = document(&bytes)?;
        let status = status.as_u16();
        Ok(Invoked { status, payload, function_error, executed_version, request_id })
    }
}

/// Stands for Lambda where there is no way to it.
#[cfg(not(feature = "aws"))]
pub(crate) struct Missing;

#[cfg(not(feature = "aws"))]
#[async_trait]
impl Invoker for Missing {
    async fn invoke(&self, _: Invocation) -> Result<Invoked, InvokeError> {
        let message = "this fluxling was built without feature `aws`".to_owned();
        Err(InvokeError::Client { message })
    }
}
