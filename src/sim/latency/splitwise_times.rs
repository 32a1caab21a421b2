//! The Splitwise authors' measurements, queried as they were made: a decode step by the context tokens that it reads.
//!
//! The authors measured batches of equal prompts, at prompt tokens times batch size. SplitwiseSim queries the table by the
//! number of sequences instead, so its decodes ignore their context and are up to twice too fast. Outside the measured
//! range, the edge is used and the step is counted. Steps with prompts and decodes take 1.1 times the time of the prompts,
//! as in SplitwiseSim, or the time of the decodes if that is longer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Clamped, IterationTimes, LatencyContext, LatencyFactory, LatencyModel, LatencyParameters,
    SplitwiseTable, Step,
};
use crate::base::error::Result;
use crate::base::registry::Card;

/// Selects rows of the Splitwise authors' measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitwiseTableConfig {
    /// Model in the table.
    pub model: String,
    /// GPU in the table.
    pub hardware: String,
    /// GPUs of an instance, in the table.
    pub tensor_parallel: u32,
    /// Another file with the columns of the built-in one.
    pub file: Option<PathBuf>,
}

impl LatencyParameters for SplitwiseTableConfig {
    const CARD: Card = Card::new(
        "splitwise-table",
        "iteration times as the Splitwise authors measured them",
    );

    fn prepare(&self, _: &LatencyContext<'_>) -> Result<LatencyFactory> {
        let select = |table: &SplitwiseTable| {
            table.select(&self.model, &self.hardware, self.tensor_parallel)
        };
        let times = match &self.file {
            Some(file) => select(&SplitwiseTable::read(file)?)?,
            None => select(SplitwiseTable::builtin())?,
        };
        Ok(LatencyFactory::copies_of(SplitwiseTimes::new(times)))
    }
}

/// Time of prompts and decodes by tokens.
#[derive(Debug, Clone)]
pub struct SplitwiseTimes {
    times: IterationTimes,
    clamped: Clamped,
}

/// Factor for decodes beside a prompt, from `performance_model.py`.
const MIXED: f64 = 1.1;

impl SplitwiseTimes {
    /// Durations of one model on one kind of GPU.
    pub fn new(times: IterationTimes) -> Self {
        Self {
            times: times.extrapolate(false),
            clamped: Clamped::default(),
        }
    }
}

impl LatencyModel for SplitwiseTimes {
    fn seconds(&mut self, step: &Step) -> f64 {
        let prompt = step.prefill_tokens() as f64;
        // Each decode reads its context and its own token.
        let context = step.decode_context as f64 + f64::from(step.decodes);
        self.clamped.of += 1;
        let outside = |tokens: f64| tokens > 0.0 && self.times.is_outside(tokens);
        self.clamped.steps += u64::from(outside(prompt) || outside(context));
        match (prompt > 0.0, step.decodes > 0) {
            (true, false) => self.times.prompt(prompt),
            (false, _) => self.times.token(context),
            (true, true) => (MIXED * self.times.prompt(prompt)).max(self.times.token(context)),
        }
    }

    fn clamped(&self) -> Clamped {
        self.clamped
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::latency::splitwise_times::*;
    use crate::sim::latency::{Chunk, SplitwiseTable};

    #[test]
    fn decodes_feel_their_context() {
        let times = SplitwiseTable::builtin()
            .select("bloom-176b", "h100-80gb", 8)
            .expect("measured");
        let mut model = SplitwiseTimes::new(times);
        // 64 sequences of 511 tokens and the one that is computed: 32,768 tokens, measured at 63.8213 ms.
        let mut step = Step {
            decodes: 64,
            decode_context: 64 * 511,
            sampled: 64,
            ..Step::default()
        };
        assert!((model.seconds(&step) - 0.063_821_3).abs() < 1e-7);
        step.prefills.push(Chunk {
            tokens: 512,
            past: 0,
        });
        // 1.1 times 76.1418 ms.
        assert!((model.seconds(&step) - 0.083_755_98).abs() < 1e-6);
        // A context twice as long is outside: the edge is used and counted.
        step.prefills.clear();
        step.decode_context *= 2;
        assert!((model.seconds(&step) - 0.063_821_3).abs() < 1e-7);
        assert_eq!(model.clamped(), Clamped { steps: 1, of: 3 });
    }
}
