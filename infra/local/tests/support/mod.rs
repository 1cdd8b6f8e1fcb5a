//! A system on a database of the test's own, and a client that knows nothing but REST.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::time::Duration;

use fluxus_local::{DatabaseChoice, Options, System, migrate};
use fluxus_postgres::{Database, Options as PoolOptions};
use fluxus_test_support::{TestDatabase, template_name};
use serde_json::Value;

/// How often a test looks whether what it waits for is there: HTTP tells it no other way.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a claim may take. They take a second or two; the rest is for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A migrated database.
pub async fn database() -> TestDatabase {
    let texts = fluxus_store::MIGRATIONS.map(|(_, sql)| sql);
    let texts = [&texts[..], &[fluxus_queue::MIGRATION]].concat();
    TestDatabase::new(&template_name("local", &texts), |url| async move {
        let database = Database::connect(&url, PoolOptions::default()).await?;
        migrate(&database).await?;
        database.close().await;
        Ok(())
    })
    .await
}

/// The options for a system on this database, at any free port.
pub fn options(database: &TestDatabase) -> Options {
    let listen = "127.0.0.1:0".parse().expect("an address");
    Options::new(DatabaseChoice::Url(database.url().to_owned()), listen)
}

/// The claim of an example, changed.
pub fn claim(example: &str, change: impl FnOnce(&mut Value)) -> Value {
    let found = fluxus_local::examples::EXAMPLES.into_iter().find(|one| one.name == example);
    let mut claim = serde_json::from_str(found.expect(example).claim).expect("a claim");
    change(&mut claim);
    claim
}

/// A client of a system.
pub struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub fn new(system: &System) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { http, url: system.url() }
    }

    /// Submits a claim and gives its id.
    pub async fn submit(&self, claim: &Value) -> String {
        let answer = self.http.post(format!("{}/v1/claims", self.url)).json(claim).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap_or_default());
        let submitted: Value = answer.json().await.expect("JSON");
        submitted["claim_id"].as_str().expect("an id").to_owned()
    }

    /// Submits a claim and gives it as it ended.
    pub async fn fulfil(&self, claim: &Value) -> Value {
        let url = format!("{}/v1/claims", self.url);
        let wait = format!("wait={}", PATIENCE.as_secs());
        let answer = self.http.post(url).json(claim).header("prefer", wait).send().await;
        let answer = answer.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}/v1/{path}", self.url)).send().await;
        let answer = answer.expect("an answer").error_for_status().expect("a document");
        answer.json().await.expect("JSON")
    }

    pub async fn put(&self, path: &str, body: &Value) {
        let answer = self.http.put(format!("{}/v1/{path}", self.url)).json(body).send().await;
        let answer = answer.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    }

    pub async fn post(&self, path: &str, body: &Value) -> u16 {
        let answer = self.http.post(format!("{}/v1/{path}", self.url)).json(body).send().await;
        answer.expect("an answer").status().as_u16()
    }

    /// Polls for a task of an activity, as this worker.
    pub async fn poll(&self, activity: &str, worker: &str, wait_s: u32) -> Option<Value> {
        let url = format!("{}/v1/activities/{activity}/poll", self.url);
        let call = self.http.post(url).json(&serde_json::json!({ "worker": worker }));
        let answer = call.header("prefer", format!("wait={wait_s}")).send().await;
        let answer = answer.expect("an answer").error_for_status().expect("a task, or none");
        let text = answer.text().await.expect("a body");
        (!text.is_empty()).then(|| serde_json::from_str(&text).expect("JSON"))
    }

    /// Asks again and again until the answer is what is looked for.
    pub async fn until<T>(&self, path: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        let mut again = tokio::time::interval(LOOK_EVERY);
        let look = async {
            loop {
                again.tick().await;
                if let Some(found) = find(&self.get(path).await) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("it comes in time")
    }

    /// The same for work that takes an unoptimized build long: with more patience, and less often.
    pub async fn until_patiently<T>(&self, path: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        let mut again = tokio::time::interval(10 * LOOK_EVERY);
        let look = async {
            loop {
                again.tick().await;
                if let Some(found) = find(&self.get(path).await) {
                    return found;
                }
            }
        };
        tokio::time::timeout(10 * PATIENCE, look).await.expect("it comes in time")
    }

    /// The claim once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        let ended = |claim: &Value| claim["ended_at"].is_string().then(|| claim.clone());
        self.until(&format!("claims/{id}"), ended).await
    }

    /// The names of the states that a claim went through and, after each failed attempt, the
    /// error: `Reserve: Shop.Busy`.
    pub async fn path(&self, id: &str) -> Vec<String> {
        let page = self.get(&format!("claims/{id}/history?limit=1000")).await;
        let mut state = String::new();
        let mut path = Vec::new();
        for event in page["events"].as_array().expect("events") {
            let kind = event["type"].as_str().expect("a type");
            if kind.ends_with("StateEntered") {
                state = event["stateEnteredEventDetails"]["name"].as_str().expect("a name").into();
                path.push(state.clone());
            } else if kind == "TaskFailed" {
                let error = event["taskFailedEventDetails"]["error"].as_str().expect("an error");
                path.push(format!("{state}: {error}"));
            }
        }
        path
    }
}
