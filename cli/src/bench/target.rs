//! What is measured: an embedded system that is started for it, or one that runs already.

use std::path::Path;

use anyhow::Context as _;
use fluxus_local::{ApiKeys, Auth, DatabaseChoice, Options, System};
use fluxus_postgres::Database;
use fluxus_postgres::cluster::{Cluster, ClusterOptions};
use tokio_util::sync::CancellationToken;

use super::args::Target;
use super::client::Client;
use super::meter::Meter;
use crate::dev::with_option;
use crate::exit::Usage;

/// Where an embedded system keeps its data for the time of the measurement.
const DATABASE: &str = "fluxus_bench";

/// Keys of two tenants of an embedded system, which listens on this machine and lives for the time
/// of the measurement.
const KEYS: [(&str, &str); 2] =
    [("bench-key-of-the-first-tenant", "first"), ("bench-key-of-the-second-tenant", "second")];

/// What a scenario works with.
pub(super) struct Bench<'a> {
    pub(super) client: Client,
    /// None for a system that is not ours: what it spends cannot be read.
    pub(super) meter: Option<Meter<'a>>,
    /// Asks to end the measuring.
    pub(super) stop: CancellationToken,
}

impl Bench<'_> {
    /// Clients of two tenants.
    pub(super) fn two_clients(&self, keys: Option<&[String]>) -> [Client; 2] {
        let key = |at: usize| match keys.and_then(|keys| keys.get(at)) {
            Some(key) => key.as_str(),
            None => KEYS[at].0,
        };
        [self.client.with_key(key(0)), self.client.with_key(key(1))]
    }
}

/// Measures with `measure`, and stops what was started for it.
pub(super) async fn with<T>(
    target: &Target,
    key: Option<&str>,
    with_tenants: bool,
    measure: impl AsyncFnOnce(&Bench<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let stop = CancellationToken::new();
    if let Some(url) = &target.url {
        let client = Client::new(url)?;
        let client = key.map_or_else(|| client.clone(), |key| client.with_key(key));
        let bench = Bench { client, meter: None, stop };
        return measure(&bench).await;
    }
    if let Some(url) = &target.database_url {
        without_claims(url).await?;
        return embedded(target, with_tenants, url, stop, measure).await;
    }
    let folder = tempfile::Builder::new().prefix("fluxus-bench-").tempdir()?;
    let cluster = start_postgres(folder.path()).await?;
    let measured = embedded(target, with_tenants, &cluster.url(DATABASE), stop, measure).await;
    cluster.stop().await.context("stop the private Postgres")?;
    measured
}

/// Refuses a database that somebody uses: its claims would be measured too, and end.
async fn without_claims(url: &str) -> anyhow::Result<()> {
    let options = fluxus_postgres::Options { max_connections: 1, ..Default::default() };
    let database = Database::connect(url, options).await;
    let database = database.map_err(|error| with_option(error.into()))?;
    // As the server counts, about a second late: a database that was never used has no such table.
    let tables = database.session().await?.tables().await?;
    if tables.iter().any(|table| table.name.ends_with(".claim") && table.live > 0) {
        let wrong = "the database of --database-url holds claims already: name one without any";
        return Err(Usage(wrong.to_owned()).into());
    }
    Ok(())
}

async fn start_postgres(folder: &Path) -> anyhow::Result<Cluster> {
    crate::output::note("starting a private Postgres with its default durability");
    let cluster = Cluster::start(&folder.join("postgres"), ClusterOptions::default()).await?;
    cluster.create_database_if_missing(DATABASE).await?;
    Ok(cluster)
}

async fn embedded<T>(
    target: &Target,
    with_tenants: bool,
    database_url: &str,
    stop: CancellationToken,
    measure: impl AsyncFnOnce(&Bench<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let listen = "127.0.0.1:0".parse()?;
    let mut options = Options::new(DatabaseChoice::Url(database_url.to_owned()), listen);
    options.examples = false;
    options.fluxlings = vec![fluxus_local::bench::fluxling()];
    options.builtin = false;
    options.core_workers = target.core_workers.unwrap_or(options.core_workers);
    if with_tenants {
        let keys = KEYS.map(|(key, tenant)| format!("{key}:{tenant}")).join(",");
        options.auth = Auth::Keys(ApiKeys::parse(&keys)?);
    }
    let system = System::start(options).await?;
    let measured = match Meter::new(&system).await {
        Ok(meter) => {
            let client = Client::new(&system.url())?;
            measure(&Bench { client, meter: Some(meter), stop }).await
        }
        Err(error) => Err(error),
    };
    system.shutdown().await?;
    measured
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::bench::args::Scenario;

    /// How late the server's statistics are, at most.
    const STATISTICS: Duration = Duration::from_secs(20);

    /// A scenario on a database of its own, and what it came to.
    async fn measured(given: &[&str]) -> serde_json::Value {
        let database = fluxus_test_support::database().await;
        let line = ["bench"].iter().chain(given).copied();
        let line = line.chain(["--database-url", database.url()]);
        let command = <crate::bench::Args as clap::Args>::augment_args(clap::Command::new("bench"));
        let matches = command.get_matches_from(line);
        let args = <crate::bench::Args as clap::FromArgMatches>::from_arg_matches(&matches);
        let scenario: Scenario = args.expect("arguments").scenario();
        let report = super::with(scenario.target(), None, scenario.tenants(), async |bench| {
            crate::bench::measure(&scenario, bench).await
        });
        let report = report.await.expect("a report");
        // As soon as the server has counted them.
        let refused = async {
            let mut looks = tokio::time::interval(Duration::from_millis(100));
            loop {
                looks.tick().await;
                if let Err(error) = super::without_claims(database.url()).await {
                    return error.to_string();
                }
            }
        };
        let refused = tokio::time::timeout(STATISTICS, refused).await.expect("a refusal");
        assert!(refused.contains("holds claims already"), "{refused}");
        assert_eq!(report.failed, 0, "{report}");
        serde_json::to_value(report).expect("JSON")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_closed_loop_tells_what_was_spent() {
        let report = measured(&["--claims", "30", "--concurrency", "4"]).await;
        assert_eq!(report["claims"], 30);
        let number = |name: &str| report[name].as_f64().expect(name);
        let names = ["claims_per_s", "p99_9_ms", "statements_per_transition"];
        for name in names.into_iter().chain(["queue_requests_per_transition"]) {
            assert!(number(name) > 0.0, "{name}: {report}");
        }
        assert!(number("p50_ms") <= number("max_ms"), "{report}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_open_loop_submits_what_is_due() {
        let given = ["ramp", "--from", "10", "--to", "20", "--steps", "2", "--seconds", "1"];
        let report = measured(&given).await;
        assert_eq!(report["parts"][0]["claims"], 10);
        assert_eq!(report["parts"][1]["claims"], 20);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_recipe_of_the_mix_and_the_map_are_fulfilled() {
        let mixed = measured(&["mixed", "--claims", "24", "--concurrency", "4"]).await;
        assert_eq!(mixed["parts"].as_array().map(Vec::len), Some(4), "{mixed}");
        let given = ["fan-out", "--items", "20", "--rounds", "1", "--concurrency", "4"];
        let fan_out = measured(&given).await;
        assert_eq!(fan_out["parts"][0]["claims"], 1, "{fan_out}");
        assert_eq!(fan_out["figures"][2]["unit"], "times", "{fan_out}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_tenant_waits_beside_the_other() {
        let report = measured(&["tenants", "--backlog", "40", "--singles", "3"]).await;
        assert_eq!(report["parts"][0]["claims"], 3, "{report}");
    }
}
