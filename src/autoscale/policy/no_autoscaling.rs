//! A cluster of fixed size, the baseline of every comparison.

use serde::{Deserialize, Serialize};

use super::{Decision, PolicyConfig, PolicyContext, ScalingPolicy};
use crate::autoscale::signals::Signals;
use crate::base::error::Result;
use crate::base::registry::Card;

/// The configuration, which has no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoAutoscalingConfig {}

impl PolicyConfig for NoAutoscalingConfig {
    const CARD: Card = Card::new("no_autoscaling", "keeps the initial number of instances");
    const COLOR: &'static str = "#4D4D4D";

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(NoAutoscaling))
    }
}

/// The scaling policy `no_autoscaling`.
#[derive(Debug)]
pub struct NoAutoscaling;

impl ScalingPolicy for NoAutoscaling {
    fn decide(&mut self, signals: &Signals) -> Decision {
        Decision::hold(signals, "fixed")
    }
}
