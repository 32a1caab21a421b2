//! Comparison of the runs in a results folder by policy. Runs are found by their paths and read in parallel.

pub mod animation;
pub mod charts;
mod discover;
pub mod files;
pub mod key;
pub mod page;
pub mod pairs;
mod read;
pub mod select;
pub mod style;
pub mod text;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;

pub use discover::Missing;
pub use key::Key;
pub(in crate::report::studies) use page::DEFINITIONS;
pub use read::{Figures, METRIC_NAMES, METRICS, PERCENTILES, Reading, Shares};
pub(in crate::report::studies) use read::{instance_lines, requests};
pub use select::RunSelection;
pub use style::Styles;

use crate::base::error::{Error, Location, Result};

/// A run that has been read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedRun {
    /// Seed, start state, trace, cluster, model, scheduler and policy.
    #[serde(flatten)]
    pub key: Key,
    /// Requests per second, if the trace's name ends in a rate.
    pub rate: Option<f64>,
    /// The run's folder.
    #[serde(serialize_with = "crate::base::io::shown_path")]
    pub folder: PathBuf,
    /// The run's figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A folder that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The folder.
    #[serde(serialize_with = "crate::base::io::shown_path")]
    pub folder: PathBuf,
    /// Place, problem and remedy in one line.
    pub why: String,
}

/// The selected runs of a results folder.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyComparison {
    /// The results folder.
    pub root: PathBuf,
    /// How the runs were read.
    pub reading: Reading,
    /// The runs by scenario, then policy, trace and seed.
    pub runs: Vec<ComparedRun>,
    /// Folders that could not be read.
    pub skipped: Vec<Skipped>,
    /// Combinations of policy, trace and seed without a run.
    pub missing: Vec<Missing>,
    /// Colours and markers of policies.
    pub styles: Styles,
}

/// The selected runs of a results folder, before they are read.
#[derive(Debug, Clone)]
pub struct FoundRuns<'a> {
    root: &'a Path,
    selection: &'a RunSelection,
    keys: Vec<Key>,
    skipped: Vec<Skipped>,
    /// Number of points to which distributions of times are thinned; 0 if they are not kept.
    points: usize,
}

/// Maximum number of points in all distributions of a page together; they take about a third of its size.
const ALL_POINTS: usize = 90_000;

/// Maximum and minimum number of points to which one distribution is thinned.
const POINTS: (usize, usize) = (400, 12);

impl<'a> FoundRuns<'a> {
    /// Finds the selected runs below `root`.
    ///
    /// # Errors
    /// A root that is not a folder.
    pub fn find(root: &'a Path, selection: &'a RunSelection) -> Result<Self> {
        let mut found = discover::find(root)?;
        found.keys.retain(|key| selection.takes(key));
        Ok(Self {
            root,
            selection,
            keys: found.keys,
            skipped: found.skipped,
            points: 0,
        })
    }

    /// Keeps the distributions of times that a page shows.
    #[must_use]
    pub fn with_distributions(mut self) -> Self {
        let without_seed = |key: &Key| Key {
            seed: String::new(),
            ..key.clone()
        };
        let shown: std::collections::HashSet<Key> = self.keys.iter().map(without_seed).collect();
        let points = ALL_POINTS / (METRICS.len() * shown.len()).max(1);
        self.points = points.clamp(POINTS.1, POINTS.0);
        self
    }

    /// Number of runs.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no runs.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Reads the runs. `done` counts them, for a progress bar.
    ///
    /// # Errors
    /// No run that can be read.
    pub fn read(self, reading: Reading, done: &AtomicU64) -> Result<PolicyComparison> {
        let Self {
            root,
            selection,
            keys,
            mut skipped,
            points,
        } = self;
        let read: Vec<(Key, PathBuf, Result<Figures>)> = keys
            .into_par_iter()
            .map(|key| {
                let folder = key.path(root);
                let figures = Figures::read(&folder, reading, points);
                done.fetch_add(1, Ordering::Relaxed);
                (key, folder, figures)
            })
            .collect();
        let mut runs = Vec::new();
        for (key, folder, figures) in read {
            match figures {
                Ok(figures) => runs.push(ComparedRun {
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
        let mut comparison = PolicyComparison {
            root: root.to_path_buf(),
            reading,
            runs,
            skipped,
            missing: Vec::new(),
            styles,
        };
        comparison.missing = discover::missing(&comparison, selection);
        Ok(comparison)
    }
}

impl PolicyComparison {
    /// Returns groups of runs that can be compared with each other.
    pub fn scenarios(&self) -> Vec<ScenarioGroup<'_>> {
        let mut scenarios: Vec<ScenarioGroup<'_>> = Vec::new();
        for run in &self.runs {
            match scenarios.last_mut() {
                Some(last) if last.parts == parts(&run.key) => last.runs.push(run),
                _ => scenarios.push(ScenarioGroup {
                    parts: parts(&run.key),
                    runs: vec![run],
                    by_policy: HashMap::new(),
                    label: String::new(),
                    comparison: self,
                }),
            }
        }
        // The label contains only the parts of the path in which groups differ.
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
            let mut from = 0;
            for runs in scenario.runs.chunk_by(|a, b| a.key.policy == b.key.policy) {
                let range = from..from + runs.len();
                from = range.end;
                scenario.by_policy.insert(&runs[0].key.policy, range);
            }
        }
        scenarios
    }
}

/// The properties that comparable runs share. Traces that differ only in their rates count as one, and so do all traces without
/// a rate.
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

/// Sort order: by rate, then by name.
fn trace_order(a: &str, b: &str) -> std::cmp::Ordering {
    match (key::rate(a), key::rate(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y),
        _ => key::natural(a, b),
    }
}

/// Runs that differ only in policy, rate (or trace) and seed.
#[derive(Debug, Clone)]
pub struct ScenarioGroup<'a> {
    parts: [&'a str; 5],
    /// The runs, by policy, trace, seed.
    pub runs: Vec<&'a ComparedRun>,
    /// The place of each policy's runs.
    by_policy: HashMap<&'a str, Range<usize>>,
    /// The parts of the path in which this group differs from the others; empty if it is the only one.
    pub label: String,
    /// The comparison of which this group is a member.
    pub comparison: &'a PolicyComparison,
}

impl<'a> ScenarioGroup<'a> {
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
        // Few names are left to sort by their numbers.
        names.sort_unstable();
        names.dedup();
        names.sort_by(|a, b| order(a, b));
        names
    }

    /// Whether all its traces have rates.
    pub fn rated(&self) -> bool {
        self.runs.iter().all(|run| run.rate.is_some())
    }

    /// Returns the runs of one policy.
    pub fn of_policy(&self, policy: &str) -> impl Iterator<Item = &'a ComparedRun> {
        let range = self.by_policy.get(policy).cloned().unwrap_or_default();
        self.runs[range].iter().copied()
    }

    /// Returns a policy's figure on a trace: the mean over seeds.
    pub fn cell(
        &self,
        policy: &str,
        trace: &str,
        of: impl Fn(&Figures) -> Option<f64>,
    ) -> Option<f64> {
        let values = self.of_policy(policy).filter(|run| run.key.trace == trace);
        mean(values.filter_map(|run| of(&run.figures)))
    }

    /// Returns a policy's figure: the mean over traces of the means over seeds.
    pub fn mean(&self, policy: &str, of: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        let traces = self.traces();
        mean(
            traces
                .iter()
                .filter_map(|trace| self.cell(policy, trace, &of)),
        )
    }

    /// The objectives of its runs: `SLO (TTFT <= 2 s, TBT <= 100 ms)`.
    pub fn slo(&self) -> String {
        let mut all = self.runs.iter().filter_map(|run| run.figures.objectives);
        match all.next() {
            None => "SLO".to_owned(),
            Some(first) if all.all(|other| other == first) => format!("SLO ({first})"),
            Some(_) => "SLO (each run's own)".to_owned(),
        }
    }

    /// The axis label of [`Figures::missed`].
    pub fn missed_label(&self) -> String {
        format!("arrived requests that missed the {}", self.slo())
    }

    /// Returns the policies whose runs of all seeds are equal request by request, because nothing in them is random. Policies
    /// with a single seed are not included.
    pub fn policies_without_chance(&self) -> Vec<&'a str> {
        let mut policies = self.policies();
        policies.retain(|policy| {
            let runs: Vec<&ComparedRun> = self.of_policy(policy).collect();
            let same_trace = |pair: &&[&ComparedRun]| pair[0].key.trace == pair[1].key.trace;
            let mut pairs = runs.windows(2).filter(same_trace).peekable();
            pairs.peek().is_some() && pairs.all(|pair| did_the_same(pair[0], pair[1]))
        });
        policies
    }

    /// Trace, start state, cluster, model and scheduler, separated by commas.
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

/// Whether all requests of two runs had equal outcomes and times; without files of single requests, whether their percentiles
/// are equal.
fn did_the_same(a: &ComparedRun, b: &ComparedRun) -> bool {
    match (a.figures.digest, b.figures.digest) {
        (Some(a), Some(b)) => a == b,
        _ => a.figures.times == b.figures.times,
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
