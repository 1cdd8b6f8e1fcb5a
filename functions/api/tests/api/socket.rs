//! Served on a socket.

use std::time::Duration;

use fluxus_api::{ServeError, serve};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::support::api;

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a socket")
}

async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("reads");
    String::from_utf8(answer).expect("UTF-8")
}

#[tokio::test]
async fn a_socket_is_served_until_shutdown() {
    let api = api().await;
    let listener = listener().await;
    let addr = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(api.app.clone(), listener, shutdown.clone()));
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    let answer = exchange(&mut stream, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    let filler = "x".repeat(20_000);
    let request = format!(
        "GET /healthz HTTP/1.1\r\nHost: {addr}\r\nX: {filler}\r\nConnection: close\r\n\r\n"
    );
    let answer = exchange(&mut stream, &request).await;
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("headers-too-large"), "{answer}");
    // Somebody waits for an end: shutdown answers it with where the claim stands.
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    let body = json!({"type": "a"}).to_string();
    let request = format!(
        "POST /v1/claims HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
         Prefer: wait=30\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let waiting = exchange(&mut stream, &request);
    let stop = async {
        while api.get("/v1/claims").await.body["claims"] == json!([]) {}
        shutdown.cancel();
    };
    let both = async { tokio::join!(waiting, stop) };
    let (answer, ()) = tokio::time::timeout(Duration::from_secs(10), both).await.expect("in time");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    serving.await.expect("ends").expect("served");
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn whoever_polls_for_a_task_is_answered_at_shutdown() {
    let api = api().await;
    let listener = listener().await;
    let addr = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(api.app.clone(), listener, shutdown.clone()));
    let request = format!(
        "POST /v1/activities/approve/poll HTTP/1.1\r\nHost: {addr}\r\n\
         Prefer: wait=25\r\nContent-Length: 0\r\n\r\n"
    );
    // One looks, the other waits for its turn.
    let mut streams = Vec::new();
    for _both in 0..2 {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("writes");
        streams.push(stream);
    }
    let before = api.store.database().statements_sent();
    while api.store.database().statements_sent() == before {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    let ended = async {
        for stream in &mut streams {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("reads");
            // A request that was not read before the shutdown is not answered.
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 204"), "{answer}");
        }
        serving.await.expect("ends").expect("served");
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("long before the grace ends");
}

#[tokio::test]
async fn whoever_sends_too_much_still_hears_why() {
    let api = api().await;
    let listener = listener().await;
    let addr = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(api.app.clone(), listener, shutdown.clone()));
    // All is sent before the answer is read, as many clients do. Past the kernel's own buffers.
    let bytes = 12 * 1024 * 1024;
    let filler = "x".repeat(bytes);
    let head = format!(
        "POST /v1/claims HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
         Connection: close\r\n"
    );
    let announced = format!("{head}Content-Length: {bytes}\r\n\r\n{filler}");
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n{filler}\r\n0\r\n\r\n");
    for request in [announced, chunked] {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        let answer = exchange(&mut stream, &request).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("the bound is 6291456 for a claim's body"), "{answer}");
    }
    // Whoever asks first is not made to send it.
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    let asked = format!("{head}Content-Length: {bytes}\r\nExpect: 100-continue\r\n\r\n");
    let answer = exchange(&mut stream, &asked).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    shutdown.cancel();
    serving.await.expect("ends").expect("served");
}

#[tokio::test]
async fn an_open_api_listens_on_loopback_only() {
    let api = api().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a socket");
    let served = serve(api.app.clone(), listener, CancellationToken::new()).await;
    assert!(matches!(served, Err(ServeError::Auth(_))));
}
