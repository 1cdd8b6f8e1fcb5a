//! `fluxus claim submit`.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use fluxus_schema::api::Submitted;
use fluxus_schema::limits::{MAX_PRIORITY, MAX_WAIT};
use fluxus_schema::{Claim, ClaimId, NewClaim, Timestamp};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::show;
use crate::client::{Call, Client, PATIENCE};
use crate::exit::{Exit, Usage};
use crate::output::{Printer, note};
use crate::source;

/// `--wait` without a number: until the claim ends. A year is as good as for ever.
const WAIT_FOR_EVER_SECONDS: &str = "31536000";

/// Longest `--wait`: the same year, since a clock does not go on for ever.
const MAX_WAIT_SECONDS: u64 = 31_536_000;

/// First pause between two looks at a claim that has not ended.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What the keys begin with that are made where none is given: a reader of the claim sees whence it
/// came.
const KEY_PREFIX: &str = "cli-";

/// Longest pause between two looks at it.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// The claim.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "\
Prints the claim's id; with --wait the claim itself, once it has ended, and its id on stderr before.

Examples:
  fluxus claim submit order.placed --body '{\"order\": \"1001\"}' --subject customer-42
  fluxus claim submit order.placed --body @order.json --key order-1001 --wait 20
  jq .payload event.json | fluxus claim submit order.placed --body - --attribute region=eu
  fluxus claim submit --file examples/order-saga/claim.json --wait

With --key, submitting again gives the same claim again and starts nothing new: use it wherever a
script may run twice. Without it a key is made, so that one submission can be sent again safely.")]
pub struct Args {
    /// What kind of request or assertion it is; chooses the recipe
    #[arg(value_name = "TYPE")]
    pub claim_type: Option<String>,
    /// File with a whole claim document; the other options replace what it says
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The content: JSON, a file with JSON, or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    pub body: Option<String>,
    /// Whom or what it is about, for search
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Idempotency key: your own name for this request
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// 0 to 9; higher goes first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(0..=i64::from(MAX_PRIORITY)))]
    pub priority: Option<i16>,
    /// When it ends as TIMED_OUT if nothing ended it before: RFC 3339
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    pub deadline: Option<Timestamp>,
    /// Key and value to search by; may be given several times
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub attributes: Vec<(String, String)>,
    /// Wait until it has ended, at most this many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = WAIT_FOR_EVER_SECONDS,
        value_parser = clap::value_parser!(u64).range(..=MAX_WAIT_SECONDS))]
    pub wait: Option<u64>,
}

/// Submits the claim and, where asked to, waits for its end.
///
/// The first request does not wait, so that the id is known before anything can go wrong. It has an
/// idempotency key in any case: sent again, it finds the same claim.
///
/// # Errors
/// Where the server cannot be reached or refuses, or a file is not what it should be.
pub async fn run(args: &Args, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let mut claim = new_claim(args)?;
    bounded(args, &claim)?;
    let is_own_key = claim.idempotency_key.is_none();
    let key = claim.idempotency_key.get_or_insert_with(new_key).clone();
    let call = client.post(&["claims"])?.body(&claim)?.repeatable();
    // One for both parts, so that none is lost between them.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let sent = tokio::select! {
        // First Ctrl-C is listened to, then the claim is sent.
        biased;
        _ = &mut interrupted => {
            note(&unknown(&key));
            return Ok(Exit::Interrupted);
        }
        sent = call.clone().send_patiently(false, PATIENCE) => sent,
    };
    let document = sent.inspect_err(|error| {
        if error.is_unanswered() {
            note(&unknown(&key));
        }
    })?;
    let submitted: Submitted = document.read()?;
    let id = submitted.claim_id;
    // With a key of ours, a claim that is known already is the one that was just sent.
    if submitted.duplicate && !is_own_key {
        note(&format!("The key is known: this claim is {} already.", submitted.status));
    }
    let Some(seconds) = args.wait else {
        printer.document(&document, |_: &Submitted| format!("{id}\n"))?;
        return Ok(Exit::Ok);
    };
    note(&format!("Claim {id} is submitted."));
    let goes_on = || note(&format!("Claim {id} goes on without us; see: fluxus claim watch {id}"));
    tokio::select! {
        biased;
        _ = &mut interrupted => {
            goes_on();
            Ok(Exit::Interrupted)
        }
        ended = wait_for_end(id, call, seconds, client, printer) => ended.inspect_err(|_| goes_on()),
    }
}

/// Waits until the claim ends or the time is over, and prints it.
async fn wait_for_end(
    id: ClaimId,
    submission: Call<'_>,
    seconds: u64,
    client: &Client,
    printer: Printer,
) -> anyhow::Result<Exit> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let wait = Duration::from_secs(seconds).min(MAX_WAIT);
    if !wait.is_zero() {
        // The same submission once more, and now it may take its time: the answer comes as soon as
        // the claim ends. Where it does not come, the claim is looked at below.
        match submission.wait(wait).send().await {
            Ok(document) => {
                let ended = document.read().ok().filter(|claim: &Claim| claim.status.has_ended());
                if let Some(claim) = ended {
                    show::print(&document, client, printer).await?;
                    return Ok(Exit::of_claim(claim.status));
                }
            }
            Err(error) if error.is_passing() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut pause = FIRST_PAUSE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let call = client.get(&["claims", &id.to_string()])?;
        let document = call.send_patiently(true, PATIENCE.min(left)).await?;
        let claim: Claim = document.read()?;
        let left = until.saturating_duration_since(Instant::now());
        if claim.status.has_ended() || left.is_zero() {
            show::print(&document, client, printer).await?;
            if !claim.status.has_ended() {
                note(&format!("Claim {id} has not ended in time; see: fluxus claim watch {id}"));
            }
            return Ok(Exit::of_claim(claim.status));
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What to do where nobody can say whether the claim was taken in.
fn unknown(key: &str) -> String {
    format!(
        "The claim may have been taken in. Submit it again with --key {key} to learn its id: with the \
         same key nothing starts twice."
    )
}

/// An idempotency key that nobody has used.
fn new_key() -> String {
    format!("{KEY_PREFIX}{}", Uuid::now_v7().simple())
}

/// That the server takes a body of this size, in its own words.
fn bounded(args: &Args, claim: &NewClaim) -> Result<(), Usage> {
    const WHAT: &str = "the claim's body";
    match (&args.body, &args.file) {
        (None, Some(file)) => {
            source::bounded(&format!("--file {}", file.display()), WHAT, &claim.body)
        }
        (body, _) => {
            let from = source::named("--body", body.as_deref().unwrap_or_default());
            source::bounded(&from, WHAT, &claim.body)
        }
    }
}

/// The claim that the arguments say.
///
/// # Errors
/// [`Usage`] where a file cannot be read or is no claim, or a bound is broken.
pub fn new_claim(args: &Args) -> anyhow::Result<NewClaim> {
    let mut claim: NewClaim = match (&args.file, &args.claim_type) {
        (Some(path), _) => {
            let value = source::file(path)?.source.into_value();
            serde_json::from_value(value)
                .map_err(|error| Usage(format!("`{}` is no claim: {error}", path.display())))?
        }
        (None, Some(claim_type)) => NewClaim {
            claim_type: claim_type.parse().map_err(|error| Usage(format!("{error}")))?,
            subject: None,
            body: Value::Null,
            idempotency_key: None,
            priority: 0,
            deadline: None,
            attributes: Default::default(),
        },
        (None, None) => {
            return Err(Usage(
                "name a claim type, or a file with a claim: --file FILE; see --help".into(),
            )
            .into());
        }
    };
    if let (Some(_), Some(claim_type)) = (&args.file, &args.claim_type) {
        claim.claim_type = claim_type.parse().map_err(|error| Usage(format!("{error}")))?;
    }
    if let Some(body) = &args.body {
        claim.body = source::argument("--body", body)?;
    } else if args.file.is_none() {
        // What the execution gets as its input where the client says nothing, as with the service.
        claim.body = Value::Object(Default::default());
    }
    claim.subject = args.subject.clone().or(claim.subject);
    claim.idempotency_key = args.key.clone().or(claim.idempotency_key);
    claim.priority = args.priority.unwrap_or(claim.priority);
    claim.deadline = args.deadline.or(claim.deadline);
    claim.attributes.extend(args.attributes.iter().cloned());
    Ok(claim)
}

/// `KEY=VALUE`; the value may hold further equals signs.
///
/// # Errors
/// In words, where there is no key.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use expect_test::expect;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(args: &[&str]) -> Args {
        let args = ["fluxus", "claim", "submit"].iter().chain(args);
        match Cli::try_parse_from(args).expect("parses").command {
            Command::Claim(super::super::Command::Submit(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arguments_make_a_claim() {
        let args = parse(&[
            "order.placed",
            "--body",
            "{\"n\": 1}",
            "--subject",
            "customer-42",
            "--key",
            "k1",
            "--priority",
            "7",
            "--deadline",
            "2026-11-23T13:00:00+01:00",
            "--attribute",
            "region=eu",
            "--attribute",
            "note=a=b",
        ]);
        let claim = serde_json::to_string(&new_claim(&args).expect("a claim")).expect("JSON");
        expect![[r#"{"type":"order.placed","subject":"customer-42","body":{"n":1},"idempotency_key":"k1","priority":7,"deadline":"2026-11-23T12:00:00.000Z","attributes":{"note":"a=b","region":"eu"}}"#]]
        .assert_eq(&claim);
    }

    #[test]
    fn wait_takes_seconds_or_none() {
        assert_eq!(parse(&["a"]).wait, None);
        assert_eq!(parse(&["a", "--wait", "20"]).wait, Some(20));
        assert!(parse(&["a", "--wait"]).wait > Some(1_000_000));
    }

    #[test]
    fn a_body_is_an_empty_object_by_default() {
        assert_eq!(new_claim(&parse(&["a"])).expect("a claim").body, serde_json::json!({}));
        assert!(new_claim(&parse(&["a b"])).is_err());
    }
}
