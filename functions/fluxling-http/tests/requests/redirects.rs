//! Redirects: left alone unless asked for, and judged on every hop.

use serde_json::json;

use crate::server::{Asked, Server, redirect, response};
use crate::{name_of, request};

/// `/301` to `/308` redirect to `/end`; `/loop` to itself.
async fn server() -> Server {
    Server::start(|asked: &Asked| {
        let path = asked.line.split(' ').nth(1).unwrap_or_default();
        match path.trim_start_matches('/').parse() {
            Ok(status) => redirect(status, "/end#part"),
            Err(_) if path == "/loop" => redirect(302, "/loop"),
            Err(_) => response(200, &[], "the end"),
        }
    })
    .await
}

#[tokio::test]
async fn a_redirect_is_a_response_unless_it_is_to_be_followed() {
    let server = server().await;
    let output = request(&[&server], json!({"url": server.url("/302")})).await.unwrap();
    assert_eq!(
        (&output["status"], &output["headers"]["location"]),
        (&json!(302), &json!("/end#part"))
    );
    let input = json!({"url": server.url("/302"), "follow_redirects": true});
    let output = request(&[&server], input).await.unwrap();
    assert_eq!((&output["status"], &output["body"]), (&json!(200), &json!("the end")));
}

#[tokio::test]
async fn the_method_follows_the_status() {
    let server = server().await;
    for (status, method, want) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (302, "PUT", "PUT"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "PATCH", "PATCH"),
    ] {
        let url = server.url(&format!("/{status}"));
        let input =
            json!({"url": url, "method": method, "body": {"a": 1}, "follow_redirects": true});
        request(&[&server], input).await.unwrap();
        let last = server.asked().pop().unwrap();
        assert_eq!(last.line, format!("{want} /end HTTP/1.1"), "{status}");
        let (body, content_type) =
            if want == "GET" { ("", None) } else { (r#"{"a":1}"#, Some("application/json")) };
        assert_eq!((last.body.as_str(), last.header("content-type")), (body, content_type));
    }
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let server = server().await;
    let input = json!({"url": server.url("/loop"), "follow_redirects": true});
    assert_eq!(name_of(&[&server], input).await, "Http.TooManyRedirects");
    assert_eq!(server.asked().len(), 11);
}

#[tokio::test]
async fn secrets_stay_with_their_host() {
    let end = server().await;
    let target = end.url("/end");
    let start = Server::start(move |_| redirect(307, &target)).await;
    let headers = json!({"Authorization": "Bearer x", "Cookie": "a=b", "X-Kept": "1"});
    let input = json!({"url": start.url("/"), "headers": headers, "follow_redirects": true});
    request(&[&start, &end], input).await.unwrap();
    assert_eq!(start.asked()[0].header("authorization"), Some("Bearer x"));
    let last = end.asked().pop().unwrap();
    assert_eq!((last.header("authorization"), last.header("cookie")), (None, None));
    assert_eq!(last.header("x-kept"), Some("1"));

    let headers = json!({"Authorization": "Bearer x"});
    let input = json!({"url": end.url("/302"), "headers": headers, "follow_redirects": true});
    request(&[&end], input).await.unwrap();
    assert_eq!(end.asked().pop().unwrap().header("authorization"), Some("Bearer x"));
}

#[tokio::test]
async fn a_redirect_does_not_lead_where_a_request_may_not_go() {
    let secret = server().await;
    let port = secret.port;
    for target in [
        secret.url("/end"),
        format!("http://localhost:{port}/"),
        format!("//[::1]:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let to = target.clone();
        let start = Server::start(move |_| redirect(302, &to)).await;
        let input = json!({"url": start.url("/"), "follow_redirects": true});
        assert_eq!(name_of(&[&start], input).await, "Http.AddressRefused", "{target}");
    }
    assert_eq!(secret.asked().len(), 0);
    let start = Server::start(|_| redirect(302, "file:///etc/passwd")).await;
    let input = json!({"url": start.url("/"), "follow_redirects": true});
    assert_eq!(name_of(&[&start], input).await, "Http.InvalidRequest");
}
