//! `replay completions` and the manual page.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};

/// Arguments of `replay completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "replay", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

pub(super) fn man() -> anyhow::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    output::print(&String::from_utf8_lossy(&page))
}
