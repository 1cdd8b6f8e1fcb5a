//! The bill, printed.

use serde_json::json;

use super::bill::{Bill, Counts};
use super::run::Plan;
use super::{Args, Records, Way, prices};
use crate::output::{Format, Printer, counted};
use crate::table::{Column, Table};

/// What the target is: a tenth of what Step Functions asks.
const TENTH: f64 = 0.1;

/// A share of the whole from which on a line is worth a word.
const WORTH_A_WORD: f64 = 0.08;

pub(super) fn print(args: &Args, plan: &Plan, counts: &Counts, bill: &Bill) -> anyhow::Result<()> {
    let printer = Printer::stdout(args.output);
    match args.output {
        Format::Json => {
            let document = json!({
                "recipe": plan.title,
                "claims": counts.claims,
                "transitions_per_claim": counts.transitions_per_claim,
                "messages_per_invocation": args.batch,
                "usd_per_million_transitions": bill.usd,
                "bill": bill,
                "wal_bytes_per_transition": wal_bytes(counts),
                "stood_in": plan.stood_in,
                "assumed": args.assumed,
                "prices": { "region": prices::REGION, "date": prices::DATE, "all": prices::ALL },
            });
            printer.raw(document.to_string().as_bytes())
        }
        Format::Text => printer.text(&text(args, plan, counts, bill)),
    }
}

fn text(args: &Args, plan: &Plan, counts: &Counts, bill: &Bill) -> String {
    let way = match args.through {
        Way::Api => "the API",
        Way::Ingest => "the ingest queue",
    };
    let mut lines = vec![
        format!(
            "{}: {} claims through {way}, {} each, at most {} messages an invocation",
            plan.title,
            counts.claims,
            counted(counts.transitions_per_claim, "transition"),
            args.batch
        ),
        format!("A million transitions, at prices of {} in {}:", prices::DATE, prices::REGION),
        String::new(),
        of_bill(bill),
        format!(
            "Step Functions Standard, the transitions alone   {:>8.2} USD",
            bill.step_functions_standard_usd
        ),
        format!(
            "Step Functions Express, likewise                 {:>8.2} USD",
            bill.step_functions_express_usd
        ),
        format!(
            "Fluxus is {:.1}% of Standard. Express ends after five minutes, runs at least once, and \
             keeps no history.",
            bill.usd / bill.step_functions_standard_usd * 100.0
        ),
        String::new(),
        "An invocation, counted; its milliseconds follow from the assumptions:".to_owned(),
        String::new(),
        of_functions(bill),
    ];
    if !plan.stood_in.is_empty() {
        lines.push(format!(
            "No fluxling here offers {}: a stand-in answered with what it was given.",
            plan.stood_in.join(", ")
        ));
    }
    lines.push(format!(
        "Postgres wrote {:.0} bytes of log for each transition; RDS asks nothing for them.",
        wal_bytes(counts)
    ));
    lines.push(of_assumptions(args));
    let ways = ways(args, bill);
    if !ways.is_empty() {
        lines.push(String::new());
        let is_more = bill.usd > bill.step_functions_standard_usd * TENTH;
        let aim = if is_more { "It is more than a tenth of Standard, the aim. " } else { "" };
        lines.push(format!("{aim}What would make it cheaper:"));
        lines.extend(ways.into_iter().map(|way| format!("- {way}")));
    }
    lines.join("\n") + "\n"
}

fn of_bill(bill: &Bill) -> String {
    let columns = [
        Column::text("WHAT"),
        Column::number("AMOUNT"),
        Column::text("UNIT"),
        Column::number("USD"),
        Column::text("BASIS"),
    ];
    let mut table = Table::new(&columns);
    for line in &bill.lines {
        let amount = if line.amount >= 100.0 {
            format!("{:.0}", line.amount)
        } else {
            format!("{:.3}", line.amount)
        };
        let usd = format!("{:.3}", line.usd);
        table.row(vec![
            (&line.what).into(),
            amount.into(),
            line.unit.into(),
            usd.into(),
            line.basis.into(),
        ]);
    }
    let sum = format!("{:.3}", bill.usd);
    table.row(vec!["Fluxus".into(), "".into(), "".into(), sum.into(), "".into()]);
    table.render(None)
}

fn of_functions(bill: &Bill) -> String {
    let columns = [
        Column::text("FUNCTION"),
        Column::number("A CLAIM"),
        Column::number("MESSAGES"),
        Column::number("STATEMENTS"),
        Column::number("SQS"),
        Column::number("DYNAMODB"),
        Column::number("CPU MS"),
        Column::number("MS"),
    ];
    let mut table = Table::new(&columns);
    for one in &bill.functions {
        let numbers = [
            format!("{:.3}", one.invocations_per_claim),
            format!("{:.1}", one.messages),
            format!("{:.1}", one.statements),
            format!("{:.1}", one.sqs_waits),
            format!("{:.1}", one.dynamodb_waits),
            format!("{:.2}", one.cpu_ms),
            format!("{:.0}", one.ms),
        ];
        let cells = std::iter::once(one.function.into()).chain(numbers.map(Into::into));
        table.row(cells.collect());
    }
    table.render(None)
}

fn of_assumptions(args: &Args) -> String {
    let a = &args.assumed;
    format!(
        "Assumed: {} claims/s; {} ms a statement, {} ms a request to SQS, {} ms to DynamoDB, {} ms a \
         task,\n{} ms besides; {} MB for core and API, {} MB for fluxlings; {} bytes of log an \
         invocation;\nkept for {} days; a database that is {}% busy. Each is an option: --help. Not in \
         it: what a\nsystem costs at rest, and the free tiers.",
        a.claims_per_s,
        a.statement_ms,
        a.sqs_ms,
        a.dynamodb_ms,
        a.task_ms,
        a.overhead_ms,
        a.core_mb,
        a.fluxling_mb,
        a.log_bytes,
        a.keep_days,
        a.database_percent
    )
}

/// What dominates, and which setting moves it.
fn ways(args: &Args, bill: &Bill) -> Vec<String> {
    let share = |of: &str| {
        let lines = bill.lines.iter().filter(|line| line.what.starts_with(of));
        lines.map(|line| line.usd).sum::<f64>()
    };
    let mut ways = Vec::new();
    let mut say = |usd: f64, text: &str| {
        if usd > bill.usd * WORTH_A_WORD {
            ways.push((usd, format!("{text} ({usd:.2} USD)")));
        }
    };
    if args.through == Way::Api {
        say(
            share("API Gateway") + share("Lambda: api"),
            "claims through the ingest queue, ten in a request: --through ingest",
        );
    }
    if args.records != Records::None {
        say(
            share("DynamoDB"),
            "fluxlings that bear being run twice declare `idempotent(true)`: they keep no record",
        );
    }
    if args.batch < 100 {
        say(
            share("Lambda: core") + share("CloudWatch"),
            "fuller batches: CoreBatchSize=100 and CoreBatchWindow=1 gather for a second, see \
             --batch 100; log lines come once for each invocation",
        );
    }
    say(share("RDS: what is kept"), "history is kept for fewer days: --keep-days");
    say(
        share("SQS: looks"),
        "the more claims there are, the less the looks at the queues come to: --claims-per-s",
    );
    ways.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    ways.into_iter().map(|(_, way)| way).collect()
}

fn wal_bytes(counts: &Counts) -> f64 {
    counts.wal_bytes as f64 / (counts.claims * counts.transitions_per_claim).max(1) as f64
}
