//! The processes: started, killed, started again. Each is this program in another role.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::Parser as _;
use fluxus_cli::args::Cli;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, timeout};

use crate::house::{House, VARIABLE};
use crate::preload::CLOCK_VARIABLE;
use crate::{fluxlings, rogue};

/// How long a process may take until it is ready, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(90);

/// Pause before a process is started again that could not start: Postgres may be away.
const START_AGAIN_EVERY: Duration = Duration::from_millis(200);

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Api,
    Core,
    Fluxlings,
    /// API, core and fluxlings in one process, where claims begin as they come in, and tasks and
    /// answers go from hand to hand.
    Whole,
    Rogue,
    /// The whole system of a version before this one.
    Old,
}

impl Kind {
    /// All that run at the same time.
    pub const ALL: [Self; 5] = [Self::Api, Self::Core, Self::Whole, Self::Fluxlings, Self::Rogue];

    pub fn name(self) -> String {
        match self {
            Self::Api => "api".to_owned(),
            Self::Core => "core".to_owned(),
            Self::Whole => "whole".to_owned(),
            Self::Fluxlings => "fluxlings".to_owned(),
            Self::Rogue => "rogue".to_owned(),
            Self::Old => "old".to_owned(),
        }
    }

    fn args(self, database_url: &str, listen: &str) -> Vec<String> {
        let fluxus = |part: &[&str]| {
            let head = ["fluxus", "serve", "--database-url", database_url];
            [&head[..], part].concat().into_iter().map(str::to_owned).collect()
        };
        match self {
            Self::Api => fluxus(&["api", "--listen", listen]),
            Self::Core => fluxus(&["core"]),
            Self::Whole => {
                ["fluxlings", database_url, listen].into_iter().map(str::to_owned).collect()
            }
            Self::Fluxlings => vec!["fluxlings".to_owned(), database_url.to_owned()],
            Self::Rogue => vec!["rogue".to_owned(), database_url.to_owned()],
            Self::Old => {
                let listen = ["dev", "--no-example", "--listen", listen];
                let args = [&listen[..], &["--database-url", database_url]].concat();
                args.into_iter().map(str::to_owned).collect()
            }
        }
    }
}

/// The role that this process was started in, and the rest of its arguments; none for the tests.
pub fn role(args: &[String]) -> Option<(String, Vec<String>)> {
    std::env::var_os(VARIABLE)?;
    let (first, rest) = args.split_first()?;
    ["fluxus", "fluxlings", "rogue"].contains(&first.as_str()).then(|| (first.clone(), rest.into()))
}

/// Is such a process.
pub fn run(role: &str, args: &[String]) -> ExitCode {
    runtime().block_on(async {
        let ended = match role {
            "fluxlings" => fluxlings::run(&args[0], args.get(1).map(String::as_str)).await,
            "rogue" => rogue::run(&args[0]).await,
            _ => {
                let args = ["fluxus".to_owned()].into_iter().chain(args.iter().cloned());
                fluxus_cli::run(&Cli::parse_from(args)).await
            }
        };
        ended.unwrap_or_else(|error| {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        })
    })
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

/// A process, running or not. Dropped, it is killed.
pub struct Process {
    pub kind: Kind,
    program: PathBuf,
    house: House,
    database_url: String,
    listen: String,
    child: Option<Child>,
}

impl Process {
    /// A process that is not started yet.
    pub fn new(kind: Kind, house: &House, database_url: &str, listen: &str) -> Self {
        let (database_url, listen) = (database_url.to_owned(), listen.to_owned());
        let program = std::env::current_exe().expect("this program");
        Self { kind, program, house: house.clone(), database_url, listen, child: None }
    }

    /// The system of an old program, with everything in one process.
    pub fn old(program: PathBuf, house: &House, database_url: &str, listen: &str) -> Self {
        Self { program, ..Self::new(Kind::Old, house, database_url, listen) }
    }

    /// Starts it, again and again until it is ready, with a clock that is off.
    pub async fn start(&mut self, clock_off_ms: i64) {
        let deadline = Instant::now() + PATIENCE;
        let mut again = interval(START_AGAIN_EVERY);
        loop {
            again.tick().await;
            self.child = Some(self.spawn(clock_off_ms));
            let ready = timeout(deadline - Instant::now(), self.ready()).await;
            if ready.expect("it starts in time") {
                return;
            }
        }
    }

    /// Starts it without waiting for it.
    pub fn spawn(&self, clock_off_ms: i64) -> Child {
        let mut command = Command::new(&self.program);
        command.args(self.kind.args(&self.database_url, &self.listen)).kill_on_drop(true);
        for variable in ["DATABASE_URL", "FLUXUS_API_KEYS", "FLUXUS_HTTP_ALLOW"] {
            command.env_remove(variable);
        }
        // Versions before this one go by the clocks of their machines.
        let clock_off_ms = if self.kind == Kind::Old { 0 } else { clock_off_ms };
        command.env(CLOCK_VARIABLE, clock_off_ms.to_string()).env("RUST_BACKTRACE", "1");
        let log = self.house.log(&self.kind.name());
        let log = OpenOptions::new().append(true).create(true).open(log).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        command.spawn().expect("starts")
    }

    /// Whether it says that it is ready before it ends.
    async fn ready(&mut self) -> bool {
        let Some(output) = self.child.as_mut().and_then(|child| child.stdout.take()) else {
            return false;
        };
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // The old one says `REST at …`.
            if line.starts_with("Ready") || line.starts_with("REST at") {
                // What it says later is read too, so that it never waits for a reader.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return true;
            }
        }
        false
    }

    /// Where its API listens, if it has one.
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Whether it ended though nobody killed it, and how.
    pub fn ended_by_itself(&mut self) -> Option<String> {
        let ended = self.child.as_mut()?.try_wait().ok()??;
        Some(format!("{} ended by itself: {ended}", self.kind.name()))
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("killed");
        }
    }

    /// SIGTERM; whether it ended in order.
    pub async fn stop(&mut self) -> bool {
        let Some(mut child) = self.child.take() else { return true };
        let pid = child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill runs");
        assert!(sent.success());
        let ended = timeout(PATIENCE, child.wait()).await.expect("it ends in time");
        ended.expect("waits").success()
    }
}
