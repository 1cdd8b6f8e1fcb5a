//! `fluxus fluxling new`: a new fluxling that compiles, passes its test and serves at once.
//!
//! It is written and registered wherever a fluxling must be known: in the workspace, in the embedded
//! run and in the template. All of it is made in memory first; where a step fails, every file is as
//! it was.

mod edit;
mod name;
mod text;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::Command;

use self::edit::Edits;
pub use self::name::NewName;
use crate::exit::{Exit, Usage};
use crate::output::{Format, Printer, note};

/// What the new fluxling is called, and where.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Writes functions/fluxling-NAME with a handler and its test, and tests/events/fluxling-NAME.json;
registers it in Cargo.toml, in the embedded run and in template.yaml. Prints the files. It works at
once: `fluxus dev` serves its capability NAME.hello, `fluxus deploy` puts it on AWS.

Example:
  fluxus fluxling new payments
  cargo test -p fluxling-payments")]
pub struct Args {
    /// Its name, without `fluxling-`: lower-case words joined by hyphens
    name: NewName,
    /// The checkout of Fluxus [default: here, or a folder above]
    #[arg(long, value_name = "FOLDER")]
    checkout: Option<PathBuf>,
}

/// Writes the fluxling.
///
/// # Errors
/// Where there is no checkout, there is such a fluxling, or a file cannot be changed; nothing is
/// changed then.
pub async fn run(args: &Args) -> anyhow::Result<Exit> {
    let root = match &args.checkout {
        Some(folder) => folder.clone(),
        None => checkout()?,
    };
    let name = &args.name;
    let folder = root.join(format!("functions/{}", name.package()));
    if folder.exists() {
        return Err(Usage(format!("there is a fluxling `{name}`: {}", folder.display())).into());
    }
    let edits = edits(&root, name)?;
    let lines: String = edits.paths().map(|path| format!("{}\n", path.display())).collect();
    edits.write(async || lock(&root).await).await?;
    Printer::stdout(Format::Text).text(&lines)?;
    let package = name.package();
    note(&format!(
        "Next: put your work into functions/{package}/src/lib.rs; cargo test -p {package}"
    ));
    Ok(Exit::Ok)
}

/// Everything that is written or changed.
fn edits(root: &Path, name: &NewName) -> anyhow::Result<Edits> {
    let mut edits = Edits::of(root);
    let package = name.package();
    let folder = PathBuf::from(format!("functions/{package}"));
    edits.create(&folder.join("Cargo.toml"), text::manifest(name))?;
    edits.create(&folder.join("src/lib.rs"), text::library(name))?;
    edits.create(&folder.join("src/main.rs"), text::main(name))?;
    edits.create(Path::new(&format!("tests/events/{package}.json")), text::event(name))?;
    let path = format!("{package} = {{ path = \"functions/{package}\" }}");
    edits.insert_sorted("Cargo.toml", "fluxling-", " = { path", &path)?;
    let dependency = format!("{package}.workspace = true");
    edits.insert_sorted("infra/local/Cargo.toml", "fluxling-", ".workspace = true", &dependency)?;
    let served = format!("        {}::fluxling(),\n", name.module());
    edits.insert_before(
        "infra/local/src/builtin.rs",
        "        fluxling_shop::fluxling(),",
        &served,
    )?;
    edits.insert_before("template.yaml", "Outputs:", &text::resources(name))?;
    edits.insert_outputs("template.yaml", &text::output(name))?;
    Ok(edits)
}

/// The checkout here or in a folder above.
fn checkout() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("find the current folder")?;
    let found =
        here.ancestors().find(|folder| folder.join("functions/fluxling/Cargo.toml").is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        let what = "this is no checkout of Fluxus; go to one, or name it by --checkout";
        Usage(what.to_owned()).into()
    })
}

/// Puts the new crate into `Cargo.lock`, and by that sees whether cargo can read everything.
async fn lock(root: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("cargo");
    command.args(["update", "--workspace", "--offline"]).current_dir(root).stdin(Stdio::null());
    let output = command.output().await.context("run cargo; https://rustup.rs installs it")?;
    let why = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "cargo does not take the new crate: {}", why.trim());
    Ok(())
}
