//! What functions stand on under the emulator: queues, a table and a bucket in ministack, a database
//! of their own, and their bootstraps.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use fluxus_cli::aws::rie::Emulated;
use fluxus_cli::aws::template::{Function, Template};
use fluxus_queue::SqsQueue;
use fluxus_test_support::TestDatabase;
use fluxus_test_support::aws::{Aws, aws};
use uuid::Uuid;

/// As everywhere: a message that is received so often goes to the dead letters.
const MAX_RECEIVES: u32 = 5;

/// The table of tasks begun and done, and what it goes by.
const TABLE: (&str, &str, &str) = ("idempotency", "token", "expires_at");

/// Where the workspace is.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What functions stand on.
pub struct Footing {
    aws: Arc<Aws>,
    database: TestDatabase,
    emulator: PathBuf,
    functions: Vec<Function>,
    /// What the names of its queues begin with.
    prefix: String,
    logs: tempfile::TempDir,
}

/// A function that runs, and what it says.
pub struct Running {
    emulated: Emulated,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Footing {
    /// Makes everything that functions need, on an empty database.
    pub async fn new() -> anyhow::Result<Self> {
        let aws = aws().await;
        let tools = aws.tools().clone();
        let emulator = tokio::task::spawn_blocking(move || tools.emulator()).await??;
        let functions = functions()?;
        let prefix = format!("rie-{}-", Uuid::now_v7().simple());
        let fluxlings = functions.iter().filter(|one| one.binary.starts_with("fluxling-"));
        let queues = fluxlings.map(|one| one.binary.as_str()).chain(["core", "ingest"]);
        for queue in queues {
            aws.create_queue(&format!("{prefix}{queue}"), MAX_RECEIVES).await?;
        }
        aws.create_table(&format!("{prefix}{}", TABLE.0), TABLE.1, TABLE.2).await?;
        let database = fluxus_test_support::database().await;
        let logs = tempfile::tempdir()?;
        let footing = Self { aws, database, emulator, functions, prefix, logs };
        footing.aws.create_bucket(&footing.bucket()).await?;
        Ok(footing)
    }

    /// Its queues.
    pub fn queue(&self) -> SqsQueue {
        SqsQueue::new(self.aws.config(), &self.aws.queue_url_prefix(&self.prefix), None)
    }

    /// Its bucket.
    pub fn bucket(&self) -> String {
        format!("{}bodies", self.prefix)
    }

    /// Where its queues are, as functions are told it.
    pub fn variables(&self) -> Vec<(String, String)> {
        let own = [
            ("FLUXUS_DATABASE_URL", self.database.url().to_owned()),
            ("FLUXUS_QUEUE_URL", self.aws.queue_url_prefix(&self.prefix)),
            ("FLUXUS_BODY_BUCKET", self.bucket()),
            ("FLUXUS_IDEMPOTENCY_TABLE", format!("{}{}", self.prefix, TABLE.0)),
            ("FLUXUS_STACK", "fluxus-rie".to_owned()),
            ("FLUXUS_AUTH", "jwt".to_owned()),
            ("RUST_LOG", "info".to_owned()),
        ];
        let all = self.aws.environment().into_iter().chain(own);
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Starts a function of the template; `further` variables are its alone.
    pub async fn start(
        &self,
        bootstrap: &Path,
        id: &str,
        further: &[(&str, &str)],
    ) -> anyhow::Result<Running> {
        let function = self.functions.iter().find(|one| one.id == id);
        let function = function.with_context(|| format!("the template has no {id}"))?;
        let mut variables = self.variables();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        variables.extend(further.iter().map(owned));
        let log = |what: &str| self.logs.path().join(format!("{id}-{}.{what}", Uuid::now_v7()));
        let (stdout, stderr) = (log("out"), log("err"));
        let output = (Stdio::from(File::create(&stdout)?), Stdio::from(File::create(&stderr)?));
        let emulated =
            Emulated::start(&self.emulator, function, bootstrap, &variables, output).await?;
        Ok(Running { emulated, stdout, stderr })
    }
}

impl Running {
    /// Invokes it.
    pub async fn invoke(&self, event: &serde_json::Value) -> anyhow::Result<serde_json::Value> {
        let answer = self.emulated.invoke(event).await;
        answer.with_context(|| std::fs::read_to_string(&self.stderr).unwrap_or_default())
    }

    /// Everything that it and the emulator have said.
    pub fn said(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(&self.stdout)? + &std::fs::read_to_string(&self.stderr)?)
    }

    /// Takes it down as Lambda does, and tells what was said.
    pub async fn shut_down(self) -> anyhow::Result<String> {
        let Self { emulated, stdout, stderr } = self;
        emulated.shut_down().await?;
        Ok(std::fs::read_to_string(stdout)? + &std::fs::read_to_string(stderr)?)
    }
}

/// All functions of the template.
pub fn functions() -> anyhow::Result<Vec<Function>> {
    Ok(Template::read(&Path::new(WORKSPACE).join("template.yaml"))?.functions())
}

/// Builds the code of these functions in a profile of cargo's, and says where it is.
pub async fn build(functions: &[Function], profile: &str) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = tokio::process::Command::new(cargo);
    command.args(["build", "--features", "aws", "--profile", profile]).current_dir(WORKSPACE);
    // What cargo told this program of its own package would make build scripts run again.
    let is_of_package = |name: &str| name.starts_with("CARGO_PKG") || name.starts_with("CARGO_MAN");
    for (name, _) in std::env::vars().filter(|(name, _)| is_of_package(name)) {
        command.env_remove(name);
    }
    let is_dev = profile == "dev";
    if is_dev {
        // As the tests of the whole system build them: what is built is shared.
        command.arg("--workspace");
    }
    for function in functions {
        command.args(["--bin", &function.binary]);
        // The ingest is the API's second binary; all others are named as their crate.
        let package = match function.binary.as_str() {
            "fluxus-ingest" => "fluxus-api",
            other => other,
        };
        if !is_dev {
            command.args(["-p", package]);
        }
    }
    let status = command.stdin(Stdio::null()).status().await.context("run cargo")?;
    anyhow::ensure!(status.success(), "the functions do not build");
    let target = fluxus_cli::aws::build::target_folder(Path::new(WORKSPACE)).await;
    Ok(target.join(if is_dev { "debug" } else { profile }))
}
