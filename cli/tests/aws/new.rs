//! `fluxus fluxling new` in a copy of this repository.

use std::path::Path;
use std::process::{Command, Output};

use crate::fake::{root, stderr, stdout};

/// What every template has, as far as it matters here.
const TEMPLATE: &str = "Resources:\n  A: {Type: B}\n\nOutputs:\n  C:\n    Value: 1\n";

/// A copy of the repository.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copy(&root(), folder.path(), 0);
    let template = folder.path().join("template.yaml");
    if !template.is_file() {
        std::fs::write(template, TEMPLATE).expect("writes");
    }
    folder
}

/// Copies files, but for what is built or hidden.
fn copy(from: &Path, to: &Path, depth: usize) {
    std::fs::create_dir_all(to).expect("creates");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() && depth < 12 {
            copy(&path, &to.join(&name), depth + 1);
        } else if path.is_file() {
            std::fs::copy(&path, to.join(&name)).expect("copies");
        }
    }
}

fn new(checkout: &Path, name: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fluxus"));
    command.args(["fluxling", "new", name]).current_dir(checkout.join("functions"));
    command.output().expect("runs")
}

fn read(checkout: &Path, name: &str) -> String {
    std::fs::read_to_string(checkout.join(name)).expect(name)
}

#[test]
fn a_new_fluxling_is_written_and_known_everywhere() {
    let folder = checkout();
    let checkout = folder.path();
    let output = new(checkout, "pdf-render");
    assert!(output.status.success(), "{}", stderr(&output));
    let files = stdout(&output);
    assert!(files.lines().all(|file| checkout.join(file).is_file()), "{files}");
    assert!(files.contains("tests/events/fluxling-pdf-render.json"), "{files}");
    for (file, part) in [
        ("Cargo.toml", "\nfluxling-pdf-render = { path = \"functions/fluxling-pdf-render\" }\n"),
        ("Cargo.lock", "name = \"fluxling-pdf-render\"\n"),
        ("infra/local/Cargo.toml", "\nfluxling-pdf-render.workspace = true\n"),
        ("infra/local/src/builtin.rs", "        fluxling_pdf_render::fluxling(),\n"),
        ("template.yaml", "CodeUri: target/lambda/fluxling-pdf-render\n"),
        ("template.yaml", "\n  FluxlingPdfRenderFunctionName:\n"),
    ] {
        assert!(read(checkout, file).contains(part), "{file}");
    }
    let before = read(checkout, "template.yaml");
    let again = new(checkout, "pdf-render");
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("there is a fluxling `pdf-render`"), "{}", stderr(&again));
    assert_eq!(read(checkout, "template.yaml"), before);
}

#[test]
fn where_a_step_fails_nothing_stays() {
    let folder = checkout();
    let checkout = folder.path();
    // The place for the embedded run is gone.
    let builtin = "infra/local/src/builtin.rs";
    std::fs::write(checkout.join(builtin), "//! Nothing.\n").expect("writes");
    let output = new(checkout, "payments");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains(builtin), "{}", stderr(&output));
    assert!(!checkout.join("functions/fluxling-payments").exists());
    // Cargo does not take it.
    std::fs::copy(root().join(builtin), checkout.join(builtin)).expect("copies");
    let manifest = read(checkout, "functions/fluxling/Cargo.toml");
    let broken = format!("{manifest}\n[broken");
    std::fs::write(checkout.join("functions/fluxling/Cargo.toml"), broken).expect("writes");
    let before = read(checkout, "Cargo.toml");
    let output = new(checkout, "payments");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(!checkout.join("functions/fluxling-payments").exists());
    assert_eq!(read(checkout, "Cargo.toml"), before);
}
