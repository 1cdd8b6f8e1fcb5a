//! Steady load: clients that submit claims of all recipes whatever becomes of the API, the ledger
//! of what was accepted, somebody who answers when asked, and workers who poll for activities.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::interval;
use uuid::Uuid;

use crate::client::{Client, Heard};
use crate::draws::Draws;
use crate::house::House;
use crate::recipes::{End, Recipe, claim};
use crate::workers;

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

/// Claims that got their 202: the recipe's place and the claim's id, by idempotency key.
pub type Ledger = BTreeMap<String, (usize, String)>;

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
        workers::start(&mut tasks, client, house, seed);
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
            if both.0 != Heard::Perhaps && both.1 != Heard::Perhaps {
                answered.insert(token);
            }
        }
    }
}
