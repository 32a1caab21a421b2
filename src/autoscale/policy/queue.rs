//! Waiting tokens, as in `queue` of the Splitwise fork's simple baselines: five instances are added or removed at a time.

use serde::{Deserialize, Serialize};

use super::{Decision, Pace, PolicyConfig, PolicyContext, ScalingPolicy, TuningContext};
use crate::autoscale::signals::{FleetKind, Signals};
use crate::base::error::Result;
use crate::base::registry::Card;

/// Configuration; the defaults are the documented values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Add `step` prefill instances above this number of prompt tokens that wait to be computed.
    pub prefill_high: u64,
    /// Remove `step` prefill instances below this number.
    pub prefill_low: u64,
    /// Add `step` decode instances above this number of tokens whose KV cache is in transfer or waits for free blocks.
    pub decode_high: u64,
    /// Remove `step` decode instances below this number.
    pub decode_low: u64,
    /// Instances added or removed at a time.
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

impl PolicyConfig for QueueConfig {
    const CARD: Card = Card::new("queue", "by the number of waiting tokens");
    const COLOR: &'static str = "#882255";
    const NEEDS_COOLDOWNS: bool = true;

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(Queue::new(self)))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        let decode = format!("{}_queue_tokens", context.decode_fleet());
        let tokens = |signal: &str| ((context.signal)(signal).max(100.0) * headroom) as u64;
        let (prefill_high, decode_high) = (tokens("prefill_queue_tokens"), tokens(&decode));
        Some(Self {
            prefill_high,
            prefill_low: prefill_high / 10,
            decode_high,
            decode_low: decode_high / 10,
            step: 1,
        })
    }
}

/// The scaling policy `queue`.
#[derive(Debug)]
pub struct Queue {
    config: QueueConfig,
}

impl Queue {
    /// Creates the policy.
    pub fn new(config: QueueConfig) -> Self {
        Self { config }
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
        let mut policy = Queue::new(QueueConfig::default());
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
