//! A run's identity: the names of the folders on its path.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Names of the folders from the results' root to a run, in the order of the layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Key {
    /// Seed of the run.
    pub seed: String,
    /// Instances at the start, by pool.
    pub start_state: String,
    /// The trace that was served.
    pub trace: String,
    /// The cluster.
    pub cluster: String,
    /// The model.
    pub model: String,
    /// The scheduler of the instances, or the router.
    pub scheduler: String,
    /// The autoscaling policy.
    pub policy: String,
}

/// Number of folders between the root and a run's files.
pub const DEPTH: usize = 7;

impl Key {
    /// Takes the names of the folders below the root; `None` unless there are [`DEPTH`] of them.
    pub fn of(names: &[String]) -> Option<Self> {
        let [seed, start_state, trace, cluster, model, scheduler, policy] = names else {
            return None;
        };
        Some(Self {
            seed: seed.clone(),
            start_state: start_state.clone(),
            trace: trace.clone(),
            cluster: cluster.clone(),
            model: model.clone(),
            scheduler: scheduler.clone(),
            policy: policy.clone(),
        })
    }

    /// The run's folder below the root.
    pub fn path(&self, root: &Path) -> PathBuf {
        let parts = [
            &self.seed,
            &self.start_state,
            &self.trace,
            &self.cluster,
            &self.model,
            &self.scheduler,
            &self.policy,
        ];
        parts
            .iter()
            .fold(root.to_path_buf(), |path, part| path.join(part))
    }

    /// Requests per second: the number after the last `_` of the trace's name; `None` if there is none.
    pub fn rate(&self) -> Option<f64> {
        rate(&self.trace)
    }

    /// The trace's name without its rate.
    pub fn family(&self) -> &str {
        match self.trace.rsplit_once('_') {
            Some((family, _)) if self.rate().is_some() => family,
            _ => &self.trace,
        }
    }
}

/// The number after the last `_` of a trace's name, whole or decimal.
pub fn rate(trace: &str) -> Option<f64> {
    let (_, last) = trace.rsplit_once('_')?;
    let number = last.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && last.starts_with(|c: char| c.is_ascii_digit());
    number.then(|| last.parse().ok()).flatten()
}

/// Natural order of names: numbers in them compare as numbers.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (x, y);
        (x, left) = part(left);
        (y, right) = part(right);
        if x.is_empty() || y.is_empty() {
            return x.len().cmp(&y.len()).then_with(|| a.cmp(b));
        }
        let number = |text: &str| text.parse::<u64>().ok();
        let order = match (number(x), number(y)) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => x.cmp(y),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Splits off the leading digits, or else everything before the first digit.
fn part(text: &str) -> (&str, &str) {
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != digit)
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::key::*;

    #[test]
    fn rates_are_numbers_behind_the_last_underscore() {
        for (name, expected) in [
            ("rr_conv_40", Some(40.0)),
            ("conv_2.5", Some(2.5)),
            ("0_40", Some(40.0)),
            ("fluct_conv_12min", None),
            ("conv", None),
            ("conv_", None),
            ("conv_inf", None),
            ("conv_1.2.3", None),
            ("conv_.5", None),
            ("conv_-3", None),
        ] {
            assert_eq!(rate(name), expected, "{name}");
        }
    }

    #[test]
    fn names_sort_as_people_count() {
        let mut names = vec![
            "rr_conv_100",
            "rr_conv_20",
            "rr_code_5",
            "10",
            "9",
            "rr_conv_20b",
        ];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(
            names,
            [
                "9",
                "10",
                "rr_code_5",
                "rr_conv_20",
                "rr_conv_20b",
                "rr_conv_100"
            ]
        );
    }
}
