//! A server that answers each request of SQS as a test says.

use std::sync::{Arc, Mutex};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The answer to a request: its status and its document.
pub type Answer = (u16, Value);

/// A server, and what it was asked.
pub struct Fake {
    pub config: SdkConfig,
    pub url: String,
    pub asked: Arc<Mutex<Vec<Value>>>,
}

/// A server that answers by this function.
pub async fn fake(answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (answer, asks) = (Arc::new(answer), Arc::clone(&asked));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, asks) = (Arc::clone(&answer), Arc::clone(&asks));
            tokio::spawn(serve(stream, move |request| {
                let answer = answer(&request);
                asks.lock().expect("no panic").push(request);
                answer
            }));
        }
    });
    let credentials = Credentials::new("test", "test", None, None, "tests");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(&url)
        // What is repeated here is what the adapter repeats.
        .retry_config(RetryConfig::disabled())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    Fake { config, url: format!("{url}/1/"), asked }
}

/// One connection, request after request.
async fn serve(stream: TcpStream, answer: impl Fn(Value) -> Answer) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|bytes| *bytes > 0)?;
            if line.trim().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let (status, document) = answer(serde_json::from_slice(&body).ok()?);
        let document = document.to_string();
        let head = format!(
            "HTTP/1.1 {status} Said\r\nContent-Type: application/x-amz-json-1.0\r\n\
             Content-Length: {}\r\n\r\n",
            document.len()
        );
        stream.write_all(format!("{head}{document}").as_bytes()).await.ok()?;
    }
}
