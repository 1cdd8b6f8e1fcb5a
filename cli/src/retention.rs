//! `fluxus retention`: deletes what ended long ago, or shows what would go.

use std::fmt::Write as _;
use std::time::Duration;

use fluxus_postgres::{Database, Options};
use fluxus_schema::Timestamp;
use fluxus_store::{KeptDay, MIN_RETENTION, Retention, Retired, Store};

use crate::dev::with_option;
use crate::exit::Exit;
use crate::moment::{date_and_time, now, parse_span};
use crate::output::{Printer, counted};

/// What goes, and from where.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Deletes claims that ended before, of all tenants, with all that belongs to them: payloads, branches,
idempotency keys, which are free then. History goes by whole days (UTC). A day stays while an open
claim, or one that ended later, has history in it. Claims run on meanwhile; what is cut off goes the
next time. `fluxus export` keeps a copy.

Examples:
  fluxus retention --older-than 90d --dry-run
  fluxus retention --older-than 90d --database-url postgres://fluxus@db.internal/fluxus")]
pub struct Args {
    /// What ended longer ago than this goes, such as 90d, 12w or 6mo; at least a day
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Duration,
    /// Only show what would go, and how much room it takes
    #[arg(long)]
    pub dry_run: bool,
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
}

fn age(text: &str) -> Result<Duration, String> {
    const DAY_S: u64 = 24 * 60 * 60;
    const UNITS: [(&str, u64); 7] = [
        ("min", 60),
        ("h", 60 * 60),
        ("d", DAY_S),
        ("w", 7 * DAY_S),
        ("mo", 30 * DAY_S),
        ("months", 30 * DAY_S),
        ("y", 365 * DAY_S),
    ];
    // Elsewhere it means minutes, and what is deleted here does not come back.
    if let Some(count) = text.strip_suffix('m').filter(|count| count.parse::<u64>().is_ok()) {
        let wrong = format!("`{text}`: minutes or months? Write {count}mo, or {count}min");
        return Err(wrong);
    }
    let age = parse_span(text, &UNITS);
    let age = age.ok_or("write a number of days, weeks, months or years: 90d, 12w, 6mo, 2y")?;
    if age < MIN_RETENTION {
        return Err("what ended within a day is never deleted: give at least 1d".to_owned());
    }
    Ok(age)
}

/// Deletes, or looks.
///
/// # Errors
/// Where the database cannot be reached, or fails. What was deleted until then stays deleted.
pub async fn run(args: &Args, printer: Printer) -> anyhow::Result<Exit> {
    let options = Options { max_connections: 1, ..Options::default() };
    let database = Database::connect(&args.database_url, options).await;
    let store = Store::new(database.map_err(|error| with_option(error.into()))?);
    let now = now();
    let ms = i64::try_from(args.older_than.as_millis()).unwrap_or(i64::MAX);
    let older_than = Timestamp::from_millis(now.as_millis().saturating_sub(ms));
    let retention = Retention { older_than, dry_run: args.dry_run, at_most: usize::MAX };
    let retired = store.retire(now, retention).await?;
    if printer.is_json() {
        printer.raw(&serde_json::to_vec(&retired)?)?;
    } else {
        printer.text(&render(&retired))?;
    }
    Ok(Exit::Ok)
}

fn render(retired: &Retired) -> String {
    let Retired { dry_run, before, claims, claim_bytes, payloads, days, kept_days, .. } = retired;
    let (go, goes) = if *dry_run { ("would go", "would go") } else { ("are deleted", "dropped") };
    let mut text = format!(
        "Claims that ended before {}: {claims} {go}, with {} ({}).\n",
        date_and_time(*before),
        counted(*payloads, "payload"),
        size(*claim_bytes)
    );
    let all: u64 = days.iter().map(|day| day.bytes).sum();
    // Writing to a string does not fail.
    let _ = writeln!(text, "Days of history: {} {goes} ({}).", days.len(), size(all));
    for day in days {
        let _ = writeln!(text, "  {}  {}", day.partition, size(day.bytes));
    }
    if !kept_days.is_empty() {
        let _ = writeln!(text, "Days that stay though they are old:");
    }
    for day in kept_days {
        let _ = writeln!(text, "  {}  {}  {}", day.partition, size(day.bytes), why(day));
    }
    text
}

fn why(day: &KeptDay) -> String {
    if day.busy {
        return "is being read; try again".to_owned();
    }
    let later = day.claims.saturating_sub(day.open);
    match (day.open, later) {
        (1, 0) => "1 open claim has history in it".to_owned(),
        (0, 1) => "1 claim that ended later has history in it".to_owned(),
        (open, 0) => format!("{open} open claims have history in it"),
        (0, later) => format!("{later} claims that ended later have history in it"),
        (open, later) => {
            let open = counted(open, "open claim");
            format!("{open} and {later} that ended later have history in it")
        }
    }
}

/// Bytes for reading.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use fluxus_store::RetiredDay;

    use super::*;

    #[test]
    fn an_age_is_a_number_with_its_unit() {
        assert_eq!(age("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(age("2w"), age("14d"));
        assert_eq!(age("6mo"), age("180d"));
        assert!(age("6m").is_err_and(|why| why.contains("6mo") && why.contains("6min")));
        assert!(age("6min").is_err() && age("2880min") == age("2d"));
        for wrong in ["", "d", "90", "-1d", "1.5d", "90 d", "99999999999999999999d", "0d"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_goes_and_what_stays_is_told() {
        let day = |partition: &str| RetiredDay { partition: partition.into(), bytes: 3_000_000 };
        let kept = |claims, open, busy| KeptDay {
            partition: "history_20260102".into(),
            bytes: 100,
            claims,
            open,
            busy,
        };
        let retired = Retired {
            dry_run: true,
            before: Timestamp::parse("2026-08-27T00:00:00Z").expect("a time"),
            claims: 12,
            claim_bytes: 2048,
            payloads: 1,
            days: vec![day("history_20260101")],
            kept_days: vec![kept(3, 2, false), kept(1, 1, false), kept(0, 0, true)],
            more: false,
        };
        expect_test::expect![[r"
            Claims that ended before 2026-08-27 00:00:00Z: 12 would go, with 1 payload (2.0 KiB).
            Days of history: 1 would go (2.9 MiB).
              history_20260101  2.9 MiB
            Days that stay though they are old:
              history_20260102  100 B  2 open claims and 1 that ended later have history in it
              history_20260102  100 B  1 open claim has history in it
              history_20260102  100 B  is being read; try again
        "]]
        .assert_eq(&render(&retired));
    }
}
