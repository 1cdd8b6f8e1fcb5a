//! Prometheus metrics, computed from the shared state: a Lambda instance cannot be scraped.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::State;
use fluxus_queue::{Depth, QueueName};
use fluxus_schema::Tenant;
use fluxus_schema::claim::StuckReason;
use fluxus_schema::fluxling::Fluxling;
use fluxus_store::metrics::ClaimCount;
use fluxus_store::{Metrics, StuckClaim, StuckSince};
use http::HeaderName;
use http::header::CONTENT_TYPE;

use crate::App;
use crate::backlog::Seen;
use crate::entropy;
use crate::exposition::Exposition;
use crate::extract::Caller;
use crate::problem::Refusal;
use crate::requests::{BUCKETS, Requests};

/// The Prometheus text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics in the Prometheus text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "operation",
    responses((status = 200, body = String, content_type = "text/plain",
               description = "Prometheus text, version 0.0.4")),
)]
pub(crate) async fn metrics(
    State(app): State<App>,
    Caller(tenant): Caller,
) -> Result<([(HeaderName, &'static str); 1], String), Refusal> {
    let mut text = Exposition::default();
    let metrics = app.store().metrics(entropy::now()).await?;
    let fluxlings = app.store().fluxlings(&tenant).await?;
    claims(&metrics, &tenant, &mut text);
    let stuck = app.store().stuck_claims(Some(&tenant), StuckSince::usual(entropy::now())).await?;
    stuck_claims(&stuck, &mut text);
    backlog(&metrics, &mut text);
    room(&app.backlog().seen(&tenant).await, &tenant, &mut text);
    depths(&queues(&app, &fluxlings).await?, &mut text);
    load(&fluxlings, &mut text);
    requests(app.requests(), &mut text);
    Ok(([(CONTENT_TYPE, PROMETHEUS_TEXT)], text.finish()))
}

/// Claims and unserved tasks of the caller's tenant: the others' are none of its business.
fn claims(metrics: &Metrics, tenant: &Tenant, text: &mut Exposition) {
    const OPEN: &str = "fluxus_claims_open";
    const ENDED: &str = "fluxus_claims_ended_total";
    const UNSERVED: &str = "fluxus_tasks_unserved";
    let counts = |name: &str, counts: &[ClaimCount], text: &mut Exposition| {
        for count in counts.iter().filter(|count| count.tenant == *tenant) {
            let labels = [
                ("tenant", count.tenant.as_str()),
                ("type", count.claim_type.as_str()),
                ("status", count.status.as_str()),
            ];
            text.sample(name, &labels, count.count as f64);
        }
    };
    text.family(OPEN, "gauge", "Claims that have not ended.");
    counts(OPEN, &metrics.open, text);
    text.family(ENDED, "counter", "Claims that ended since the beginning.");
    counts(ENDED, &metrics.ended, text);
    text.family(UNSERVED, "gauge", "Tasks that wait for a capability that no fluxling offers.");
    for count in metrics.unserved.iter().filter(|count| count.tenant == *tenant) {
        let labels = [("tenant", count.tenant.as_str()), ("capability", count.capability.as_str())];
        text.sample(UNSERVED, &labels, count.count as f64);
    }
}

/// Claims that wait longer than they should, by what holds them up.
fn stuck_claims(stuck: &[StuckClaim], text: &mut Exposition) {
    const STUCK: &str = "fluxus_claims_stuck";
    text.family(STUCK, "gauge", "Claims that wait longer than they should, by the reason.");
    for reason in StuckReason::ALL {
        let count = stuck.iter().filter(|one| one.stuck.reason == reason).count();
        text.sample(STUCK, &[("reason", reason.as_str())], count as f64);
    }
}

/// What waits in the tables, of all tenants together.
fn backlog(metrics: &Metrics, text: &mut Exposition) {
    let seconds = |age: Option<Duration>| age.unwrap_or_default().as_secs_f64();
    text.gauge(
        "fluxus_claims_oldest_received_age_seconds",
        "Age of the oldest claim that is not evaluated yet.",
        seconds(metrics.oldest_received),
    );
    text.gauge("fluxus_timers", "Timers set.", metrics.timers as f64);
    text.gauge("fluxus_timers_due", "Timers whose time has come.", metrics.timers_due as f64);
    text.gauge(
        "fluxus_timers_lag_seconds",
        "For how long the earliest timer is overdue.",
        seconds(metrics.timer_lag),
    );
    text.gauge("fluxus_outbox_unsent", "Messages committed and not sent.", metrics.outbox as f64);
    text.gauge(
        "fluxus_outbox_oldest_age_seconds",
        "Age of the oldest message that is not sent.",
        seconds(metrics.outbox_age),
    );
}

/// Whether there is room for claims, and whom of the caller's tenant this process sent away.
fn room(seen: &Seen, tenant: &Tenant, text: &mut Exposition) {
    const BOUND: &str = "fluxus_claims_backlog_bound";
    const REFUSED: &str = "fluxus_claims_refused_total";
    text.gauge(
        "fluxus_claims_backlog",
        "Claims of all tenants that wait to be evaluated, as intake counts them.",
        seen.all as f64,
    );
    text.family(BOUND, "gauge", "Past it claims are refused, of a tenant and of all.");
    text.sample(BOUND, &[("of", "tenant")], seen.bounds.tenant as f64);
    text.sample(BOUND, &[("of", "all")], seen.bounds.all as f64);
    text.family(REFUSED, "counter", "Claims refused by this process for want of room.");
    text.sample(REFUSED, &[("tenant", tenant.as_str())], seen.refused as f64);
}

/// How full the core's queue is, and those of the fluxlings.
async fn queues(app: &App, fluxlings: &[Fluxling]) -> Result<Vec<Depth>, Refusal> {
    let named = fluxlings.iter().filter_map(|one| QueueName::new(&one.manifest.queue).ok());
    let names: BTreeSet<QueueName> = named.chain([app.core_queue().clone()]).collect();
    Ok(app.outbound().queue().depth(&names.into_iter().collect::<Vec<_>>()).await?)
}

fn depths(depths: &[Depth], text: &mut Exposition) {
    const MESSAGES: &str = "fluxus_queue_messages";
    const AGE: &str = "fluxus_queue_oldest_ready_age_seconds";
    text.family(MESSAGES, "gauge", "Messages in a queue.");
    for depth in depths {
        let states = [
            ("ready", depth.ready),
            ("in_flight", depth.in_flight),
            ("delayed", depth.delayed),
            ("dead", depth.dead),
        ];
        for (state, count) in states {
            let labels = [("queue", depth.queue.as_str()), ("state", state)];
            text.sample(MESSAGES, &labels, count as f64);
        }
    }
    text.family(AGE, "gauge", "For how long the oldest ready message has been ready.");
    for depth in depths {
        let age = depth.oldest_ready_age.unwrap_or_default().as_secs_f64();
        text.sample(AGE, &[("queue", depth.queue.as_str())], age);
    }
}

fn load(fluxlings: &[Fluxling], text: &mut Exposition) {
    type Read = fn(&Fluxling) -> f64;
    let families: [(&str, &str, &str, Read); 5] = [
        ("fluxus_fluxling_enabled", "gauge", "Whether it may be given tasks.", |one| {
            f64::from(u8::from(one.enabled))
        }),
        ("fluxus_fluxling_in_flight", "gauge", "Tasks given and not answered.", |one| {
            one.load.in_flight as f64
        }),
        ("fluxus_fluxling_latency_seconds", "gauge", "Moving average until the answer.", |one| {
            one.load.latency_ms / 1000.0
        }),
        ("fluxus_fluxling_error_ratio", "gauge", "Moving average of failed attempts.", |one| {
            one.load.error_rate
        }),
        ("fluxus_fluxling_answered_total", "counter", "Tasks answered in all.", |one| {
            one.load.answered as f64
        }),
    ];
    for (name, kind, help, read) in families {
        text.family(name, kind, help);
        for fluxling in fluxlings {
            let labels = [("fluxling", fluxling.manifest.name.as_str())];
            text.sample(name, &labels, read(fluxling));
        }
    }
}

fn requests(requests: &Requests, text: &mut Exposition) {
    const TOTAL: &str = "fluxus_http_requests_total";
    const SECONDS: &str = "fluxus_http_request_duration_seconds";
    let counts = requests.snapshot();
    text.family(TOTAL, "counter", "HTTP requests answered by this process.");
    for (key, count) in &counts {
        let status = key.status.to_string();
        let labels = [("method", key.method), ("route", &key.route), ("status", &status)];
        text.sample(TOTAL, &labels, count.total as f64);
    }
    text.family(SECONDS, "histogram", "Time to answer HTTP requests in this process.");
    for (key, count) in &counts {
        let status = key.status.to_string();
        let labels = [("method", key.method), ("route", key.route.as_str()), ("status", &status)];
        let mut sum = 0;
        for (bound, in_bucket) in BUCKETS.iter().zip(count.buckets) {
            sum += in_bucket;
            let bound = bound.to_string();
            let labels = [labels[0], labels[1], labels[2], ("le", &bound)];
            text.sample("fluxus_http_request_duration_seconds_bucket", &labels, sum as f64);
        }
        let last = [labels[0], labels[1], labels[2], ("le", "+Inf")];
        text.sample("fluxus_http_request_duration_seconds_bucket", &last, count.total as f64);
        text.sample("fluxus_http_request_duration_seconds_sum", &labels, count.seconds);
        text.sample("fluxus_http_request_duration_seconds_count", &labels, count.total as f64);
    }
}
