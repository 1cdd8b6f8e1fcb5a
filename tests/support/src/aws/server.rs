//! The process of the server: started on a port of its own, ended with its owner.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{MissedTickBehavior, interval};

use super::{ACCOUNT, CREDENTIALS, REGION, Tools};

/// Ports to choose from: below those that systems hand out for outgoing connections.
const PORTS: std::ops::Range<u16> = 16_000..24_000;

/// How often the server is asked whether it is ready, and how long after each other: for 20 s.
const ASKS: u32 = 400;
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How long one such question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the server until standard input ends, which it does with the process that started it,
/// however that ends.
const UNTIL_INPUT_ENDS: &str = r#""$0" & server=$!; read -r _; kill "$server"; wait "$server""#;

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    url: String,
    shell: Child,
    /// Held as long as the port is used.
    _port: File,
}

impl Server {
    /// Starts it. Its functions find AWS's interfaces at `gateway`, where that is not the server.
    pub(super) async fn start(tools: &Tools, gateway: Option<&str>) -> anyhow::Result<Self> {
        let (port, lock) = free_port(tools)?;
        let url = format!("http://localhost:{port}");
        let log = tools.folder().join(format!("ministack-{port}.log"));
        let output = File::create(&log).with_context(|| format!("create `{}`", log.display()))?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(UNTIL_INPUT_ENDS).arg(tools.ministack());
        command.envs(environment(gateway.unwrap_or(&url))).env("GATEWAY_PORT", port.to_string());
        command.env("BIND_HOST", "127.0.0.1").env("IOT_MTLS_ENABLED", "0").env("SFTP_ENABLED", "0");
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let shell = command.spawn().context("run `sh`")?;
        let server = Self { url, shell, _port: lock };
        server.ready(port, log).await?;
        Ok(server)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    async fn ready(&self, port: u16, log: PathBuf) -> anyhow::Result<()> {
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..ASKS {
            ticks.tick().await;
            let answer = tokio::task::spawn_blocking(move || is_healthy(port)).await?;
            if answer.unwrap_or(false) {
                return Ok(());
            }
        }
        bail!("ministack is not ready after {:?}; see `{}`", ASK_EVERY * ASKS, log.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _best_effort = self.shell.wait();
    }
}

/// What programs need in their environment to use the server; it itself, for its functions.
pub(super) fn environment(url: &str) -> Vec<(&'static str, String)> {
    let texts = [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", CREDENTIALS),
        ("AWS_SECRET_ACCESS_KEY", CREDENTIALS),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ACCOUNT_ID", ACCOUNT),
    ];
    texts.map(|(name, value)| (name, value.to_owned())).to_vec()
}

/// A port that nobody listens on, and that no other test program takes meanwhile.
fn free_port(tools: &Tools) -> anyhow::Result<(u16, File)> {
    let count = u32::from(PORTS.end - PORTS.start);
    // Programs that start together begin at different places.
    let from = std::process::id().wrapping_mul(61) % count;
    for at in 0..count {
        let port = PORTS.start + u16::try_from((from + at) % count)?;
        let lock = File::create(tools.folder().join(format!("port-{port}.lock")))?;
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok((port, lock));
        }
    }
    bail!("no port of {PORTS:?} is free")
}

fn is_healthy(port: u16) -> std::io::Result<bool> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, ASK_TIMEOUT)?;
    stream.set_read_timeout(Some(ASK_TIMEOUT))?;
    stream.write_all(
        b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b"200"))
}
