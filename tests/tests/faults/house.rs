//! Where a run keeps its files, and how its processes find them.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Tells the processes where the house is.
pub const VARIABLE: &str = "FLUXUS_FAULT_HOUSE";

/// The folder of a run. Every process appends to its files, whole lines at a time, so that what was
/// written before a kill is there after it.
#[derive(Clone, Debug)]
pub struct House(PathBuf);

impl House {
    /// The house that the environment names.
    pub fn from_env() -> Self {
        Self(std::env::var_os(VARIABLE).expect(VARIABLE).into())
    }

    /// A house in this folder.
    pub fn in_folder(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        // Root's Postgres runs as another account, which must be able to get there.
        let reachable = PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder, reachable).expect("permissions");
        Self(folder.to_owned())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The file that says, by being there, that the disk is full.
    pub fn disk_is_full(&self) -> PathBuf {
        self.0.join("disk-is-full")
    }

    /// What a process says on stderr.
    pub fn log(&self, process: &str) -> PathBuf {
        self.0.join(format!("{process}.log"))
    }

    /// Notes that the work of a step was done: the effect of a task.
    pub fn note_effect(&self, key: &str, step: &str, nonce: &str) {
        self.append("effects", &format!("{key} {step} {nonce}\n"));
    }

    /// Every effect: the nonces by key and step.
    pub fn effects(&self) -> HashMap<(String, String), Vec<String>> {
        let mut effects: HashMap<_, Vec<_>> = HashMap::new();
        for line in self.lines("effects") {
            if let [key, step, nonce] = line.split(' ').collect::<Vec<_>>()[..] {
                effects.entry((key.into(), step.into())).or_default().push(nonce.to_owned());
            }
        }
        effects
    }

    /// Notes that somebody was asked, who answers with the token.
    pub fn note_asked(&self, key: &str, step: &str, token: &str) {
        self.append("asked", &format!("{key} {step} {token}\n"));
    }

    /// Everybody who was asked: key, step and token.
    pub fn asked(&self) -> Vec<[String; 3]> {
        let lines = self.lines("asked");
        lines
            .iter()
            .filter_map(|line| {
                let parts: Vec<_> = line.split(' ').map(str::to_owned).collect();
                parts.try_into().ok()
            })
            .collect()
    }

    /// Forgets effects and questions, when all is quiet.
    pub fn forget(&self) {
        for file in ["effects", "asked"] {
            // Truncated, not removed: processes have it open.
            let file =
                OpenOptions::new().write(true).create(true).truncate(false).open(self.0.join(file));
            file.and_then(|file| file.set_len(0)).expect("a file");
        }
    }

    fn append(&self, file: &str, line: &str) {
        let file = OpenOptions::new().append(true).create(true).open(self.0.join(file));
        // One write, so that lines of two processes do not mix.
        file.expect("a file").write_all(line.as_bytes()).expect("writes");
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
