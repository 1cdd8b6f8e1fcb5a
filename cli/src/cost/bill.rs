//! From what was counted, and what is assumed, to what a million transitions cost.

use std::time::Duration;

use serde::Serialize;

use super::account::{Tallies, Tally};
use super::assumptions::Assumptions;
use super::prices::{
    DYNAMODB_WRITE, EXPRESS_GB_SECOND, EXPRESS_REQUEST, HTTP_API_REQUEST, LAMBDA_GB_SECOND,
    LAMBDA_REQUEST, LOGS_GB, Price, RDS_STORAGE, RDS_VCPU_HOUR, SQS_FAIR_REQUEST, SQS_REQUEST,
    STEP_FUNCTIONS_TRANSITION,
};

/// What a bill is for.
const MILLION: f64 = 1e6;

/// Begin and commit of a function's transaction: statements that the counter leaves out.
const TRANSACTION_STATEMENTS: f64 = 2.0;

/// How often an instance of the core looks how full the queues are, in seconds.
const LOOK_EVERY_S: f64 = 5.0;

/// Memory in MB of a GB, and of what Express bills at least; and its time, in milliseconds.
const MB_OF_A_GB: f64 = 1024.0;
const EXPRESS_MB: f64 = 64.0;
const EXPRESS_MS: f64 = 100.0;

/// Days of a month, as storage is billed.
const DAYS_OF_A_MONTH: f64 = 30.0;

/// Bytes of a GB.
const GB: f64 = 1e9;

/// What a run came to.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    pub(super) claims: u64,
    pub(super) transitions_per_claim: u64,
    pub(super) sends: u64,
    pub(super) receives: u64,
    pub(super) deletes: u64,
    pub(super) changes: u64,
    /// Requests of one look at how full the queues are.
    pub(super) look: u64,
    pub(super) write_units: u64,
    pub(super) tallies: Tallies,
    /// What the tables grew by.
    pub(super) bytes_kept: u64,
    pub(super) wal_bytes: u64,
    /// None where the operating system does not tell.
    pub(super) database_cpu: Option<Duration>,
}

/// One line of a bill.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    pub(super) what: String,
    /// For a million transitions.
    pub(super) amount: f64,
    pub(super) unit: &'static str,
    pub(super) usd: f64,
    /// Whether it was counted, or how it was come by.
    pub(super) basis: &'static str,
}

/// What a million transitions cost.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Bill {
    pub(super) lines: Vec<Line>,
    pub(super) usd: f64,
    pub(super) functions: Vec<FunctionTime>,
    pub(super) step_functions_standard_usd: f64,
    pub(super) step_functions_express_usd: f64,
}

/// An invocation of one kind of function, on average.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FunctionTime {
    pub(super) function: &'static str,
    pub(super) invocations_per_claim: f64,
    pub(super) messages: f64,
    pub(super) statements: f64,
    pub(super) sqs_waits: f64,
    pub(super) dynamodb_waits: f64,
    pub(super) cpu_ms: f64,
    /// As it is billed.
    pub(super) ms: f64,
    mb: f64,
}

impl Counts {
    fn transitions(&self) -> f64 {
        (self.claims * self.transitions_per_claim).max(1) as f64
    }

    /// For a million transitions.
    fn per_million(&self, amount: f64) -> f64 {
        amount / self.transitions() * MILLION
    }

    fn functions(&self, assumed: &Assumptions) -> Vec<FunctionTime> {
        let Tallies { api, ingest, core, fluxlings } = &self.tallies;
        let Assumptions { core_mb, fluxling_mb, task_ms, .. } = *assumed;
        let all = [
            ("api", api, core_mb, 0.0),
            ("ingest", ingest, core_mb, 0.0),
            ("core", core, core_mb, 0.0),
            ("fluxlings", fluxlings, fluxling_mb, task_ms),
        ];
        let used = all.into_iter().filter(|(_, tally, ..)| tally.invocations > 0);
        used.map(|(name, tally, mb, work)| self.function(name, tally, mb, work, assumed)).collect()
    }

    fn function(
        &self,
        function: &'static str,
        tally: &Tally,
        mb: f64,
        work_ms: f64,
        assumed: &Assumptions,
    ) -> FunctionTime {
        let each = |count: u64| count as f64 / tally.invocations as f64;
        let statements = each(tally.statements);
        let (sqs_waits, dynamodb_waits) = (each(tally.queue_waits), each(tally.record_waits));
        let cpu_ms = tally.cpu.as_secs_f64() * 1e3 / tally.invocations as f64;
        let transaction = if statements > 0.0 { TRANSACTION_STATEMENTS } else { 0.0 };
        let ms = assumed.overhead_ms
            + Assumptions::stretched_ms(cpu_ms, mb)
            + (statements + transaction) * assumed.statement_ms
            + sqs_waits * assumed.sqs_ms
            + dynamodb_waits * assumed.dynamodb_ms
            + work_ms;
        FunctionTime {
            function,
            invocations_per_claim: tally.invocations as f64 / self.claims.max(1) as f64,
            messages: each(tally.messages),
            statements,
            sqs_waits,
            dynamodb_waits,
            cpu_ms,
            ms: ms.ceil(),
            mb,
        }
    }
}

impl Bill {
    pub(super) fn of(counts: &Counts, assumed: &Assumptions) -> Self {
        const COUNTED: &str = "counted";
        const TIMED: &str = "counted; times assumed";
        const ASSUMED: &str = "assumed";
        let functions = counts.functions(assumed);
        let claims = counts.claims as f64;
        let mut lines = Vec::new();
        let mut line = |what: &str, price: Price, amount: f64, basis| {
            if amount > 0.0 {
                let (usd, unit) = (amount * price.usd, price.unit);
                lines.push(Line { what: what.to_owned(), amount, unit, usd, basis });
            }
        };
        let Counts { sends, receives, deletes, changes, .. } = *counts;
        for (what, requests) in [
            ("SQS: send", sends),
            ("SQS: receive", receives),
            ("SQS: delete", deletes),
            ("SQS: hide and show again", changes),
        ] {
            line(what, SQS_REQUEST, counts.per_million(requests as f64), COUNTED);
        }
        let requests = (sends + receives + deletes + changes) as f64;
        line("SQS: fair queues", SQS_FAIR_REQUEST, counts.per_million(requests), COUNTED);
        line(
            "SQS: looks at how full queues are",
            SQS_REQUEST,
            looks(counts, &functions, assumed),
            ASSUMED,
        );
        if counts.tallies.api.invocations > 0 {
            line("API Gateway", HTTP_API_REQUEST, counts.per_million(claims), COUNTED);
        }
        let mut invocations = 0.0;
        for one in &functions {
            let each = counts.per_million(one.invocations_per_claim * claims);
            invocations += each;
            line(&format!("Lambda: {}, invocations", one.function), LAMBDA_REQUEST, each, COUNTED);
            let gb_seconds = each * one.ms / 1e3 * one.mb / MB_OF_A_GB;
            line(&format!("Lambda: {}, time", one.function), LAMBDA_GB_SECOND, gb_seconds, TIMED);
        }
        let writes = counts.per_million(counts.write_units as f64);
        line("DynamoDB: records of tasks", DYNAMODB_WRITE, writes, COUNTED);
        let months = assumed.keep_days / DAYS_OF_A_MONTH;
        let kept = counts.per_million(counts.bytes_kept as f64) / GB * months;
        line("RDS: what is kept", RDS_STORAGE, kept, "counted; days assumed");
        if let Some(cpu) = counts.database_cpu {
            let hours = counts.per_million(cpu.as_secs_f64()) / 3600.0;
            let booked = hours / (assumed.database_percent / 100.0);
            line("RDS: its processors", RDS_VCPU_HOUR, booked, "counted; how busy assumed");
        }
        line("CloudWatch: logs", LOGS_GB, invocations * assumed.log_bytes / GB, ASSUMED);
        let usd = lines.iter().map(|line| line.usd).sum();
        let transitions_per_claim = counts.transitions_per_claim.max(1) as f64;
        let work_ms = transitions_per_claim * assumed.task_ms;
        let billed_s = (work_ms / EXPRESS_MS).ceil().max(1.0) * EXPRESS_MS / 1e3;
        let execution =
            EXPRESS_REQUEST.usd + billed_s * EXPRESS_MB / MB_OF_A_GB * EXPRESS_GB_SECOND.usd;
        Self {
            lines,
            usd,
            functions,
            step_functions_standard_usd: STEP_FUNCTIONS_TRANSITION.usd * MILLION,
            step_functions_express_usd: execution / transitions_per_claim * MILLION,
        }
    }
}

/// Requests with which the core looks how full queues are, for a million transitions: every few
/// seconds in each of its instances, and not more often than it is invoked.
fn looks(counts: &Counts, functions: &[FunctionTime], assumed: &Assumptions) -> f64 {
    let Some(core) = functions.iter().find(|one| one.function == "core") else { return 0.0 };
    let invoked_per_s = core.invocations_per_claim * assumed.claims_per_s;
    let instances = (invoked_per_s * core.ms / 1e3).ceil().max(1.0);
    let looks_per_s = invoked_per_s.min(instances / LOOK_EVERY_S);
    let transitions_per_s = assumed.claims_per_s * counts.transitions_per_claim.max(1) as f64;
    looks_per_s * counts.look as f64 / transitions_per_s * MILLION
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn assumed() -> Assumptions {
        let command = Assumptions::augment_args(clap::Command::new("cost"));
        Assumptions::from_arg_matches(&command.get_matches_from(["cost"])).expect("defaults")
    }

    fn counts() -> Counts {
        let core =
            Tally { invocations: 400, messages: 4_000, statements: 4_000, ..Tally::default() };
        Counts {
            claims: 1_000,
            transitions_per_claim: 2,
            sends: 1_000,
            receives: 600,
            deletes: 400,
            changes: 0,
            look: 0,
            write_units: 2_000,
            tallies: Tallies { core, ..Tallies::default() },
            bytes_kept: 2_000_000,
            wal_bytes: 0,
            database_cpu: None,
        }
    }

    #[test]
    fn a_million_transitions_are_billed_by_what_was_counted() {
        let bill = Bill::of(&counts(), &assumed());
        let usd = |what: &str| {
            let mut lines = bill.lines.iter().filter(|line| line.what == what);
            lines.next().expect(what).usd
        };
        let is = |what: &str, expected: f64| {
            let usd = usd(what);
            assert!((usd - expected).abs() < 1e-6, "{what}: {usd}, not {expected}");
        };
        // Half a request for each transition, at 0.40 a million.
        is("SQS: send", 0.20);
        is("SQS: fair queues", 0.10);
        is("DynamoDB: records of tasks", 0.625);
        is("Lambda: core, invocations", 0.04);
        // 10 statements, begin and commit of 1 ms, and 2 ms: 0.2 × 0.014 s × 0.5 GB a transition.
        is("Lambda: core, time", 0.2 * 0.014 * 0.5 * 13.333_4);
        // 1,000 bytes a transition, for a month.
        is("RDS: what is kept", 0.115);
        let sum: f64 = bill.lines.iter().map(|line| line.usd).sum();
        assert!((bill.usd - sum).abs() < 1e-9);
        assert!((bill.step_functions_standard_usd - 25.0).abs() < 1e-9);
    }

    #[test]
    fn a_quiet_system_looks_at_its_queues_more_often_for_each_transition() {
        let counts = Counts { look: 10, ..counts() };
        let at = |claims_per_s| {
            let assumed = Assumptions { claims_per_s, ..assumed() };
            looks(&counts, &counts.functions(&assumed), &assumed)
        };
        assert!(at(1.0) > 10.0 * at(1_000.0), "{} {}", at(1.0), at(1_000.0));
    }
}
