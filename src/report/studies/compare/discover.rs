//! Search for runs below a results folder, and for the combinations that are missing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::key::{DEPTH, Key, LAYOUT, natural, trace_name};
use super::{ComparedRun, PolicyComparison, RunSelection, Skipped};
use crate::base::error::{Error, Location, Result};
use crate::report::render::shell::quoted;

/// A combination of policy, trace and seed without a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The folder where the run would be.
    #[serde(serialize_with = "crate::base::io::shown_path")]
    pub folder: PathBuf,
    /// The command that would produce it.
    pub command: String,
}

/// Runs found below a root.
pub(super) struct Found {
    pub(super) keys: Vec<Key>,
    pub(super) skipped: Vec<Skipped>,
}

/// Traverses the folders of the layout, in order of their names.
pub(super) fn find(root: &Path) -> Result<Found> {
    let mut found = Found {
        keys: Vec::new(),
        skipped: Vec::new(),
    };
    if !root.is_dir() {
        return Err(Error::input(
            Location::file(root),
            "is no folder",
            "give the results folder of `replay simulate`",
        ));
    }
    walk(root, root, &mut Vec::new(), &mut found)?;
    Ok(found)
}

fn walk(root: &Path, folder: &Path, names: &mut Vec<String>, found: &mut Found) -> Result<()> {
    if names.len() == DEPTH {
        found.keys.extend(Key::parse(names));
        return Ok(());
    }
    let mut below: Vec<String> = Vec::new();
    let mut stray = false;
    let entries = std::fs::read_dir(folder).map_err(|source| Error::read(folder, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| Error::read(folder, source))?;
        let Ok(name) = entry.file_name().into_string() else {
            found.skipped.push(Skipped {
                folder: entry.path(),
                why: format!(
                    "{}: its name is not UTF-8; rename it",
                    entry.path().display()
                ),
            });
            continue;
        };
        stray |= matches!(&*name, "summary.csv" | "summary.json");
        // Symbolic links are followed; hidden folders are skipped.
        if !name.starts_with('.') && entry.path().is_dir() {
            below.push(name);
        }
    }
    if stray && folder != root {
        found.skipped.push(Skipped {
            folder: folder.to_path_buf(),
            why: format!(
                "{}: holds a run and lies {} folders deep; runs lie {DEPTH} deep, as {LAYOUT}",
                folder.display(),
                names.len()
            ),
        });
        return Ok(());
    }
    below.sort_by(|a, b| natural(a, b));
    for name in below {
        let path = folder.join(&name);
        names.push(name);
        walk(root, &path, names, found)?;
        names.pop();
    }
    Ok(())
}

/// All combinations of policy, trace and seed of each scenario that have no run.
pub(super) fn missing(comparison: &PolicyComparison, selection: &RunSelection) -> Vec<Missing> {
    let mut missing = Vec::new();
    for scenario in comparison.scenarios() {
        let add = |names: &mut Vec<String>, more: &mut dyn Iterator<Item = String>| {
            for name in more {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        };
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let mut policies = owned(scenario.policies());
        add(
            &mut policies,
            &mut selection.named_policies().map(str::to_owned),
        );
        let mut traces = owned(scenario.traces());
        if let Some(run) = scenario.runs.first()
            && scenario.rated()
        {
            add(
                &mut traces,
                &mut selection.named_traces(run.key.family()).into_iter(),
            );
        }
        let mut seeds = owned(scenario.seeds());
        add(&mut seeds, &mut selection.named_seeds().map(str::to_owned));
        let names = |run: &&ComparedRun| {
            let Key {
                policy,
                trace,
                seed,
                ..
            } = &run.key;
            [policy, trace, seed].map(|name| name.as_str().to_owned())
        };
        let there: HashSet<[String; 3]> = scenario.runs.iter().map(names).collect();
        for policy in &policies {
            for trace in &traces {
                for seed in &seeds {
                    if there.contains(&[policy.clone(), trace.clone(), seed.clone()]) {
                        continue;
                    }
                    let Some(like) = scenario.runs.first() else {
                        continue;
                    };
                    let key = Key {
                        policy: policy.clone(),
                        trace: trace.clone(),
                        seed: seed.clone(),
                        ..like.key.clone()
                    };
                    missing.push(Missing {
                        folder: key.path(&comparison.root),
                        command: command(&key, &scenario.runs, &comparison.root),
                    });
                }
            }
        }
    }
    missing
}

/// Returns the command for a missing run: the configuration of the most similar run, with the right trace.
fn command(key: &Key, runs: &[&ComparedRun], root: &Path) -> String {
    let sister = runs
        .iter()
        .find(|run| run.key.policy == key.policy && run.key.trace == key.trace)
        .or_else(|| runs.iter().find(|run| run.key.policy == key.policy))
        .or_else(|| runs.iter().find(|run| run.key.trace == key.trace))
        .or(runs.first());
    let mut words = vec!["replay simulate".to_owned()];
    let served = runs.iter().find(|run| run.key.trace == key.trace);
    let told = served.and_then(|run| trace_word(run.figures.command.as_deref()?, &key.trace));
    words.push(told.unwrap_or_else(|| format!("{}.csv", quoted(&key.trace))));
    if let Some(sister) = sister {
        let config = sister.folder.join("config.toml");
        words.push(format!(
            "--config {}",
            quoted(&config.display().to_string())
        ));
        if sister.key.policy != key.policy {
            words.push(format!("--autoscaler {}", quoted(&key.policy)));
        }
    }
    words.push(format!("--seeds {}", quoted(&key.seed)));
    words.push(format!("--results {}", quoted(&root.display().to_string())));
    words.join(" ")
}

/// Returns the argument of a command that is the trace's file.
fn trace_word(command: &str, trace: &str) -> Option<String> {
    let names = |word: &&str| {
        let path = word.trim_matches('\'');
        trace_name(Path::new(path)) == trace
    };
    command.split(' ').find(names).map(str::to_owned)
}
