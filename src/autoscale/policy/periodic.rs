//! A timetable, as the Splitwise fork's `PeriodicPolicy` documents it (as shipped it never acts).

use serde::{Deserialize, Serialize};

use super::{Decision, Pace, ScalingPolicy};
use crate::autoscale::signals::{FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::{Error, Result};

/// Parameters, with the documented values as defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeriodicConfig {
    /// Seconds of a day: a shorter one for shorter traces.
    pub day_seconds: f64,
    /// Hour of the day, of 24, at which the trace begins.
    pub start_hour: f64,
    /// Sizes by hours of the day; the first that fits holds.
    pub hours: Vec<Hours>,
}

/// Sizes in some hours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// From this hour on, 0 to 24.
    pub from: f64,
    /// Until before this hour; one that is not larger than `from` lies on the next day.
    pub to: f64,
    /// Prefill instances.
    #[serde(default)]
    pub prefill: Option<u32>,
    /// Decode instances.
    #[serde(default)]
    pub decode: Option<u32>,
    /// Instances that serve whole requests.
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
    /// 30 and 100 instances from 9 to 23 h, else 10 and 20.
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

/// The policy.
#[derive(Debug)]
pub struct Periodic {
    config: PeriodicConfig,
}

impl Periodic {
    /// With parameters.
    ///
    /// # Errors
    /// Parameters that cannot be.
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
