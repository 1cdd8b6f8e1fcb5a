//! Sending the request, following redirects, and naming what went wrong.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ::fluxling::{Task, TaskError};
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, COOKIE, HeaderName, LOCATION,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use crate::config::HttpConfig;
use crate::error_name::{
    ADDRESS_REFUSED, BROKEN, CONNECT, INVALID_REQUEST, TIMEOUT, TOO_MANY_REDIRECTS,
};
use crate::guard::{Guard, Way, refusal};
use crate::request::{Input, Request, check_scheme};
use crate::response::Output;

/// Time to connect: beyond it nobody listens.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Most redirects that are followed: what clients commonly do.
const MAX_REDIRECTS: usize = 10;

/// What must not go to another host than it was meant for.
const SECRET: [HeaderName; 2] = [AUTHORIZATION, COOKIE];

/// What describes a body, and goes with it.
const OF_THE_BODY: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE];

/// Connections, kept open between tasks; apart for the two ways, so that a request that is guarded
/// never uses a connection that was not.
#[derive(Debug)]
pub(crate) struct Clients {
    guard: Guard,
    guarded: Client,
    open: Client,
}

impl Clients {
    /// The error says what could not be set up.
    pub(crate) fn new(config: HttpConfig) -> Result<Self, String> {
        let guard = Guard::new(config);
        let builder = || {
            Client::builder()
                .user_agent(concat!("fluxus/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                // A proxy would resolve names out of our sight; redirects are judged one by one.
                .no_proxy()
                .redirect(Policy::none())
        };
        let failed = |error: reqwest::Error| chain(&error);
        let guarded = builder().dns_resolver(Arc::new(guard.clone())).build().map_err(failed)?;
        let open = builder().build().map_err(failed)?;
        Ok(Self { guard, guarded, open })
    }

    /// Does what a task asks for.
    pub(crate) async fn exchange(&self, task: &Task<Input>) -> Result<Output, TaskError> {
        let input = &task.input;
        let request = Request::new(task)?;
        let time = input.timeout().min(task.remaining());
        let exchange = async {
            let response = self.response(request, input.follow_redirects).await?;
            Output::read(response, input).await
        };
        let late = |_| {
            let cause = format!("no whole response within {} ms", time.as_millis());
            TaskError::retryable(TIMEOUT, cause)
        };
        tokio::time::timeout(time, exchange).await.map_err(late)?
    }

    /// What comes back, at the end of redirects where those are followed.
    pub(crate) async fn response(
        &self,
        mut request: Request,
        follow: bool,
    ) -> Result<Response, TaskError> {
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&request).await?;
            if !follow {
                return Ok(response);
            }
            match redirected(&request, &response)? {
                Some(next) => request = next,
                None => return Ok(response),
            }
        }
        let cause = format!("more than MAX_REDIRECTS = {MAX_REDIRECTS}");
        Err(TaskError::fatal(TOO_MANY_REDIRECTS, cause))
    }

    async fn send(&self, request: &Request) -> Result<Response, TaskError> {
        let way = self.guard.way(&request.url);
        let client = match way.map_err(|refused| TaskError::fatal(ADDRESS_REFUSED, refused))? {
            Way::Open => &self.open,
            Way::Guarded => &self.guarded,
        };
        let mut sent = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone());
        if let Some(body) = &request.body {
            sent = sent.body(body.clone());
        }
        sent.send().await.map_err(named)
    }
}

/// The request that a redirect asks for; none if the response is no redirect.
///
/// Source: RFC 9110, section 15.4, and the Fetch standard, "HTTP-redirect fetch".
fn redirected(request: &Request, response: &Response) -> Result<Option<Request>, TaskError> {
    let to_get = match response.status() {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => {
            request.method == reqwest::Method::POST
        }
        StatusCode::SEE_OTHER => request.method != reqwest::Method::HEAD,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => false,
        _ => return Ok(None),
    };
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let url = location.to_str().ok().and_then(|location| request.url.join(location).ok());
    let Some(mut url) = url else {
        let cause = "the redirect's `Location` is no URL";
        return Err(TaskError::fatal(BROKEN, cause));
    };
    url.set_fragment(None);
    check_scheme(&url)?;
    let mut next = Request { url, ..request.clone() };
    if to_get {
        next.method = reqwest::Method::GET;
        next.body = None;
        OF_THE_BODY.iter().for_each(|name| drop(next.headers.remove(name)));
    }
    if origin(&next.url) != origin(&request.url) {
        SECRET.iter().for_each(|name| drop(next.headers.remove(name)));
    }
    Ok(Some(next))
}

fn origin(url: &Url) -> (&str, Option<&str>, Option<u16>) {
    (url.scheme(), url.host_str(), url.port_or_known_default())
}

/// The task error for an error of the client. The URL is left out: it may hold secrets.
pub(crate) fn named(error: reqwest::Error) -> TaskError {
    let error = error.without_url();
    if let Some(refused) = refusal(&error) {
        return TaskError::fatal(ADDRESS_REFUSED, refused);
    }
    let cause = chain(&error);
    if error.is_builder() {
        TaskError::fatal(INVALID_REQUEST, cause)
    } else if error.is_connect() {
        TaskError::retryable(CONNECT, cause)
    } else if error.is_timeout() {
        TaskError::retryable(TIMEOUT, cause)
    } else {
        TaskError::retryable(BROKEN, cause)
    }
}

/// An error with all its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
