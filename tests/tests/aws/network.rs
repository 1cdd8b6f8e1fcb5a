//! What stands between the functions and AWS, and what they find outside: on a thread of its own,
//! since it outlives each test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;
use tokio::net::TcpListener;

/// The largest request that passes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A way to AWS that can make every message come twice, and a server outside.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    gateway: String,
    outside: String,
    /// Where AWS really is.
    aws: OnceLock<String>,
    doubles: AtomicBool,
    client: reqwest::Client,
}

impl Network {
    pub fn start() -> Self {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(serve(&tell));
        });
        told.recv().expect("a network")
    }

    /// Where the functions find AWS.
    pub fn gateway(&self) -> &str {
        &self.0.gateway
    }

    /// Says where AWS is, which was not known before the functions' way to it.
    pub fn leads_to(&self, aws: &str) {
        self.0.aws.set(aws.to_owned()).expect("said once");
    }

    /// `HOST:PORT` of a server that answers `/hello`, and `/silence` never.
    pub fn outside(&self) -> &str {
        &self.0.outside
    }

    /// Has every message that a function sends come twice, or ends it.
    pub fn doubles(&self, doubles: bool) {
        self.0.doubles.store(doubles, Ordering::SeqCst);
    }
}

async fn serve(tell: &mpsc::Sender<Network>) {
    let (gateway, outside) = (listener().await, listener().await);
    let address = |listener: &TcpListener| listener.local_addr().expect("an address");
    let network = Network(Arc::new(Inner {
        gateway: format!("http://{}", address(&gateway)),
        outside: address(&outside).to_string(),
        aws: OnceLock::new(),
        doubles: AtomicBool::new(false),
        client: reqwest::Client::builder().no_proxy().build().expect("a client"),
    }));
    tell.send(network.clone()).expect("somebody listens");
    let way = Router::new().fallback(forward).with_state(network);
    let world = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/silence", get(std::future::pending::<()>));
    let (way, world) = tokio::join!(axum::serve(gateway, way), axum::serve(outside, world));
    way.and(world).expect("they go on");
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

async fn forward(State(network): State<Network>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BYTES).await.expect("a body");
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let sends = target.is_some_and(|target| target.starts_with("AmazonSQS.SendMessage"));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{}{path}", network.0.aws.get().expect("where AWS is"));
    let send = || send(&network, &parts.method, &url, &parts.headers, body.clone());
    if sends && network.0.doubles.load(Ordering::SeqCst) {
        send().await;
    }
    send().await
}

async fn send(
    network: &Network,
    method: &axum::http::Method,
    url: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut headers = headers.clone();
    for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let request = network.0.client.request(method.clone(), url).headers(headers).body(body);
    let failed = |error: reqwest::Error| {
        let mut response = Response::new(Body::from(error.to_string()));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return failed(error),
    };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove(TRANSFER_ENCODING);
    match answer.bytes().await {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(error) => failed(error),
    }
}
