//! `fluxus dlq`: dead letters, the messages that nobody could handle.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::Subcommand;
use fluxus_schema::api::{DeadLetter, DeadLetterPage, LettersHandled, WhichLetters};
use fluxus_schema::limits::{DEFAULT_PAGE, MAX_PAGE};

use crate::client::{Call, Client};
use crate::exit::{Exit, Usage};
use crate::moment::{absolute_and_relative, date_and_time, now, relative};
use crate::output::{Printer, counted, indented, note};
use crate::paging::{Pages, print_merged};
use crate::table::{Cell, Column, Table, facts};

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List dead letters, queue by queue, the oldest first
    List(List),
    /// Show one: its message, why it is dead, and when it was received
    #[command(after_help = "\
Example:
  fluxus dlq show shop 4711")]
    Show {
        /// The queue it was in
        queue: String,
        /// Its id in the list
        #[arg(value_name = "LETTER")]
        id: String,
    },
    /// Put dead letters back into the queue they were in
    #[command(after_help = "\
The letters of a fluxling's queue are tasks that failed with Fluxus.Undeliverable already: to put them
back does no harm, and helps only whoever reads that queue. A claim of such a task is redriven with
`claim redrive`.

Examples:
  fluxus dlq redrive core 4711
  fluxus dlq redrive core --all")]
    Redrive(Which),
    /// Delete dead letters for good
    #[command(after_help = "\
Examples:
  fluxus dlq purge shop 4711
  fluxus dlq purge shop --all --yes")]
    Purge {
        /// Which
        #[command(flatten)]
        which: Which,
        /// Ask nothing
        #[arg(long)]
        yes: bool,
    },
}

/// Which letters to list.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  fluxus dlq list
  fluxus dlq list --queue core --all --output json")]
pub struct List {
    /// Only those of this queue: `core`, `ingest`, or a fluxling's
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// At most this many letters
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PAGE,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAGE)))]
    pub limit: u32,
    /// Go on where the page with this `next_cursor` ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// All letters, page after page
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

/// Which letters of a queue.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The queue they were in
    pub queue: String,
    /// Their ids in the list
    #[arg(value_name = "LETTER", required_unless_present = "all", conflicts_with = "all")]
    pub ids: Vec<String>,
    /// All of the queue
    #[arg(long)]
    pub all: bool,
}

/// Runs one of the commands.
///
/// # Errors
/// Where the server cannot be reached or refuses, or stdout cannot be written.
pub async fn run(command: &Command, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    match command {
        Command::List(args) => list(args, client, printer).await,
        Command::Show { queue, id } => {
            let document = client.get(&["dead-letters", queue, id])?.send().await?;
            printer.document(&document, |letter| shown(letter, printer.width))?;
            Ok(Exit::Ok)
        }
        Command::Redrive(which) => {
            let done = handle(which, "redrive", client, printer).await?;
            note(&format!(
                "{} {} back in the queue `{}`.",
                letters(done.count),
                are(done.count),
                done.queue
            ));
            Ok(Exit::Ok)
        }
        Command::Purge { which, yes } => {
            if !yes && !confirmed(which)? {
                note("Nothing was deleted.");
                return Ok(Exit::Failed);
            }
            let done = handle(which, "purge", client, printer).await?;
            note(&format!(
                "{} of `{}` {} deleted for good.",
                letters(done.count),
                done.queue,
                are(done.count)
            ));
            Ok(Exit::Ok)
        }
    }
}

async fn handle(
    which: &Which,
    how: &str,
    client: &Client,
    printer: Printer,
) -> anyhow::Result<LettersHandled> {
    let body = WhichLetters { message_ids: which.ids.clone(), all: which.all };
    let call = client.post(&["dead-letters", &which.queue, how])?.body(&body)?;
    let document = call.send().await?;
    if printer.is_json() {
        printer.raw(&document.bytes)?;
    }
    Ok(document.read()?)
}

fn letters(count: u64) -> String {
    counted(count, "dead letter")
}

fn are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// Asks whoever sits at the terminal.
fn confirmed(which: &Which) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let text = "nobody can be asked here: say --yes to delete dead letters for good";
        return Err(Usage(text.to_owned()).into());
    }
    let what = match which.ids.as_slice() {
        [] => "all dead letters".to_owned(),
        [id] => format!("dead letter {id}"),
        ids => format!("{} dead letters", ids.len()),
    };
    eprint!("Delete {what} of the queue `{}` for good? [y/N] ", which.queue);
    std::io::stderr().flush().context("ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn list(args: &List, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let mut pages = Pages::new(|| page(args, client), args.cursor.clone());
    if !args.all {
        pages = pages.only_one();
    }
    if printer.is_json() {
        print_merged(&mut pages, "letters", printer).await?;
        return Ok(Exit::Ok);
    }
    let mut none = true;
    while let Some(document) = pages.next().await? {
        let page: DeadLetterPage = document.read()?;
        if page.letters.is_empty() {
            continue;
        }
        none = false;
        printer.text(&render(&page, printer.width))?;
    }
    if none {
        note("No dead letters.");
    }
    pages.say_where_to_go_on();
    Ok(Exit::Ok)
}

fn page<'a>(args: &List, client: &'a Client) -> Result<Call<'a>, Usage> {
    let limit = if args.all { MAX_PAGE } else { args.limit };
    let call = client.get(&["dead-letters"])?.query("limit", &limit.to_string());
    Ok(call.query_opt("queue", args.queue.as_deref()))
}

fn render(page: &DeadLetterPage, width: Option<usize>) -> String {
    let mut table = Table::new(&[
        Column::whole("QUEUE"),
        Column::whole("LETTER"),
        Column::whole("DEAD SINCE"),
        Column::number("RECEIVED"),
        Column::whole("CLAIM"),
        Column::text("REASON"),
    ]);
    for letter in &page.letters {
        let claim = letter.claim_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        table.row(vec![
            Cell::from(&letter.queue),
            Cell::from(&letter.message_id),
            Cell::from(date_and_time(letter.dead_at)),
            Cell::from(format!("{}x", letter.receive_count)),
            Cell::from(claim),
            Cell::from(&letter.reason),
        ]);
    }
    table.render(width)
}

fn shown(letter: &DeadLetter, width: Option<usize>) -> String {
    let now = now();
    let times = match letter.receive_count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    let text = |text: String| Some(Cell::from(text));
    let mut rows = vec![
        ("Letter", text(letter.message_id.clone())),
        ("Queue", text(letter.queue.clone())),
        ("Claim", letter.claim_id.map(|id| Cell::from(id.to_string()))),
        ("Sent", text(absolute_and_relative(letter.sent_at, now))),
        ("Dead since", text(absolute_and_relative(letter.dead_at, now))),
        ("Received", text(times)),
    ];
    for attempt in &letter.attempts {
        let said = attempt.failure.as_deref().map(|failure| format!(": {failure}"));
        let at = relative(attempt.at, now);
        rows.push(("Attempt", text(format!("{at}{}", said.unwrap_or_default()))));
    }
    let mut shown = facts(&rows, width);
    // Not in the table: its end is often what matters.
    shown.push_str(&format!("Reason\n  {}\n", crate::table::clean(&letter.reason)));
    if let Some(body) = &letter.body {
        shown.push_str(&format!("Message\n{}", indented(body)));
    }
    shown
}
