//! Sharing by turn, by session length and by prompt length, which shows where the reuse comes from.

use serde::{Deserialize, Serialize};

/// Figures of a group of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Label of the group: a turn (from 1), or a range of turns or of tokens.
    pub label: String,
    /// Number of requests.
    pub requests: u64,
    /// Total prompt tokens.
    pub prompt_tokens: u64,
    /// Total cached prompt tokens.
    pub cached_tokens: u64,
    /// Mean of the requests' sharing fractions.
    pub mean_sharing_fraction: f64,
}

impl Group {
    /// Cached prompt tokens / prompt tokens.
    pub fn token_hit_ratio(&self) -> f64 {
        super::analysis::ratio(self.cached_tokens, self.prompt_tokens)
    }
}

/// Sums per group, by index.
#[derive(Debug, Default)]
pub(super) struct Sums(Vec<(u64, u64, u64, f64)>);

impl Sums {
    pub(super) fn add(&mut self, index: usize, prompt: u32, cached: u32, fraction: f64) {
        if self.0.len() <= index {
            self.0.resize(index + 1, (0, 0, 0, 0.0));
        }
        let sum = &mut self.0[index];
        sum.0 += 1;
        sum.1 += u64::from(prompt);
        sum.2 += u64::from(cached);
        sum.3 += fraction;
    }

    pub(super) fn groups(&self, label: impl Fn(usize) -> String) -> Vec<Group> {
        let groups = self.0.iter().enumerate().filter(|(_, sum)| sum.0 > 0);
        groups
            .map(|(index, sum)| Group {
                label: label(index),
                requests: sum.0,
                prompt_tokens: sum.1,
                cached_tokens: sum.2,
                mean_sharing_fraction: sum.3 / sum.0 as f64,
            })
            .collect()
    }
}

/// The three groupings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Groups {
    /// By turn, counted from 1.
    pub by_turn: Vec<Group>,
    /// By number of requests in the session, in ranges between powers of two.
    pub by_session_length: Vec<Group>,
    /// By prompt tokens, in ranges between powers of two.
    pub by_prompt_length: Vec<Group>,
}

/// Label of a range: 0 -> "0", 1 -> "1", 2 -> "2-3", 3 -> "4-7", ...
pub(super) fn power_label(bucket: usize) -> String {
    match bucket {
        0 => "0".into(),
        1 => "1".into(),
        _ => format!("{}-{}", 1u64 << (bucket - 1), (1u64 << bucket) - 1),
    }
}

/// Index of the range of [`power_label`] that contains a value.
pub(super) fn power_bucket(value: u32) -> usize {
    (u32::BITS - value.leading_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use crate::metrics::groups::*;

    #[test]
    fn buckets_and_labels_agree() {
        for (value, label) in [
            (0, "0"),
            (1, "1"),
            (2, "2-3"),
            (3, "2-3"),
            (4, "4-7"),
            (1023, "512-1023"),
        ] {
            assert_eq!(power_label(power_bucket(value)), label);
        }
    }
}
