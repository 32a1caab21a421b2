//! Kubernetes' horizontal pod autoscaler, `autoscaling/v2`. Each signal is compared with its own target, and the largest
//! desired size applies. A tolerance, stabilisation windows and rate limits bound scaling in both directions (kubernetes,
//! `pkg/controller/podautoscaler/{replica_calculator,horizontal}.go`).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Decision, Pace, PolicyConfig, PolicyContext, Rounding, ScalingPolicy, TuningContext};
use crate::autoscale::signals::{FLEET_SIGNALS, Fleet, FleetKind, SIGNALS, Signals};
use crate::base::check::positive;
use crate::base::error::{Error, Result};
use crate::base::registry::Card;

/// How a signal is compared with its target, and what the signal measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TargetType {
    /// A mean over instances, such as utilisation: desired = current x signal / target.
    #[default]
    Utilization,
    /// A sum over instances: desired = signal / target.
    AverageValue,
    /// A value of the whole service, such as a latency: desired = current x signal / target.
    Value,
}

/// A signal and its target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// The fleet that the signal scales.
    pub fleet: String,
    /// Name of the signal, of the fleet or of the cluster.
    pub signal: String,
    /// Target value.
    pub target: f64,
    /// How the signal is compared with its target.
    #[serde(default, rename = "type")]
    pub kind: TargetType,
}

/// Limits on scaling in one direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behavior {
    /// Stabilisation window in seconds: the most cautious desired size within it applies.
    pub stabilization_window_seconds: f64,
    /// Maximum number of instances added or removed in a period.
    pub pods: Option<u32>,
    /// Maximum change in a period, as a percentage of the instances at its beginning.
    pub percent: Option<f64>,
    /// Length of a period in seconds.
    pub period_seconds: f64,
}

/// Parameters under Kubernetes' names, with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HpaV2Config {
    /// Signals with their targets; among the signals of one fleet, the one with the largest desired size decides.
    pub metrics: Vec<Metric>,
    /// Tolerance: a signal within this fraction of its target changes nothing.
    pub tolerance: f64,
    /// Seconds between two decisions.
    pub sync_period_seconds: f64,
    /// Limits on scale-out.
    pub scale_up: Behavior,
    /// Limits on scale-in.
    pub scale_down: Behavior,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            stabilization_window_seconds: 0.0,
            pods: None,
            percent: Some(100.0),
            period_seconds: 15.0,
        }
    }
}

impl Default for HpaV2Config {
    fn default() -> Self {
        let metric = |fleet: FleetKind, signal: &str, target| Metric {
            fleet: fleet.name().to_owned(),
            signal: signal.to_owned(),
            target,
            kind: TargetType::Utilization,
        };
        Self {
            metrics: vec![
                metric(FleetKind::Prefill, "busy", 0.7),
                metric(FleetKind::Decode, "kv_usage", 0.7),
                metric(FleetKind::Aggregated, "kv_usage", 0.7),
            ],
            tolerance: 0.1,
            sync_period_seconds: 15.0,
            scale_up: Behavior {
                pods: Some(4),
                ..Behavior::default()
            },
            scale_down: Behavior {
                stabilization_window_seconds: 300.0,
                ..Behavior::default()
            },
        }
    }
}

impl PolicyConfig for HpaV2Config {
    const CARD: Card = Card::new(
        "hpa_v2",
        "Kubernetes' horizontal pod autoscaler: any signals, tolerance, stabilisation windows",
    );
    const COLOR: &'static str = "#117733";

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(HpaV2::new(self)?))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        let metric = |fleet: &str, signal: &str, kind, target| Metric {
            fleet: fleet.to_owned(),
            signal: signal.to_owned(),
            target,
            kind,
        };
        let busy = context.share("prefill_busy", headroom);
        let requests = context.decode_share("requests", headroom) / context.decode_instances();
        let metrics = vec![
            metric("prefill", "busy", TargetType::Utilization, busy),
            metric(
                context.decode_fleet(),
                "requests",
                TargetType::AverageValue,
                requests,
            ),
        ];
        let scale_down = Behavior {
            stabilization_window_seconds: 120.0,
            ..self.scale_down.clone()
        };
        Some(Self {
            metrics,
            scale_down,
            ..self
        })
    }
}

/// The scaling policy `hpa_v2`.
#[derive(Debug)]
pub struct HpaV2 {
    config: HpaV2Config,
    fleets: Vec<(FleetKind, Past)>,
}

/// A fleet's history.
#[derive(Debug, Default)]
struct Past {
    desired: VecDeque<(f64, u32)>,
    /// Changes in the number of instances, by time.
    changes: VecDeque<(f64, i64)>,
    last: Option<u32>,
}

impl HpaV2 {
    /// Creates the policy.
    ///
    /// # Errors
    /// A usage error for a parameter that is out of range or a signal that does not exist.
    pub fn new(config: HpaV2Config) -> Result<Self> {
        positive("autoscaling.hpa_v2.tolerance", config.tolerance, true)?;
        positive(
            "autoscaling.hpa_v2.sync_period_seconds",
            config.sync_period_seconds,
            false,
        )?;
        let probe = Signals::empty();
        for metric in &config.metrics {
            positive(
                &format!("autoscaling.hpa_v2: target of {}", metric.signal),
                metric.target,
                false,
            )?;
            let kinds = ["prefill", "decode", "mixed", "aggregated"];
            if !kinds.contains(&metric.fleet.as_str()) {
                return Err(Error::unknown_name("fleet", &metric.fleet, &kinds));
            }
            let of_fleet = Fleet::none(FleetKind::Prefill).signal(&metric.signal);
            if of_fleet.or_else(|| probe.signal(&metric.signal)).is_none() {
                let names: Vec<&str> = FLEET_SIGNALS
                    .iter()
                    .map(|signal| signal.name)
                    .chain(SIGNALS.iter().map(|signal| signal.name))
                    .collect();
                return Err(Error::unknown_name("signal", &metric.signal, &names));
            }
        }
        Ok(Self {
            config,
            fleets: Vec::new(),
        })
    }

    /// Desired number of instances by one signal.
    fn desired(&self, metric: &Metric, fleet: &Fleet, signals: &Signals) -> Option<u32> {
        let own = fleet.signal(&metric.signal);
        let value = own.or_else(|| signals.signal(&metric.signal))?;
        let (ready, all) = (f64::from(fleet.ready), f64::from(fleet.provisioned()));
        let near = |ratio: f64| (ratio - 1.0).abs() <= self.config.tolerance;
        let up = |size: f64| Rounding::Up.apply(size);
        if metric.kind == TargetType::AverageValue {
            let ratio = value / (metric.target * all.max(1.0));
            return Some(if near(ratio) {
                fleet.provisioned()
            } else {
                up(value / metric.target)
            });
        }
        let ratio = value / metric.target;
        if near(ratio) {
            return Some(fleet.provisioned());
        }
        if fleet.starting == 0 || ratio < 1.0 {
            return Some(up(ratio * ready).min(fleet.provisioned().max(up(ratio * ready))));
        }
        // Instances that are not ready count as idle. If that would turn a scale-out into a scale-in, the size does not change.
        let careful = ratio * ready / all.max(1.0);
        if near(careful) || careful < 1.0 {
            return Some(fleet.provisioned());
        }
        Some(up(careful * all))
    }

    fn past(&mut self, kind: FleetKind) -> &mut Past {
        let found = self.fleets.iter().position(|(known, _)| *known == kind);
        let index = found.unwrap_or_else(|| {
            self.fleets.push((kind, Past::default()));
            self.fleets.len() - 1
        });
        &mut self.fleets[index].1
    }
}

impl Past {
    /// The desired size after stabilisation and rate limits.
    fn stabilise(&mut self, config: &HpaV2Config, now: f64, have: u32, desired: u32) -> u32 {
        if let Some(last) = self.last
            && last != have
        {
            self.changes
                .push_back((now, i64::from(have) - i64::from(last)));
        }
        self.last = Some(have);
        let windows = [&config.scale_up, &config.scale_down];
        let longest = windows
            .iter()
            .map(|behavior| behavior.stabilization_window_seconds)
            .fold(0.0, f64::max);
        self.desired.push_back((now, desired));
        while self
            .desired
            .front()
            .is_some_and(|(time, _)| *time < now - longest)
        {
            self.desired.pop_front();
        }
        let within = |window: f64| {
            self.desired
                .iter()
                .filter(move |(time, _)| *time >= now - window)
                .map(|(_, size)| *size)
        };
        // A scale-out uses the smallest desired size within its window, a scale-in the largest within its own.
        let least = within(config.scale_up.stabilization_window_seconds).min();
        let most = within(config.scale_down.stabilization_window_seconds).max();
        let mut size = have;
        if size < least.unwrap_or(size) {
            size = least.unwrap_or(size);
        }
        if size > most.unwrap_or(size) {
            size = most.unwrap_or(size);
        }
        let begun = |behavior: &Behavior, sign: i64| {
            let changes = self.changes.iter();
            let recent = changes.filter(|(time, change)| {
                *time > now - behavior.period_seconds && change.signum() == sign
            });
            i64::from(have) - recent.map(|(_, change)| change).sum::<i64>()
        };
        if size > have {
            let start = begun(&config.scale_up, 1);
            let by_pods = config.scale_up.pods.map(|pods| start + i64::from(pods));
            let by_percent = config
                .scale_up
                .percent
                .map(|percent| (start as f64 * (1.0 + percent / 100.0)).ceil() as i64);
            if let Some(limit) = by_pods.max(by_percent) {
                size = size.min(limit.max(i64::from(have)) as u32);
            }
        } else if size < have {
            let start = begun(&config.scale_down, -1);
            let by_pods = config.scale_down.pods.map(|pods| start - i64::from(pods));
            let by_percent = config
                .scale_down
                .percent
                .map(|percent| (start as f64 * (1.0 - percent / 100.0)) as i64);
            let limit = match (by_pods, by_percent) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            if let Some(limit) = limit {
                size = size.max(limit.clamp(0, i64::from(have)) as u32);
            }
        }
        size
    }
}

impl ScalingPolicy for HpaV2 {
    fn pace(&self) -> Pace {
        Pace::every(self.config.sync_period_seconds)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let config = self.config.clone();
        let mut seen = Vec::new();
        let decision = Decision::map(signals, "", |fleet| {
            let mine = config
                .metrics
                .iter()
                .filter(|metric| metric.fleet == fleet.kind.name());
            let mut desired = None;
            for metric in mine {
                let one = self.desired(metric, fleet, signals);
                if let Some(one) = one {
                    seen.push(format!("{} {}: {one}", metric.fleet, metric.signal));
                }
                desired = desired.max(one);
            }
            let Some(desired) = desired else {
                return fleet.provisioned();
            };
            let now = signals.time;
            self.past(fleet.kind)
                .stabilise(&config, now, fleet.provisioned(), desired)
        });
        Decision {
            reason: format!("desired instances: {}", seen.join(", ")),
            ..decision
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::hpa_v2::*;
    use crate::autoscale::testing::signals;

    fn policy() -> HpaV2 {
        HpaV2::new(HpaV2Config::default()).unwrap_or_else(|_| unreachable!())
    }

    #[test]
    fn ratios_by_hand() {
        // 0.91 / 0.7 = 1.3: 4 x 1.3 = 5.2, rounded up to 6. 0.76 / 0.7 = 1.086 is within the tolerance.
        let mut seen = signals(4, 4);
        seen.fleets[0].busy = 0.91;
        seen.fleets[1].kv_usage = 0.76;
        assert_eq!(policy().decide(&seen).targets, [6, 4]);
        // Two more instances start and count as idle: 0.91 x 4 / 6 = 0.607 is below the target, so nothing changes.
        seen.fleets[0].starting = 2;
        assert_eq!(policy().decide(&seen).targets, [6, 4]);
    }

    #[test]
    fn speed_and_stabilisation_by_hand() {
        let mut policy = policy();
        let mut seen = signals(2, 2);
        // The decode fleet's desired size is 2 x 7 / 0.7 = 20, but at most 4 instances or 100 % may be added in 15 s: 6.
        seen.fleets[0].busy = 0.7;
        seen.fleets[1].kv_usage = 7.0;
        seen.time = 15.0;
        assert_eq!(policy.decide(&seen).targets, [2, 6]);
        // The fleet is idle from here on. The largest desired size of the last 300 s was 20, so no instance is removed until
        // that window has passed.
        let mut seen = signals(2, 6);
        seen.fleets[0].busy = 0.7;
        seen.time = 30.0;
        assert_eq!(policy.decide(&seen).targets, [2, 6]);
        seen.time = 315.0;
        assert_eq!(policy.decide(&seen).targets, [2, 6]);
        seen.time = 330.0;
        assert_eq!(policy.decide(&seen).targets, [2, 0]);
    }

    #[test]
    fn unknown_signals_are_refused() {
        let mut config = HpaV2Config::default();
        config.metrics[0].signal = "bussy".to_owned();
        let error = HpaV2::new(config).err().map(|error| error.to_string());
        assert!(error.unwrap_or_default().contains("busy"));
    }
}
