//! `http.request` against a server on this machine.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod redirects;
mod server;

use fluxling::TaskError;
use fluxling_http::{HttpConfig, fluxling};
use serde_json::{Value, json};

use server::{Server, response};

/// Requests with the servers' endpoints allowed, and nothing else that is not public.
async fn request(servers: &[&Server], input: Value) -> Result<Value, TaskError> {
    let allow = servers.iter().map(|server| server.endpoint().parse().unwrap()).collect();
    let config = HttpConfig { allow, allow_private: false };
    fluxling(config).call("http.request", input).await
}

async fn name_of(servers: &[&Server], input: Value) -> String {
    request(servers, input).await.unwrap_err().name().to_owned()
}

async fn hello() -> Server {
    Server::start(|_| response(200, &[("content-type", "text/plain")], "hello")).await
}

#[tokio::test]
async fn a_get_is_the_simplest_request() {
    let server = Server::start(|_| {
        let headers =
            [("Content-Type", "application/json; charset=utf-8"), ("X-A", "1"), ("X-A", "2")];
        response(200, &headers, r#"{"a": [1, null]}"#)
    })
    .await;
    let output = request(&[&server], json!({"url": server.url("/a?b=c#d")})).await.unwrap();
    let headers = json!({"content-length": "16", "content-type": "application/json; charset=utf-8",
        "x-a": "1, 2"});
    let want =
        json!({"status": 200, "headers": headers, "body": {"a": [1, null]}, "encoding": "json"});
    assert_eq!(output, want);
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "GET /a?b=c HTTP/1.1");
    assert_eq!(asked.header("idempotency-key").unwrap().len(), 64);
    assert_eq!((asked.header("content-type"), asked.body.as_str()), (None, ""));
}

#[tokio::test]
async fn methods_headers_query_and_bodies_are_sent() {
    let server = hello().await;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let input = json!({"method": method, "url": server.url("/")});
        let output = request(&[&server], input).await.unwrap();
        assert_eq!(output["status"], 200);
        assert_eq!(server.asked().last().unwrap().line, format!("{method} / HTTP/1.1"));
    }
    let input = json!({
        "method": "POST",
        "url": server.url("/orders?a=1"),
        "headers": {"X-Shop": "eu", "Idempotency-Key": "mine"},
        "query": {"b": "x y&z", "c": [1, true], "d": null},
        "body": {"id": 7},
    });
    request(&[&server], input).await.unwrap();
    let asked = server.asked().pop().unwrap();
    assert_eq!(asked.line, "POST /orders?a=1&b=x+y%26z&c=1&c=true HTTP/1.1");
    assert_eq!(asked.header("x-shop"), Some("eu"));
    assert_eq!(asked.header("idempotency-key"), Some("mine"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(asked.body, r#"{"id":7}"#);

    let input = json!({"method": "PUT", "url": server.url("/"), "body": "a,b\n1,2\n",
        "headers": {"content-type": "text/csv"}, "idempotency_key": false});
    request(&[&server], input).await.unwrap();
    let asked = server.asked().pop().unwrap();
    assert_eq!(asked.header("content-type"), Some("text/csv"));
    assert_eq!((asked.header("idempotency-key"), asked.body.as_str()), (None, "a,b\n1,2\n"));
}

#[tokio::test]
async fn a_body_stands_as_what_it_is() {
    let cases = [
        ("application/problem+json", "[1]", json!([1]), "json"),
        ("application/json", "{oops", json!("{oops"), "text"),
        ("text/html", "[1]", json!("[1]"), "text"),
        ("image/png", "\u{89}PNG", json!("iVBORw=="), "base64"),
        ("text/plain", "", json!(null), "text"),
    ];
    for (content_type, body, want, encoding) in cases {
        let server =
            Server::start(move |_| response(200, &[("content-type", content_type)], body)).await;
        let output = request(&[&server], json!({"url": server.url("/")})).await.unwrap();
        assert_eq!((&output["body"], &output["encoding"]), (&want, &json!(encoding)));
    }
}

#[tokio::test]
async fn an_error_status_fails_the_task_by_its_number() {
    let server = Server::start(|_| response(503, &[], "come back later")).await;
    let url = server.url("/");
    let error = request(&[&server], json!({"url": url})).await.unwrap_err();
    let want = "Http.StatusCode.503: Service Unavailable: come back later";
    assert_eq!(error.to_string(), want);
    let output = request(&[&server], json!({"url": url, "fail_on_status": false})).await.unwrap();
    assert_eq!((&output["status"], &output["body"]), (&json!(503), &json!("come back later")));
}

#[tokio::test]
async fn a_response_that_does_not_come_times_out() {
    let silent = Server::start(|_| String::new()).await;
    let begun = Server::start(|_| "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc".into()).await;
    for server in [silent, begun] {
        let input = json!({"url": server.url("/"), "timeout_ms": 50});
        let error = request(&[&server], input).await.unwrap_err();
        assert_eq!(error.to_string(), "Http.Timeout: no whole response within 50 ms");
    }
}

#[tokio::test]
async fn a_response_past_its_bound_is_not_read_on() {
    let told = Server::start(|_| response(200, &[], &"x".repeat(101))).await;
    let chunked = Server::start(|_| {
        let chunks = "32\r\n".to_owned() + &"x".repeat(50) + "\r\n";
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", chunks.repeat(3))
    })
    .await;
    for server in [told, chunked] {
        let input = json!({"url": server.url("/"), "max_response_bytes": 100});
        assert_eq!(name_of(&[&server], input).await, "Http.ResponseTooLarge");
    }
    let just = Server::start(|_| response(200, &[], &"x".repeat(100))).await;
    let input = json!({"url": just.url("/"), "max_response_bytes": 100});
    assert!(request(&[&just], input).await.is_ok());
    let input = json!({"url": just.url("/"), "max_response_bytes": 9_000_000});
    assert_eq!(name_of(&[&just], input).await, "Http.InvalidRequest");
}

#[tokio::test]
async fn what_breaks_is_named() {
    let broken = Server::start(|_| "connection: close, this is no HTTP\r\n\r\n".into()).await;
    let input = json!({"url": broken.url("/")});
    assert_eq!(name_of(&[&broken], input).await, "Http.Broken");

    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let config = HttpConfig { allow: vec![], allow_private: true };
    let input = json!({"url": format!("http://127.0.0.1:{port}/?secret=7")});
    let error = fluxling(config).call("http.request", input).await.unwrap_err();
    assert_eq!(error.name(), "Http.Connect");
    assert!(!error.cause().contains("secret"), "{error}");
}

#[tokio::test]
async fn requests_that_cannot_be_made_are_refused() {
    let server = hello().await;
    let url = server.url("/");
    let wrong = [
        json!({"url": "no url"}),
        json!({"url": "ftp://example.com/"}),
        json!({"url": "file:///etc/passwd"}),
        json!({"url": url, "headers": {"X-A": "1\r\nX-B: 2"}}),
        json!({"url": url, "headers": {"X-A\r\nX-B": "1"}}),
        json!({"url": url, "headers": {"": "1"}}),
        json!({"url": url, "headers": {"Host": "other"}}),
        json!({"url": url, "headers": {"Transfer-Encoding": "chunked"}}),
        json!({"url": url, "headers": {"content-length": "0"}}),
        json!({"url": url, "query": {"a": {"b": 1}}}),
    ];
    for input in wrong {
        let name = name_of(&[&server], input.clone()).await;
        assert_eq!(name, "Http.InvalidRequest", "{input}");
    }
    let unknown = json!({"url": url, "method": "TRACE"});
    assert_eq!(name_of(&[&server], unknown).await, "Fluxling.InvalidInput");
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused() {
    let server = hello().await;
    let port = server.port;
    for host in ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let input = json!({"url": format!("http://{host}:{port}/")});
        let error = request(&[], input).await.unwrap_err();
        assert_eq!(error.name(), "Http.AddressRefused", "{host}: {error}");
    }
    assert_eq!(server.asked().len(), 0);
    for allowed in ["127.0.0.0/8", &format!("localhost:{port}")] {
        let allow = vec![allowed.parse().unwrap()];
        let config = HttpConfig { allow, allow_private: false };
        let input = json!({"url": format!("http://localhost:{port}/")});
        let output = fluxling(config).call("http.request", input).await;
        assert_eq!(output.unwrap()["body"], "hello", "{allowed}");
    }
}
