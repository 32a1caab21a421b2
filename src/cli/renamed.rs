//! Renamed options, which keep working with a note on standard error.
//!
//! Arguments are rewritten before clap parses them, so that help, completions and suggestions contain the new names only.

use std::ffi::{OsStr, OsString};

use super::path_list;

/// Replacement of an old option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    /// An option under another name.
    Option(&'static str),
    /// An option that takes a duration with a unit; the old one took a number of milliseconds.
    Milliseconds(&'static str),
    /// A positional argument.
    Argument(&'static str),
    /// Several positional arguments, which the old option took separated by commas.
    Arguments(&'static str),
}

/// One renamed option of some commands.
struct Renamed {
    commands: &'static [&'static str],
    old: &'static str,
    new: New,
}

/// All renamed options. A subcommand is named by both of its words.
const RENAMED: &[Renamed] = &[
    Renamed {
        commands: &["analyze", "sweep", "plan", "experiment"],
        old: "--policy",
        new: New::Option("--eviction"),
    },
    Renamed {
        commands: &["analyze", "sweep", "plan"],
        old: "--policy-seed",
        new: New::Option("--seed"),
    },
    Renamed {
        commands: &["gen-trace", "experiment"],
        old: "--input",
        new: New::Argument("CONVERSATIONS"),
    },
    Renamed {
        commands: &["gen-trace", "experiment"],
        old: "-i",
        new: New::Argument("CONVERSATIONS"),
    },
    Renamed {
        commands: &["plan"],
        old: "--trace",
        new: New::Argument("TRACE"),
    },
    Renamed {
        commands: &["plan"],
        old: "--target-ttft",
        new: New::Milliseconds("--ttft-slo"),
    },
    Renamed {
        commands: &["plan"],
        old: "--target-itl",
        new: New::Milliseconds("--tbt-slo"),
    },
    Renamed {
        commands: &["plan"],
        old: "--csv",
        new: New::Option("--output"),
    },
    Renamed {
        commands: &["compare", "report"],
        old: "--seed",
        new: New::Option("--seeds"),
    },
    Renamed {
        commands: &["compare", "report"],
        old: "--policies",
        new: New::Option("--autoscaler"),
    },
    Renamed {
        commands: &["tune threshold"],
        old: "--output",
        new: New::Option("--output-dir"),
    },
    Renamed {
        commands: &["tune threshold"],
        old: "--policy",
        new: New::Option("--queue-order"),
    },
    Renamed {
        commands: &["simulate"],
        old: "--policy",
        new: New::Option("--autoscaler"),
    },
    Renamed {
        commands: &["simulate"],
        old: "--seed",
        new: New::Option("--seeds"),
    },
    Renamed {
        commands: &["matrix"],
        old: "--traces",
        new: New::Arguments("TRACE"),
    },
    Renamed {
        commands: &["matrix", "study"],
        old: "--policies",
        new: New::Option("--autoscaler"),
    },
    Renamed {
        commands: &["matrix"],
        old: "--configs",
        new: New::Option("--config"),
    },
    Renamed {
        commands: &["matrix"],
        old: "--presets",
        new: New::Option("--preset"),
    },
    Renamed {
        commands: &["tune select"],
        old: "--root",
        new: New::Argument("RUNS"),
    },
];

/// Global options that take a value and may precede the command.
const GLOBAL_WITH_VALUE: [&str; 2] = ["--color", "--threads"];

/// Returns the arguments under the current names, with a note for each old name that was used. The first argument is the
/// program.
pub(super) fn modernize(words: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<String>) {
    let words: Vec<OsString> = words.into_iter().collect();
    let Some((command, start)) = command(&words) else {
        return (words, Vec::new());
    };
    let known: Vec<&Renamed> = RENAMED
        .iter()
        .filter(|renamed| renamed.commands.contains(&command.as_str()))
        .collect();
    let (mut out, mut notes) = (words[..start].to_vec(), Vec::new());
    let mut note = |text: String| {
        if !notes.contains(&text) {
            notes.push(text);
        }
    };
    let mut rest = words[start..].iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            out.push(word.clone());
            out.extend(rest.cloned());
            break;
        }
        let (name, value) = match word.to_str() {
            Some(text) if text.starts_with('-') => match text.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (text, None),
            },
            _ => ("", None),
        };
        let Some(renamed) = known.iter().find(|renamed| renamed.old == name) else {
            out.push(word.clone());
            continue;
        };
        match renamed.new {
            New::Option(new) => {
                note(format!("{name} is now {new}; the old name still works"));
                out.push(joined(new, value));
            }
            New::Milliseconds(new) => {
                note(format!(
                    "{name} is now {new}, which takes a unit (500ms, 2s); the old name still works, in milliseconds"
                ));
                let value = value.or_else(|| rest.next().cloned());
                out.push(joined(new, value.map(milliseconds)));
            }
            New::Argument(what) | New::Arguments(what) => {
                note(format!(
                    "{name} is no longer needed: give {what} as an argument (replay {command} {what}); the old name still works"
                ));
                match renamed.new {
                    New::Arguments(_) => {
                        let value = value.or_else(|| rest.next().cloned());
                        out.extend(
                            path_list::split(value.as_deref())
                                .into_iter()
                                .map(OsString::from),
                        );
                    }
                    _ => out.extend(value),
                }
            }
        }
    }
    (out, notes)
}

/// Returns the command's name, and the index of the first argument after it.
fn command(words: &[OsString]) -> Option<(String, usize)> {
    let mut at = 1;
    let mut next_word = || -> Option<&OsStr> {
        loop {
            let word = words.get(at)?;
            at += 1;
            if GLOBAL_WITH_VALUE.iter().any(|option| word == option) {
                at += 1;
            } else if !word.to_string_lossy().starts_with('-') {
                return Some(word);
            }
        }
    };
    let mut command = next_word()?.to_str()?.to_owned();
    if command == "tune" {
        command = format!("tune {}", next_word()?.to_str()?);
    }
    Some((command, at))
}

fn joined(name: &str, value: Option<OsString>) -> OsString {
    let mut word = OsString::from(name);
    if let Some(value) = value {
        word.push("=");
        word.push(value);
    }
    word
}

fn milliseconds(mut value: OsString) -> OsString {
    value.push("ms");
    value
}

#[cfg(test)]
mod tests {
    use crate::cli::renamed::*;

    fn modern(line: &str) -> (String, Vec<String>) {
        let (words, notes) = modernize(line.split(' ').map(OsString::from));
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        (words.join(" "), notes)
    }

    #[test]
    fn old_names_become_new_ones() {
        let (line, notes) =
            modern("replay --color never analyze t.jsonl --policy fifo --policy-seed=3");
        assert_eq!(
            line,
            "replay --color never analyze t.jsonl --eviction fifo --seed=3"
        );
        assert_eq!(
            notes,
            [
                "--policy is now --eviction; the old name still works",
                "--policy-seed is now --seed; the old name still works"
            ]
        );
    }

    #[test]
    fn options_become_arguments() {
        let (line, notes) = modern("replay gen-trace --input a.json b.json --output t.jsonl");
        assert_eq!(line, "replay gen-trace a.json b.json --output t.jsonl");
        assert_eq!(
            notes,
            [
                "--input is no longer needed: give CONVERSATIONS as an argument (replay gen-trace CONVERSATIONS); the old name still works"
            ]
        );
        let (line, _) = modern("replay matrix --traces a,b --policies kpa --results r");
        assert_eq!(line, "replay matrix a b --autoscaler kpa --results r");
        let (line, _) = modern("replay plan --trace=a.jsonl");
        assert_eq!(line, "replay plan a.jsonl");
    }

    #[test]
    fn milliseconds_get_their_unit() {
        let (line, _) = modern("replay plan t.jsonl --target-ttft 500 --target-itl=20");
        assert_eq!(line, "replay plan t.jsonl --ttft-slo=500ms --tbt-slo=20ms");
    }

    #[test]
    fn what_is_not_an_old_name_of_the_command_stays() {
        for line in [
            "replay",
            "replay --version",
            "replay inspect --policy x",
            "replay compare results --autoscaler x --seeds 1",
            "replay analyze t.jsonl -- --policy",
            "replay tune",
        ] {
            assert_eq!(modern(line), (line.to_owned(), Vec::new()));
        }
        let (line, notes) = modern("replay tune select --root runs");
        assert_eq!((line.as_str(), notes.len()), ("replay tune select runs", 1));
    }
}
