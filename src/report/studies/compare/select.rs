//! Selection of runs by lists of names and patterns.

use serde::Serialize;

use super::key::{Key, rate};
use crate::base::error::{Error, Result};
use crate::base::limits::RATE;

/// Patterns for each part of a [`Key`], at least one of which must match; an empty list matches everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RunSelection {
    /// Autoscaling policies.
    pub policies: Vec<String>,
    /// Traces, with or without the rate in the name.
    pub traces: Vec<String>,
    /// Request rates.
    pub rates: Vec<f64>,
    /// Seeds.
    pub seeds: Vec<String>,
    /// Start states.
    pub start_states: Vec<String>,
    /// Clusters.
    pub clusters: Vec<String>,
    /// Schedulers.
    pub schedulers: Vec<String>,
    /// Models.
    pub models: Vec<String>,
}

impl RunSelection {
    /// Whether a run is selected.
    pub fn takes(&self, key: &Key) -> bool {
        let any = |patterns: &[String], name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, name))
        };
        any(&self.policies, &key.policy)
            && (any(&self.traces, &key.trace) || any(&self.traces, key.family()))
            && (self.rates.is_empty() || key.rate().is_some_and(|rate| self.rates.contains(&rate)))
            && any(&self.seeds, &key.seed)
            && any(&self.start_states, &key.start_state)
            && any(&self.clusters, &key.cluster)
            && any(&self.schedulers, &key.scheduler)
            && any(&self.models, &key.model)
    }

    /// Policies selected by full name; they count as missing if no run has them.
    pub fn named_policies(&self) -> impl Iterator<Item = &str> {
        named(&self.policies)
    }

    /// Seeds selected by full name.
    pub fn named_seeds(&self) -> impl Iterator<Item = &str> {
        named(&self.seeds)
    }

    /// Traces of a family selected by full name, or by the family's name and a rate.
    pub fn named_traces(&self, family: &str) -> Vec<String> {
        let whole = named(&self.traces)
            .filter(|name| {
                rate(name).is_some_and(|_| name.rsplit_once('_').is_some_and(|(f, _)| f == family))
            })
            .map(str::to_owned);
        let rated = self.rates.iter().map(|rate| format!("{family}_{rate}"));
        whole.chain(rated).collect()
    }

    /// Parses rates.
    ///
    /// # Errors
    /// A text that is not a number above 0.
    pub fn parse_rates(texts: &[String]) -> Result<Vec<f64>> {
        let one = |text: &String| {
            RATE.parse(text).map_err(|_| {
                Error::usage(
                    format!("`{text}` is not a request rate"),
                    format!("give requests per second {RATE}, e.g. 20,40,2.5"),
                )
            })
        };
        texts.iter().map(one).collect()
    }
}

/// Names without the wildcards `*`, `?` and `[`.
fn named(patterns: &[String]) -> impl Iterator<Item = &str> {
    let plain = |pattern: &&str| !pattern.contains(['*', '?', '[']);
    patterns.iter().map(String::as_str).filter(plain)
}

/// Whether a name matches a pattern: `*` matches any characters, `?` one, `[ab]` and `[a-c]` one of those listed.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Position of the last star in the pattern, and the length of the name that it matches so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(next) = one(&pattern, p, name[n]) {
            p = next;
            n += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

/// Returns the position in the pattern after the element that matches one character; `None` if it does not match.
fn one(pattern: &[char], at: usize, letter: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let end = at + 1 + pattern[at + 1..].iter().position(|c| *c == ']')?;
            let set = &pattern[at + 1..end];
            let inside = set.contains(&letter) && letter != '-'
                || set
                    .windows(3)
                    .any(|w| w[1] == '-' && w[0] <= letter && letter <= w[2]);
            inside.then_some(end + 1)
        }
        other => (*other == letter).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::select::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("hpa*", "hpa_gpu", true),
            ("hpa*", "hpa", true),
            ("*_gpu", "hpa_gpu", true),
            ("*a*a*", "banana", true),
            ("*a*x", "banana", false),
            ("rr_conv_?0", "rr_conv_40", true),
            ("rr_conv_?0", "rr_conv_100", false),
            ("[hk]pa*", "kpa", true),
            ("seed[0-3]", "seed2", true),
            ("seed[0-3]", "seed4", false),
            ("", "", true),
            ("", "a", false),
            ("[a", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn rates_that_are_none_are_refused() {
        assert!(RunSelection::parse_rates(&["2.5".into(), "40".into()]).is_ok());
        for bad in ["x", "0", "-1", "inf", ""] {
            assert!(RunSelection::parse_rates(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
