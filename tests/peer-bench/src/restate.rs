//! The side of Restate: its server from npm, with a workflow of three durable steps served by this
//! process, which is also the client.
//!
//! Restate keeps its log and its state in a store of its own, in the folder given. Its settings are
//! its defaults, but for where it listens and that it reports to nobody.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use reqwest::Client;
use restate_sdk::prelude::*;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval};

use crate::closed_loop::{self, Load};

/// How long the server may take until it answers: it makes its partitions first.
const START_WITHIN: Duration = Duration::from_secs(60);

/// How often to look meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How one run is told what to do.
#[derive(clap::Args)]
pub struct Args {
    /// Where the program `restate-server` is
    #[arg(long)]
    server: PathBuf,
    /// Where the server keeps its data
    #[arg(long)]
    folder: PathBuf,
    #[command(flatten)]
    load: Load,
}

struct ThreeSteps;

#[restate_sdk::workflow]
impl ThreeSteps {
    #[handler]
    async fn run(&self, ctx: WorkflowContext<'_>, number: u64) -> Result<u64, HandlerError> {
        let first = ctx.run(|| async move { Ok(number + 1) }).name("first").await?;
        let second = ctx.run(|| async move { Ok(first + 1) }).name("second").await?;
        let third = ctx.run(|| async move { Ok(second + 1) }).name("third").await?;
        Ok(third)
    }
}

/// Runs the server and the loop, and prints its numbers as JSON.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let handlers = free_address()?;
    let [ingress, admin, node] = [free_address()?, free_address()?, free_address()?];
    let endpoint = Endpoint::builder().bind(ThreeSteps).build();
    let serving = tokio::spawn(HttpServer::new(endpoint).listen_and_serve(handlers));
    let mut server = start(args, ingress, admin, node)?;
    let client = Client::builder().no_proxy().pool_max_idle_per_host(args.load.clients).build()?;
    let measured = tokio::select! {
        measured = measure(args.load, &client, ingress, admin, handlers) => measured,
        ended = server.wait() => Err(anyhow::anyhow!(
            "the Restate server ended ({}): see `{}`", ended?, log(&args.folder).display()
        )),
    };
    server.kill().await.context("stop the Restate server")?;
    serving.abort();
    println!("{}", serde_json::to_string(&measured?)?);
    Ok(())
}

fn start(
    args: &Args,
    ingress: SocketAddr,
    admin: SocketAddr,
    node: SocketAddr,
) -> anyhow::Result<Child> {
    std::fs::create_dir_all(&args.folder)?;
    let log = std::fs::File::create(log(&args.folder))?;
    let mut command = Command::new(&args.server);
    command.arg("--no-logo").args(["--listen-mode", "tcp"]);
    command.arg("--base-dir").arg(args.folder.join("data"));
    command.args(["--bind-address", &node.to_string()]);
    command.env("RESTATE_INGRESS__BIND_ADDRESS", ingress.to_string());
    command.env("RESTATE_ADMIN__BIND_ADDRESS", admin.to_string());
    command.env("RESTATE_DISABLE_TELEMETRY", "true");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("start `{}`", args.server.display()))
}

fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

async fn measure(
    load: Load,
    client: &Client,
    ingress: SocketAddr,
    admin: SocketAddr,
    handlers: SocketAddr,
) -> anyhow::Result<crate::report::Measured> {
    register(client, admin, handlers).await?;
    answers(client, &format!("http://{ingress}/restate/health")).await?;
    // A workflow's key is its identity: the server runs each once.
    let begun = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let client = client.clone();
    closed_loop::run("restate", load, move |by, number| {
        let url = format!("http://{ingress}/ThreeSteps/{begun}-{by}-{number}/run");
        let request = client.post(url).header("content-type", "application/json");
        let request = request.body(number.to_string());
        async move {
            let answer = request.send().await?.error_for_status()?.text().await?;
            answer.parse().with_context(|| format!("`{answer}` is no number"))
        }
    })
    .await
}

/// Tells the server where the workflow is.
async fn register(client: &Client, admin: SocketAddr, handlers: SocketAddr) -> anyhow::Result<()> {
    answers(client, &format!("http://{admin}/health")).await?;
    let url = format!("http://{admin}/deployments");
    let body = format!(r#"{{"uri":"http://{handlers}"}}"#);
    let request = client.post(url).header("content-type", "application/json").body(body);
    let answer = request.send().await.context("register the workflow")?;
    if !answer.status().is_success() {
        bail!("Restate refused the workflow: {}", answer.text().await?);
    }
    Ok(())
}

async fn answers(client: &Client, url: &str) -> anyhow::Result<()> {
    let until = Instant::now() + START_WITHIN;
    let mut looks = interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        match client.get(url).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            _ if Instant::now() < until => {}
            Ok(answer) => bail!("`{url}` still answers {}", answer.status()),
            Err(error) => return Err(error).with_context(|| format!("ask `{url}`")),
        }
    }
}

/// An address that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
