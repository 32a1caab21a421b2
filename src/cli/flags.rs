//! Maps names of parameters in library messages to the options of the current command.

use std::collections::BTreeMap;

use clap::{ArgMatches, Command};

/// The options of one command by the name of their parameter: `block_size` is `--block-size`.
#[derive(Debug, Default)]
pub(super) struct Flags(BTreeMap<String, String>);

impl Flags {
    /// Returns the options of the parsed command.
    pub(super) fn of(command: &Command, matches: &ArgMatches) -> Self {
        let (mut command, mut matches) = (command, matches);
        while let Some((name, inner)) = matches.subcommand() {
            let Some(found) = command.find_subcommand(name) else {
                break;
            };
            (command, matches) = (found, inner);
        }
        let option = |arg: &clap::Arg| {
            let long = arg.get_long()?;
            Some((arg.get_id().to_string(), format!("--{long}")))
        };
        Self(command.get_arguments().filter_map(option).collect())
    }

    /// Replaces every parameter between backticks in a message by the command's option, if it has one.
    pub(super) fn in_message(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut parts = text.split('`').peekable();
        let mut quoted = false;
        while let Some(part) = parts.next() {
            let closed = parts.peek().is_some();
            match self.0.get(part).filter(|_| quoted && closed) {
                Some(option) => out.push_str(option),
                None if quoted && closed => {
                    out.push('`');
                    out.push_str(part);
                    out.push('`');
                }
                None if quoted => {
                    out.push('`');
                    out.push_str(part);
                }
                None => out.push_str(part),
            }
            quoted = !quoted;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::flags::*;
    use clap::Arg;

    #[test]
    fn parameters_become_options_of_the_command() {
        let command = Command::new("replay")
            .subcommand(Command::new("analyze").arg(Arg::new("block_size").long("block-size")));
        let matches = command.clone().get_matches_from(["replay", "analyze"]);
        let flags = Flags::of(&command, &matches);
        for (text, expected) in [
            (
                "set `block_size` to 16, or leave `order` out",
                "set --block-size to 16, or leave `order` out",
            ),
            ("no parameter", "no parameter"),
            ("one ` alone", "one ` alone"),
            ("block_size without quotes", "block_size without quotes"),
        ] {
            assert_eq!(flags.in_message(text), expected);
        }
    }
}
