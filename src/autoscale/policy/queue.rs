//! Tokens that wait, as `queue` of the Splitwise fork's simple baselines: five instances at a time.

use serde::{Deserialize, Serialize};

use super::{Decision, Pace, ScalingPolicy};
use crate::autoscale::signals::{FleetKind, Signals};
use crate::base::error::Result;

/// Parameters, with the documented values as defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// More prompt tokens than this wait to be computed: `step` more prefill instances.
    pub prefill_high: u64,
    /// Fewer than this: `step` less.
    pub prefill_low: u64,
    /// The same for decode instances, by tokens whose KV is on its way or waits for room.
    pub decode_high: u64,
    /// Fewer than this: `step` less.
    pub decode_low: u64,
    /// Instances at a time.
    pub step: u32,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            prefill_high: 1_000,
            prefill_low: 100,
            decode_high: 5_000,
            decode_low: 500,
            step: 5,
        }
    }
}

/// The policy.
#[derive(Debug)]
pub struct Queue {
    config: QueueConfig,
}

impl Queue {
    /// With parameters.
    ///
    /// # Errors
    /// None: any numbers will do.
    pub fn new(config: QueueConfig) -> Result<Self> {
        Ok(Self { config })
    }
}

impl ScalingPolicy for Queue {
    fn pace(&self) -> Pace {
        Pace::every(2.0)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let config = &self.config;
        let mut seen = Vec::new();
        let decision = Decision::map(signals, "", |fleet| {
            seen.push(format!("{} {}", fleet.kind.name(), fleet.queue_tokens));
            let (low, high) = match fleet.kind {
                FleetKind::Decode => (config.decode_low, config.decode_high),
                _ => (config.prefill_low, config.prefill_high),
            };
            if fleet.queue_tokens > high {
                fleet.provisioned() + config.step
            } else if fleet.queue_tokens < low {
                fleet.provisioned().saturating_sub(config.step)
            } else {
                fleet.provisioned()
            }
        });
        Decision {
            reason: format!("tokens that wait: {}", seen.join(", ")),
            ..decision
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::queue::*;
    use crate::autoscale::testing::signals;

    #[test]
    fn by_hand() {
        let mut policy = Queue::new(QueueConfig::default()).unwrap_or_else(|_| unreachable!());
        let mut seen = signals(8, 8);
        for (prefill, decode, targets) in [
            (1_001, 499, [13, 3]),
            (1_000, 500, [8, 8]),
            (99, 5_001, [3, 13]),
        ] {
            seen.fleets[0].queue_tokens = prefill;
            seen.fleets[1].queue_tokens = decode;
            assert_eq!(policy.decide(&seen).targets, targets);
        }
    }
}
