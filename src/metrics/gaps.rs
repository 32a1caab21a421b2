//! Reuse gaps. Neighbouring blocks of a prompt mostly have the same last use, so their gaps are equal and are kept as
//! one sample with a weight, which is exact and a hundred times smaller.

use crate::base::Distribution;
use crate::trace::Nanos;

/// The time, requests and blocks between two accesses of some blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Trace time between the accesses.
    pub time: Nanos,
    /// Number of requests between the accesses (1 means the next request; 0 the same request).
    pub requests: u32,
    /// Number of distinct blocks used in between; only where blocks are chained.
    pub stack: Option<u64>,
    /// Number of accesses that this sample represents.
    pub weight: u64,
}

/// All gaps of a replay.
#[derive(Debug, Clone, Default)]
pub struct Gaps {
    samples: Vec<Gap>,
}

impl Gaps {
    pub(super) fn push(&mut self, gap: Gap) {
        self.samples.push(gap);
    }

    /// The samples, in order of the later access.
    pub fn samples(&self) -> &[Gap] {
        &self.samples
    }

    /// Pairs of seconds and number of accesses.
    pub fn seconds(&self) -> Vec<(f64, u64)> {
        self.samples
            .iter()
            .map(|gap| (gap.time.as_secs_f64(), gap.weight))
            .collect()
    }

    /// Distribution of the gaps in seconds.
    pub fn in_seconds(&self) -> Distribution {
        Distribution::from_weighted(&mut self.seconds())
    }

    /// Distribution of the gaps in requests.
    pub fn in_requests(&self) -> Distribution {
        let mut pairs: Vec<_> = self
            .samples
            .iter()
            .map(|gap| (f64::from(gap.requests), gap.weight))
            .collect();
        Distribution::from_weighted(&mut pairs)
    }

    /// Distribution of the stack distances in blocks, or `None` where blocks are not chained.
    pub fn in_blocks(&self) -> Option<Distribution> {
        let mut pairs = Vec::with_capacity(self.samples.len());
        for gap in &self.samples {
            pairs.push((gap.stack? as f64, gap.weight));
        }
        Some(Distribution::from_weighted(&mut pairs))
    }
}
