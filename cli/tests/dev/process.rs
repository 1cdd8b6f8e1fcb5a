//! The process: started, killed, interrupted, started again.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// How long anything may take. Most take a second; the rest is for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look for what is waited for.
pub const EVERY: Duration = Duration::from_millis(20);

/// A command line of the program, on nobody's settings but its own.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fluxus"));
    command.args(args).kill_on_drop(true).env("RUST_BACKTRACE", "1");
    for variable in ["DATABASE_URL", "FLUXUS_API_KEYS", "FLUXUS_HTTP_ALLOW", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A `fluxus dev` that runs. Dropped, it is killed.
pub struct Dev {
    child: Child,
    url: String,
    told: Arc<Mutex<String>>,
    /// Reads what it says, so that it never waits for a reader.
    readers: Vec<JoinHandle<()>>,
}

impl Dev {
    /// Starts it on a database, at any free port.
    pub async fn on(database_url: &str, more: &[&str]) -> Self {
        Self::start(&[&["--database-url", database_url], more].concat()).await
    }

    /// Starts it on a Postgres of its own in this folder.
    pub async fn in_folder(dir: &Path, more: &[&str]) -> Self {
        Self::start(&[&["--dir", dir.to_str().expect("text")], more].concat()).await
    }

    /// Starts it and waits until it says where it is.
    async fn start(args: &[&str]) -> Self {
        let args = [&["dev", "--listen", "127.0.0.1:0", "--no-example"], args].concat();
        let mut child = command(&args).spawn().expect("starts");
        let told = Arc::new(Mutex::new(String::new()));
        let mut errors = child.stderr.take().expect("a pipe");
        let heard = told.clone();
        let on_stderr = tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut bytes).await {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut said = Vec::new();
        let url = async {
            while let Some(line) = lines.next_line().await.expect("a line") {
                if let Some(url) = address(&line) {
                    return Some(url);
                }
                said.push(line);
            }
            None
        };
        let url = tokio::time::timeout(PATIENCE, url).await.expect("it starts in time");
        let Some(url) = url else {
            on_stderr.await.expect("reads");
            panic!("it ended before it was ready: {said:?} {}", told.lock().unwrap());
        };
        let on_stdout =
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, url, told, readers: vec![on_stderr, on_stdout] }
    }

    /// Where its API is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Ctrl-C; how it ended, and what it said on stderr.
    pub async fn interrupt(mut self) -> (ExitStatus, String) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().await.expect("kill runs");
        assert!(sent.success());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let ended = ended.expect("it ends in time").expect("waits");
        for reader in self.readers.drain(..) {
            reader.await.expect("reads");
        }
        (ended, self.told.lock().unwrap().clone())
    }
}

/// The address in a line such as `REST at http://127.0.0.1:7400, ready after 1.2 s`.
fn address(line: &str) -> Option<String> {
    let from = &line[line.find("http://")?..];
    let is_in = |c: &char| c.is_ascii_alphanumeric() || ":/.[]".contains(*c);
    let url: String = from.chars().take_while(is_in).collect();
    Some(url.trim_end_matches(['.', '/']).to_owned())
}

/// Numbers of a seed: which moment, which claim. A failed run is repeated by its seed.
pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        // SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators".
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
