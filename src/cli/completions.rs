//! `replay completions`, and `replay man`: what a package installs beside the program.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};
use crate::base::error::Error;
use crate::base::version::VERSION;

/// Arguments of `replay completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Shell to complete in
    shell: Shell,
}

/// Arguments of `replay man`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
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
        clap_mangen::Man::new(command).render(&mut page)?;
        return output::print(&String::from_utf8_lossy(&page));
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| Error::write(folder, error).into())
}

/// The command line as manual pages describe it: with the plain version, because the pages belong to a release.
fn documented() -> Command {
    Cli::command().version(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().expect("folder");
        let output_dir = Some(folder.path().join("man1"));
        man(&ManArgs { output_dir }).expect("writes");
        let command = Cli::command();
        let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        let mut names = vec!["replay".to_owned(), "replay-tune-threshold".to_owned()];
        names.extend(visible.map(|sub| format!("replay-{}", sub.get_name())));
        assert!(names.len() > 15, "{names:?}");
        for name in names {
            let page = folder.path().join(format!("man1/{name}.1"));
            let text = std::fs::read_to_string(&page).expect("a page");
            assert!(text.contains(&format!("kvreplay {VERSION}")), "{text}");
        }
    }
}
