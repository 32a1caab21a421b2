//! `--set a.b=value`: keys of the configuration from the command line.

use std::path::Path;

use toml::{Table, Value};

use super::ScenarioConfig;
use crate::base::error::{Error, Location, Result};
use crate::base::parameters::Family;
use crate::sim::latency::LatencyCard;
use crate::sim::replica::SchedulerCard;

/// A fault in a TOML text, with its line.
pub(super) fn fault(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let at = match error.span() {
        Some(span) => {
            let before = &text.as_bytes()[..span.start.min(text.len())];
            let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            Location::line(path, line)
        }
        None => Location::file(path),
    };
    Error::input(
        at,
        error.message().to_owned(),
        "`replay simulate --help` and docs/simulation.md tell the keys",
    )
}

/// Sets keys in a table that was read, and reads the whole again.
pub(super) fn apply(mut table: Table, overrides: &[String]) -> Result<ScenarioConfig> {
    for text in overrides {
        set(&mut table, text)?;
    }
    Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| {
            Error::usage(
                format!("--set {}: {}", overrides.join(" --set "), error.message()),
                "give keys as the configuration file has them, pools by name: pool.prefill.instances=4",
            )
        })
}

fn set(table: &mut Table, text: &str) -> Result<()> {
    let fail = |remedy: &str| Error::usage(format!("--set {text}"), remedy);
    let Some((path, value)) = text.split_once('=') else {
        return Err(fail("give KEY=VALUE, as router.prompt=round-robin"));
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
                    return Err(fail("name one of the list, as pool.prefill.instances"));
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
    // Where only a number of it is set, it is the default kind.
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

/// A TOML value, or text.
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
    fn what_fits_nowhere_is_refused() {
        for bad in ["seed", "sead=1", "pool.c.instances=1", "seed.x=1", "seed=x"] {
            assert!(with(&[bad]).is_err(), "{bad}");
        }
    }
}
