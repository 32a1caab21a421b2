//! Number of instances that a load needs.

use super::config::PlannerConfig;
use super::correction::Correction;
use super::interpolate::{Best, PerformanceModel};

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Load {
    /// Requests in an interval.
    pub num_req: f64,
    /// Prompt tokens of a request.
    pub isl: f64,
    /// Output tokens of a request.
    pub osl: f64,
}

/// Number of instances that a role needs, with remarks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Need {
    /// Instances; `None` if no capacity meets the target.
    pub(super) instances: Option<u32>,
    pub(super) note: Option<String>,
}

/// Targets and sizes.
#[derive(Debug, Clone)]
pub(super) struct Sizing {
    target_ttft_ms: f64,
    target_itl_ms: f64,
    prefill_gpus: f64,
    decode_gpus: f64,
    honour_ttft: bool,
}

/// A number of instances larger than any cluster, with which arithmetic cannot overflow.
const MOST: f64 = 1e6;

impl Sizing {
    pub(super) fn new(config: &PlannerConfig) -> Self {
        Self {
            target_ttft_ms: config.target_ttft_ms,
            target_itl_ms: config.target_itl_ms,
            prefill_gpus: f64::from(config.prefill_gpus_per_instance),
            decode_gpus: f64::from(config.decode_gpus_per_instance),
            honour_ttft: config.holds(config.honour_ttft),
        }
    }

    /// P = ceil(requests x isl / interval x min(1, c_p) / (throughput(isl) x GPUs)). `missed` is the uncached fraction of
    /// the prompt. If the TTFT target is honoured, P is raised until a prompt's waiting and computing meet it.
    pub(super) fn prefill(
        &self,
        load: &Load,
        missed: f64,
        interval: f64,
        correction: Correction,
        model: &mut dyn PerformanceModel,
    ) -> Need {
        let work = load.isl * missed;
        let demand = load.num_req * work / interval * correction.prefill.min(1.0);
        if is_none(demand) {
            return Need {
                instances: Some(0),
                note: None,
            };
        }
        let capacity = model.prefill_throughput(work) * self.prefill_gpus;
        if is_none(capacity) {
            return Need {
                instances: None,
                note: Some("the model has no prefill capacity".into()),
            };
        }
        let instances = whole(demand / capacity);
        if !self.honour_ttft {
            return Need {
                instances: Some(instances),
                note: None,
            };
        }
        let alone = model.ttft_ms(work);
        let spare = self.target_ttft_ms - alone;
        let note = (spare <= 0.0)
            .then(|| format!("the TTFT target cannot be met: a prompt alone takes {alone:.0} ms"));
        // If the target cannot be met, waiting must at least be short.
        let allowed = spare.max(0.1 * alone);
        let service = 1000.0 * work * correction.prefill.min(1.0) / capacity;
        let offered = load.num_req / interval * service / 1000.0;
        let waits = |count: u32| wait_ms(offered, service, count) > allowed;
        Need {
            instances: Some(least(instances.max(1), waits)),
            note,
        }
    }

    /// The time that the TTFT target leaves for waiting, or 0 if a prompt misses it without waiting.
    pub(super) fn ttft_is_reachable(&self, work: f64, model: &mut dyn PerformanceModel) -> bool {
        model.ttft_ms(work) < self.target_ttft_ms
    }

    /// The highest throughput of an instance within the corrected ITL target.
    pub(super) fn best(
        &self,
        load: &Load,
        correction: Correction,
        model: &mut dyn PerformanceModel,
    ) -> Best {
        let target = if correction.decode > 0.0 {
            self.target_itl_ms / correction.decode
        } else {
            self.target_itl_ms
        };
        model.best_decode(target, load.isl + load.osl / 2.0)
    }

    /// D = ceil(requests x osl / interval / (best throughput x GPUs)).
    pub(super) fn decode(
        &self,
        load: &Load,
        interval: f64,
        correction: Correction,
        model: &mut dyn PerformanceModel,
    ) -> Need {
        let demand = load.num_req * load.osl / interval;
        if is_none(demand) {
            return Need {
                instances: Some(0),
                note: None,
            };
        }
        let best = self.best(load, correction, model);
        let capacity = best.throughput_per_gpu * self.decode_gpus;
        if is_none(capacity) {
            return Need {
                instances: None,
                note: Some("the model has no decode capacity within the ITL target".into()),
            };
        }
        Need {
            instances: Some(whole(demand / capacity)),
            note: (!best.met).then(|| {
                format!(
                    "the ITL target cannot be met: the lightest load takes {:.1} ms",
                    best.itl_ms
                )
            }),
        }
    }
}

/// Whether a value is zero or invalid.
fn is_none(rate: f64) -> bool {
    rate.is_nan() || rate <= 0.0
}

fn whole(instances: f64) -> u32 {
    instances.ceil().min(MOST) as u32
}

/// The smallest count from `from` on that is accepted. Waiting decreases with every instance, so doubling and bisection
/// find it.
fn least(from: u32, refused: impl Fn(u32) -> bool) -> u32 {
    let (mut below, mut count) = (from.saturating_sub(1), from);
    while refused(count) {
        if f64::from(count) >= MOST {
            return count;
        }
        (below, count) = (count, count.saturating_mul(2).max(1));
    }
    while count - below > 1 {
        let middle = below + (count - below) / 2;
        if refused(middle) {
            below = middle;
        } else {
            count = middle;
        }
    }
    count
}

/// The mean waiting time of a request for one of `count` instances: Sakasegawa's formula for M/M/c queues (Ann. Inst.
/// Statist. Math. 29, 1977), with `offered` in Erlang and times in milliseconds.
pub fn wait_ms(offered: f64, service_ms: f64, count: u32) -> f64 {
    let count = f64::from(count);
    let busy = offered / count;
    if busy.is_nan() || busy >= 1.0 {
        return f64::INFINITY;
    }
    service_ms * libm::pow(busy, libm::sqrt(2.0 * (count + 1.0)) - 1.0) / (count * (1.0 - busy))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::planner::config::Variant;
    use crate::autoscale::planner::interpolate::Heuristic;
    use crate::autoscale::planner::replicas::*;

    const NONE: Correction = Correction {
        prefill: 1.0,
        decode: 1.0,
    };

    fn load(num_req: f64, isl: f64, osl: f64) -> Load {
        Load { num_req, isl, osl }
    }

    fn sizing() -> Sizing {
        Sizing::new(&PlannerConfig {
            variant: Variant::Sagellm,
            ..PlannerConfig::default()
        })
    }

    #[test]
    fn prefill_by_hand() {
        // 120 requests a minute of 2000 tokens: 4000 tokens/s; an instance of 4 GPUs does 4 x 200 / 1.2 = 666.7: 6 exactly,
        // but for rounding.
        let mut model = Heuristic::new(false);
        let mut need = |num_req, c_p| {
            let correction = Correction {
                prefill: c_p,
                decode: 1.0,
            };
            let load = load(num_req, 2000.0, 1.0);
            let need = sizing().prefill(&load, 1.0, 60.0, correction, &mut model);
            need.instances.unwrap()
        };
        assert_eq!(need(119.0, 1.0), 6);
        assert_eq!(need(121.0, 1.0), 7);
        // Faster than predicted: half the work. Slower: that is waiting, not work.
        assert_eq!(need(121.0, 0.5), 4);
        assert_eq!(need(121.0, 3.0), 7);
        assert_eq!(need(0.0, 1.0), 0);
    }

    #[test]
    fn decode_by_hand() {
        // Context 800 + 400 / 2 = 1000: best(34 ms) is 2000 / 34 = 58.8 tokens/s. 60 x 400 / 60 = 400 tokens/s: 6.8.
        let mut model = Heuristic::new(false);
        let sizing = Sizing::new(&PlannerConfig {
            target_itl_ms: 34.0,
            ..PlannerConfig::default()
        });
        let load = load(60.0, 800.0, 400.0);
        let need = sizing.decode(&load, 60.0, NONE, &mut model);
        assert_eq!((need.instances, need.note), (Some(7), None));
        // Measured 10 % above the model: best(30.9) is 0.45 requests in 30.9 ms, 14.7 tokens/s.
        let slow = Correction {
            decode: 1.1,
            ..NONE
        };
        let need = sizing.decode(&load, 60.0, slow, &mut model);
        assert_eq!(need.instances, Some(28));
        // An invalid factor leaves the target unchanged.
        let nothing = Correction {
            decode: 0.0,
            ..NONE
        };
        assert_eq!(
            sizing.decode(&load, 60.0, nothing, &mut model).instances,
            Some(7)
        );
        let far = Correction {
            decode: 2.0,
            ..NONE
        };
        let need = sizing.decode(&load, 60.0, far, &mut model);
        assert_eq!(need.instances, None);
        assert!(need.note.unwrap().contains("no decode capacity"));
    }

    #[test]
    fn cached_tokens_are_no_work() {
        let mut model = Heuristic::new(false);
        let load = load(120.0, 4000.0, 1.0);
        let need = sizing().prefill(&load, 0.5, 60.0, NONE, &mut model);
        let half = super::Load {
            isl: 2000.0,
            ..load
        };
        assert_eq!(need, sizing().prefill(&half, 1.0, 60.0, NONE, &mut model));
    }

    #[test]
    fn waiting_by_hand() {
        // One server: M/M/1 exactly, S rho / (1 - rho).
        assert!((wait_ms(0.5, 100.0, 1) - 100.0).abs() < 1e-9);
        assert!((wait_ms(0.9, 100.0, 1) - 900.0).abs() < 1e-9);
        assert_eq!(wait_ms(1.0, 100.0, 1), f64::INFINITY);
        // Two at 0.8 Erlang each: Erlang C gives 177.8 ms.
        assert!((wait_ms(1.6, 100.0, 2) - 177.8).abs() < 4.0);
    }

    #[test]
    fn the_ttft_target_counts() {
        let mut model = Heuristic::new(false);
        let count = |target| {
            let config = PlannerConfig {
                target_ttft_ms: target,
                ..PlannerConfig::default()
            };
            let need = Sizing::new(&config).prefill(
                &load(120.0, 2000.0, 1.0),
                1.0,
                60.0,
                NONE,
                &mut model,
            );
            need.instances.unwrap()
        };
        let mut count = count;
        // 6 instances would be busy all the time.
        let (strict, lax, endless) = (count(300.0), count(2000.0), count(1e9));
        assert!(
            strict > lax && lax >= endless && endless >= 6,
            "{strict} {lax} {endless}"
        );
    }
}
