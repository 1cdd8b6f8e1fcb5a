//! Running this program, and with it Postgres and all processes, with `preload.c` before the C
//! library.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::house::{House, VARIABLE};

/// How far the clock of a process is off, in milliseconds.
pub const CLOCK_VARIABLE: &str = "FLUXUS_FAULT_CLOCK_MS";

/// The file that says that the disk is full.
const DISK_VARIABLE: &str = "FLUXUS_FAULT_DISK";

/// Whether clocks can be off and disks full here.
pub fn is_there() -> bool {
    std::env::var_os("LD_PRELOAD").is_some()
}

/// The run proper, as another process with the library; none where this is it already.
pub fn run_again_with_it() -> Option<ExitCode> {
    if std::env::var_os(VARIABLE).is_some() {
        return None;
    }
    let temporary = tempfile::tempdir().expect("a folder");
    let kept = std::env::var_os("FLUXUS_FAULT_KEEP");
    let folder = kept.as_deref().map_or(temporary.path(), Path::new);
    let house = House::in_folder(folder);
    let program = std::env::current_exe().expect("this program");
    let mut again = Command::new(program);
    again.args(std::env::args_os().skip(1)).env(VARIABLE, house.path());
    if let Some(library) = build(&house) {
        again.env("LD_PRELOAD", library).env(DISK_VARIABLE, house.disk_is_full());
    }
    let ended = again.status().expect("this program runs");
    Some(if ended.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compiles the library; none where that cannot be done, and says so.
fn build(house: &House) -> Option<std::path::PathBuf> {
    let library = house.path().join("preload.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/preload.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
    // The linker of Rust is mostly this very program.
    let built = cfg!(target_os = "linux") && compiler.status().is_ok_and(|ended| ended.success());
    if !built {
        eprintln!(
            "\nNOT TESTED HERE: clocks that differ and full disks. Both need Linux and a C compiler \
             `cc`.\n"
        );
    }
    built.then_some(library)
}
