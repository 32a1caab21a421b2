//! Runs of a results folder side by side: found by their paths, read in parallel, compared by policy.

pub mod animation;
pub mod charts;
mod discover;
pub mod files;
pub mod key;
pub mod page;
pub mod pairs;
mod read;
pub mod scaling;
pub mod select;
pub mod style;
pub mod text;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

pub use discover::Missing;
pub use key::Key;
pub use read::{Figures, METRIC_NAMES, METRICS, PERCENTILES, Reading, arrivals};
pub use scaling::Scaling;
pub use select::Selection;
pub use style::Styles;

use crate::base::error::{Error, Location, Result};

/// One run that was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// What it is a run of.
    #[serde(flatten)]
    pub key: Key,
    /// Requests per second, where the trace's name tells them.
    pub rate: Option<f64>,
    /// Where it lies.
    pub folder: PathBuf,
    /// What it achieved.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A folder that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Which.
    pub folder: PathBuf,
    /// Place, problem and remedy in one line.
    pub why: String,
}

/// All runs that were wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// The results' root.
    pub root: PathBuf,
    /// How they were read.
    pub reading: Reading,
    /// By scenario, then policy, trace and seed.
    pub runs: Vec<Run>,
    /// Folders that were left out.
    pub skipped: Vec<Skipped>,
    /// Cells of the grid that nobody ran.
    pub missing: Vec<Missing>,
    /// How policies look.
    pub styles: Styles,
}

impl Study {
    /// Finds and reads the wanted runs below `root`.
    ///
    /// # Errors
    /// A root that is no folder, or below which no wanted run can be read.
    pub fn read(root: &Path, selection: &Selection, reading: Reading) -> Result<Self> {
        let found = discover::find(root)?;
        let wanted: Vec<Key> = found
            .keys
            .into_iter()
            .filter(|key| selection.takes(key))
            .collect();
        let read: Vec<(Key, PathBuf, Result<Figures>)> = wanted
            .into_par_iter()
            .map(|key| {
                let folder = key.path(root);
                let figures = Figures::read(&folder, reading);
                (key, folder, figures)
            })
            .collect();
        let (mut runs, mut skipped) = (Vec::new(), found.skipped);
        for (key, folder, figures) in read {
            match figures {
                Ok(figures) => runs.push(Run {
                    rate: key.rate(),
                    key,
                    folder,
                    figures,
                }),
                Err(error) => skipped.push(Skipped {
                    folder,
                    why: error.to_string(),
                }),
            }
        }
        if runs.is_empty() {
            let problem = match skipped.first() {
                Some(first) => format!("has no run that can be read: {}", first.why),
                None => "has no run that was asked for".to_owned(),
            };
            return Err(Error::input(
                Location::file(root),
                problem,
                "give the results folder of `replay simulate`, with SEED/START_STATE/TRACE/CLUSTER/MODEL/SCHEDULER/POLICY below it",
            ));
        }
        let styles = Styles::new(runs.iter().map(|run| run.key.policy.as_str()));
        runs.sort_by(|a, b| order(&styles, &a.key, &b.key));
        let mut study = Self {
            root: root.to_path_buf(),
            reading,
            runs,
            skipped,
            missing: Vec::new(),
            styles,
        };
        study.missing = discover::missing(&study, selection);
        Ok(study)
    }

    /// Runs that can be compared with each other.
    pub fn scenarios(&self) -> Vec<Scenario<'_>> {
        let mut scenarios: Vec<Scenario<'_>> = Vec::new();
        for run in &self.runs {
            match scenarios.last_mut() {
                Some(last) if last.parts == parts(&run.key) => last.runs.push(run),
                _ => scenarios.push(Scenario {
                    parts: parts(&run.key),
                    runs: vec![run],
                    label: String::new(),
                    study: self,
                }),
            }
        }
        // Only what tells them apart.
        let differ: [bool; 5] = std::array::from_fn(|part| {
            scenarios
                .iter()
                .any(|s| s.parts[part] != scenarios[0].parts[part])
        });
        for scenario in &mut scenarios {
            let names = scenario.parts.iter().zip(differ);
            let names: Vec<&str> = names
                .filter(|(_, differ)| *differ)
                .map(|(name, _)| *name)
                .collect();
            scenario.label = names.join("__");
        }
        scenarios
    }
}

/// What runs have in common that can be compared; traces that differ in their rates only are one, as are those without.
fn parts(key: &Key) -> [&str; 5] {
    let family = if key.rate().is_some() {
        key.family()
    } else {
        ""
    };
    [
        family,
        &key.start_state,
        &key.cluster,
        &key.model,
        &key.scheduler,
    ]
}

fn order(styles: &Styles, a: &Key, b: &Key) -> std::cmp::Ordering {
    parts(a)
        .cmp(&parts(b))
        .then_with(|| styles.rank(&a.policy).cmp(&styles.rank(&b.policy)))
        .then_with(|| trace_order(&a.trace, &b.trace))
        .then_with(|| key::natural(&a.seed, &b.seed))
}

/// By rate, else by name.
fn trace_order(a: &str, b: &str) -> std::cmp::Ordering {
    match (key::rate(a), key::rate(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y),
        _ => key::natural(a, b),
    }
}

/// Runs that differ in policy, rate (or trace) and seed only.
#[derive(Debug, Clone)]
pub struct Scenario<'a> {
    parts: [&'a str; 5],
    /// In order of policy, trace, seed.
    pub runs: Vec<&'a Run>,
    /// What tells it apart from the study's others; empty where it is the only one.
    pub label: String,
    /// The whole.
    pub study: &'a Study,
}

impl<'a> Scenario<'a> {
    /// The policies, in order.
    pub fn policies(&self) -> Vec<&'a str> {
        let mut policies: Vec<&str> = self
            .runs
            .iter()
            .map(|run| run.key.policy.as_str())
            .collect();
        policies.dedup();
        policies
    }

    /// The traces, by rate or name.
    pub fn traces(&self) -> Vec<&'a str> {
        self.distinct(|key| &key.trace, trace_order)
    }

    /// The seeds.
    pub fn seeds(&self) -> Vec<&'a str> {
        self.distinct(|key| &key.seed, key::natural)
    }

    fn distinct(
        &self,
        of: impl Fn(&'a Key) -> &'a str,
        order: impl Fn(&str, &str) -> std::cmp::Ordering,
    ) -> Vec<&'a str> {
        let mut names: Vec<&str> = self.runs.iter().map(|run| of(&run.key)).collect();
        names.sort_by(|a, b| order(a, b));
        names.dedup();
        names
    }

    /// Whether its traces have rates.
    pub fn rated(&self) -> bool {
        self.runs.iter().all(|run| run.rate.is_some())
    }

    /// Of one policy.
    pub fn of_policy(&self, policy: &str) -> impl Iterator<Item = &'a Run> {
        self.runs
            .iter()
            .copied()
            .filter(move |run| run.key.policy == policy)
    }

    /// A figure of a policy on a trace: mean over seeds.
    pub fn cell(
        &self,
        policy: &str,
        trace: &str,
        of: impl Fn(&Figures) -> Option<f64>,
    ) -> Option<f64> {
        let values = self.of_policy(policy).filter(|run| run.key.trace == trace);
        mean(values.filter_map(|run| of(&run.figures)))
    }

    /// A figure of a policy: mean over traces of means over seeds.
    pub fn mean(&self, policy: &str, of: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        let traces = self.traces();
        mean(
            traces
                .iter()
                .filter_map(|trace| self.cell(policy, trace, &of)),
        )
    }

    /// As people read it: the parts of its path.
    pub fn title(&self) -> String {
        let [family, start_state, cluster, model, scheduler] = self.parts;
        let trace = if family.is_empty() {
            String::new()
        } else {
            format!("{family}, ")
        };
        format!("{trace}{start_state}, {cluster}, {model}, {scheduler}")
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u32);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}
