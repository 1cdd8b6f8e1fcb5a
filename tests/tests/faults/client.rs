//! A client of the API, which may be killed at any moment, and what it was told that it should not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use crate::recipes::Recipe;

/// How long one request may take before it is sent again.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What came of an answer for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The task waited for it.
    Yes,
    /// Nobody waits for it.
    TooLate,
    /// The API was not there, or Postgres was not: say it again.
    Perhaps,
}

/// A client of the API that knows nothing but REST.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Where the API is at the moment; it may be at several places, which are asked in turn.
    urls: Arc<Mutex<Vec<String>>>,
    turn: Arc<AtomicUsize>,
    /// Answers that nobody should get, whatever happens to the system.
    strange: Arc<Mutex<BTreeSet<String>>>,
}

impl Client {
    pub fn new(listen: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
        let client = Self {
            http: http.expect("a client"),
            urls: Arc::default(),
            turn: Arc::default(),
            strange: Arc::default(),
        };
        client.go_to(&[listen]);
        client
    }

    /// From now on, for all clones, the API is there.
    pub fn go_to(&self, listen: &[&str]) {
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        *urls = listen.iter().map(|listen| format!("http://{listen}/v1")).collect();
    }

    fn url(&self, path: &str) -> String {
        let urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % urls.len();
        format!("{}/{path}", urls[turn])
    }

    /// Submits a claim and gives its id; none if it is not known whether it was accepted.
    pub async fn submit(&self, claim: &Value, key: &str) -> Option<String> {
        let post = self.http.post(self.url("claims")).json(claim);
        let answer = post.header("idempotency-key", key).send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        if status != 202 {
            self.look_at("submit a claim", status, &text);
            return None;
        }
        let submitted: Value = serde_json::from_str(&text).expect("JSON");
        submitted["claim_id"].as_str().map(str::to_owned)
    }

    /// Puts a recipe; the system is well.
    pub async fn put_recipe(&self, recipe: &Recipe) {
        let put = self.http.put(self.url(&format!("recipes/{}", recipe.name)));
        let answer = put.json(&recipe.put()).send().await.expect("an answer");
        let status = answer.status();
        assert!(status.is_success(), "{}: {}", recipe.name, answer.text().await.expect("text"));
    }

    /// Cancels a claim; whether that was heard.
    pub async fn cancel(&self, id: &str) -> bool {
        let post = self.http.post(self.url(&format!("claims/{id}/cancel")));
        let Ok(answer) = post.json(&json!({})).send().await else { return false };
        let status = answer.status().as_u16();
        // 409: it has ended. Nothing but an earlier try of this ends it.
        let is_heard = answer.status().is_success() || status == 409;
        if !is_heard {
            self.look_at("cancel a claim", status, &text_of(answer).await);
        }
        is_heard
    }

    /// Polls for a task of an activity, as this worker; none also where it cannot be told. With
    /// the answer a task may be lost, whose time is over then.
    pub async fn poll(&self, activity: &str, worker: &str, wait_s: u64) -> Option<Value> {
        let post = self.http.post(self.url(&format!("activities/{activity}/poll")));
        let post = post.json(&json!({ "worker": worker }));
        let answer = post.header("prefer", format!("wait={wait_s}")).send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        match status {
            200 => Some(serde_json::from_str(&text).expect("JSON")),
            204 => None,
            _ => {
                self.look_at("poll for a task", status, &text);
                None
            }
        }
    }

    /// Answers for a task.
    pub async fn succeed(&self, token: &str, output: &Value) -> Heard {
        self.tell(token, "succeed", &json!({ "output": output })).await
    }

    /// Says that a task failed.
    pub async fn fail(&self, token: &str, error: &str) -> Heard {
        self.tell(token, "fail", &json!({ "error": error, "cause": "as wanted" })).await
    }

    /// Says that a task is being worked on.
    pub async fn beat(&self, token: &str) -> Heard {
        self.tell(token, "heartbeat", &json!({})).await
    }

    async fn tell(&self, token: &str, what: &str, body: &Value) -> Heard {
        let post = self.http.post(self.url(&format!("tasks/{token}/{what}")));
        let Ok(answer) = post.json(body).send().await else { return Heard::Perhaps };
        match answer.status().as_u16() {
            202 => Heard::Yes,
            404 => Heard::TooLate,
            status => {
                let text = text_of(answer).await;
                self.look_at(&format!("tell of a task: {what}"), status, &text);
                Heard::Perhaps
            }
        }
    }

    /// The output of a claim, with all that is large in it; the system is well.
    pub async fn output(&self, id: &str) -> Value {
        let get = self.http.get(self.url(&format!("claims/{id}")));
        let answer = get.send().await.expect("an answer");
        let claim: Value = answer.json().await.expect("JSON");
        claim["output"].clone()
    }

    /// Notes something that should not be.
    pub fn wonder(&self, strange: String) {
        self.strange.lock().unwrap_or_else(PoisonError::into_inner).insert(strange);
    }

    /// Too busy and unavailable are answers for a client; anything else is a fault.
    fn look_at(&self, what: &str, status: u16, text: &str) {
        if status != 429 && status != 503 {
            // The ids of requests differ, and what it was is in the log.
            let text: String = text.chars().take_while(|c| *c != '_').take(120).collect();
            let text = text.split("under request id").next().unwrap_or_default();
            self.wonder(format!("{what}: {status} {text}"));
        }
    }

    /// Answers that nobody should have got, since the last look.
    pub fn strange(&self) -> Vec<String> {
        let mut strange = self.strange.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *strange).into_iter().collect()
    }
}

async fn text_of(answer: Response) -> String {
    answer.text().await.unwrap_or_default()
}
