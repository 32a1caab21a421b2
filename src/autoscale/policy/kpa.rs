//! Knative's pod autoscaler: requests per instance over a stable window, and over a short one in panic, in which nothing
//! shrinks (knative/serving, `pkg/autoscaler/scaling/autoscaler.go`).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Decision, Pace, ScalingPolicy};
use crate::autoscale::signals::{Fleet, FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::Result;

/// Parameters under Knative's names, with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KpaConfig {
    /// Requests at once that one instance can serve.
    pub container_concurrency_target: f64,
    /// The same for prefill instances, where another.
    pub prefill_concurrency_target: Option<f64>,
    /// Part of it that it is to serve.
    pub target_utilization: f64,
    /// Seconds of the stable window.
    pub stable_window: f64,
    /// The panic window as a part of it.
    pub panic_window: f64,
    /// Panic begins when the short window wants this many times what is ready.
    pub panic_threshold: f64,
    /// At most this many times what is ready.
    pub max_scale_up_rate: f64,
    /// At least what is ready over this.
    pub max_scale_down_rate: f64,
    /// Seconds for which the largest wish holds.
    pub scale_down_delay: f64,
}

impl Default for KpaConfig {
    fn default() -> Self {
        Self {
            container_concurrency_target: 100.0,
            prefill_concurrency_target: None,
            target_utilization: 0.7,
            stable_window: 60.0,
            panic_window: 0.1,
            panic_threshold: 2.0,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            scale_down_delay: 0.0,
        }
    }
}

/// The policy.
#[derive(Debug)]
pub struct Kpa {
    config: KpaConfig,
    fleets: Vec<(FleetKind, Watch)>,
}

/// What it remembers of a fleet.
#[derive(Debug, Default)]
struct Watch {
    /// Requests in the fleet, by time.
    seen: VecDeque<(f64, f64)>,
    panic_since: Option<f64>,
    most_in_panic: f64,
    wishes: VecDeque<(f64, f64)>,
}

impl Watch {
    fn mean(&self, since: f64) -> f64 {
        let values = self.seen.iter().filter(|(time, _)| *time > since + 1e-9);
        let (count, sum) = values.fold((0.0, 0.0), |(n, sum), (_, value)| (n + 1.0, sum + value));
        if count > 0.0 { sum / count } else { 0.0 }
    }

    /// Wanted instances, and whether that is panic.
    fn decide(&mut self, config: &KpaConfig, now: f64, ready: u32, requests: f64) -> (f64, bool) {
        self.seen.push_back((now, requests));
        while self
            .seen
            .front()
            .is_some_and(|(time, _)| *time <= now - config.stable_window + 1e-9)
        {
            self.seen.pop_front();
        }
        let ready = f64::from(ready.max(1));
        let target = config.container_concurrency_target * config.target_utilization;
        let most = (config.max_scale_up_rate * ready).ceil();
        let least = (ready / config.max_scale_down_rate).floor();
        let wish = |requests: f64| (requests / target).ceil();
        let bounded = |wish: f64| wish.max(least).min(most);
        let stable = wish(self.mean(now - config.stable_window));
        let short = wish(self.mean(now - config.stable_window * config.panic_window));
        let over = short / ready >= config.panic_threshold;
        match self.panic_since {
            _ if over => self.panic_since = Some(now),
            Some(since) if now - since > config.stable_window => {
                self.panic_since = None;
                self.most_in_panic = 0.0;
            }
            _ => {}
        }
        let panics = self.panic_since.is_some();
        let mut wanted = bounded(stable);
        if panics {
            wanted = wanted.max(bounded(short));
            self.most_in_panic = self.most_in_panic.max(wanted);
            wanted = self.most_in_panic;
        }
        self.wishes.push_back((now, wanted));
        while self
            .wishes
            .front()
            .is_some_and(|(time, _)| *time < now - config.scale_down_delay)
        {
            self.wishes.pop_front();
        }
        let wanted = self
            .wishes
            .iter()
            .map(|(_, wish)| *wish)
            .fold(0.0, f64::max);
        (wanted, panics)
    }
}

impl Kpa {
    /// With parameters.
    ///
    /// # Errors
    /// Parameters that cannot be.
    pub fn new(config: KpaConfig) -> Result<Self> {
        for (name, number, zero) in [
            (
                "container_concurrency_target",
                config.container_concurrency_target,
                false,
            ),
            (
                "prefill_concurrency_target",
                config.prefill_concurrency_target.unwrap_or(1.0),
                false,
            ),
            ("target_utilization", config.target_utilization, false),
            ("stable_window", config.stable_window, false),
            ("panic_window", config.panic_window, false),
            ("panic_threshold", config.panic_threshold, false),
            ("max_scale_up_rate", config.max_scale_up_rate, false),
            ("max_scale_down_rate", config.max_scale_down_rate, false),
            ("scale_down_delay", config.scale_down_delay, true),
        ] {
            positive(&format!("autoscaling.kpa.{name}"), number, zero)?;
        }
        Ok(Self {
            config,
            fleets: Vec::new(),
        })
    }

    fn watch(&mut self, kind: FleetKind) -> &mut Watch {
        let found = self.fleets.iter().position(|(known, _)| *known == kind);
        let index = found.unwrap_or_else(|| {
            self.fleets.push((kind, Watch::default()));
            self.fleets.len() - 1
        });
        &mut self.fleets[index].1
    }
}

impl ScalingPolicy for Kpa {
    fn pace(&self) -> Pace {
        Pace::every(2.0)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let config = self.config.clone();
        let mut seen = Vec::new();
        let time = signals.time;
        let decision = Decision::map(signals, "", |fleet: &Fleet| {
            // Those in the cluster's own queue wait for this fleet, too.
            let requests = f64::from(fleet.running + fleet.waiting);
            let mut config = config.clone();
            if let (FleetKind::Prefill, Some(own)) = (fleet.kind, config.prefill_concurrency_target)
            {
                config.container_concurrency_target = own;
            }
            let (wanted, panics) =
                self.watch(fleet.kind)
                    .decide(&config, time, fleet.ready, requests);
            let mode = if panics { " (panic)" } else { "" };
            seen.push(format!(
                "{} {requests:.0} requests{mode}",
                fleet.kind.name()
            ));
            wanted.min(f64::from(u32::MAX)) as u32
        });
        Decision {
            reason: seen.join(", "),
            ..decision
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::kpa::*;

    #[test]
    fn stable_and_panic_by_hand() {
        // Target 7 of 10; a stable window of 60 s and a panic window of 6 s, looked at every 2 s.
        let config = KpaConfig {
            container_concurrency_target: 10.0,
            ..KpaConfig::default()
        };
        let mut watch = Watch::default();
        let mut at =
            |time, ready, requests| watch.decide(&config, f64::from(time), ready, requests);
        for time in (2..=60).step_by(2) {
            // 14 requests at 7 each.
            assert_eq!(at(time, 2, 14.0), (2.0, false));
        }
        // 140 requests: the short window has (14 + 14 + 140) / 3 = 56, 8 instances, 4 times what is ready: panic, at once.
        assert_eq!(at(62, 2, 140.0), (8.0, true));
        // (14 + 140 + 140) / 3 = 98: 14.
        assert_eq!(at(64, 2, 140.0), (14.0, true));
        // It is over, but nothing shrinks before a stable window without panic has passed.
        for time in (66..=124).step_by(2) {
            assert_eq!(at(time, 14, 14.0), (14.0, true), "{time}");
        }
        // Panic last began at 64: at 126 it is more than 60 s ago. Half of 14 may go.
        assert_eq!(at(126, 14, 14.0), (7.0, false));
    }

    #[test]
    fn delay_keeps_the_largest_wish() {
        let config = KpaConfig {
            container_concurrency_target: 10.0,
            stable_window: 2.0,
            scale_down_delay: 10.0,
            ..KpaConfig::default()
        };
        let mut watch = Watch::default();
        assert_eq!(watch.decide(&config, 2.0, 4, 28.0).0, 4.0);
        assert_eq!(watch.decide(&config, 4.0, 4, 14.0).0, 4.0);
        assert_eq!(watch.decide(&config, 12.0, 4, 14.0).0, 4.0);
        assert_eq!(watch.decide(&config, 14.0, 4, 14.0).0, 2.0);
    }
}
