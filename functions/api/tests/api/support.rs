//! An API over a database of its own, and a client that knows the contract.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use fluxus_api::{App, Auth, BacklogBounds, Hearing, Limits, Parts, router};
use fluxus_postgres::{Database, Options};
use fluxus_queue::{MIGRATION, PostgresQueue, PostgresQueueOptions, Queue, QueueName, Receive};
use fluxus_schema::message::{CORE_QUEUE, CoreMessage};
use fluxus_schema::{ClaimId, ClaimStatus, Timestamp};
use fluxus_store::{Changes, End, Outbound, Start, Store};
use fluxus_test_support::{TestDatabase, template_name};
use http::{HeaderMap, Method, Request, Response};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub struct Api {
    pub app: App,
    pub router: Router,
    pub store: Store,
    pub queue: PostgresQueue,
    document: Arc<Value>,
    _database: TestDatabase,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

pub async fn api() -> Api {
    api_with(Auth::Open).await
}

pub async fn api_with(auth: Auth) -> Api {
    api_on(auth, Options::default()).await
}

/// An API on such connections.
pub async fn api_on(auth: Auth, options: Options) -> Api {
    api_bounded(auth, options, BacklogBounds::default()).await
}

/// An API with such bounds of its backlog.
pub async fn api_bounded(auth: Auth, options: Options, backlog: BacklogBounds) -> Api {
    let test = database().await;
    let database = Database::connect(test.url(), options).await.expect("a database");
    let unheard = PostgresQueueOptions { notify: false, ..PostgresQueueOptions::default() };
    let queue = PostgresQueue::new(database.clone(), unheard).await.expect("a queue");
    let store = Store::new(database);
    let parts = Parts {
        store: store.clone(),
        outbound: Outbound::Joined(queue.clone()),
        core_queue: QueueName::new(CORE_QUEUE).expect("a name"),
        auth,
        limits: Limits::default(),
        backlog,
        hearing: if options.shared { Hearing::Poll } else { Hearing::Listen },
    };
    let app = App::start(parts).await.expect("starts");
    let router = router(app.clone());
    let answer = router.clone().oneshot(get("/openapi.json")).await.expect("infallible");
    let document = Arc::new(read(answer).await.body);
    Api { app, router, store, queue, document, _database: test }
}

async fn database() -> TestDatabase {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/store/migrations");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("migrations").map(|f| f.expect("a file").path()).collect();
    files.sort();
    let mut texts: Vec<_> =
        files.iter().map(|file| std::fs::read_to_string(file).expect("reads")).collect();
    texts.push(MIGRATION.to_owned());
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let template = template_name("api", &texts);
    let migrate = |url: String| async move {
        let database = Database::connect(&url, Options::default()).await?;
        Store::new(database.clone()).migrate().await?;
        PostgresQueue::setup(&database).await?;
        database.close().await;
        Ok(())
    };
    TestDatabase::new(&template, migrate).await
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

pub fn with_json(method: Method, path: &str, body: &Value) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .expect("a request")
}

pub async fn read(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status: parts.status.as_u16(), headers: parts.headers, text, body }
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Checks that this is a problem of the kind with this slug.
    #[track_caller]
    pub fn problem(self, status: u16, slug: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.body["type"], format!("/problems/{slug}"), "{}", answer.text);
        assert_eq!(answer.body["status"], status);
        answer
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }

    pub fn pointers(&self) -> Vec<&str> {
        let faults = self.body["faults"].as_array().map(Vec::as_slice).unwrap_or_default();
        faults.iter().filter_map(|fault| fault["pointer"].as_str()).collect()
    }
}

impl Api {
    pub async fn get(&self, path: &str) -> Answer {
        self.send(get(path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(with_json(Method::POST, path, body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(with_json(Method::PUT, path, body)).await
    }

    /// Sends a request and checks that the answer is one that the OpenAPI document promises.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = read(self.router.clone().oneshot(request).await.expect("infallible")).await;
        assert_eq!(answer.header("x-request-id").len(), 32);
        match operation(&self.document, &method, &path) {
            Some(operation) => self.check(operation, &answer, &format!("{method} {path}")),
            // What no route serves never gets further than this.
            None => assert!([401, 403, 404, 405, 431].contains(&answer.status), "{path}"),
        }
        answer
    }

    fn check(&self, operation: &Value, answer: &Answer, what: &str) {
        let promised = &operation["responses"][answer.status.to_string()];
        assert!(promised.is_object(), "{what}: {} is not documented", answer.status);
        let Some(content) = promised["content"].as_object() else {
            assert_eq!(answer.text, "", "{what}");
            return;
        };
        let (media, content) = content.iter().next().expect("a media type");
        assert!(answer.header("content-type").starts_with(media.as_str()), "{what}: {media}");
        // Lines are documents of their own, and checked by whoever reads them.
        if media.ends_with("json") {
            let mut schema = content["schema"].clone();
            schema["components"] = self.document["components"].clone();
            let validator = jsonschema::validator_for(&schema).expect("a schema");
            let errors: Vec<_> =
                validator.iter_errors(&answer.body).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{what}: {errors:?}\n{}", answer.text);
        }
    }

    pub async fn submit(&self, claim: &Value) -> ClaimId {
        let answer = self.post("/v1/claims", claim).await.expect(202);
        answer.body["claim_id"].as_str().expect("an id").parse().expect("an id")
    }

    /// All messages that wait for the core.
    pub async fn messages(&self) -> Vec<CoreMessage> {
        let request = Receive {
            max: 1000,
            wait: std::time::Duration::ZERO,
            visibility: std::time::Duration::from_secs(60),
        };
        let core = QueueName::new(CORE_QUEUE).expect("a name");
        let received = self.queue.receive(&core, request).await.expect("receives");
        received.iter().map(|one| serde_json::from_str(&one.body).expect("a message")).collect()
    }

    pub async fn save(&self, changes: &Changes) {
        let mut session = self.store.session().await.expect("a session");
        let tx = session.begin().await.expect("begins");
        fluxus_store::changes::save(&tx, changes).await.expect("saves");
        tx.commit().await.expect("commits");
    }

    /// Starts a claim as the core would.
    pub async fn start(&self, claim_id: ClaimId) {
        let start = Start {
            claim_id,
            recipe: "order-saga".parse().expect("a name"),
            recipe_version: 1,
            started_at: now(),
        };
        self.put("/v1/recipes/order-saga", &recipe()).await;
        self.save(&Changes { start: vec![start], ..Changes::default() }).await;
    }

    /// Ends a started claim as the core would.
    pub async fn end(&self, claim_id: ClaimId) {
        let end = End {
            claim_id,
            status: ClaimStatus::Succeeded,
            output: Some(json!({"done": true}).to_string()),
            error: None,
            cause: None,
            ended_at: now(),
            delete_branches: true,
        };
        self.save(&Changes { end: vec![end], ..Changes::default() }).await;
    }
}

/// The operation of the document that serves this path.
fn operation<'a>(document: &'a Value, method: &Method, path: &str) -> Option<&'a Value> {
    let paths = document["paths"].as_object()?;
    let fits = |template: &str| {
        let (mut given, mut known) = (path.split('/'), template.split('/'));
        loop {
            match (given.next(), known.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if a == b || b.starts_with('{') => {}
                _ => return false,
            }
        }
    };
    let method = method.as_str().to_ascii_lowercase();
    // Of two that fit, such as a name and a word in its place, one is for this method.
    paths.iter().filter(|(template, _)| fits(template)).find_map(|(_, item)| item.get(&method))
}

pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_millis(i64::try_from(since.expect("after 1970").as_millis()).expect("fits"))
}

pub fn recipe() -> Value {
    json!({
        "definition": {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}},
        "claim_types": ["order.placed"],
    })
}
