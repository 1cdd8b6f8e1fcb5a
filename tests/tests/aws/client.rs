//! A client of the API, wherever it is served.

use std::time::Duration;

use serde_json::Value;

/// How often a test looks whether what it waits for is there: HTTP tells it no other way.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a claim may take. Most take two seconds; the rest is for messages that come again, and
/// for a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Client {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
}

impl Client {
    pub fn new(url: &str, key: Option<&str>) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { http, url: format!("{url}/v1"), key: key.map(|key| format!("Bearer {key}")) }
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}/{path}", self.url));
        match &self.key {
            Some(key) => request.header("authorization", key),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.request(reqwest::Method::GET, path).send().await.expect("an answer");
        answer.error_for_status().expect("a document").json().await.expect("JSON")
    }

    pub async fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let answer = self.request(method, path).json(body).send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// Submits a claim and gives its id.
    pub async fn submit(&self, claim: &Value) -> String {
        let submitted = self.send(reqwest::Method::POST, "claims", claim).await;
        submitted["claim_id"].as_str().expect("an id").to_owned()
    }

    /// Puts a recipe for claims of its name.
    pub async fn put_recipe(&self, name: &str, definition: &Value) {
        let recipe = serde_json::json!({ "definition": definition, "claim_types": [name] });
        self.send(reqwest::Method::PUT, &format!("recipes/{name}"), &recipe).await;
    }

    /// Asks again and again until the answer is what is looked for.
    pub async fn until<T>(&self, path: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        let mut again = tokio::time::interval(LOOK_EVERY);
        let mut last = Value::Null;
        let look = async {
            loop {
                again.tick().await;
                last = self.get(path).await;
                if let Some(found) = find(&last) {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        found.unwrap_or_else(|_| panic!("{path} stays as it is: {last}"))
    }

    /// The claim once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        let ended = |claim: &Value| claim["ended_at"].is_string().then(|| claim.clone());
        self.until(&format!("claims/{id}"), ended).await
    }

    /// The history, in the events of Step Functions.
    pub async fn history(&self, id: &str) -> Vec<Value> {
        let path = format!("claims/{id}/history?limit=1000&service_events_only=true");
        self.get(&path).await["events"].as_array().expect("events").clone()
    }

    /// Approves what a claim waits for.
    pub async fn approve(&self, id: &str) {
        let find = |told: &Value| {
            let mut waiting = told["waiting"].as_array()?.iter();
            let callback = waiting.find(|one| one["for"]["kind"] == "callback")?;
            callback["for"]["token"].as_str().map(str::to_owned)
        };
        let token = self.until(&format!("claims/{id}/explain"), find).await;
        let approval = serde_json::json!({ "output": { "approved": true, "by": "ines" } });
        self.send(reqwest::Method::POST, &format!("tasks/{token}/succeed"), &approval).await;
    }
}
