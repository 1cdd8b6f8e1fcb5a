//! Steady load: clients that submit claims of all recipes whatever becomes of the API, the ledger
//! of what was accepted, and somebody who answers when asked.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::interval;
use uuid::Uuid;

use crate::draws::Draws;
use crate::house::House;
use crate::recipes::{End, Recipe, claim};

/// Clients that submit side by side.
const CLIENTS: u32 = 4;

/// Pause of each between two claims: as much as a debug build gets done on a busy machine.
const PACE: Duration = Duration::from_millis(200);

/// Pause before a claim is sent again that was not answered.
const AGAIN_EVERY: Duration = Duration::from_millis(50);

/// One in so many of the heavy claims that are drawn is submitted.
const HEAVY_ONE_IN: u64 = 5;

/// How often to look whether somebody was asked.
const ANSWER_EVERY: Duration = Duration::from_millis(100);

/// How long one request may take before it is sent again.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Claims that got their 202: the recipe's place and the claim's id, by idempotency key.
pub type Ledger = BTreeMap<String, (usize, String)>;

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
    async fn submit(&self, claim: &Value, key: &str) -> Option<String> {
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
    async fn cancel(&self, id: &str) -> bool {
        let post = self.http.post(self.url(&format!("claims/{id}/cancel")));
        let Ok(answer) = post.json(&json!({})).send().await else { return false };
        let status = answer.status().as_u16();
        // 409: it has ended. Nothing but an earlier try of this ends it.
        let is_heard = answer.status().is_success() || status == 409;
        if !is_heard {
            self.look_at("cancel a claim", status, &answer.text().await.unwrap_or_default());
        }
        is_heard
    }

    /// Answers for a task; whether that was heard.
    async fn succeed(&self, token: &str, output: &Value) -> bool {
        let post = self.http.post(self.url(&format!("tasks/{token}/succeed")));
        let Ok(answer) = post.json(&json!({ "output": output })).send().await else { return false };
        let status = answer.status().as_u16();
        // 4xx: nobody waits for it any more.
        if status >= 500 {
            self.look_at("answer a task", status, &answer.text().await.unwrap_or_default());
        }
        status < 500
    }

    /// Too busy and unavailable are answers for a client; anything else is a fault.
    fn look_at(&self, what: &str, status: u16, text: &str) {
        if status != 429 && status != 503 {
            // The ids of requests differ, and what it was is in the log.
            let text: String = text.chars().take_while(|c| *c != '_').take(120).collect();
            let text = text.split("under request id").next().unwrap_or_default();
            let strange = format!("{what}: {status} {text}");
            self.strange.lock().unwrap_or_else(PoisonError::into_inner).insert(strange);
        }
    }

    /// Answers that nobody should have got, since the last look.
    pub fn strange(&self) -> Vec<String> {
        let mut strange = self.strange.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *strange).into_iter().collect()
    }
}

/// The clients at work.
pub struct Load {
    running: watch::Sender<bool>,
    /// A client holds one while a claim of its own is under way to the API.
    submitting: Arc<Semaphore>,
    ledger: Arc<Mutex<Ledger>>,
    accepted: watch::Receiver<u64>,
    /// End with this value.
    _tasks: JoinSet<()>,
}

impl Load {
    /// Starts clients that wait to be told to begin.
    pub fn start(client: &Client, recipes: &Arc<Vec<Recipe>>, seed: u64, house: &House) -> Self {
        let running = watch::Sender::new(false);
        let submitting = Arc::new(Semaphore::new(CLIENTS as usize));
        let ledger = Arc::<Mutex<Ledger>>::default();
        let (told, accepted) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for who in 0..CLIENTS {
            tasks.spawn(submit(Submitter {
                client: client.clone(),
                recipes: recipes.clone(),
                draws: Draws::new(seed.wrapping_add(u64::from(who) + 1)),
                running: running.subscribe(),
                submitting: submitting.clone(),
                ledger: ledger.clone(),
                told: told.clone(),
                name: format!("{seed}-{who}"),
            }));
        }
        tasks.spawn(answer(client.clone(), house.clone()));
        Self { running, submitting, ledger, accepted, _tasks: tasks }
    }

    pub fn go_on(&self) {
        self.running.send_replace(true);
    }

    /// Stops submitting; returns once every claim that was sent is accepted.
    pub async fn pause(&self) {
        self.running.send_replace(false);
        let all = self.submitting.acquire_many(CLIENTS).await;
        drop(all.expect("it is never closed"));
    }

    /// Waits until some more claims are accepted.
    pub async fn progress(&self, claims: u64) {
        let mut accepted = self.accepted.clone();
        let goal = *accepted.borrow() + claims;
        accepted.wait_for(|count| *count >= goal).await.expect("the clients run");
    }

    /// What was accepted so far.
    pub fn ledger(&self) -> Ledger {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a new ledger.
    pub fn forget(&self) {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

struct Submitter {
    client: Client,
    recipes: Arc<Vec<Recipe>>,
    draws: Draws,
    running: watch::Receiver<bool>,
    submitting: Arc<Semaphore>,
    ledger: Arc<Mutex<Ledger>>,
    told: watch::Sender<u64>,
    name: String,
}

/// Submits one claim after the other. What was not answered is sent again under its key.
async fn submit(mut one: Submitter) {
    let mut pace = interval(PACE);
    for n in 0_u64.. {
        pace.tick().await;
        if one.running.wait_for(|running| *running).await.is_err() {
            return;
        }
        let Ok(_under_way) = one.submitting.acquire().await else { return };
        let which = loop {
            let which = one.draws.below(one.recipes.len() as u64) as usize;
            if !one.recipes[which].is_heavy || one.draws.below(HEAVY_ONE_IN) == 0 {
                break which;
            }
        };
        let key = format!("{}-{n}", one.name);
        let mut again = interval(AGAIN_EVERY);
        let id = loop {
            again.tick().await;
            // Made anew, because a deadline that is over by now would be refused.
            let claim = claim(&one.recipes[which], &key);
            if let Some(id) = one.client.submit(&claim, &key).await {
                break id;
            }
        };
        while one.recipes[which].end == End::Cancelled && !one.client.cancel(&id).await {
            again.tick().await;
        }
        let mut ledger = one.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.insert(key, (which, id));
        one.told.send_modify(|count| *count += 1);
    }
}

/// Answers everybody who was asked, twice at once, until it was heard.
async fn answer(client: Client, house: House) {
    let mut looks = interval(ANSWER_EVERY);
    let mut answered: HashSet<String> = HashSet::new();
    loop {
        looks.tick().await;
        for [key, step, token] in house.asked() {
            if answered.contains(&token) {
                continue;
            }
            let nonce = Uuid::now_v7().simple().to_string();
            house.note_effect(&key, &step, &nonce);
            let output = json!({"key": key, "step": step, "nonce": nonce});
            let both =
                tokio::join!(client.succeed(&token, &output), client.succeed(&token, &output));
            if both == (true, true) {
                answered.insert(token);
            }
        }
    }
}
