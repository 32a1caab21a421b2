//! Overrides of the form `a.b=value`, which set keys of a TOML configuration.

use std::path::Path;

use toml::{Table, Value};

use super::ScenarioConfig;
use crate::base::error::{Error, Location, Result};
use crate::base::parameters::{Family, explain};
use crate::sim::latency::LatencyCard;
use crate::sim::replica::SchedulerCard;

/// A fault in a TOML text, with its line.
pub(super) fn fault(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let message = explain(error.message());
    let line = error.span().map(|span| {
        let before = &text.as_bytes()[..span.start.min(text.len())];
        before.iter().filter(|byte| **byte == b'\n').count()
    });
    let at = match line_of_unknown_key(text, line.unwrap_or(0), &message).or(line) {
        Some(line) => Location::line(path, line as u64 + 1),
        None => Location::file(path),
    };
    Error::input(at, message, "docs/simulation.md has the keys")
}

/// Returns the zero-based line, from `first` on, of the key that a message reports as unknown.
///
/// The table of a component is parsed after its whole section, so the error's own position is that of the section.
fn line_of_unknown_key(text: &str, first: usize, message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("unknown key")?;
    let key = rest.split('`').nth(1)?;
    let stands_on = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.lines()
        .skip(first)
        .position(stands_on)
        .map(|line| first + line)
}

/// Applies overrides to a parsed table, and parses the configuration from the result.
pub(super) fn apply(mut table: Table, overrides: &[String]) -> Result<ScenarioConfig> {
    for text in overrides {
        set_key(&mut table, text)?;
    }
    Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| {
            Error::usage(
                format!("override {}: {}", overrides.join(", "), explain(error.message().trim())),
                "use the keys of the configuration file and name pools, e.g. pool.prefill.instances=4",
            )
        })
}

/// Sets the key that `KEY=VALUE` names. Nested keys are separated by dots, and items of a list are identified by their `name`
/// or index. A value that is not valid TOML is used as text.
///
/// # Errors
/// [`Error::Usage`] for a text without `=` or a path that matches no key.
pub fn set_key(table: &mut Table, text: &str) -> Result<()> {
    let fail = |remedy: &str| Error::usage(format!("override {text}"), remedy);
    // A line break would end the value, and what follows would be ignored.
    if text.contains(char::is_control) {
        return Err(Error::usage(
            format!("override {text:?}"),
            "give one KEY=VALUE in one line; another key needs an override of its own",
        ));
    }
    let Some((path, value)) = text.split_once('=') else {
        return Err(fail("give KEY=VALUE, e.g. router.prompt=round-robin"));
    };
    let value = read(value.trim());
    let keys: Vec<&str> = path.trim().split('.').collect();
    let Some((last, folders)) = keys.split_last() else {
        return Err(fail("give a key"));
    };
    let mut place = table;
    let mut index = 0;
    while index < folders.len() {
        let key = folders[index];
        index += 1;
        let entry = place
            .entry(key)
            .or_insert_with(|| Value::Table(Table::new()));
        match entry {
            Value::Table(inner) => place = inner,
            Value::Array(items) => {
                let Some(name) = folders.get(index) else {
                    return Err(fail(
                        "name an item of the list, e.g. pool.prefill.instances",
                    ));
                };
                index += 1;
                let number: Option<usize> = name.parse().ok();
                let found = items.iter_mut().enumerate().find(|(at, item)| {
                    let own = item.get("name").and_then(Value::as_str);
                    own == Some(*name) || number == Some(*at)
                });
                match found {
                    Some((_, Value::Table(inner))) => place = inner,
                    _ => return Err(fail("there is none of that name or number in the list")),
                }
            }
            _ => return Err(fail("a key before the last dot holds a value, not keys")),
        }
    }
    place.insert((*last).to_owned(), value);
    // A section without the key `kind` in which other keys are set is of the default kind.
    let kind = match folders.last() {
        Some(&"scheduler") => SchedulerCard::DEFAULT,
        Some(&"latency") => LatencyCard::DEFAULT,
        _ => return Ok(()),
    };
    place
        .entry("kind")
        .or_insert_with(|| Value::String(kind.to_owned()));
    Ok(())
}

/// Parses a TOML value, or else uses the text as a string.
fn read(text: &str) -> Value {
    let document = format!("value = {text}");
    let parsed: Option<Table> = toml::from_str(&document).ok();
    parsed
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::scenario::SchedulerConfig;
    use crate::scenario::overrides::*;
    use crate::sim::replica::VllmV1Config;

    fn with(overrides: &[&str]) -> Result<ScenarioConfig> {
        let text = "seed = 1\n[[pool]]\nname = \"a\"\n[[pool]]\nname = \"b\"\n";
        let table = toml::from_str(text).expect("TOML");
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        apply(table, &overrides)
    }

    #[test]
    fn keys_are_set_by_path() {
        let config = with(&[
            "seed=7",
            "router.prompt=round-robin",
            "pool.b.instances=3",
            "pool.0.role=prefill",
            "transfer.layerwise=true",
            "scheduler.max_num_seqs=7",
        ])
        .expect("fits");
        assert_eq!((config.seed, config.pool[1].instances), (7, 3));
        assert_eq!(config.router.prompt, "round-robin");
        assert_eq!(config.pool[0].role, crate::sim::Role::Prefill);
        assert!(config.transfer.layerwise);
        let expected = VllmV1Config {
            max_num_seqs: 7,
            ..VllmV1Config::default()
        };
        let expected = SchedulerConfig::of(&expected).expect("numbers");
        assert_eq!(config.scheduler, expected);
    }

    #[test]
    fn unknown_keys_are_named_with_their_line() {
        let text =
            "seed = 1\n[autoscaling]\npolicy = \"kpa\"\n[autoscaling.kpa]\nstable_windw = 3\n";
        let error = toml::from_str::<ScenarioConfig>(text).expect_err("a wrong key");
        let message = fault(Path::new("a.toml"), text, &error).to_string();
        let expected = "a.toml:5: autoscaling.kpa: unknown key `stable_windw`: did you mean `stable_window`? known: ";
        assert!(message.starts_with(expected), "{message}");
        let text = "[latency]\nkind = \"linear\"\nbas_ms = 3\n";
        let error = toml::from_str::<ScenarioConfig>(text).expect_err("a wrong key");
        let message = fault(Path::new("a.toml"), text, &error).to_string();
        let expected =
            "a.toml:3: latency model `linear`: unknown key `bas_ms`: did you mean `base_ms`?";
        assert!(message.starts_with(expected), "{message}");
        let text = "[slo]\nttft = 3\n";
        let error = toml::from_str::<ScenarioConfig>(text).expect_err("a wrong key");
        let message = fault(Path::new("a.toml"), text, &error).to_string();
        let expected = "a.toml:2: unknown key `ttft`: ";
        assert!(message.starts_with(expected), "{message}");
    }

    #[test]
    fn what_fits_nowhere_is_refused() {
        for bad in [
            "seed",
            "sead=1",
            "pool.c.instances=1",
            "seed.x=1",
            "seed=x",
            "seed=1]",
            "seed=\"1",
            "seed=1=2",
            "seed='1'",
        ] {
            assert!(with(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_override_is_one_line() {
        for bad in ["seed=7\nname='x'", "seed=7\r", "se\ted=1", "seed=7\n[slo]"] {
            let told = with(&[bad]).expect_err(bad).to_string();
            let expected = format!(
                "override {bad:?}; give one KEY=VALUE in one line; another key needs an override of its own"
            );
            assert_eq!(told, expected);
        }
    }
}
