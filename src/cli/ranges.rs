//! Parsers of numbers in options, which accept a range only.

use std::str::FromStr;

use crate::base::check::Range;

/// A parser for the values of an option that accepts the numbers of a range.
pub(super) fn number<T: FromStr + Clone + Send + Sync + 'static>(
    range: Range,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| range.parse(text)
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::{Arg, Command, CommandFactory};

    use crate::cli::Cli;

    /// Values that no quantity has. A seed may have any 64 bits.
    const ABSURD: [&str; 6] = ["-1", "NaN", "inf", "1e300", "99999999999999999999", "0x10"];

    /// The names of values that are numbers.
    const NUMBERS: [&str; 10] = [
        "N", "N,..", "TOKENS", "SECONDS", "FRACTION", "RATE", "WEIGHT", "SEED", "TIME", "SIZE",
    ];

    /// Options whose texts the command itself parses, as they have a number and more; the tests of the whole program try them.
    const TEXTS: [&str; 8] = [
        "capacity",
        "memory",
        "weights",
        "overhead",
        "rates",
        "baseline",
        "hash_seed",
        "time",
    ];

    fn every_option(command: &Command, path: &str, visit: &mut impl FnMut(&str, &Arg)) {
        for arg in command.get_arguments() {
            visit(path, arg);
        }
        for inner in command.get_subcommands() {
            every_option(inner, &format!("{path} {}", inner.get_name()), visit);
        }
    }

    #[test]
    fn every_number_has_a_range() {
        let (mut tried, mut accepted) = (0, Vec::new());
        every_option(&Cli::command(), "replay", &mut |path, arg| {
            let is_number = arg
                .get_value_names()
                .is_some_and(|names| names.iter().any(|name| NUMBERS.contains(&name.as_str())));
            let id = arg.get_id().as_str();
            let (Some(long), true) = (arg.get_long(), is_number) else {
                return;
            };
            // `compare` and `report` compare rates and seeds with names.
            let selects = path.ends_with("compare") || path.ends_with("report");
            if TEXTS.contains(&id) || (id == "seeds" && selects) {
                return;
            }
            for value in ABSURD {
                // Weights may be negative.
                if value == "-1" && id.starts_with("w_") {
                    continue;
                }
                tried += 1;
                let mut words: Vec<String> = path.split(' ').map(str::to_owned).collect();
                words.push(format!("--{long}={value}"));
                // Values are parsed before it is known which other arguments are missing.
                let told = match Cli::command().try_get_matches_from(words) {
                    Err(error) if error.kind() == ErrorKind::ValueValidation => error.to_string(),
                    _ => {
                        accepted.push(format!("{path} --{long} {value}"));
                        continue;
                    }
                };
                assert!(
                    told.contains("from ") || told.contains("above "),
                    "{path} --{long} {value}: no range in: {told}"
                );
            }
        });
        assert!(tried > 300, "{tried}");
        assert!(accepted.is_empty(), "accepted: {accepted:#?}");
    }
}
