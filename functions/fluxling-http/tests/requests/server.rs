//! A tiny HTTP server: keeps what it was asked, answers what it was told.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request as it came over the wire.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers every request with what `answer` makes of it: the bytes of a response, or nothing at
    /// all, for ever, where it is empty.
    pub async fn start(answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (answer, log) = (Arc::new(answer), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), log.clone()));
            }
        });
        Self { port, asked }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: Arc<impl Fn(&Asked) -> String>,
    log: Arc<Mutex<Vec<Asked>>>,
) {
    let mut read = Vec::new();
    loop {
        let Some(asked) = take_request(&mut stream, &mut read).await else { return };
        let response = answer(&asked);
        log.lock().unwrap().push(asked);
        if response.is_empty() {
            return std::future::pending().await;
        }
        // Latin-1, so that tests can answer any byte.
        let bytes: Vec<u8> = response.chars().map(|c| u8::try_from(c).unwrap()).collect();
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        if response.contains("connection: close") {
            return;
        }
    }
}

async fn take_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Asked> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
    while read.len() < end + 4 + length {
        stream.read_buf(read).await.ok()?;
    }
    let body = String::from_utf8(read[end + 4..end + 4 + length].to_vec()).unwrap();
    read.drain(..end + 4 + length);
    Some(Asked { line, headers, body })
}

/// A response with a body and headers of the test's.
pub fn response(status: u16, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.chars().count();
    format!("HTTP/1.1 {status} Reason\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

pub fn redirect(status: u16, to: &str) -> String {
    response(status, &[("location", to)], "")
}
