//! The deployed stack that all tests share, and what they do to it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fluxus_queue::{DeadLetter, Depth, Queue as _, QueueName, SqsQueue};
use fluxus_store::{Activity, Database, Store, audit};
use fluxus_test_support::TestDatabase;
use fluxus_test_support::aws::{Aws, aws_behind};
use reqwest::Url;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::client::Client;
use crate::network::Network;

/// The stack's name.
const STACK: &str = "fluxus-e2e";

/// The key that the API knows a client by.
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// How long a message may take to become a dead letter, or a violation to pass.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub struct Stack {
    aws: Aws,
    network: Network,
    database: TestDatabase,
    keys: String,
    login: String,
    client: Client,
}

/// The stack, for one test at a time.
pub async fn stack() -> Turn {
    static STACK: OnceCell<Stack> = OnceCell::const_new();
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    Turn { stack: STACK.get_or_init(Stack::start).await, _turn: turn }
}

/// A test's turn.
pub struct Turn {
    stack: &'static Stack,
    _turn: MutexGuard<'static, ()>,
}

impl std::ops::Deref for Turn {
    type Target = Stack;
    fn deref(&self) -> &Stack {
        self.stack
    }
}

impl Stack {
    async fn start() -> Self {
        build();
        let network = Network::start();
        let aws = aws_behind(network.gateway()).await;
        network.leads_to(aws.url());
        let database = fluxus_test_support::database().await;
        let keys = secret(&aws, "keys", &format!("{KEY}:default"));
        let url = Url::parse(database.url()).expect("a URL");
        let password = url.password().unwrap_or_default();
        let login = serde_json::json!({ "username": url.username(), "password": password });
        let login = secret(&aws, "login", &login.to_string());
        let client = Client::new("http://not-deployed", None);
        let mut stack = Self { aws, network, database, keys, login, client };
        let (deployed, said) = stack.deploy(&[], None).await;
        assert!(deployed, "{said}");
        let address = said.lines().find(|line| line.starts_with("https://")).expect("an address");
        let id = address.trim_start_matches("https://").split('.').next().expect("an id");
        let url = format!("{}/_aws/execute-api/{id}/$default", stack.aws.url());
        stack.client = Client::new(&url, Some(KEY));
        stack
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    pub async fn another_database(&self) -> TestDatabase {
        fluxus_test_support::database().await
    }

    /// Runs `fluxus deploy`; whether it succeeded, and all that it said.
    pub async fn deploy(&self, more: &[&str], target: Option<&Path>) -> (bool, String) {
        let mut command = self.aws.command(target_folder().join("debug/fluxus"));
        command.arg("deploy").args(["--stack", STACK, "--endpoint-url", self.aws.url()]);
        command.args(["--recipes", "examples"]);
        if release() {
            command.args(["--compiler", "cargo"]);
        } else {
            command.arg("--skip-build");
        }
        let outside = self.network.outside();
        // Who may log in is in the secret alone.
        let mut database = Url::parse(self.database.url()).expect("a URL");
        database.set_username("").and_then(|()| database.set_password(None)).expect("a host");
        for (name, value) in [
            ("Architecture", architecture()),
            ("Auth", "keys"),
            ("ApiKeysSecretArn", &self.keys),
            ("Database", "existing"),
            ("DatabaseAuth", "secret"),
            ("DatabaseSecretArn", &self.login),
            ("DatabaseUrl", database.as_str()),
            ("Demo", "true"),
            ("HttpAllow", outside),
            // The server takes a maximum by parameter for a text, and then serves no queue.
            ("CoreMaxConcurrency", "0"),
            ("IngestMaxConcurrency", "0"),
            ("FluxlingMaxConcurrency", "0"),
        ] {
            command.args(["--parameter", &format!("{name}={value}")]);
        }
        // The last of several wins.
        command.args(more);
        if let Some(target) = target {
            command.env("CARGO_TARGET_DIR", target);
        }
        command.current_dir(root()).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("runs").expect("fluxus");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        eprintln!("{said}");
        (output.status.success(), said)
    }

    /// A target folder with the bootstraps, but this one's code.
    pub fn bootstraps_with(&self, name: &str, code: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir_in(target_folder()).expect("a folder");
        for entry in fs::read_dir(target_folder().join("lambda")).expect("bootstraps") {
            let entry = entry.expect("one");
            let to = folder.path().join("lambda").join(entry.file_name());
            fs::create_dir_all(&to).expect("a folder");
            let from = entry.path().join("bootstrap");
            if from.exists() {
                fs::hard_link(from, to.join("bootstrap")).expect("links");
            }
        }
        let bootstrap = folder.path().join("lambda").join(name).join("bootstrap");
        fs::remove_file(&bootstrap).expect("a bootstrap");
        fs::write(&bootstrap, code).expect("writes");
        fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).expect("runs");
        folder
    }

    /// What says which code a function has.
    pub async fn code_of(&self, function: &str) -> String {
        let name = format!("{STACK}-{function}");
        let mut command = self.aws.command("aws");
        command.args(["lambda", "get-function-configuration", "--function-name", &name]);
        json(&mut command)["CodeSha256"].as_str().expect("a hash").to_owned()
    }

    /// Gives a function other code, and returns what it had.
    pub async fn swap_code(&self, function: &str, script: &str) -> PathBuf {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let zip = folder.join("code.zip");
        fs::write(folder.join("bootstrap"), script).expect("writes");
        let mut python = self.aws.command("python3");
        python.current_dir(&folder).args(["-m", "zipfile", "-c", "code.zip", "bootstrap"]);
        assert!(python.status().expect("python").success());
        self.restore_code(function, &zip).await;
        target_folder().join("lambda").join(function).join("bootstrap")
    }

    /// Gives a function the code of this zip, or of this bootstrap.
    pub async fn restore_code(&self, function: &str, code: &Path) {
        let zip = if code.extension().is_some() {
            code.to_owned()
        } else {
            let folder = tempfile::tempdir().expect("a folder").keep();
            let mut python = self.aws.command("python3");
            python.current_dir(code.parent().expect("a folder"));
            let zip = folder.join("code.zip");
            python.args(["-m", "zipfile", "-c"]).arg(&zip).arg("bootstrap");
            assert!(python.status().expect("python").success());
            zip
        };
        let name = format!("{STACK}-{function}");
        let mut command = self.aws.command("aws");
        command.args(["lambda", "update-function-code", "--function-name", &name]);
        command.args(["--zip-file", &format!("fileb://{}", zip.display())]);
        json(&mut command);
    }

    /// Kills the processes of a function; how many there were.
    pub fn kill(&self, function: &str) -> usize {
        let name = format!("AWS_LAMBDA_FUNCTION_NAME={STACK}-{function}");
        let gateway = format!("AWS_ENDPOINT_URL={}", self.network.gateway());
        let mut killed = 0;
        for process in fs::read_dir("/proc").expect("processes").flatten() {
            let Ok(id) = process.file_name().to_string_lossy().parse::<i32>() else { continue };
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            let has = |line: &str| environment.split(|b| *b == 0).any(|it| it == line.as_bytes());
            if has(&name) && has(&gateway) {
                let status = Command::new("kill").args(["-9", &id.to_string()]).status();
                killed += usize::from(status.is_ok_and(|status| status.success()));
            }
        }
        killed
    }

    /// Runs the sweep, as its schedule does every minute.
    pub async fn sweep(&self) {
        let mut command = self.aws.command("aws");
        let name = format!("{STACK}-sweep");
        command.args(["lambda", "invoke", "--function-name", &name]);
        let event = concat!("fileb://", env!("CARGO_MANIFEST_DIR"), "/events/sweep.json");
        command.args(["--payload", event, "/dev/null"]);
        let answer = json(&mut command);
        assert!(answer["FunctionError"].is_null(), "{answer}");
    }

    fn queues(&self) -> SqsQueue {
        SqsQueue::new(self.aws.config(), &self.aws.queue_url_prefix(&format!("{STACK}-")), None)
    }

    /// Puts a document on the ingest queue, by AWS's own command line as another system might.
    pub async fn ingest(&self, claim: &Value) {
        let url = self.aws.queue_url_prefix(&format!("{STACK}-ingest"));
        let mut command = self.aws.command("aws");
        command.args(["--endpoint-url", self.aws.url(), "sqs", "send-message"]);
        command.args(["--queue-url", &url, "--message-body", &claim.to_string()]);
        json(&mut command);
    }

    pub async fn depth(&self, queue: &str) -> Depth {
        let depth = self.queues().depth(&[name(queue)]).await;
        depth.expect("a depth").remove(0)
    }

    /// The next dead letter of a queue.
    pub async fn dead_letter(&self, queue: &str) -> DeadLetter {
        let queues = self.queues();
        let find = async {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            loop {
                ticks.tick().await;
                let letters = queues.dead_letters(&[name(queue)], 10).await.expect("letters");
                if let Some(letter) = letters.into_iter().next() {
                    return letter;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, find).await;
        found.unwrap_or_else(|_| panic!("no dead letter in {queue}"))
    }

    /// Sets after how many seconds messages come again.
    pub async fn set_visibility(&self, queue: &str, seconds: u32) {
        let url = self.aws.queue_url_prefix(&format!("{STACK}-{queue}"));
        let mut command = self.aws.command("aws");
        command.args(["--endpoint-url", self.aws.url(), "sqs", "set-queue-attributes"]);
        command.args(["--queue-url", &url]);
        command.args(["--attributes", &format!("VisibilityTimeout={seconds}")]);
        assert!(command.status().expect("aws").success());
    }

    /// What is wrong in the tables.
    pub async fn violations(&self) -> Vec<String> {
        let options = fluxus_postgres::Options { max_connections: 1, ..Default::default() };
        let database = Database::connect(self.database.url(), options).await.expect("connects");
        let found = audit(&Store::new(database), Activity::UnderWay).await.expect("audits");
        found.iter().map(ToString::to_string).collect()
    }
}

/// Keeps a secret in Secrets Manager; its ARN.
fn secret(aws: &Aws, name: &str, text: &str) -> String {
    let mut command = aws.command("aws");
    command.args(["secretsmanager", "create-secret", "--name", name, "--secret-string", text]);
    json(&mut command)["ARN"].as_str().expect("an ARN").to_owned()
}

fn name(queue: &str) -> QueueName {
    QueueName::new(queue).expect("a name")
}

/// Runs a command and reads its JSON.
fn json(command: &mut Command) -> Value {
    let output = command.stdin(Stdio::null()).output().expect("runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{command:?}: no JSON"))
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn target_folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder")
}

/// Whether the bootstraps are to be those that go to AWS.
fn release() -> bool {
    std::env::var("FLUXUS_E2E_PROFILE").is_ok_and(|profile| profile == "function")
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

/// Builds the command line and, unless it is to do so itself, the bootstraps, without symbols.
fn build() {
    let cargo = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        // What cargo tells a test of its own package would make build scripts run anew.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(name);
            }
        }
        let status = command.current_dir(root()).args(args).status();
        assert!(status.expect("cargo").success(), "cargo {args:?}");
    };
    cargo(&["build", "--locked", "-p", "fluxus-cli"]);
    if release() {
        return;
    }
    let template = fs::read_to_string(root().join("template.yaml")).expect("the template");
    let binaries: std::collections::BTreeSet<_> = template
        .lines()
        .filter_map(|line| line.trim().strip_prefix("CodeUri: target/lambda/"))
        .collect();
    let mut args = vec!["build", "--locked", "--workspace", "--features", "aws"];
    args.extend(binaries.iter().flat_map(|binary| ["--bin", binary]));
    cargo(&args);
    for binary in binaries {
        let folder = target_folder().join("lambda").join(binary);
        fs::create_dir_all(&folder).expect("a folder");
        let (from, to) = (target_folder().join("debug").join(binary), folder.join("bootstrap"));
        let stripped = Command::new("strip").arg("-o").arg(&to).arg(&from).status();
        if !stripped.is_ok_and(|status| status.success()) {
            fs::copy(from, to).expect("copies");
        }
    }
}
