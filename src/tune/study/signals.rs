//! Signals of the load test at the highest sustained rate.

use crate::autoscale::Tick;
use crate::autoscale::signals::{FLEET_SIGNALS, SIGNALS};
use crate::scenario::Run;

/// Means of signals over a load test at that rate; policies are tuned by them.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct FullLoadSignals {
    signals: Vec<(String, f64)>,
}

impl FullLoadSignals {
    /// Returns a signal of the cluster, or of a fleet, by name, e.g. `decode_busy`; 0 for an unknown name.
    pub fn get(&self, name: &str) -> f64 {
        let found = self.signals.iter().find(|(known, _)| known == name);
        found.map_or(0.0, |(_, value)| *value)
    }

    /// Computes the means over the second to fourth quarter of a hold, which ends with the last arrival.
    pub(super) fn of(run: &Run, seconds: f64) -> Self {
        let Some(log) = &run.scaling else {
            return Self::default();
        };
        let inside = |tick: &&Tick| tick.time >= seconds / 4.0 && tick.time <= seconds;
        let mut ticks: Vec<&Tick> = log.ticks.iter().filter(inside).collect();
        if ticks.is_empty() {
            ticks.extend(log.ticks.first());
        }
        let mean = |of: &dyn Fn(&Tick) -> f64| {
            ticks.iter().map(|tick| of(tick)).sum::<f64>() / ticks.len().max(1) as f64
        };
        let mut signals: Vec<(String, f64)> = SIGNALS
            .iter()
            .enumerate()
            .map(|(index, signal)| (signal.name.to_owned(), mean(&|tick| tick.signals[index])))
            .collect();
        for (fleet, kind) in log.fleets.iter().enumerate() {
            for (index, signal) in FLEET_SIGNALS.iter().enumerate() {
                let name = format!("{}_{}", kind.name(), signal.name);
                signals.push((name, mean(&|tick| tick.fleets[fleet][index])));
            }
        }
        Self { signals }
    }
}
