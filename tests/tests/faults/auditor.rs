//! The auditor: reads the tables, the ledger and the effects, and proves that they agree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fluxus_store::{Activity, Database, Store, audit};
use serde_json::Value;
use tokio::time::{Instant, interval};

use crate::client::Client;
use crate::house::House;
use crate::load::Ledger;
use crate::postgres::Server;
use crate::recipes::{BODY, Recipe, ballast};
use crate::rogue::NONSENSE;

/// How long nothing may go forward when the load stops and all is well. A killed process's task is
/// hidden for ten seconds, and a retry of a retry comes after that.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often to look whether all has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Most findings that are told.
const TOLD: usize = 30;

/// What holds at any moment, also right after a crash.
pub async fn look(server: &Server) -> Vec<String> {
    const OF_ROGUE: &str = "SELECT claim_id::text FROM claim WHERE claim_type LIKE 'fault.rogue-%'";
    let found = violations(server, Activity::UnderWay).await;
    if found.is_empty() {
        return found;
    }
    let rogue = server.ask(OF_ROGUE).await;
    let is_meant = |what: &String| {
        // The rogue sends what nobody can read, and loses the tasks that it is given.
        what.ends_with("is unreadable")
            || what.ends_with("waits for a task whose message is lost")
                && rogue.iter().any(|id| what.contains(id.as_str()))
    };
    found.into_iter().filter(|what| !is_meant(what)).collect()
}

/// Waits until all that was accepted has ended and nothing is under way, by watching the tables;
/// what is wrong then, and how much there was.
pub async fn settle(
    server: &Server,
    house: &House,
    recipes: &[Recipe],
    ledger: &Ledger,
) -> Vec<String> {
    let mut deadline = Instant::now() + PATIENCE;
    let mut least = u64::MAX;
    let mut looks = interval(LOOK_EVERY);
    let mut wrong = vec!["nobody looked".to_owned()];
    while !wrong.is_empty() && Instant::now() < deadline {
        looks.tick().await;
        // Nonsense is received some times before it is given up; its end need not be waited for.
        server
            .run(&format!(
                "UPDATE fluxus_queue.message SET receive_count = 1000, visible_at = now()
                  WHERE body LIKE '%{NONSENSE}%' AND receive_count > 0 AND receive_count < 1000"
            ))
            .await;
        wrong = left_over(server).await;
        let count = |what: &String| what.split(' ').next()?.parse::<u64>().ok();
        let left: u64 = wrong.iter().filter_map(count).sum();
        if !wrong.is_empty() && left < least {
            // A busy machine takes its time; what hangs does not become less.
            least = left;
            deadline = Instant::now() + PATIENCE;
        }
        if wrong.is_empty() {
            wrong = violations(server, Activity::Drained).await;
        }
    }
    wrong.extend(check_ledger(server, house, recipes, ledger).await);
    wrong.truncate(TOLD);
    wrong
}

/// Rows that are still to be dealt with, counted by kind.
async fn left_over(server: &Server) -> Vec<String> {
    const COUNT: &str = "
        SELECT format('%s %s left', count(*), what) FROM (
            SELECT 'open claims' AS what FROM claim WHERE ended_at IS NULL
            UNION ALL SELECT 'rows of timer' FROM timer
            UNION ALL SELECT 'rows of outbox' FROM outbox
            UNION ALL SELECT 'rows of waiter' FROM waiter
            UNION ALL SELECT 'messages for ' || queue FROM fluxus_queue.message
            UNION ALL SELECT 'unreported dead letters of ' || queue FROM fluxus_queue.dead_letter
                       WHERE reported_at IS NULL
            UNION ALL SELECT 'tasks held for workers' FROM branch WHERE unserved IS NOT NULL
            UNION ALL SELECT 'branches of claims that succeeded' FROM branch
                        JOIN claim USING (claim_id) WHERE claim.status = 'SUCCEEDED'
        ) AS rest GROUP BY what";
    server.ask(COUNT).await
}

async fn violations(server: &Server, activity: Activity) -> Vec<String> {
    let options = fluxus_postgres::Options::ONE;
    let Ok(database) = Database::connect(server.url(), options).await else {
        return vec!["Postgres is away".to_owned()];
    };
    match audit(&Store::new(database), activity).await {
        Ok(found) => found.iter().map(ToString::to_string).collect(),
        Err(error) => vec![format!("cannot audit: {error}")],
    }
}

/// Whether each claim that was accepted is there, once, and ended as it must: its output holds what
/// came of each step, once, and that is something that was truly done for it.
async fn check_ledger(
    server: &Server,
    house: &House,
    recipes: &[Recipe],
    ledger: &Ledger,
) -> Vec<String> {
    const CLAIMS: &str = "SELECT json_build_object('id', claim_id, 'key', idempotency_key,
            'status', status, 'error', error, 'cause', left(cause, 200), 'output', output)::text
          FROM claim WHERE idempotency_key IS NOT NULL";
    let claims = server.ask(CLAIMS).await;
    let claims = claims.iter().map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
    let mut by_key: BTreeMap<String, Value> = BTreeMap::new();
    let mut wrong = Vec::new();
    for claim in claims {
        let key = claim["key"].as_str().expect("a key").to_owned();
        if let Some(other) = by_key.insert(key.clone(), claim) {
            wrong.push(format!("{key} is there twice, also as {}", other["id"]));
        }
    }
    let effects = house.effects();
    for (key, (which, id)) in ledger {
        let recipe = &recipes[*which];
        let told = |what: &str| format!("{key} ({id}, {}): {what}", recipe.name);
        match by_key.remove(key) {
            None => wrong.push(told("was accepted and is lost")),
            Some(claim) if claim["id"] != **id => wrong.push(told("has another id")),
            Some(claim) if claim["status"] != recipe.end.status() => {
                let end = recipe.end.status();
                wrong.push(told(&format!("should have ended as {end}: {claim}")));
            }
            Some(claim) => {
                let mut done = Vec::new();
                collect(&claim["output"], &mut done);
                wrong.extend(
                    check_steps(key, recipe, &done, &effects).iter().map(|what| told(what)),
                );
            }
        }
    }
    for (key, claim) in by_key {
        wrong.push(format!("{key} ({}) is there and was never accepted", claim["id"]));
    }
    wrong
}

/// Whether what is large in outputs is there, whole.
pub async fn check_ballast(client: &Client, recipes: &[Recipe], ledger: &Ledger) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, (which, id)) in ledger {
        let Recipe { name, ballasts, .. } = &recipes[*which];
        if *ballasts == 0 {
            continue;
        }
        let output = client.output(id).await;
        let steps = output.as_object().into_iter().flat_map(|fields| fields.values());
        let of_steps = steps.filter_map(|done| Some((done["step"].as_str()?, &done["ballast"])));
        let all = of_steps.chain([(BODY, &output["ballast"])]);
        let whole = all.filter(|(of, text)| **text == ballast(of)).count();
        if whole != *ballasts {
            wrong
                .push(format!("{key} ({id}, {name}): {whole} of {ballasts} large texts are whole"));
        }
    }
    wrong
}

fn check_steps(
    key: &str,
    recipe: &Recipe,
    done: &[(&str, &str, &str)],
    effects: &HashMap<(String, String), Vec<String>>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut steps = BTreeSet::new();
    for (of, step, nonce) in done {
        if *of != key {
            wrong.push(format!("has the step {step} of {of}"));
        }
        if !steps.insert((*step).to_owned()) {
            wrong.push(format!("has the step {step} twice"));
        }
        if !recipe.steps.contains(*step) && !recipe.perhaps.contains(*step) {
            wrong.push(format!("has the step {step}, which is none of its own"));
        }
        let noted = effects.get(&(key.to_owned(), (*step).to_owned()));
        if !noted.is_some_and(|nonces| nonces.iter().any(|known| known == nonce)) {
            wrong.push(format!("has {nonce} of {step}, which nobody did"));
        }
    }
    let missing = recipe.steps.iter().filter(|step| !steps.contains(*step));
    wrong.extend(missing.map(|step| format!("lacks the step {step}")));
    wrong
}

/// What came of steps, wherever it is in an output: key, step and nonce.
fn collect<'a>(value: &'a Value, found: &mut Vec<(&'a str, &'a str, &'a str)>) {
    match value {
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            if let (Some(key), Some(step), Some(nonce)) = (text("key"), text("step"), text("nonce"))
            {
                found.push((key, step, nonce));
            } else {
                fields.values().for_each(|value| collect(value, found));
            }
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}
