//! The engines that are measured, and what each needs.

use std::path::Path;

use anyhow::Context as _;
use tokio::process::Command;

use crate::closed_loop::WARM_UP;
use crate::npm::Packages;
use crate::report::Measured;
use crate::server::Server;
use crate::{Plan, fluxus, process};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// This checkout, over HTTP
    Fluxus,
    /// DBOS Transact, called in its process
    Dbos,
    /// Restate, over HTTP, on its own storage
    Restate,
    /// Bare jobs: one job for each workflow, with no steps in it
    GraphileWorker,
}

impl Engine {
    /// As the report names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fluxus => "fluxus",
            Self::Dbos => "dbos",
            Self::Restate => "restate",
            Self::GraphileWorker => "graphile-worker",
        }
    }

    /// What is measured of it, for readers of the report.
    pub fn about(self) -> &'static str {
        match self {
            Self::Fluxus => "three tasks, asked over HTTP, clients in the same process",
            Self::Dbos => "three steps, called in its process: no network",
            Self::Restate => "three steps, asked over HTTP; on its own storage, not Postgres",
            Self::GraphileWorker => "one bare job with no durable steps, called in its process",
        }
    }

    fn needs_npm(self) -> bool {
        matches!(self, Self::Restate | Self::GraphileWorker)
    }
}

/// The engines that can be measured here, and where their programs are.
pub struct Engines {
    pub ready: Vec<Engine>,
    /// What is left out, and why.
    pub missing: Vec<String>,
    packages: Option<Packages>,
}

impl Engines {
    /// Looks for what the wished engines need.
    pub async fn find(plan: &Plan) -> Self {
        let (mut ready, mut missing) = (Vec::new(), Vec::new());
        let packages = if plan.engines.iter().any(|engine| engine.needs_npm()) {
            Some(Packages::install(plan.npm_folder.as_deref()).await)
        } else {
            None
        };
        for engine in plan.engines.iter().copied() {
            let found = match (engine, &packages) {
                (Engine::Fluxus, _) => has_fluxus(&plan.fluxus),
                (Engine::Dbos, _) => Ok(()),
                (Engine::Restate, Some(Ok(packages))) => packages.restate_server().map(|_| ()),
                (_, Some(Ok(_))) => Ok(()),
                (_, Some(Err(error))) => Err(anyhow::anyhow!("{error:#}")),
                (_, None) => Ok(()),
            };
            match found {
                Ok(()) => ready.push(engine),
                Err(error) => missing.push(format!("{}: {error:#}", engine.name())),
            }
        }
        Self { ready, missing, packages: packages.and_then(Result::ok) }
    }

    /// One run of one engine, in processes of their own.
    ///
    /// # Errors
    /// Where the engine fails, or a workflow of it.
    pub async fn run(
        &self,
        engine: Engine,
        plan: &Plan,
        clients: usize,
        server: &Server,
    ) -> anyhow::Result<Measured> {
        let name = format!("peer_{}", engine.name().replace('-', "_"));
        if engine == Engine::Restate {
            server.checkpoint().await?;
            return self.restate(plan, clients, &server.scratch(&name)).await;
        }
        let url = server.fresh_database(&name).await?;
        match engine {
            Engine::Fluxus => fluxus::run(plan, clients, &url).await,
            Engine::GraphileWorker => {
                let mut command = Command::new("node");
                command.arg(self.packages()?.jobs()).arg(url).arg(clients.to_string());
                command.arg(WARM_UP.as_secs().to_string()).arg(plan.seconds.to_string());
                measured(command).await
            }
            _ => {
                let mut command = this_program("dbos", plan, clients)?;
                command.args(["--database-url", &url]);
                measured(command).await
            }
        }
    }

    async fn restate(
        &self,
        plan: &Plan,
        clients: usize,
        folder: &Path,
    ) -> anyhow::Result<Measured> {
        let mut command = this_program("restate", plan, clients)?;
        command.arg("--server").arg(self.packages()?.restate_server()?);
        command.arg("--folder").arg(folder);
        let result = measured(command).await;
        // Kept where it failed: the log in it says why.
        if result.is_ok() {
            std::fs::remove_dir_all(folder)
                .with_context(|| format!("remove `{}`", folder.display()))?;
        }
        result
    }

    fn packages(&self) -> anyhow::Result<&Packages> {
        self.packages.as_ref().context("nothing was installed from npm")
    }
}

fn has_fluxus(program: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        program.exists(),
        "there is no `{}`: run `cargo build --release -p fluxus-cli`, or name it by --fluxus",
        program.display()
    );
    Ok(())
}

/// This program once more, as the process of an engine.
fn this_program(engine: &str, plan: &Plan, clients: usize) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(engine).args(["--clients", &clients.to_string()]);
    command.args(["--seconds", &plan.seconds.to_string()]);
    Ok(command)
}

async fn measured(command: Command) -> anyhow::Result<Measured> {
    Ok(serde_json::from_value(process::json(command).await?)?)
}
