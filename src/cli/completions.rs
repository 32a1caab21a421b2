//! `replay completions` and `replay man`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};
use crate::base::error::{Error, Result};

/// Arguments of `replay completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay completions bash > ~/.local/share/bash-completion/completions/replay
  replay completions zsh > ~/.zfunc/_replay")]
pub(super) struct CompletionsArgs {
    /// The shell that will read the script
    shell: Shell,
}

/// Arguments of `replay man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay man | man -l -
  replay man simulate > replay-simulate.1
  replay man tune threshold > replay-tune-threshold.1")]
pub(super) struct ManArgs {
    /// The command, e.g. simulate or tune threshold [default: the program as a whole]
    command: Vec<String>,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "replay", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command(&args.command)?).render(&mut page)?;
    output::print(&String::from_utf8_lossy(&page))
}

/// The command with its whole name and all its options.
fn command(names: &[String]) -> Result<clap::Command> {
    let mut whole = Cli::command();
    // Global options and full names of nested commands exist only then.
    whole.build();
    let mut command = &whole;
    for name in names {
        let known: Vec<&str> = command.get_subcommands().map(|c| c.get_name()).collect();
        command = command
            .find_subcommand(name)
            .ok_or_else(|| Error::unknown_name("command", name, &known))?;
    }
    Ok(command.clone())
}

#[cfg(test)]
mod tests {
    use crate::cli::completions::*;

    #[test]
    fn every_command_has_a_page() {
        fn check(command: &clap::Command, path: &[String]) {
            for inner in command.get_subcommands() {
                let path = [path, &[inner.get_name().to_owned()]].concat();
                let mut page = Vec::new();
                let found = super::command(&path).expect("is known");
                clap_mangen::Man::new(found)
                    .render(&mut page)
                    .expect("renders");
                let page = String::from_utf8(page).expect("UTF-8");
                assert!(
                    page.contains(&format!("replay\\-{}", path.join("\\-"))),
                    "{page}"
                );
                check(inner, &path);
            }
        }
        check(&Cli::command(), &[]);
    }
}
