//! A program `aws` that writes down how it was called and answers from files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Answers with the file `SERVICE.OPERATION.N` for the N-th call of an operation, else with
/// `SERVICE.OPERATION`; a file `….fail` is what it says on stderr while it fails. An invoked
/// function answers with `answer.NAME`. Without a file there is no answer, and all is well.
const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$*" >> calls
case "$*" in *cli-input-json*) cat "$(echo "$*" | sed 's/.*file:\/\/\([^ ]*\).*/\1/')" >> inputs; echo >> inputs ;; esac
count=$(grep -c "^$1 $2 " calls)
if [ "$1 $2" = "lambda invoke" ]; then
  function=$(echo "$*" | sed 's/.*--function-name \([^ ]*\).*/\1/')
  event=$(echo "$*" | sed 's/.*fileb:\/\/\([^ ]*\).*/\1/')
  echo "$function $(cat "$event")" >> invoked
  out=$(echo "$*" | sed 's/.*event.json \([^ ]*\).*/\1/')
  cat "answer.$function" > "$out"
  echo '{"StatusCode": 200}'
  exit 0
fi
for name in "$1.$2.$count" "$1.$2"; do
  if [ -f "$name.fail" ]; then cat "$name.fail" >&2; exit 254; fi
  if [ -f "$name" ]; then cat "$name"; exit 0; fi
done
"#;

/// A fake AWS, and a project to deploy to it.
pub struct Fake {
    folder: TempDir,
}

impl Fake {
    /// An AWS in which there is nothing, and a template with one function that is built.
    pub fn new(template: &str) -> Self {
        let fake = Self { folder: tempfile::tempdir().expect("a folder") };
        fake.answer("aws", SCRIPT);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(fake.bin().join("aws"), mode).expect("sets the mode");
        fake.answer("sts.get-caller-identity", r#"{"Account": "123456789012", "Arn": "arn"}"#);
        fake.fail(
            "cloudformation.describe-stacks",
            "An error occurred (ValidationError) when calling the DescribeStacks operation: Stack \
             with id fluxus does not exist",
        );
        fake.write("project/template.yaml", template);
        fake.write("project/target/lambda/one/bootstrap", "code");
        fake
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// The project's folder.
    pub fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
        std::fs::write(path, text).expect("writes");
    }

    /// Lets an operation answer.
    pub fn answer(&self, operation: &str, text: &str) {
        self.write(&format!("bin/{operation}"), text);
        let _none = std::fs::remove_file(self.bin().join(format!("{operation}.fail")));
    }

    /// Lets an operation fail.
    pub fn fail(&self, operation: &str, text: &str) {
        self.write(&format!("bin/{operation}.fail"), text);
    }

    /// There is a stack with this status and these outputs.
    pub fn stack(&self, operation: &str, status: &str) {
        let stack = format!(
            r#"{{"Stacks": [{{"StackId": "arn:stack", "StackStatus": "{status}", "Outputs": [
            {{"OutputKey": "ApiUrl", "OutputValue": "https://api.example"}},
            {{"OutputKey": "MigrateFunctionName", "OutputValue": "fluxus-migrate"}},
            {{"OutputKey": "FluxlingHttpFunctionName", "OutputValue": "fluxus-http"}}]}}]}}"#
        );
        self.answer(operation, &stack);
    }

    /// Runs `fluxus` in the project.
    pub fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, "NO_COLOR", Path::new("1"))
    }

    /// The same with a variable.
    pub fn run_with(&self, args: &[&str], name: &str, value: &Path) -> Output {
        let path = std::env::var("PATH").expect("a PATH");
        let mut command = Command::new(env!("CARGO_BIN_EXE_fluxus"));
        command.args(args).current_dir(self.project());
        command.env("PATH", format!("{}:{path}", self.bin().display()));
        command.env("CARGO_TARGET_DIR", self.project().join("target"));
        command.env("AWS_REGION", "eu-central-1").env("NO_COLOR", "1").env(name, value);
        for name in
            ["AWS_ENDPOINT_URL", "AWS_PROFILE", "FLUXUS_ENV", "FLUXUS_STACK", "FLUXUS_CONFIG"]
        {
            command.env_remove(name);
        }
        command.output().expect("runs")
    }

    /// How often an operation was called.
    pub fn count(&self, operation: &str) -> usize {
        self.told("calls").lines().filter(|line| line.starts_with(operation)).count()
    }

    /// What the fake has written down: `calls`, `inputs`, `invoked`.
    pub fn told(&self, name: &str) -> String {
        std::fs::read_to_string(self.bin().join(name)).unwrap_or_default()
    }
}

/// Stdout as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Stderr as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").to_owned()
}
