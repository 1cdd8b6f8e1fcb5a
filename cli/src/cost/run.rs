//! Running claims to count what they take.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use fluxling::{Fluxling, Task};
use fluxus_machine::Definition;
use fluxus_postgres::usage::cpu_time;
use fluxus_schema::Json;
use serde_json::{Value, json};

use super::account::{Account, Tallies};
use super::bill::Counts;
use super::{Args, Records, Way};
use crate::client;
use crate::report::Faulty;
use crate::source;
use crate::table::cut;

/// The recipe's name, and its claims' type.
const NAME: &str = "fluxus-cost";

/// Claims that run before any are counted: caches fill, plans are made.
const WARM_UP: u64 = 20;

/// Most characters of how a claim failed.
const MAX_END_CHARS: usize = 400;

/// What is run.
pub(super) struct Plan {
    pub(super) title: String,
    definition: Value,
    claim: String,
    fluxlings: Vec<Fluxling>,
    /// Capabilities that a stand-in offers here.
    pub(super) stood_in: Vec<String>,
}

impl Plan {
    /// Reads recipe and input, and finds who does its tasks.
    ///
    /// # Errors
    /// Where a file cannot be read, or the recipe is not valid.
    pub(super) fn read(args: &Args) -> anyhow::Result<Self> {
        let (title, definition) = match &args.definition {
            Some(file) => {
                let document = source::file(file)?;
                Definition::parse(document.source.value())
                    .map_err(|faults| Faulty::new(vec![document.report(faults)]))?;
                (file.display().to_string(), document.source.into_value())
            }
            None => ("three tasks in a row".to_owned(), three_tasks()),
        };
        let input = match source::argument_or_file("--input", &args.input)? {
            input if args.definition.is_none() && input == json!({}) => json!({ "n": 0 }),
            input => input,
        };
        let claim = json!({ "type": NAME, "body": input }).to_string();
        let mut fluxlings = fluxus_local::builtin(Vec::new(), None);
        let stood_in = unknown(&definition, &fluxlings);
        if !stood_in.is_empty() {
            fluxlings.push(stand_in(&stood_in));
        }
        let fluxlings = fluxlings.into_iter().map(|one| match args.records {
            Records::Declared => one,
            Records::All => one.idempotent(false),
            Records::None => one.idempotent(true),
        });
        Ok(Self { title, definition, claim, fluxlings: fluxlings.collect(), stood_in })
    }
}

/// Three tasks in a row, each of which adds one.
fn three_tasks() -> Value {
    let task =
        |next: &str| json!({ "Type": "Task", "Resource": "fluxling:bench.add", "Next": next });
    json!({
        "StartAt": "First",
        "States": {
            "First": task("Second"),
            "Second": task("Third"),
            "Third": { "Type": "Task", "Resource": "fluxling:bench.add", "End": true },
        },
    })
}

/// Capabilities that the recipe asks for and none of these fluxlings offers.
fn unknown(definition: &Value, fluxlings: &[Fluxling]) -> Vec<String> {
    let mut asked = Vec::new();
    capabilities(definition, &mut asked);
    asked.sort();
    asked.dedup();
    let manifests: Vec<_> = fluxlings.iter().map(Fluxling::manifest).collect();
    let is_offered = |name: &String| {
        let mut offered = manifests.iter().flat_map(|manifest| &manifest.capabilities);
        offered.any(|capability| capability.name.as_str() == name)
    };
    asked.retain(|name| !is_offered(name));
    asked
}

/// Every `fluxling:NAME` in a definition.
fn capabilities(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(resource) = members.get("Resource").and_then(Value::as_str)
                && let Some(name) = resource.strip_prefix("fluxling:")
            {
                found.push(name.split('?').next().unwrap_or(name).to_owned());
            }
            members.values().for_each(|member| capabilities(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| capabilities(item, found)),
        _ => {}
    }
}

/// A fluxling that offers these and answers each task with its input.
fn stand_in(names: &[String]) -> Fluxling {
    let fluxling = Fluxling::new("stand-in").description("Answers with what it is given.");
    names.iter().fold(fluxling, |fluxling, name| {
        fluxling.capability(name, async |task: Task<Json>| Ok(task.input))
    })
}

/// Runs the claims.
///
/// # Errors
/// Where one does not succeed, or they take too long.
pub(super) async fn count(args: &Args, plan: &Plan, database_url: &str) -> anyhow::Result<Counts> {
    let mut account =
        Account::open(database_url, plan.fluxlings.clone(), args.batch as usize).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/v1/recipes/{NAME}", account.url);
    let body = json!({ "definition": plan.definition, "claim_types": [NAME] });
    let answer = client.put(url).json(&body).send().await.context("put the recipe")?;
    accepted(answer).await.context("put the recipe")?;
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    submit(args.through, plan, WARM_UP, &mut account, &client).await?;
    account.work_off(deadline).await?;
    let transitions_per_claim = look_at_one(&client, &account.url).await?;

    let before = read(&account).await?;
    account.tallies = Tallies::default();
    submit(args.through, plan, args.claims, &mut account, &client).await?;
    account.work_off(deadline).await?;
    let after = read(&account).await?;
    look_at_one(&client, &account.url).await?;
    let since = |of: fn(&Reading) -> u64| of(&after).saturating_sub(of(&before));
    Ok(Counts {
        claims: args.claims,
        transitions_per_claim,
        sends: since(|one| one.sends),
        receives: since(|one| one.receives),
        deletes: since(|one| one.deletes),
        changes: since(|one| one.changes),
        look: 2 * plan.fluxlings.len() as u64,
        write_units: since(|one| one.write_units),
        tallies: account.tallies,
        bytes_kept: since(|one| one.bytes),
        wal_bytes: since(|one| one.wal_bytes),
        database_cpu: after.cpu.zip(before.cpu).map(|(now, then)| now.saturating_sub(then)),
    })
}

async fn submit(
    through: Way,
    plan: &Plan,
    claims: u64,
    account: &mut Account,
    client: &reqwest::Client,
) -> anyhow::Result<()> {
    if through == Way::Ingest {
        let claims = (0..claims).map(|_| plan.claim.clone());
        return account.through_queue(claims.collect()).await;
    }
    let url: Arc<str> = format!("{}/v1/claims", account.url).into();
    for _ in 0..claims {
        let request = client.post(&*url).header("content-type", "application/json");
        let request = request.body(plan.claim.clone());
        account
            .through_api(async move {
                let answer = request.send().await.context("submit a claim")?;
                accepted(answer).await.context("submit a claim")
            })
            .await?;
    }
    Ok(())
}

/// That the answer is no refusal, which is told in the words of other commands.
async fn accepted(answer: reqwest::Response) -> anyhow::Result<()> {
    let (url, status) = (answer.url().to_string(), answer.status());
    if status.is_success() {
        return Ok(());
    }
    let bytes = answer.bytes().await.context("read the answer")?;
    Err(client::refused(&url, status, &bytes).into())
}

/// Sees that no claim failed, and counts the states that one entered.
async fn look_at_one(client: &reqwest::Client, api: &str) -> anyhow::Result<u64> {
    let ask = async |path: &str| -> anyhow::Result<Value> {
        let answer = client.get(format!("{api}/v1/{path}")).send().await?;
        Ok(answer.json().await?)
    };
    let failed = ask("claims?status=FAILED,TIMED_OUT,ABORTED,REJECTED&limit=1").await?;
    if let Some(claim) = failed["claims"].get(0) {
        bail!(
            "the claims fail, so there is nothing to count: {}; say another --input?",
            end(claim)
        );
    }
    let ended = ask("claims?status=SUCCEEDED&limit=1").await?;
    let id = ended["claims"][0]["claim_id"].as_str().context("no claim has ended")?;
    let mut entered = 0;
    let mut cursor = None;
    loop {
        let after = cursor.map_or(String::new(), |cursor| format!("?cursor={cursor}"));
        let page = ask(&format!("claims/{id}/history{after}")).await?;
        let events = page["events"].as_array().context("the history has no `events`")?;
        let is_entry = |event: &&Value| {
            event["type"].as_str().is_some_and(|name| name.ends_with("StateEntered"))
        };
        entered += events.iter().filter(is_entry).count() as u64;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(entered),
        }
    }
}

/// How a claim ended, without all that it held.
fn end(claim: &Value) -> String {
    let parts = [&claim["status"], &claim["error"], &claim["cause"]];
    let parts: Vec<_> = parts.into_iter().filter_map(Value::as_str).collect();
    cut(&parts.join(": "), MAX_END_CHARS)
}

/// What stands where.
struct Reading {
    sends: u64,
    receives: u64,
    deletes: u64,
    changes: u64,
    write_units: u64,
    bytes: u64,
    wal_bytes: u64,
    cpu: Option<Duration>,
}

async fn read(account: &Account) -> anyhow::Result<Reading> {
    let session = account.store.database().session().await?;
    let tables = session.tables().await?;
    // The server is looked for each time: it is the same one, and this is cheap.
    let server = session.server_process().await?;
    let requests = &account.queue.requests;
    Ok(Reading {
        sends: requests.sends.load(Relaxed),
        receives: requests.receives.load(Relaxed),
        deletes: requests.deletes.load(Relaxed),
        changes: requests.changes.load(Relaxed),
        write_units: account.record.units.load(Relaxed),
        bytes: tables.iter().map(|table| table.bytes).sum(),
        wal_bytes: session.wal_bytes().await?,
        cpu: server.and_then(|server| cpu_time(&[server])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_offers_is_found_wherever_it_stands() {
        let definition = json!({ "States": {
            "A": { "Type": "Task", "Resource": "fluxling:bench.add" },
            "B": { "Type": "Map", "ItemProcessor": { "States": {
                "C": { "Type": "Task", "Resource": "fluxling:own.thing?region=eu" },
                "D": { "Type": "Task", "Resource": "fluxling:own.thing" },
            } } },
        } });
        let found = unknown(&definition, &fluxus_local::builtin(Vec::new(), None));
        assert_eq!(found, ["own.thing"]);
    }

    async fn counted(given: &[&str]) -> Counts {
        let database = fluxus_test_support::database().await;
        let command = <Args as clap::Args>::augment_args(clap::Command::new("cost"));
        let matches = command.get_matches_from(["cost", "--claims", "20"].iter().chain(given));
        let args = <Args as clap::FromArgMatches>::from_arg_matches(&matches).expect("arguments");
        let plan = Plan::read(&args).expect("a plan");
        count(&args, &plan, database.url()).await.expect("counts")
    }

    #[tokio::test]
    async fn three_tasks_are_counted_message_by_message() {
        let counts = counted(&["--records", "all"]).await;
        assert_eq!(counts.transitions_per_claim, 3);
        // A task begins and is done: two writes.
        assert_eq!(counts.write_units, 20 * 3 * 2);
        let Tallies { api, core, fluxlings, .. } = counts.tallies;
        // The claim, and an answer from each task; and each task.
        assert_eq!((api.invocations, core.messages, fluxlings.messages), (20, 80, 60));
        // Batches of ten, deleted in one request each.
        assert_eq!((core.invocations, fluxlings.invocations, counts.deletes), (8, 6, 14));
        assert!(core.statements > 0 && counts.bytes_kept > 0, "{counts:?}");
    }

    #[tokio::test]
    async fn the_ingest_queue_takes_ten_claims_in_a_request_and_no_record_writes_nothing() {
        let counts = counted(&["--records", "none", "--through", "ingest"]).await;
        let Tallies { api, ingest, core, .. } = counts.tallies;
        assert_eq!((api.invocations, ingest.invocations, core.messages), (0, 2, 80));
        assert_eq!(counts.write_units, 0);
        assert!(counts.sends < counted(&["--records", "none"]).await.sends);
    }
}
