//! Sarathi-Serve with a minimum chunk size for prompts and with request priorities:
//! `sarathi/core/scheduler/opt_sarathi_scheduler.py` of Charmstok/sarathi-serve at a8b2e3d. With no minimum chunk size and
//! first come first served order, it equals Sarathi-Serve.

use serde::{Deserialize, Serialize};

use super::paged::{Queues, Restart};
use super::{Context, ReplicaScheduler, SchedulerParameters, Slice};
use crate::base::error::{Error, Result};
use crate::base::registry::Card;
use crate::sim::in_flight::{InFlightId, InFlightRequest, InFlightRequests};
use crate::sim::kv::Kv;

/// Order in which prompts in memory are scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// First come first served.
    #[default]
    Fcfs,
    /// Shortest prompt first.
    Spf,
    /// Shortest remaining prompt first; a decoding request has no remaining prompt.
    Srtf,
    /// Weighted waiting time minus weighted remaining prompt length, highest first.
    Aging,
}

/// Sort direction of [`Policy::Srtf`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SrtfRule {
    /// Shortest remaining prompt first.
    #[default]
    Corrected,
    /// Longest remaining prompt first, as the code at a8b2e3d sorts; later versions corrected this.
    AsShipped,
}

/// Configuration under the fork's names, with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptSarathiConfig {
    /// Token budget of a step; decodes are scheduled even beyond it.
    pub chunk_size: u32,
    /// Minimum chunk size: a prompt gets a chunk only while at least this many tokens of the budget remain; 0 is
    /// Sarathi-Serve's rule.
    pub min_chunk_threshold: u32,
    /// Maximum number of requests in memory.
    pub max_num_seqs: u32,
    /// Fraction of the blocks that must stay free when a request is admitted.
    pub watermark_blocks_fraction: f64,
    /// Order of the prompts in memory. Waiting requests are admitted in order of arrival.
    pub policy: Policy,
    /// Sort direction of `srtf`.
    pub srtf: SrtfRule,
    /// Priority per second since arrival (`aging`).
    pub time_weight: f64,
    /// Priority per remaining prompt token, negative (`aging`). Only the ratio of the two weights matters.
    pub prompt_weight: f64,
    /// Number of prompt tokens that weigh as much as one second of waiting: the ratio of the two weights, given in place of
    /// them.
    pub aging_tokens_per_second: Option<f64>,
    /// Make the token budget depend on the computed fraction of a prompt.
    pub enable_dynamic_chunking_schedule: bool,
    /// Token budget in the last stage.
    pub low_chunk_size: u32,
    /// Token budget in the first stage.
    pub high_chunk_size: u32,
    /// Number of prompt tokens over all stages.
    pub chunk_schedule_max_tokens: u32,
    /// Number of stages, all of the same number of prompt tokens.
    pub chunk_schedule_stages: u32,
}

impl Default for OptSarathiConfig {
    fn default() -> Self {
        Self {
            chunk_size: 512,
            min_chunk_threshold: 0,
            max_num_seqs: 128,
            watermark_blocks_fraction: 0.01,
            policy: Policy::Fcfs,
            srtf: SrtfRule::Corrected,
            time_weight: 1.0,
            prompt_weight: -0.01,
            aging_tokens_per_second: None,
            enable_dynamic_chunking_schedule: false,
            low_chunk_size: 256,
            high_chunk_size: 1024,
            chunk_schedule_max_tokens: 8192,
            chunk_schedule_stages: 16,
        }
    }
}

impl SchedulerParameters for OptSarathiConfig {
    const CARD: Card = Card::new(
        "opt-sarathi",
        "Sarathi with priorities and a minimum chunk size",
    );

    fn build(self) -> Result<Box<dyn ReplicaScheduler>> {
        Ok(Box::new(OptSarathi::new(self)?))
    }
}

impl OptSarathiConfig {
    /// Checks the parameters: rejects values that the fork rejects, and values with which a prompt could never run.
    ///
    /// # Errors
    /// [`Error::Usage`] where a number is out of range.
    pub fn check(&self) -> Result<()> {
        let refuse = |problem: String, remedy: &str| Err(Error::usage(problem, remedy));
        if self.chunk_size == 0 || self.max_num_seqs == 0 {
            return refuse(
                format!(
                    "with chunk_size {} and max_num_seqs {} no request could ever run",
                    self.chunk_size, self.max_num_seqs
                ),
                "give 1 or more for both",
            );
        }
        let threshold = f64::from(self.min_chunk_threshold);
        if threshold >= 0.3 * f64::from(self.chunk_size) {
            return refuse(
                format!(
                    "min_chunk_threshold {} is not below 0.3 of chunk_size {}",
                    self.min_chunk_threshold, self.chunk_size
                ),
                "lower the threshold or raise the chunk size",
            );
        }
        if let Some(ratio) = self.aging_tokens_per_second
            && !(ratio >= 0.0 && ratio.is_finite())
        {
            return refuse(
                format!("aging_tokens_per_second {ratio} is not a number from 0"),
                "give the prefill speed in tokens per second",
            );
        }
        if !(self.time_weight.is_finite() && self.prompt_weight.is_finite()) {
            return refuse(
                "time_weight and prompt_weight must be finite".to_owned(),
                "give numbers",
            );
        }
        if self.enable_dynamic_chunking_schedule {
            self.check_stages()?;
        }
        Ok(())
    }

    fn check_stages(&self) -> Result<()> {
        let sizes = self.low_chunk_size..=self.high_chunk_size;
        if self.low_chunk_size == 0
            || sizes.is_empty()
            || self.chunk_schedule_stages == 0
            || self.chunk_schedule_max_tokens < self.chunk_schedule_stages
        {
            return Err(Error::usage(
                "the chunking schedule has no stages, or sizes that do not decrease from high to low",
                "give 0 < low_chunk_size <= high_chunk_size and 0 < chunk_schedule_stages <= chunk_schedule_max_tokens",
            ));
        }
        if self.min_chunk_threshold > self.low_chunk_size {
            return Err(Error::usage(
                format!(
                    "min_chunk_threshold {} is above low_chunk_size {}: long prompts would never finish",
                    self.min_chunk_threshold, self.low_chunk_size
                ),
                "lower the threshold or raise low_chunk_size",
            ));
        }
        Ok(())
    }

    /// Token budget by stage of a prompt: evenly spaced from high to low, in multiples of 32.
    fn stages(&self) -> Vec<u32> {
        if !self.enable_dynamic_chunking_schedule {
            return vec![self.chunk_size];
        }
        let (low, high) = (self.low_chunk_size, self.high_chunk_size);
        let unit = f64::from(low.min(32));
        let last = f64::from(self.chunk_schedule_stages.max(2) - 1);
        let step = f64::from(high - low) / last;
        let size = |stage: u32| {
            let even = (f64::from(low) + f64::from(stage) * step).trunc();
            ((even / unit).round_ties_even() * unit) as u32
        };
        (0..self.chunk_schedule_stages).rev().map(size).collect()
    }

    /// Number of prompt tokens in one stage.
    fn stage_tokens(&self) -> u32 {
        if self.enable_dynamic_chunking_schedule {
            self.chunk_schedule_max_tokens
                .div_ceil(self.chunk_schedule_stages)
        } else {
            u32::MAX
        }
    }

    /// Returns the weights of a second of waiting and of a remaining token.
    fn weights(&self) -> (f64, f64) {
        match self.aging_tokens_per_second {
            Some(ratio) => (ratio, -1.0),
            None => (self.time_weight, self.prompt_weight),
        }
    }
}

/// The scheduler `opt-sarathi` of one instance.
#[derive(Debug)]
pub struct OptSarathi {
    config: OptSarathiConfig,
    queues: Queues,
    /// Token budget by stage of a prompt.
    stages: Vec<u32>,
    stage_tokens: u32,
    /// Negated priorities of the running requests, with their indices.
    keys: Vec<(f64, u32, InFlightId)>,
}

impl OptSarathi {
    /// Creates an idle scheduler.
    ///
    /// # Errors
    /// As [`OptSarathiConfig::check`].
    pub fn new(config: OptSarathiConfig) -> Result<Self> {
        config.check()?;
        Ok(Self {
            stages: config.stages(),
            stage_tokens: config.stage_tokens(),
            config,
            queues: Queues::default(),
            keys: Vec::new(),
        })
    }

    /// Returns the sort key; the smallest is scheduled first. The current time is the same for all requests and is left out of
    /// waiting times.
    fn key(&self, request_state: &InFlightRequest) -> f64 {
        let remaining = f64::from(request_state.prompt.saturating_sub(request_state.computed));
        match (self.config.policy, self.config.srtf) {
            (Policy::Fcfs, _) => request_state.arrival.0 as f64,
            (Policy::Spf, _) => f64::from(request_state.prompt),
            (Policy::Srtf, SrtfRule::Corrected) => remaining,
            (Policy::Srtf, SrtfRule::AsShipped) => -remaining,
            (Policy::Aging, _) => {
                let (second, token) = self.config.weights();
                second * request_state.arrival.as_secs_f64() - token * remaining
            }
        }
    }

    /// Sorts the running requests by priority; the sort is stable.
    fn sort(&mut self, in_flight: &InFlightRequests) {
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        let running = self.queues.running.iter().zip(0..);
        keys.extend(running.map(|(id, place)| (self.key(&in_flight[*id]), place, *id)));
        keys.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        self.queues.running.clear();
        self.queues.running.extend(keys.iter().map(|key| key.2));
        self.keys = keys;
    }

    /// Number of tokens of this step's budget that a prompt may use: the remaining budget, or 0 if that is below the minimum
    /// chunk size.
    fn left(&self, computed: u32, batched: u32) -> u32 {
        let stage = (computed / self.stage_tokens) as usize;
        let size = self.stages[stage.min(self.stages.len() - 1)];
        let left = size.saturating_sub(batched);
        if left < self.config.min_chunk_threshold {
            0
        } else {
            left
        }
    }
}

impl ReplicaScheduler for OptSarathi {
    fn enqueue(&mut self, id: InFlightId, context: &mut Context<'_>) {
        self.queues.enqueue(id, context.kv);
    }

    fn form(&mut self, context: &mut Context<'_>, batch: &mut Vec<Slice>) {
        self.sort(context.in_flight);
        self.queues
            .decode(context, batch, usize::MAX, Restart::Tokens);
        let decodes = batch.iter().map(|slice| slice.id);
        self.queues.running.extend(decodes);
        let mut batched = batch.len() as u32;

        // Prompts in memory. A prompt that gets no tokens in this step stays in memory.
        for place in 0..self.queues.prefills.len() {
            let id = self.queues.prefills[place];
            let request_state = &context.in_flight[id];
            let tokens = request_state
                .gap()
                .min(self.left(request_state.computed, batched));
            if tokens > 0 {
                context
                    .kv
                    .fill(id, request_state, request_state.computed + tokens);
                batch.push(Slice { id, tokens });
                batched += tokens;
            }
        }
        self.queues.running.append(&mut self.queues.prefills);

        let reserve = context.kv.part(self.config.watermark_blocks_fraction);
        while self.queues.running.len() < self.config.max_num_seqs as usize
            && let Some(id) = self.queues.waiting.front().copied()
        {
            let cached = context.kv.lookup(&context.in_flight[id]);
            let left = self.left(cached, batched);
            if left == 0 || !self.queues.admit(context, batch, left, reserve) {
                break;
            }
            self.queues.running.push(id);
            batched += batch.last().map_or(0, |slice| slice.tokens);
        }
    }

    fn retire(&mut self, in_flight: &InFlightRequests) {
        self.queues.retire(in_flight);
    }

    fn waiting(&self) -> usize {
        self.queues.waiting.len()
    }

    fn running(&self) -> usize {
        self.queues.in_memory()
    }

    fn next_waiting(&self) -> Option<InFlightId> {
        self.queues.waiting.front().copied()
    }

    fn most_running(&self) -> usize {
        self.config.max_num_seqs as usize
    }

    fn give_up_waiting(&mut self, _: &Kv) -> Vec<InFlightId> {
        self.queues.give_up_waiting()
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::replica::opt_sarathi::*;
    use crate::trace::Nanos;

    /// Scheduling order of four requests, given as arrival in seconds, prompt length and computed tokens.
    fn order(config: OptSarathiConfig) -> Vec<InFlightId> {
        let mut scheduler = OptSarathi::new(config).expect("a good configuration");
        let mut in_flight = InFlightRequests::default();
        for (arrival, prompt, computed) in [(4, 100, 0), (1, 400, 350), (3, 300, 0), (2, 50, 60)] {
            let id = in_flight.add();
            in_flight[id].arrival = Nanos(arrival * 1_000_000_000);
            in_flight[id].prompt = prompt;
            in_flight[id].computed = computed;
            scheduler.queues.running.push(id);
        }
        scheduler.sort(&in_flight);
        scheduler.queues.running
    }

    fn with(policy: Policy) -> OptSarathiConfig {
        OptSarathiConfig {
            policy,
            ..OptSarathiConfig::default()
        }
    }

    #[test]
    fn policies_sort_as_their_keys_say() {
        // Arrival times 4, 1, 3, 2.
        assert_eq!(order(with(Policy::Fcfs)), [1, 3, 2, 0]);
        // Prompt lengths 100, 400, 300, 50.
        assert_eq!(order(with(Policy::Spf)), [3, 0, 2, 1]);
        // Remaining tokens 100, 50, 300, 0: the last request decodes.
        assert_eq!(order(with(Policy::Srtf)), [3, 1, 0, 2]);
        let shipped = OptSarathiConfig {
            srtf: SrtfRule::AsShipped,
            ..with(Policy::Srtf)
        };
        assert_eq!(order(shipped), [2, 0, 1, 3]);
        // One second weighs as much as 100 tokens: 4 + 1, 1 + 0.5, 3 + 3, 2 + 0 seconds.
        assert_eq!(order(with(Policy::Aging)), [1, 3, 0, 2]);
        // One ratio in place of both weights: one second weighs as much as 10 tokens, so 4 + 10, 1 + 5, 3 + 30, 2 + 0.
        let slow = OptSarathiConfig {
            aging_tokens_per_second: Some(10.0),
            ..with(Policy::Aging)
        };
        assert_eq!(order(slow), [3, 1, 0, 2]);
    }

    #[test]
    fn thresholds_from_three_tenths_of_a_step_are_refused() {
        let with = |min_chunk_threshold| OptSarathiConfig {
            chunk_size: 10,
            min_chunk_threshold,
            ..OptSarathiConfig::default()
        };
        assert!(with(2).check().is_ok());
        assert!(with(3).check().is_err());
    }

    #[test]
    fn stages_fall_from_high_to_low_in_multiples_of_32() {
        let config = OptSarathiConfig {
            enable_dynamic_chunking_schedule: true,
            low_chunk_size: 100,
            high_chunk_size: 400,
            chunk_schedule_stages: 4,
            chunk_schedule_max_tokens: 1001,
            ..OptSarathiConfig::default()
        };
        config.check().expect("a good configuration");
        // 400, 300, 200 and 100 are 12.5, 9.375, 6.25 and 3.125 times 32; halves are rounded to the even number.
        assert_eq!(config.stages(), [384, 288, 192, 96]);
        assert_eq!(config.stage_tokens(), 251);
        let scheduler = OptSarathi::new(config).expect("a good configuration");
        assert_eq!(scheduler.left(250, 84), 300);
        assert_eq!(scheduler.left(251, 84), 204);
        assert_eq!(scheduler.left(9999, 0), 96);
    }
}
