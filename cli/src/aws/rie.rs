//! AWS's runtime interface emulator: runs a built function on this machine, without a container.
//!
//! It is part of the `aws-sam-cli`. Here it is found and started; it serves one call at a time and
//! breaks over two.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::template::Function;

/// Where the emulator is, if it is not found by itself.
pub const VARIABLE: &str = "FLUXUS_RIE";

/// How long the emulator may take until it listens: it has next to nothing to do.
const START: Duration = Duration::from_secs(10);

/// How long the emulator may take to end: it gives the function two seconds.
const END: Duration = Duration::from_secs(10);

/// How long between two tries to reach it.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// Ports are sought from here on, below those that systems give to outgoing connections.
const FIRST_PORT: u16 = 20_000;

/// How many ports are tried.
const PORTS: u16 = 10_000;

/// Where a function is invoked; the path is the service's.
const PATH: &str = "2015-03-31/functions/function/invocations";

/// Finds the emulator: by its variable, on PATH, or in the installed `aws-sam-cli`.
///
/// # Errors
/// Where there is none, with how to get it.
pub async fn find() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        anyhow::ensure!(path.is_file(), "{VARIABLE} names `{}`, which is no file", path.display());
        return Ok(path);
    }
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let names = ["aws-lambda-rie".to_owned(), format!("aws-lambda-rie-{arch}")];
    if let Some(path) = names.iter().find_map(|name| on_path(name)) {
        return Ok(path);
    }
    if let Some(folder) = of_sam().await {
        let path = folder.join("local/rapid").join(&names[1]);
        if path.is_file() {
            return Ok(path);
        }
    }
    anyhow::bail!(
        "there is neither Docker nor AWS's runtime interface emulator here; `pip install \
         aws-sam-cli` brings the emulator, or {VARIABLE} says where it is"
    )
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The folder of the Python package `samcli`, asked of the Python that runs `sam`.
async fn of_sam() -> Option<PathBuf> {
    let sam = on_path("sam")?;
    let mut start = Vec::new();
    std::fs::File::open(sam).ok()?.take(256).read_to_end(&mut start).ok()?;
    let start = String::from_utf8_lossy(&start);
    let python = start.lines().next()?.strip_prefix("#!")?.trim();
    let mut words = python.split_whitespace();
    let mut command = Command::new(words.next()?);
    command.args(words).args(["-c", "import os, samcli; print(os.path.dirname(samcli.__file__))"]);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(folder.trim()))
}

/// Runs the function once: starts it, sends the event, gives the answer, ends everything.
///
/// # Errors
/// Where the emulator or the function does not start, or gives no answer in the function's time.
pub async fn invoke(
    emulator: &Path,
    function: &Function,
    bootstrap: &Path,
    variables: &[(String, String)],
    event: &Value,
) -> anyhow::Result<Value> {
    // What the function says goes to stderr; stdout is for its answer.
    let output = (super::build::stderr(), Stdio::inherit());
    let running = Emulated::start(emulator, function, bootstrap, variables, output).await?;
    let answer = tokio::select! {
        answer = running.invoke(event) => answer?,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    };
    Ok(answer)
}

/// A function that runs under the emulator, for one call at a time; dropped, all of it ends.
///
/// The emulator starts the function itself with the first call.
pub struct Emulated {
    child: Child,
    address: String,
    client: reqwest::Client,
}

impl Emulated {
    /// Starts the emulator, whose stdout and stderr are also the function's.
    ///
    /// # Errors
    /// Where it does not start, or does not listen soon.
    pub async fn start(
        emulator: &Path,
        function: &Function,
        bootstrap: &Path,
        variables: &[(String, String)],
        (stdout, stderr): (Stdio, Stdio),
    ) -> anyhow::Result<Self> {
        let (port, api) = two_ports()?;
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(emulator);
        command.args(["--runtime-interface-emulator-address", &address]);
        command.args(["--runtime-api-address", &format!("127.0.0.1:{api}")]).arg(bootstrap);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.env("AWS_LAMBDA_FUNCTION_NAME", &function.id);
        command.env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mib.to_string());
        command.env("AWS_LAMBDA_FUNCTION_TIMEOUT", function.timeout_s.to_string());
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("run {}", emulator.display()))?;
        let time = Duration::from_secs(function.timeout_s) + START;
        let client = reqwest::Client::builder().no_proxy().timeout(time).build()?;
        let mut running = Self { child, address, client };
        running.until_it_listens().await?;
        Ok(running)
    }

    /// Invokes the function; what is no JSON of its answer is given as text.
    ///
    /// # Errors
    /// Where it gives no answer in its time.
    pub async fn invoke(&self, event: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("http://{}/{PATH}", self.address)).json(event);
        let answer = request.send().await.context("invoke the function")?;
        let text = answer.text().await.context("read the answer")?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Takes the environment down as Lambda does: the function is told, and has a moment.
    ///
    /// # Errors
    /// Where the emulator is gone already, or does not end.
    pub async fn shut_down(mut self) -> anyhow::Result<()> {
        let id = self.child.id().context("the emulator has ended already")?;
        let id = Pid::from_raw(i32::try_from(id)?).context("a process has an id")?;
        kill_process(id, Signal::TERM).context("tell the emulator to end")?;
        let ended = tokio::time::timeout(END, self.child.wait()).await;
        ended.context("the emulator does not end")??;
        Ok(())
    }

    async fn until_it_listens(&mut self) -> anyhow::Result<()> {
        let connected = async {
            loop {
                if tokio::net::TcpStream::connect(&self.address).await.is_ok() {
                    return Ok(());
                }
                if let Some(status) = self.child.try_wait()? {
                    anyhow::bail!("the runtime interface emulator ended at once: {status}");
                }
                tokio::time::sleep(TRY_EVERY).await;
            }
        };
        tokio::time::timeout(START, connected)
            .await
            .context("the runtime interface emulator does not listen")?
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        let Some(emulator) = self.child.id() else { return };
        // The function is in a group of its own, and would not end with the emulator.
        let mut all = children(emulator);
        all.push(emulator);
        let groups = all.into_iter().filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?));
        for group in groups {
            // It may have ended by itself; then there is nobody to end.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The processes that this one has started, as Linux tells them; the emulator runs nowhere else.
fn children(id: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let ids = lists.flat_map(|list| {
        list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()
    });
    ids.collect()
}

/// Two ports that nobody listens on.
fn two_ports() -> anyhow::Result<(u16, u16)> {
    // Two commands at a time begin at different places, and no two calls of one take the same.
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(PORTS)).unwrap_or(0);
    let candidates = (0..PORTS).map(|_| {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed) % PORTS;
        FIRST_PORT + (start + tried) % PORTS
    });
    let mut free = candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().zip(free.next()).context("find two free ports")
}
