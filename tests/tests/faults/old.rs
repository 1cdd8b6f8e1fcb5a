//! A version before this one, beside which this one must work.
//!
//! `FLUXUS_FAULT_OLD` names a program `fluxus`, or a commit it is built from. The old system makes
//! the tables and takes claims in; under that load this version migrates and joins it, and both go
//! on together.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::House;

/// The old program; none where nobody asks for it, which it says.
pub fn program(house: &House) -> Option<PathBuf> {
    let Some(old) = std::env::var("FLUXUS_FAULT_OLD").ok().filter(|old| !old.is_empty()) else {
        println!(
            "NOT TESTED HERE: an older version beside this one. FLUXUS_FAULT_OLD names a commit of \
             it, or a program."
        );
        return None;
    };
    let program = PathBuf::from(&old);
    Some(if program.is_file() { program } else { build(&old, house) })
}

/// Builds it in a folder of its own; the one that cargo builds in keeps it for the next time.
fn build(commit: &str, house: &House) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let source = house.path().join("old");
    std::fs::create_dir_all(&source).expect("a folder");
    let git = Command::new("git")
        .args(["archive", "--format=tar", "-o"])
        .arg(house.path().join("old.tar"))
        .arg(commit)
        .current_dir(workspace)
        .status();
    assert!(git.expect("git runs").success(), "{commit} is no commit of this repository");
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(house.path().join("old.tar")).arg("-C").arg(&source);
    assert!(tar.status().expect("tar runs").success());
    let program = std::env::current_exe().expect("this program");
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target = target.expect("cargo's folder").join("old");
    println!("building {commit} in {}", target.display());
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--locked", "-p", "fluxus-cli"])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("LD_PRELOAD")
        .status();
    assert!(built.expect("cargo runs").success(), "the old version builds");
    target.join("debug/fluxus")
}
