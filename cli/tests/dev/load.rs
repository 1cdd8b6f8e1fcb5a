//! Clients that submit claims of all examples, whatever becomes of the server meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::client::{Client, callback, claim};
use crate::process::{Draws, EVERY, PATIENCE};

/// Clients that submit side by side.
const CLIENTS: u64 = 6;

/// Pause of each between two claims: enough for all of them to be done in a debug build.
const PACE: Duration = Duration::from_millis(30);

/// How often the approver looks for expenses to decide on.
const APPROVE_EVERY: Duration = Duration::from_millis(50);

/// Executions that a batch of orders starts.
pub const ORDERS_IN_BATCH: usize = 2;

/// A claim that was accepted, and how it must end.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub id: String,
    pub end: End,
}

/// How a claim must end.
#[derive(Clone, Debug)]
pub struct End {
    status: &'static str,
    error: Option<&'static str>,
    /// A part of its output.
    output: Option<(&'static str, Value)>,
}

impl End {
    const fn succeeded() -> Self {
        Self { status: "SUCCEEDED", error: None, output: None }
    }

    const fn other(status: &'static str, error: &'static str) -> Self {
        Self { status, error: Some(error), output: None }
    }

    fn with(self, pointer: &'static str, value: Value) -> Self {
        Self { output: Some((pointer, value)), ..self }
    }

    /// What is wrong with a claim that should have ended so.
    pub fn unlike(&self, claim: &Value) -> Option<String> {
        let Self { status, error, output } = self;
        let is_part =
            |(pointer, value): &(&str, Value)| claim["output"].pointer(pointer) == Some(value);
        let is_it = claim["status"] == *status
            && claim["error"].as_str() == *error
            && output.as_ref().is_none_or(is_part);
        (!is_it).then(|| format!("should be {self:?}: {claim}"))
    }
}

/// The clients at work.
pub struct Load {
    client: Client,
    server: watch::Sender<Option<Client>>,
    /// How many answers there were.
    answers: watch::Receiver<u64>,
    stop: watch::Sender<bool>,
    clients: JoinSet<BTreeMap<String, Accepted>>,
    /// Ends with this value.
    _approver: JoinSet<()>,
}

impl Load {
    /// Starts clients that wait for a server.
    pub fn start(seed: u64, endpoint: &str) -> Self {
        let server = watch::Sender::new(None);
        let stop = watch::Sender::new(false);
        let (answered, answers) = watch::channel(0);
        let answered = Arc::new(answered);
        let endpoint: Arc<str> = endpoint.into();
        let mut clients = JoinSet::new();
        for who in 0..CLIENTS {
            let draws = Draws::new(seed.wrapping_add(who + 1));
            let at = Server { known: server.subscribe(), answered: answered.clone() };
            clients.spawn(submit(who, draws, at, stop.subscribe(), endpoint.clone()));
        }
        let mut approver = JoinSet::new();
        approver.spawn(approve(server.subscribe()));
        let client = Client::new("http://nowhere");
        Self { client, server, answers, stop, clients, _approver: approver }
    }

    /// From now on the server is there; returns when the first claim was accepted by it.
    pub async fn go_to(&mut self, url: &str) {
        self.answers.mark_unchanged();
        self.server.send_replace(Some(self.client.at(url)));
        let answered = tokio::time::timeout(PATIENCE, self.answers.changed()).await;
        answered.expect("it answers in time").expect("the clients run");
    }

    /// No new claims: waits until those at hand are accepted, and gives all, by key.
    pub async fn stop(&mut self) -> BTreeMap<String, Accepted> {
        self.stop.send_replace(true);
        let mut accepted = BTreeMap::new();
        while let Some(of_client) = self.clients.join_next().await {
            accepted.extend(of_client.expect("a client"));
        }
        accepted
    }
}

/// Submits one claim after the other. Whatever was not answered is sent again under its key.
async fn submit(
    who: u64,
    mut draws: Draws,
    mut server: Server,
    stop: watch::Receiver<bool>,
    endpoint: Arc<str>,
) -> BTreeMap<String, Accepted> {
    let mut accepted: BTreeMap<String, Accepted> = BTreeMap::new();
    let mut pace = interval(PACE);
    for n in 0.. {
        pace.tick().await;
        if *stop.borrow() {
            break;
        }
        let key = format!("{who}-{n}");
        let (claim, end) = draw(&mut draws, &key, &endpoint);
        let (id, _) = server.accept(&claim, &key).await;
        if draws.below(4) == 0 {
            // As somebody does who lost the answer.
            let again = server.accept(&claim, &key).await;
            assert_eq!(again, (id.clone(), true), "the key {key} changed its claim");
        }
        accepted.insert(key, Accepted { id, end });
    }
    accepted
}

/// The server as one client knows it.
struct Server {
    known: watch::Receiver<Option<Client>>,
    answered: Arc<watch::Sender<u64>>,
}

impl Server {
    /// Submits a claim until there is an answer: its id, and whether it was known.
    async fn accept(&mut self, claim: &Value, key: &str) -> (String, bool) {
        let mut ticks = interval(EVERY);
        loop {
            ticks.tick().await;
            let client = self.known.wait_for(Option::is_some).await.expect("the test runs").clone();
            if let Some(answer) = client.expect("a server").try_submit(claim, key).await {
                self.answered.send_modify(|answers| *answers += 1);
                return answer;
            }
        }
    }
}

/// Any claim, and how it must end.
fn draw(draws: &mut Draws, key: &str, endpoint: &str) -> (Value, End) {
    let order = |change: &dyn Fn(&mut Value)| {
        claim("order-saga", |claim| {
            claim["body"]["order"] = json!(key);
            claim["body"]["flaky"] = json!(false);
            change(claim);
        })
    };
    let expense = |amount: u32, employee: &str| {
        claim("approval", |claim| {
            claim["body"]["amount"] = json!(amount);
            claim["body"]["employee"] = json!(employee);
        })
    };
    let cancelled = End::other("FAILED", "OrderCancelled");
    let fulfilled =
        || End::succeeded().with("/reservation/reservation_id", json!(format!("r-{key}")));
    match draws.below(13) {
        0 => (order(&|claim| claim["body"]["flaky"] = json!(true)), fulfilled()),
        1 => (order(&|claim| claim["body"]["card"] = json!("declined")), cancelled),
        2 => (order(&|claim| claim["body"]["address"]["country"] = json!("XX")), cancelled),
        3 => {
            let rejected = End::other("REJECTED", "Fluxus.InvalidBody");
            (order(&|claim| claim["body"]["amount"] = json!(-1)), rejected)
        }
        4 | 5 => {
            let sorted = End::succeeded().with("/accepted/1/name", json!("c.jpg"));
            (claim("document-intake", |_| {}), sorted)
        }
        6 => (expense(12, "anna"), End::succeeded().with("/decision/by", json!("the rules"))),
        7 => (expense(480, "anna"), End::succeeded().with("/decision/by", json!("anna's lead"))),
        8 => (expense(480, "bert"), End::other("FAILED", "ExpenseRefused")),
        9 => {
            let url = json!(format!("http://{endpoint}/200"));
            let check = claim("http-check", |claim| claim["body"]["url"] = url);
            (check, End::succeeded().with("/healthy", json!(true)))
        }
        10 => {
            let batch = claim("order-batch", |claim| {
                for n in 0..ORDERS_IN_BATCH {
                    claim["body"]["orders"][n]["order"] = json!(format!("{key}-{n}"));
                }
            });
            let tracking = json!(format!("NO-{key}-0"));
            (batch, End::succeeded().with("/orders/0/tracking", tracking))
        }
        _ => (order(&|_| {}), fulfilled()),
    }
}

/// Decides on expenses as long as there are any: anna's are approved, bert's are not. Every answer
/// is sent twice at once, and again until it took effect.
async fn approve(mut server: watch::Receiver<Option<Client>>) {
    let mut ticks = interval(APPROVE_EVERY);
    loop {
        ticks.tick().await;
        let client = server.wait_for(Option::is_some).await;
        let Ok(client) = client.map(|client| client.clone().expect("a server")) else { return };
        let open = "claims?type=expense.submitted&status=RUNNING&limit=100";
        let Some(page) = client.try_get(open).await else { continue };
        for claim in page["claims"].as_array().into_iter().flatten() {
            let id = claim["claim_id"].as_str().expect("an id");
            let explained = client.try_get(&format!("claims/{id}/explain")).await;
            let Some(token) = explained.as_ref().and_then(callback) else { continue };
            let approved = claim["body"]["employee"] == "anna";
            let answer = json!({"output": {"approved": approved, "by": "anna's lead"}});
            let path = format!("tasks/{token}/succeed");
            // No answer, or one that comes too late, shows at the next look.
            tokio::join!(client.try_post(&path, &answer), client.try_post(&path, &answer));
        }
    }
}
