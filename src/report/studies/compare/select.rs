//! Which runs are wanted: lists of names and of patterns.

use serde::Serialize;

use super::key::{Key, rate};
use crate::base::error::{Error, Result};

/// For each part of a [`Key`], patterns of which one must fit; an empty list takes all.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Selection {
    /// Of policies.
    pub policies: Vec<String>,
    /// Of traces, with their rates or without.
    pub traces: Vec<String>,
    /// Rates of traces.
    pub rates: Vec<f64>,
    /// Of seeds.
    pub seeds: Vec<String>,
    /// Of start states.
    pub start_states: Vec<String>,
    /// Of clusters.
    pub clusters: Vec<String>,
    /// Of schedulers.
    pub schedulers: Vec<String>,
    /// Of models.
    pub models: Vec<String>,
}

impl Selection {
    /// Whether a run is wanted.
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

    /// Policies that were asked for by name, which must be there.
    pub fn named_policies(&self) -> impl Iterator<Item = &str> {
        named(&self.policies)
    }

    /// Seeds that were asked for by name.
    pub fn named_seeds(&self) -> impl Iterator<Item = &str> {
        named(&self.seeds)
    }

    /// Traces of a family that were asked for: by whole name, or by the family's name and a rate.
    pub fn named_traces(&self, family: &str) -> Vec<String> {
        let whole = named(&self.traces)
            .filter(|name| {
                rate(name).is_some_and(|_| name.rsplit_once('_').is_some_and(|(f, _)| f == family))
            })
            .map(str::to_owned);
        let rated = self.rates.iter().map(|rate| format!("{family}_{rate}"));
        whole.chain(rated).collect()
    }

    /// Rates as they were typed.
    ///
    /// # Errors
    /// What is no number above 0.
    pub fn parse_rates(texts: &[String]) -> Result<Vec<f64>> {
        let one = |text: &String| match text.trim().parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
            _ => Err(Error::usage(
                format!("`{text}` is not a request rate"),
                "give requests per second, e.g. 20,40,2.5",
            )),
        };
        texts.iter().map(one).collect()
    }
}

/// Those without a sign of a pattern.
fn named(patterns: &[String]) -> impl Iterator<Item = &str> {
    let plain = |pattern: &&str| !pattern.contains(['*', '?', '[']);
    patterns.iter().map(String::as_str).filter(plain)
}

/// Whether a name fits a pattern, in which `*` stands for any letters, `?` for one, `[ab]` and `[a-c]` for one of these.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stood, and how much of the name it takes so far.
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

/// The place behind what fits one letter.
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
        assert!(Selection::parse_rates(&["2.5".into(), "40".into()]).is_ok());
        for bad in ["x", "0", "-1", "inf", ""] {
            assert!(Selection::parse_rates(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
