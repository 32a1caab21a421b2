//! The options that every command has.

use clap::{Args, ValueEnum};

use crate::base::limits;
use crate::cli::ranges::number;

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum ColorArg {
    /// On a terminal, unless the environment variable NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<ColorArg> for clap::ColorChoice {
    fn from(color: ColorArg) -> Self {
        match color {
            ColorArg::Auto => Self::Auto,
            ColorArg::Always => Self::Always,
            ColorArg::Never => Self::Never,
        }
    }
}

/// How the program talks and how much of the machine it takes.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct GlobalArgs {
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Print no progress and no notes; warnings and errors remain
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,

    /// When to use colour; `auto` respects NO_COLOR
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        hide_possible_values = true,
        help = "When to use colour: auto (respects NO_COLOR), always or never"
    )]
    pub(super) color: ColorArg,

    /// Number of threads [default: one for each core]
    #[arg(long, global = true, value_name = "N", value_parser = number::<usize>(limits::THREADS))]
    pub(super) threads: Option<usize>,
}
