//! Rounds and laps: what fails when, and what is looked at afterwards.

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fluxus_postgres::{Database, Options};
use fluxus_store::{MIGRATIONS, Store};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::auditor;
use crate::client::Client;
use crate::draws::Draws;
use crate::faults::Fault;
use crate::house::House;
use crate::load::Load;
use crate::old;
use crate::postgres::Server;
use crate::process::{Kind, Process};
use crate::proxy::Proxy;
use crate::receiver::Receiver;
use crate::recipes::{self, Recipe};

/// Rounds unless it is said how many.
const ROUNDS: u64 = 5;

/// Rounds of a lap. Fewer mean more waiting for quiet, more mean larger audits.
const ROUNDS_OF_LAP: u64 = 5;

/// How many milliseconds into a round its kill comes.
const KILLED_AFTER_MS: (u64, u64) = (50, 900);

/// How far clocks are off, in milliseconds. Each process draws anew at each start.
const CLOCKS_OFF_MS: [i64; 4] = [0, -170_000, 95_000, 240_000];

/// Claims that must be accepted after a round, to show that all is well again.
const PROGRESS: u64 = 5;

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the processes of a round are killed: one in the midst of work is the rule.
const VICTIMS: [&[usize]; 9] =
    [&[0], &[1], &[2], &[3], &[4], &[1, 3], &[1, 2], &[0, 1, 2, 3, 4], &[3]];

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

/// The whole run.
pub async fn run() -> ExitCode {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").subsec_nanos();
    let seed = from_environment("FLUXUS_FAULT_SEED").unwrap_or_else(|| now().into());
    let rounds = from_environment("FLUXUS_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let minutes = from_environment("FLUXUS_FAULT_MINUTES").unwrap_or(0);
    println!(
        "FLUXUS_FAULT_SEED={seed} FLUXUS_FAULT_ROUNDS={rounds} FLUXUS_FAULT_MINUTES={minutes}"
    );
    let began = Instant::now();
    let mut run = Run::start(seed).await;
    let (mut round, mut claims) = (0, 0);
    let mut wrong = Vec::new();
    while wrong.is_empty()
        && (round < rounds || began.elapsed() < Duration::from_secs(60 * minutes))
    {
        let last = (round + ROUNDS_OF_LAP).min(rounds.max(round + 1));
        while wrong.is_empty() && round < last {
            round += 1;
            wrong = run.round(round).await;
        }
        if wrong.is_empty() {
            let (found, ended) = run.end_lap().await;
            wrong = found;
            claims += ended;
            let seconds = began.elapsed().as_secs();
            println!("{round} rounds, {claims} claims, {seconds} s: {} findings", wrong.len());
        }
    }
    let folder = run.house.path().to_owned();
    wrong.extend(run.stop().await);
    if wrong.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\n{} findings in round {round}, seed {seed}:", wrong.len());
    wrong.iter().for_each(|what| println!("  {what}"));
    for kind in Kind::ALL {
        let log = House::in_folder(&folder).log(&kind.name());
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(5).collect();
        println!("\nthe last of {}:", kind.name());
        lines.iter().rev().for_each(|line| println!("  {line}"));
    }
    ExitCode::FAILURE
}

/// Everything that runs.
struct Run {
    draws: Draws,
    house: House,
    server: Server,
    /// Tells the receiver where Postgres is now.
    server_url: watch::Sender<String>,
    proxy: Proxy,
    processes: Vec<Process>,
    client: Client,
    recipes: Arc<Vec<Recipe>>,
    load: Load,
    receiver: Receiver,
    faults: Vec<Fault>,
}

impl Run {
    async fn start(seed: u64) -> Self {
        let house = House::from_env();
        let draws = Draws::new(seed);
        let server = Server::start(house.path()).await;
        let proxy = Proxy::start(server.address()).await;
        let database_url = server.url_through(proxy.port());
        let program = old::program(&house);
        let mut recipes = recipes::all();
        // Versions that know no references bear only documents that fit into their rows.
        recipes.retain(|recipe| program.is_none() || !recipe.is_heavy);
        let recipes = Arc::new(recipes);
        let client = Client::new(&free_address());
        let load = Load::start(&client, &recipes, seed, &house);
        let mut old = None;
        if let Some(program) = program {
            let mut process = Process::old(program, &house, &database_url, &free_address());
            process.start(0).await;
            // Claims come in, and the tables change under them.
            client.go_to(&[process.listen()]);
            put_recipes(&client, &recipes).await;
            load.go_on();
            load.progress(PROGRESS).await;
            old = Some(process);
        }
        let two = Options { max_connections: 2, ..Options::default() };
        let database = Database::connect(server.url(), two).await.expect("Postgres answers");
        migrate(&database).await;
        let (api, whole) = (free_address(), free_address());
        let mut processes = Vec::new();
        for kind in Kind::ALL {
            let listen = if kind == Kind::Whole { &whole } else { &api };
            let mut process = Process::new(kind, &house, &database_url, listen);
            process.start(*draws.one_of(&CLOCKS_OFF_MS)).await;
            processes.push(process);
        }
        processes.extend(old);
        client.go_to(&[&api, &whole]);
        put_recipes(&client, &recipes).await;
        let server_url = watch::Sender::new(server.url().to_owned());
        let receiver = Receiver::start(server_url.subscribe(), Draws::new(!seed));
        let only = std::env::var("FLUXUS_FAULT_ONLY").ok();
        let faults = Fault::possible(only.as_deref());
        Self {
            draws,
            house,
            server,
            server_url,
            proxy,
            processes,
            client,
            recipes,
            load,
            receiver,
            faults,
        }
    }

    /// A kill and mostly another fault, at the same time; then all is well, and goes on.
    async fn round(&mut self, number: u64) -> Vec<String> {
        self.load.go_on();
        self.receiver.set_running(true);
        let fault = *self.draws.one_of(&self.faults);
        let mut victims = self.draws.one_of(&VICTIMS).to_vec();
        // The old one too, every other time, where there is one.
        if self.processes.len() > Kind::ALL.len() && number.is_multiple_of(2) {
            victims.push(Kind::ALL.len());
        }
        let (from, to) = KILLED_AFTER_MS;
        let after = Duration::from_millis(self.draws.between(from, to));
        let names: Vec<_> = victims.iter().map(|at| self.processes[*at].kind.name()).collect();
        println!("round {number}: {fault:?}; {} killed after {after:?}", names.join(", "));
        let mut wrong: Vec<String> =
            self.processes.iter_mut().filter_map(Process::ended_by_itself).collect();
        let (server, proxy) = (&mut self.server, &self.proxy);
        let (processes, draws, house) = (&mut self.processes, &self.draws, &self.house);
        let killing = async {
            sleep_until(Instant::now() + after).await;
            for victim in &victims {
                processes[*victim].kill().await;
            }
        };
        tokio::join!(fault.happen(server, proxy, house, draws), killing);
        for victim in &victims {
            processes[*victim].start(*draws.one_of(&CLOCKS_OFF_MS)).await;
        }
        self.server_url.send_replace(self.server.url().to_owned());
        if timeout(PATIENCE, self.load.progress(PROGRESS)).await.is_err() {
            wrong.push(format!("no claims are accepted any more after {fault:?}"));
        }
        wrong.extend(auditor::look(&self.server).await);
        wrong.extend(self.client.strange());
        wrong
    }

    /// Waits until all is quiet and audits everything; what is wrong, and how many claims there
    /// were. A new lap begins with empty tables.
    async fn end_lap(&mut self) -> (Vec<String>, usize) {
        const EMPTY: &str = "TRUNCATE claim, claim_tally, branch, history, timer, outbox, waiter,
            idempotency, payload, dead_message, fluxus_queue.dead_letter";
        self.receiver.set_running(false);
        self.load.pause().await;
        let ledger = self.load.ledger();
        let mut wrong = auditor::settle(&self.server, &self.house, &self.recipes, &ledger).await;
        wrong.extend(self.processes.iter_mut().filter_map(Process::ended_by_itself));
        if wrong.is_empty() {
            wrong = auditor::check_ballast(&self.client, &self.recipes, &ledger).await;
        }
        wrong.extend(self.client.strange());
        if wrong.is_empty() {
            self.server.run(EMPTY).await;
            self.load.forget();
            self.house.forget();
        }
        (wrong, ledger.len())
    }

    /// Ends all processes in order.
    async fn stop(mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        for process in &mut self.processes {
            if process.kind == Kind::Rogue {
                process.kill().await;
            } else if !process.stop().await {
                wrong.push(format!("{} did not end in order", process.kind.name()));
            }
        }
        self.server.stop().await;
        wrong
    }
}

/// Brings the tables up to date, and further: as the next version may.
async fn migrate(database: &Database) {
    fluxus_local::migrate(database).await.expect("migrates");
    let next = [
        ("V9000__column", "ALTER TABLE claim ADD COLUMN of_the_future integer NOT NULL DEFAULT 0"),
        (
            "V9001__index",
            "-- online: outside of a transaction\n\
             DROP INDEX CONCURRENTLY IF EXISTS of_the_future;\n\
             CREATE INDEX CONCURRENTLY of_the_future ON claim (of_the_future, claim_id);\n",
        ),
        ("V9002__table", "CREATE TABLE of_the_future_too (claim_id uuid PRIMARY KEY)"),
    ];
    let all: Vec<_> = MIGRATIONS.into_iter().chain(next).collect();
    let applied = Store::new(database.clone()).apply_migrations(&all).await.expect("migrates");
    assert_eq!(applied.len(), next.len());
}

async fn put_recipes(client: &Client, recipes: &[Recipe]) {
    for recipe in recipes {
        client.put_recipe(recipe).await;
    }
}

/// An address that is free now. The API is there again after each restart.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}
