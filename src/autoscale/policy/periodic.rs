//! Fleet sizes by time of day, as the Splitwise fork's `PeriodicPolicy` documents it (the fork's code as shipped never scales).

use serde::{Deserialize, Serialize};

use super::{Decision, Pace, PolicyConfig, PolicyContext, ScalingPolicy, TuningContext};
use crate::autoscale::signals::{FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::{Error, Result};
use crate::base::registry::Card;

/// Configuration; the defaults are the documented values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeriodicConfig {
    /// Length of a day in seconds; a short trace needs a shorter day.
    pub day_seconds: f64,
    /// Hour of the day (0 to 24) at which the trace begins.
    pub start_hour: f64,
    /// Fleet sizes by hour of the day; the first matching entry applies.
    pub hours: Vec<Hours>,
}

/// Fleet sizes during some hours of the day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// First hour, 0 to 24.
    pub from: f64,
    /// End of the last hour; a value up to `from` is on the next day.
    pub to: f64,
    /// Prefill instances.
    #[serde(default)]
    pub prefill: Option<u32>,
    /// Decode instances.
    #[serde(default)]
    pub decode: Option<u32>,
    /// Aggregated instances, which compute prefill and decode of each request.
    #[serde(default)]
    pub aggregated: Option<u32>,
}

impl Hours {
    fn holds(&self, hour: f64) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&hour)
        } else {
            hour >= self.from || hour < self.to
        }
    }
}

impl Default for PeriodicConfig {
    /// 30 prefill and 100 decode instances from 9 to 23 h, 10 and 20 otherwise.
    fn default() -> Self {
        let hours = |from, to, prefill, decode| Hours {
            from,
            to,
            prefill: Some(prefill),
            decode: Some(decode),
            aggregated: None,
        };
        Self {
            day_seconds: 86_400.0,
            start_hour: 0.0,
            hours: vec![hours(9.0, 23.0, 30, 100), hours(23.0, 9.0, 10, 20)],
        }
    }
}

impl PolicyConfig for PeriodicConfig {
    const CARD: Card = Card::new("periodic", "a timetable of the day");
    const COLOR: &'static str = "#E69F00";

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(Periodic::new(self)?))
    }

    /// The trace counts as one day; each hour gets the instances that its own request rate needs.
    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        let split = context.is_disaggregated();
        let hour = |(index, rate): (usize, &f64)| {
            let (prefill, decode) = context.instances_for(*rate, headroom);
            Hours {
                from: index as f64,
                to: index as f64 + 1.0,
                prefill: split.then_some(prefill),
                decode: split.then_some(decode),
                aggregated: (!split).then_some(decode),
            }
        };
        Some(Self {
            day_seconds: context.trace_seconds.max(1.0),
            start_hour: 0.0,
            hours: context.hourly_rates.iter().enumerate().map(hour).collect(),
        })
    }
}

/// The scaling policy `periodic`.
#[derive(Debug)]
pub struct Periodic {
    config: PeriodicConfig,
}

impl Periodic {
    /// Creates the policy.
    ///
    /// # Errors
    /// A usage error for a parameter that is out of range.
    pub fn new(config: PeriodicConfig) -> Result<Self> {
        positive(
            "autoscaling.periodic.day_seconds",
            config.day_seconds,
            false,
        )?;
        positive("autoscaling.periodic.start_hour", config.start_hour, true)?;
        if config.hours.is_empty() {
            return Err(Error::usage(
                "autoscaling.periodic.hours is empty",
                "give sizes as hours = [{ from = 9, to = 23, prefill = 8, decode = 12 }]",
            ));
        }
        Ok(Self { config })
    }
}

impl ScalingPolicy for Periodic {
    fn pace(&self) -> Pace {
        Pace::every(10.0)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let days = signals.time / self.config.day_seconds + self.config.start_hour / 24.0;
        let hour = days.fract() * 24.0;
        let found = self.config.hours.iter().find(|hours| hours.holds(hour));
        let Some(hours) = found else {
            return Decision::hold(signals, format!("{hour:.2} h is not in the timetable"));
        };
        let reason = format!("it is {hour:.2} h");
        Decision::map(signals, reason, |fleet| {
            let size = match fleet.kind {
                FleetKind::Prefill => hours.prefill,
                FleetKind::Decode => hours.decode,
                FleetKind::Aggregated => hours.aggregated,
                FleetKind::Mixed => None,
            };
            size.unwrap_or_else(|| fleet.provisioned())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::periodic::*;
    use crate::autoscale::testing::signals;

    #[test]
    fn by_hand() {
        let mut policy =
            Periodic::new(PeriodicConfig::default()).unwrap_or_else(|_| unreachable!());
        let mut seen = signals(1, 1);
        for (hour, targets) in [
            (0.0, [10, 20]),
            (8.99, [10, 20]),
            (9.0, [30, 100]),
            (23.0, [10, 20]),
            (33.0, [30, 100]),
        ] {
            seen.time = hour * 3600.0;
            assert_eq!(policy.decide(&seen).targets, targets, "{hour}");
        }
    }
}
