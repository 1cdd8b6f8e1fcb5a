//! A client that knows nothing but REST, and a server for `http-check` to ask.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::process::{EVERY, PATIENCE};

/// How long one request may take before it is sent again: the server may be gone.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A client of one address.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
        Self { http: http.expect("a client"), url: format!("{url}/v1") }
    }

    /// The same client for another address.
    pub fn at(&self, url: &str) -> Self {
        Self { http: self.http.clone(), url: format!("{url}/v1") }
    }

    /// Submits a claim under a key and gives its id, and whether the key was known; none if there
    /// was no answer, so that nobody knows whether it was accepted.
    pub async fn try_submit(&self, claim: &Value, key: &str) -> Option<(String, bool)> {
        let post = self.http.post(format!("{}/claims", self.url)).json(claim);
        let answer = post.header("idempotency-key", key).send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        // 503: the process is on its way out.
        if status == 503 {
            return None;
        }
        assert_eq!(status, 202, "{text}");
        let submitted: Value = serde_json::from_str(&text).expect("JSON");
        let id = submitted["claim_id"].as_str().expect("an id").to_owned();
        Some((id, submitted["duplicate"].as_bool().expect("a boolean")))
    }

    /// Submits a claim and gives it as it ended.
    pub async fn fulfil(&self, claim: &Value) -> Value {
        let post = self.http.post(format!("{}/claims", self.url)).json(claim);
        let answer = post.header("prefer", "wait=30").send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// A document; none if there was no answer.
    pub async fn try_get(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(format!("{}/{path}", self.url)).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }

    pub async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.expect(path)
    }

    /// Sends a document and gives the answer's status; none if there was no answer.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<u16> {
        let answer = self.http.post(format!("{}/{path}", self.url)).json(body).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Asks again and again until the answer is what is looked for.
    pub async fn until<T>(&self, path: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        let look = async {
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                if let Some(found) = find(&self.get(path).await) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("it comes in time")
    }

    /// The names of the states that a claim went through and, after each failed attempt, the
    /// error: `Reserve: Shop.Busy`.
    pub async fn path(&self, claim: &Value) -> String {
        let id = claim["claim_id"].as_str().expect("an id");
        let page = self.get(&format!("claims/{id}/history?limit=1000")).await;
        let mut state = "";
        let mut path = Vec::new();
        for event in page["events"].as_array().expect("events") {
            let kind = event["type"].as_str().expect("a type");
            if kind.ends_with("StateEntered") {
                state = event["stateEnteredEventDetails"]["name"].as_str().expect("a name");
                path.push(state.to_owned());
            } else if kind == "TaskFailed" {
                let error = event["taskFailedEventDetails"]["error"].as_str().expect("an error");
                path.push(format!("{state}: {error}"));
            }
        }
        path.join(", ")
    }

    /// Every claim there is.
    pub async fn claims(&self) -> Vec<Value> {
        let mut claims = Vec::new();
        let mut page = self.get("claims?limit=100").await;
        loop {
            claims.append(page["claims"].as_array_mut().expect("claims"));
            let Some(cursor) = page["next_cursor"].as_str() else { return claims };
            let next = format!("claims?limit=100&cursor={cursor}");
            page = self.get(&next).await;
        }
    }
}

/// The token of the callback that a claim waits for, if it does.
pub fn callback(explained: &Value) -> Option<String> {
    let waiting = explained["waiting"][0]["for"].as_object()?;
    let token = waiting.get("token")?.as_str()?;
    (waiting["kind"] == "callback").then(|| token.to_owned())
}

/// The claim of an example, changed.
pub fn claim(example: &str, change: impl FnOnce(&mut Value)) -> Value {
    let found = fluxus_local::examples::EXAMPLES.into_iter().find(|one| one.name == example);
    let mut claim = serde_json::from_str(found.expect(example).claim).expect("a claim");
    change(&mut claim);
    claim
}

/// A server that answers `GET /200` with 200 and `GET /503` with 503; gives its address.
pub async fn endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Whoever asks may be killed meanwhile.
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let count = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..count]);
                let status = head.split(['/', ' ']).nth(2).unwrap_or("400").to_owned();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n\
                     content-length: 2\r\nconnection: close\r\n\r\n{{}}"
                );
                let _sent = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}
