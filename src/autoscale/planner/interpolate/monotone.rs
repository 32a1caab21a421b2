//! The default interpolation: monotone curves along each axis. Between two points a value stays between theirs, so a
//! profile without oscillation gives none, and there is no jump at the edge of the measured range.

use super::pchip::Curve;
use super::{Best, PerformanceModel, Profile, clamp};

/// Curves over the prompt length; curves over KV usage for each context length, joined by a curve over the contexts.
#[derive(Debug, Clone)]
pub struct Monotone {
    ttft: Curve,
    prefill_throughput: Curve,
    /// Ascending.
    contexts: Vec<f64>,
    itl: Vec<Curve>,
    throughput: Vec<Curve>,
    max_kv_tokens: f64,
    clamped: u64,
}

/// Number of positions at which the highest load within a target is searched; between two the search is exact.
const PLACES: usize = 400;

impl Monotone {
    /// Accepts any profile: a single point gives a constant curve.
    pub fn new(profile: &Profile) -> Self {
        let isl: Vec<f64> = profile.prefill.iter().map(|p| p.isl).collect();
        let ttft = profile.prefill.iter().map(|p| p.ttft_ms).collect();
        let rate = profile.prefill.iter().map(|p| p.throughput_per_gpu);
        let mut points = profile.decode.clone();
        points.sort_by(|a, b| {
            (a.context_length.total_cmp(&b.context_length)).then(a.kv_usage.total_cmp(&b.kv_usage))
        });
        let mut contexts = Vec::new();
        let (mut itl, mut throughput) = (Vec::new(), Vec::new());
        for row in points.chunk_by(|a, b| a.context_length == b.context_length) {
            contexts.push(row[0].context_length);
            let usage: Vec<f64> = row.iter().map(|p| p.kv_usage).collect();
            itl.push(Curve::new(
                usage.clone(),
                row.iter().map(|p| p.itl_ms).collect(),
            ));
            throughput.push(Curve::new(
                usage,
                row.iter().map(|p| p.throughput_per_gpu).collect(),
            ));
        }
        Self {
            prefill_throughput: Curve::new(isl.clone(), rate.collect()),
            ttft: Curve::new(isl, ttft),
            contexts,
            itl,
            throughput,
            max_kv_tokens: profile.max_kv_tokens,
            clamped: 0,
        }
    }

    fn context(&mut self, context: f64) -> f64 {
        let range = (self.contexts[0], self.contexts[self.contexts.len() - 1]);
        let (context, outside) = clamp(context, range);
        self.clamped += u64::from(outside);
        context
    }

    /// Range of measured KV usage at a context: between those of the neighbouring contexts.
    fn usages(&self, context: f64) -> (f64, f64) {
        let above = self.contexts.partition_point(|c| *c < context);
        let above = above.min(self.contexts.len() - 1);
        let below = if self.contexts[above] > context {
            above.saturating_sub(1)
        } else {
            above
        };
        let ((low0, high0), (low1, high1)) = (self.itl[below].range(), self.itl[above].range());
        let width = self.contexts[above] - self.contexts[below];
        let part = if width > 0.0 {
            (context - self.contexts[below]) / width
        } else {
            0.0
        };
        (low0 + part * (low1 - low0), high0 + part * (high1 - high0))
    }

    fn across(&self, rows: &[Curve], usage: f64, context: f64) -> f64 {
        let values = rows.iter().map(|row| row.at(usage)).collect();
        Curve::new(self.contexts.clone(), values).at(context)
    }

    fn prompt(&mut self, isl: f64) -> f64 {
        let (isl, outside) = clamp(isl, self.ttft.range());
        self.clamped += u64::from(outside);
        isl
    }
}

impl PerformanceModel for Monotone {
    fn ttft_ms(&mut self, isl: f64) -> f64 {
        let isl = self.prompt(isl);
        self.ttft.at(isl)
    }

    fn prefill_throughput(&mut self, isl: f64) -> f64 {
        let isl = self.prompt(isl);
        self.prefill_throughput.at(isl)
    }

    fn itl_ms(&mut self, concurrency: f64, context: f64) -> f64 {
        let usage = concurrency * context / self.max_kv_tokens;
        let context = self.context(context);
        let (low, high) = self.usages(context);
        // A load below the lightest measured one has its latency; one above the heaviest is not interpolated.
        let (usage, outside) = clamp(usage.max(low), (low, high));
        self.clamped += u64::from(outside);
        self.across(&self.itl, usage, context)
    }

    fn best_decode(&mut self, itl_ms: f64, context: f64) -> Best {
        let context = self.context(context);
        let (low, high) = self.usages(context);
        let place = |i: usize| low + (high - low) * i as f64 / PLACES as f64;
        let itl = |usage: f64| self.across(&self.itl, usage, context);
        let found = (0..=PLACES).rev().find(|i| itl(place(*i)) <= itl_ms);
        let usage = match found {
            None => low,
            Some(PLACES) => high,
            Some(i) => {
                let (mut below, mut above) = (place(i), place(i + 1));
                for _ in 0..40 {
                    let middle = 0.5 * (below + above);
                    if itl(middle) <= itl_ms {
                        below = middle;
                    } else {
                        above = middle;
                    }
                }
                below
            }
        };
        Best {
            throughput_per_gpu: self.across(&self.throughput, usage, context),
            itl_ms: itl(usage),
            kv_usage: usage,
            met: found.is_some(),
        }
    }

    fn clamped(&self) -> u64 {
        self.clamped
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::interpolate::monotone::*;
    use crate::autoscale::planner::profile::{DecodePoint, PrefillPoint};

    fn profile() -> Profile {
        let decode = |kv_usage, context_length, itl_ms, throughput_per_gpu| DecodePoint {
            kv_usage,
            context_length,
            itl_ms,
            throughput_per_gpu,
        };
        Profile {
            prefill: [(100.0, 10.0, 10_000.0), (200.0, 20.0, 10_000.0)]
                .map(|(isl, ttft_ms, throughput_per_gpu)| PrefillPoint {
                    isl,
                    ttft_ms,
                    throughput_per_gpu,
                })
                .to_vec(),
            decode: vec![
                decode(0.0, 100.0, 10.0, 100.0),
                decode(0.5, 100.0, 20.0, 500.0),
                decode(0.0, 300.0, 20.0, 100.0),
                decode(1.0, 300.0, 40.0, 900.0),
            ],
            max_kv_tokens: 1000.0,
        }
    }

    #[test]
    fn two_points_make_a_line() {
        let mut model = Monotone::new(&profile());
        assert!((model.ttft_ms(150.0) - 15.0).abs() < 1e-12);
        // Context 200 is half way between the rows; KV usage 1 x 200 / 1000 = 0.2: the rows give 14 and 24.
        assert!((model.itl_ms(1.0, 200.0) - 19.0).abs() < 1e-12);
        assert_eq!(model.clamped(), 0);
    }

    #[test]
    fn the_highest_load_within_a_target() {
        let mut model = Monotone::new(&profile());
        let best = model.best_decode(15.0, 100.0);
        assert!((best.kv_usage - 0.25).abs() < 1e-9 && best.met);
        assert!((best.throughput_per_gpu - 300.0).abs() < 1e-6);
        let all = model.best_decode(99.0, 100.0);
        assert_eq!((all.kv_usage, all.itl_ms), (0.5, 20.0));
        let none = model.best_decode(5.0, 100.0);
        assert_eq!((none.kv_usage, none.itl_ms, none.met), (0.0, 10.0, false));
    }

    #[test]
    fn beyond_the_profile_is_counted() {
        let mut model = Monotone::new(&profile());
        assert_eq!(model.ttft_ms(1e6), 20.0);
        assert_eq!(model.prefill_throughput(1.0), 10_000.0);
        assert_eq!(model.clamped(), 2);
        // KV usage 0.8 where 0.5 was the most: one; context beyond the last row, and usage with it: two more.
        assert_eq!(model.itl_ms(8.0, 100.0), 20.0);
        assert_eq!(model.itl_ms(9.0, 999.0), 40.0);
        assert_eq!(model.clamped(), 5);
    }
}
