//! Latencies of finished requests, and the latency of a request on an idle instance.

use hdrhistogram::Histogram;

use super::rows::RequestRow;
use crate::base::Distribution;
use crate::sim::latency::{Chunk, LatencyModel, Step};

/// Distributions over the finished requests of a run, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latencies {
    /// TTFT: from arrival to the first token.
    pub ttft: Distribution,
    /// TBT: mean time between tokens of each request with more than one token.
    pub tbt: Distribution,
    /// E2E: from arrival to the last token.
    pub e2e: Distribution,
    /// Queueing time: from arrival to the first batch.
    pub queue: Distribution,
}

impl Latencies {
    /// Computes the distributions over those of these requests that finished.
    pub fn of(requests: &[RequestRow]) -> Self {
        let of = |time: fn(&RequestRow) -> Option<f64>| {
            let finished = requests.iter().filter(|r| r.is_finished());
            Distribution::from_values(&mut finished.filter_map(time).collect::<Vec<_>>())
        };
        Self {
            ttft: of(|r| r.ttft),
            tbt: of(|r| r.tbt),
            e2e: of(|r| r.e2e),
            queue: of(|r| r.queue),
        }
    }
}

/// Single gaps between tokens (ITL), in seconds; each value of a histogram's bucket counts as the middle of the bucket.
pub fn token_gaps(gaps: &Histogram<u64>) -> Distribution {
    let mut pairs: Vec<(f64, u64)> = gaps
        .iter_recorded()
        .map(|gap| {
            let middle = gaps.median_equivalent(gap.value_iterated_to());
            (middle as f64 / 1e9, gap.count_since_last_iteration())
        })
        .collect();
    Distribution::from_weighted(&mut pairs)
}

/// Latency of a request on an idle instance, in seconds: TTFT, with the prompt in one step, and the time for each
/// further token, with the prompt as context.
pub fn alone(prompt: u32, reference: &mut dyn LatencyModel) -> (f64, f64) {
    let mut step = Step {
        prefills: vec![Chunk {
            tokens: prompt,
            past: 0,
        }],
        sampled: 1,
        ..Step::default()
    };
    let first = reference.seconds(&step);
    step.clear();
    step.decodes = 1;
    step.decode_context = u64::from(prompt.saturating_sub(1));
    step.sampled = 1;
    (first, reference.seconds(&step))
}

#[cfg(test)]
mod tests {
    use crate::metrics::serving::latency::*;
    use crate::metrics::serving::rows::testing::{finished, unfinished};
    use crate::sim::Outcome;

    #[test]
    fn latencies_are_those_of_finished_requests() {
        let mut requests = vec![
            finished(1.0, Some(0.1), 2.0),
            finished(3.0, None, 3.0),
            finished(5.0, Some(0.3), 8.0),
            // Its first token was generated after 0.1 s, but it did not finish, so it does not count.
            unfinished(Outcome::EndOfTime),
        ];
        requests[2].queue = Some(0.6);
        let found = Latencies::of(&requests);
        // TTFT 1, 3, 5: mean 3; P90 at rank 0.9 x 2 = 1.8, so 3 + 0.8 x 2 = 4.6.
        assert_eq!(
            (found.ttft.count, found.ttft.mean, found.ttft.p50),
            (3, Some(3.0), Some(3.0))
        );
        assert!((found.ttft.p90.expect("values") - 4.6).abs() < 1e-12);
        // TBT 0.1 and 0.3: the request with a single token has none.
        assert_eq!(found.tbt.count, 2);
        assert!((found.tbt.p50.expect("values") - 0.2).abs() < 1e-12);
        // E2E 2, 3, 8: mean 13 / 3.
        assert_eq!(found.e2e.max, Some(8.0));
        assert!((found.e2e.mean.expect("values") - 13.0 / 3.0).abs() < 1e-12);
        // Queue 0, 0, 0.6: mean 0.2.
        assert!((found.queue.mean.expect("values") - 0.2).abs() < 1e-12);
        let none_finished = Latencies::of(&requests[3..]);
        assert_eq!(
            (none_finished.ttft.count, none_finished.ttft.p99),
            (0, None)
        );
    }

    /// 1 ms per prompt token; for a decode, 10 ms plus 1 us per token of context.
    #[derive(Debug)]
    struct ByHand;

    impl LatencyModel for ByHand {
        fn seconds(&mut self, step: &Step) -> f64 {
            assert_eq!((step.requests(), step.sampled), (1, 1), "it is alone");
            let past: u64 = step
                .prefills
                .iter()
                .map(|chunk| u64::from(chunk.past))
                .sum();
            assert_eq!(past, 0, "nothing is cached");
            step.prefill_tokens() as f64 * 1e-3
                + f64::from(step.decodes) * 0.01
                + step.decode_context as f64 * 1e-6
        }
    }

    #[test]
    fn alone_a_prompt_is_one_step_and_the_context_of_a_decode() {
        // 500 tokens: 0.5 s. A decode reads the KV of the 499 before its own: 10.499 ms.
        let (first, between) = alone(500, &mut ByHand);
        assert!((first - 0.5).abs() < 1e-12);
        assert!((between - 0.010_499).abs() < 1e-12);
    }

    #[test]
    fn gaps_between_tokens_count_at_the_middle_of_their_bucket() {
        let mut gaps = Histogram::new_with_bounds(1, 86_400_000_000_000, 3).expect("bounds");
        // 20 ms three times and 40 ms once: mean (3 x 20 + 40) / 4 = 25 ms, to three digits.
        gaps.record_n(20_000_000, 3).expect("in range");
        gaps.record(40_000_000).expect("in range");
        let found = token_gaps(&gaps);
        assert_eq!(found.count, 4);
        assert!((found.mean.expect("values") - 0.025).abs() < 0.025e-3);
        assert!((found.max.expect("values") - 0.040).abs() < 0.040e-3);
    }
}
