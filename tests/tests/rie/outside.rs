//! The outside world: a server that answers every request alike, and remembers them.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server that answers with `{"greeting": "hello"}`.
pub struct Outside {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Outside {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let request = answer(stream).await.unwrap_or_default();
                seen.lock().unwrap().push(request);
            }
        });
        Self { address, requests, serving }
    }

    /// `127.0.0.1:4711`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it was asked, whole requests.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<String> {
    const BODY: &str = r#"{"greeting": "hello"}"#;
    let mut request = Vec::new();
    while !is_whole(&String::from_utf8_lossy(&request)) {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let length = BODY.len();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {length}\r\n\r\n{BODY}");
    stream.write_all(answer.as_bytes()).await?;
    Ok(String::from_utf8_lossy(&request).into_owned())
}

/// Whether all of the body is there that the head tells of.
fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.is_none_or(|length| body.len() >= length.trim().parse().unwrap_or(0))
}
