//! Knative's pod autoscaler: requests per instance over a stable window, and over a short window in panic mode, during which no
//! fleet shrinks (knative/serving, `pkg/autoscaler/scaling/autoscaler.go`).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Decision, Pace, PolicyConfig, PolicyContext, ScalingPolicy, TuningContext};
use crate::autoscale::signals::{Fleet, FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::Result;
use crate::base::registry::Card;

/// Configuration under Knative's names, with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KpaConfig {
    /// Concurrent requests that one instance can serve.
    pub container_concurrency_target: f64,
    /// The same for prefill instances, if it differs from decode instances.
    pub prefill_concurrency_target: Option<f64>,
    /// Target fraction of the concurrency that one instance can serve.
    pub target_utilization: f64,
    /// Length of the stable window in seconds.
    pub stable_window: f64,
    /// Length of the panic window as a fraction of the stable window.
    pub panic_window: f64,
    /// Panic mode begins when the desired size over the panic window is at least this multiple of the ready instances.
    pub panic_threshold: f64,
    /// Maximum ratio of the desired size to the ready instances.
    pub max_scale_up_rate: f64,
    /// Maximum ratio of the ready instances to the desired size.
    pub max_scale_down_rate: f64,
    /// Scale-in delay in seconds: the largest desired size within this time applies.
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

impl PolicyConfig for KpaConfig {
    const CARD: Card = Card::new(
        "kpa",
        "Knative's autoscaler: requests per instance over a stable and a panic window",
    );
    const COLOR: &'static str = "#661100";

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(Kpa::new(self)?))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        let signal = context.signal;
        let requests = signal(&format!("{}_requests", context.decode_fleet())).max(1.0);
        let prompts = (signal("prefill_running") + signal("prefill_waiting")).max(0.1);
        Some(Self {
            target_utilization: headroom,
            container_concurrency_target: requests / context.decode_instances(),
            prefill_concurrency_target: Some(prompts / context.prefill_instances()),
            ..self
        })
    }
}

/// The scaling policy `kpa`.
#[derive(Debug)]
pub struct Kpa {
    config: KpaConfig,
    fleets: Vec<(FleetKind, History)>,
}

/// A fleet's history.
#[derive(Debug, Default)]
struct History {
    /// Number of requests in the fleet over time.
    seen: VecDeque<(f64, f64)>,
    panic_since: Option<f64>,
    most_in_panic: f64,
    desired: VecDeque<(f64, f64)>,
}

impl History {
    fn mean(&self, since: f64) -> f64 {
        let values = self.seen.iter().filter(|(time, _)| *time > since + 1e-9);
        let (count, sum) = values.fold((0.0, 0.0), |(n, sum), (_, value)| (n + 1.0, sum + value));
        if count > 0.0 { sum / count } else { 0.0 }
    }

    /// Desired instances, and whether panic mode is on.
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
        let desired = |requests: f64| (requests / target).ceil();
        let bounded = |size: f64| size.max(least).min(most);
        let stable = desired(self.mean(now - config.stable_window));
        let short = desired(self.mean(now - config.stable_window * config.panic_window));
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
        self.desired.push_back((now, wanted));
        while self
            .desired
            .front()
            .is_some_and(|(time, _)| *time < now - config.scale_down_delay)
        {
            self.desired.pop_front();
        }
        let wanted = self
            .desired
            .iter()
            .map(|(_, size)| *size)
            .fold(0.0, f64::max);
        (wanted, panics)
    }
}

impl Kpa {
    /// Creates the policy.
    ///
    /// # Errors
    /// A usage error for a parameter that is out of range.
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

    fn history(&mut self, kind: FleetKind) -> &mut History {
        let found = self.fleets.iter().position(|(known, _)| *known == kind);
        let index = found.unwrap_or_else(|| {
            self.fleets.push((kind, History::default()));
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
            // Requests in the cluster's own queue count as waiting for this fleet.
            let requests = f64::from(fleet.running + fleet.waiting);
            let mut config = config.clone();
            if let (FleetKind::Prefill, Some(own)) = (fleet.kind, config.prefill_concurrency_target)
            {
                config.container_concurrency_target = own;
            }
            let (wanted, panics) =
                self.history(fleet.kind)
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
        // The target is 7 of 10 requests. The stable window is 60 s, the panic window 6 s, and a decision is made every 2 s.
        let config = KpaConfig {
            container_concurrency_target: 10.0,
            ..KpaConfig::default()
        };
        let mut history = History::default();
        let mut at =
            |time, ready, requests| history.decide(&config, f64::from(time), ready, requests);
        for time in (2..=60).step_by(2) {
            // 14 requests at 7 per instance.
            assert_eq!(at(time, 2, 14.0), (2.0, false));
        }
        // 140 requests: the mean over the panic window is (14 + 14 + 140) / 3 = 56, which needs 8 instances, 4 times the ready
        // ones. Panic mode begins at once.
        assert_eq!(at(62, 2, 140.0), (8.0, true));
        // (14 + 140 + 140) / 3 = 98, which needs 14 instances.
        assert_eq!(at(64, 2, 140.0), (14.0, true));
        // The load has ended, but no instance is removed before a full stable window has passed without panic.
        for time in (66..=124).step_by(2) {
            assert_eq!(at(time, 14, 14.0), (14.0, true), "{time}");
        }
        // The last panic began at 64 s; at 126 s it is more than 60 s ago. At most half of the 14 instances may be removed.
        assert_eq!(at(126, 14, 14.0), (7.0, false));
    }

    #[test]
    fn delay_keeps_the_largest_desired_size() {
        let config = KpaConfig {
            container_concurrency_target: 10.0,
            stable_window: 2.0,
            scale_down_delay: 10.0,
            ..KpaConfig::default()
        };
        let mut history = History::default();
        assert_eq!(history.decide(&config, 2.0, 4, 28.0).0, 4.0);
        assert_eq!(history.decide(&config, 4.0, 4, 14.0).0, 4.0);
        assert_eq!(history.decide(&config, 12.0, 4, 14.0).0, 4.0);
        assert_eq!(history.decide(&config, 14.0, 4, 14.0).0, 2.0);
    }
}
