//! `replay completions` and `replay man`: files that a package installs beside the program.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};
use crate::base::error::{Error, Result};
use crate::base::io::write_file;
use crate::base::version::VERSION;

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
  replay man tune threshold | man -l -
  replay man --output-dir man1")]
pub(super) struct ManArgs {
    /// The command, e.g. simulate or tune threshold [default: the program as a whole]
    #[arg(conflicts_with = "output_dir")]
    command: Vec<String>,

    /// Write one page per command into this folder (replay.1, replay-analyze.1, ...)
    #[arg(short, long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "replay", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let command = documented();
    let Some(folder) = &args.output_dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(find(command, &args.command)?).render(&mut page)?;
        return output::print(&String::from_utf8_lossy(&page));
    };
    let mut command = command.disable_help_subcommand(true);
    command.build();
    Ok(write_pages(&command, folder)?)
}

/// Writes the pages of a command and of all commands below it.
fn write_pages(command: &Command, folder: &Path) -> Result<()> {
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        write_pages(below, folder)?;
    }
    let man = clap_mangen::Man::new(command.clone());
    let path = folder.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page)
        .map_err(|source| Error::write(&path, source))?;
    write_file(&path, &page)
}

/// The command line for manual pages, with the plain version because the pages belong to a release.
fn documented() -> Command {
    Cli::command().version(VERSION).propagate_version(true)
}

/// Returns a command with its full name and all its options.
fn find(mut whole: Command, names: &[String]) -> Result<Command> {
    // Global options and full names of nested commands are set only by building the command.
    whole.build();
    let mut command = &whole;
    for name in names {
        let known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        command = command
            .find_subcommand(name)
            .ok_or_else(|| Error::unknown_name("command", name, &known))?;
    }
    Ok(command.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().expect("folder");
        let output_dir = Some(folder.path().join("man1"));
        let command = Vec::new();
        man(&ManArgs {
            command,
            output_dir,
        })
        .expect("writes");
        let command = Cli::command();
        let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        let mut names = vec!["replay".to_owned(), "replay-tune-threshold".to_owned()];
        names.extend(visible.map(|sub| format!("replay-{}", sub.get_name())));
        assert!(names.len() > 15, "{names:?}");
        for name in names {
            let page = folder.path().join(format!("man1/{name}.1"));
            let text = std::fs::read_to_string(&page).expect("a page");
            let title = text.lines().find(|line| line.starts_with(".TH"));
            assert!(title.is_some_and(|title| title.contains(VERSION)), "{text}");
        }
    }

    #[test]
    fn one_command_has_its_options_on_its_page() {
        let path = ["tune".to_owned(), "threshold".to_owned()];
        let command = find(documented(), &path).expect("is known");
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .expect("renders");
        let page = String::from_utf8(page).expect("UTF-8");
        for text in ["replay\\-tune\\-threshold", "max\\-threshold", "color"] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(find(documented(), &["tun".to_owned()]).is_err());
    }
}
