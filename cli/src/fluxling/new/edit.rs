//! Changes to several files: all of them, or none.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::exit::Usage;

/// Files as they are and as they are to be.
#[derive(Debug)]
pub struct Edits {
    root: PathBuf,
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    /// From the root.
    path: PathBuf,
    /// None where there is no such file yet.
    before: Option<String>,
    after: String,
}

impl Edits {
    /// Nothing yet, below this folder.
    pub fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), files: Vec::new() }
    }

    /// The files, from the root.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// A new file.
    ///
    /// # Errors
    /// [`Usage`] where there is one.
    pub fn create(&mut self, path: &Path, text: String) -> Result<(), Usage> {
        if self.root.join(path).exists() {
            return Err(Usage(format!("there is a `{}` already", path.display())));
        }
        self.files.push(File { path: path.to_owned(), before: None, after: text });
        Ok(())
    }

    /// A line among those of its kind, by the alphabet.
    ///
    /// # Errors
    /// [`Usage`] where the file has no such lines.
    pub fn insert_sorted(
        &mut self,
        path: &str,
        start: &str,
        part: &str,
        line: &str,
    ) -> Result<(), Usage> {
        let file = self.file(path)?;
        let lines: Vec<_> = file.after.lines().collect();
        let alike = |line: &&str| line.starts_with(start) && line.contains(part);
        let first = lines.iter().position(alike).ok_or_else(|| {
            Usage(format!(
                "`{path}` has no lines that begin with `{start}`; is this an older checkout?"
            ))
        })?;
        let count = lines[first..].iter().take_while(|one| alike(one) && **one < line).count();
        let mut lines = lines;
        lines.insert(first + count, line);
        file.after = lines.join("\n") + "\n";
        Ok(())
    }

    /// A text before the one line that begins so.
    ///
    /// # Errors
    /// [`Usage`] where the file has no such line.
    pub fn insert_before(&mut self, path: &str, start: &str, text: &str) -> Result<(), Usage> {
        let file = self.file(path)?;
        let at = place(&file.after, start)
            .ok_or_else(|| Usage(format!("`{path}` has no line that begins with `{start}`")))?;
        file.after.insert_str(at, text);
        Ok(())
    }

    /// A text at the end of the template's outputs: they are its last section, or another follows.
    ///
    /// # Errors
    /// [`Usage`] where the file has none.
    pub fn insert_outputs(&mut self, path: &str, text: &str) -> Result<(), Usage> {
        let file = self.file(path)?;
        let outputs = place(&file.after, "Outputs:")
            .ok_or_else(|| Usage(format!("`{path}` has no line that begins with `Outputs:`")))?;
        let mut end = outputs;
        for (at, line) in file.after[outputs..].split_inclusive('\n').enumerate() {
            // A line that is not indented begins the next section.
            if at > 0 && line.starts_with(|c: char| !c.is_whitespace()) {
                break;
            }
            end += line.len();
        }
        let trimmed = file.after[..end].trim_end().len();
        file.after.insert_str(trimmed, &format!("\n{}", text.trim_end()));
        Ok(())
    }

    fn file(&mut self, path: &str) -> Result<&mut File, Usage> {
        let at = self.files.iter().position(|file| file.path == Path::new(path));
        let at = match at {
            Some(at) => at,
            None => {
                let text = std::fs::read_to_string(self.root.join(path))
                    .map_err(|error| Usage(format!("cannot read `{path}`: {error}")))?;
                let (before, after) = (Some(text.clone()), text);
                self.files.push(File { path: path.into(), before, after });
                self.files.len() - 1
            }
        };
        Ok(&mut self.files[at])
    }

    /// Writes all files, then does what else is to be done; where any of it fails, all files are as
    /// they were.
    ///
    /// # Errors
    /// What failed.
    pub async fn write(self, then: impl AsyncFnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let lock = std::fs::read(self.root.join("Cargo.lock")).ok();
        let mut outcome = self.files.iter().try_for_each(|file| {
            let path = self.root.join(&file.path);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&path, &file.after)
                .with_context(|| format!("write `{}`", path.display()))
        });
        if outcome.is_ok() {
            outcome = then().await;
        }
        if outcome.is_err() {
            self.undo();
            if let Some(lock) = lock {
                // It cannot be helped more than this: the error itself is told.
                let _ = std::fs::write(self.root.join("Cargo.lock"), lock);
            }
        }
        outcome
    }

    /// Best effort: whoever cannot write a file may not be able to write it back.
    fn undo(&self) {
        for file in &self.files {
            let path = self.root.join(&file.path);
            match &file.before {
                Some(text) => drop(std::fs::write(&path, text)),
                None => {
                    drop(std::fs::remove_file(&path));
                    // Folders that were made for it are empty now; others stay.
                    for folder in file.path.ancestors().skip(1).take(2) {
                        drop(std::fs::remove_dir(self.root.join(folder)));
                    }
                }
            }
        }
    }
}

/// Where the line begins that begins so.
fn place(text: &str, start: &str) -> Option<usize> {
    if text.starts_with(start) {
        return Some(0);
    }
    text.find(&format!("\n{start}")).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(files: &[(&str, &str)]) -> (tempfile::TempDir, Edits) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("writes");
        }
        let edits = Edits::of(folder.path());
        (folder, edits)
    }

    #[test]
    fn lines_come_in_their_places() {
        let list = "a = 1\nfluxling-a = { path }\nfluxling-c = { path }\nfluxus = 2\n";
        let (_folder, mut edits) = edits(&[
            ("list", list),
            ("code", "[\n  first,\n  shop,\n]\n"),
            ("template", "Resources:\n  A: 1\n\nOutputs:\n  B: 1\n\nMetadata: 3\n"),
        ]);
        let line = "fluxling-b = { path }";
        edits.insert_sorted("list", "fluxling-", "= { path", line).expect("inserts");
        edits.insert_before("code", "  shop,", "  second,\n").expect("inserts");
        edits.insert_before("template", "Outputs:", "  C: 1\n\n").expect("inserts");
        edits.insert_outputs("template", "  D: 1\n").expect("inserts");
        let after: Vec<_> = edits.files.iter().map(|file| file.after.as_str()).collect();
        assert_eq!(
            after,
            [
                "a = 1\nfluxling-a = { path }\nfluxling-b = { path }\nfluxling-c = { path }\nfluxus = 2\n",
                "[\n  first,\n  second,\n  shop,\n]\n",
                "Resources:\n  A: 1\n\n  C: 1\n\nOutputs:\n  B: 1\n  D: 1\n\nMetadata: 3\n",
            ]
        );
        assert!(edits.insert_before("code", "nothing", "").is_err());
        assert!(edits.create(Path::new("code"), String::new()).is_err());
    }

    #[tokio::test]
    async fn a_failed_step_leaves_everything_as_it_was() {
        let (folder, mut edits) = edits(&[("code", "shop\n"), ("Cargo.lock", "1")]);
        edits.create(Path::new("new/src/lib.rs"), "x".into()).expect("creates");
        edits.insert_before("code", "shop", "mine\n").expect("inserts");
        let lock = folder.path().join("Cargo.lock");
        let outcome = edits.write(async || {
            std::fs::write(&lock, "2")?;
            anyhow::bail!("no")
        });
        assert!(outcome.await.is_err());
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("reads");
        assert_eq!((read("code"), read("Cargo.lock")), ("shop\n".into(), "1".into()));
        assert!(!folder.path().join("new").exists());
    }
}
