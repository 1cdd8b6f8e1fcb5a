//! `fluxus completions`: scripts that teach a shell our commands and options.

use std::io;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;
use crate::output::StdoutFailed;

/// Which shell.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  fluxus completions bash > ~/.local/share/bash-completion/completions/fluxus
  fluxus completions zsh > \"${fpath[1]}/_fluxus\"
  fluxus completions fish > ~/.config/fish/completions/fluxus.fish")]
pub struct Args {
    /// The shell to print the script for
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Where stdout cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    // Into memory first: the generator panics where its writer fails, as at a closed pipe.
    io::Write::write_all(&mut io::stdout(), &script(args.shell)).map_err(StdoutFailed)?;
    Ok(Exit::Ok)
}

/// The script for one shell.
pub fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fluxus", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn there_is_a_script_for_every_shell() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).expect("text");
            assert!(script.contains("explain") && script.contains("fluxling"), "{shell}");
        }
    }
}
