//! Parameters for each policy from what the pressure test saw, with some room to spare: what HeteroScale's Algorithm 1 calls
//! workload-centric curation.

use super::load_test::Capacity;
use crate::autoscale::AutoscalingSection;
use crate::autoscale::policy::{self, Hours, Metric, PrefillRate, Rounding, TargetType};
use crate::scenario::ScenarioConfig;

/// InstanceSpec of its capacity that an instance is to carry.
pub const HEADROOMS: [f64; 4] = [0.5, 0.6, 0.7, 0.8];

/// Seconds after a scale-out and after a change, for policies that do not pace themselves.
pub const COOLDOWNS: [(f64, f64); 2] = [(10.0, 60.0), (30.0, 180.0)];

/// Policies that are tried: all but `no_autoscaling`, which has nothing to tune, and `script`, which only its author can.
pub fn policies() -> Vec<&'static str> {
    let names = policy::POLICIES.iter().map(|policy| policy.name);
    names
        .filter(|name| !matches!(*name, "no_autoscaling" | "script"))
        .collect()
}

/// One setting of one policy.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The policy.
    pub policy: &'static str,
    /// In words: what part of its capacity an instance carries, and the cooldowns.
    pub setting: String,
    /// The whole configuration.
    pub config: ScenarioConfig,
}

/// What candidates are made of.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) config: &'a ScenarioConfig,
    pub(super) capacity: &'a Capacity,
    /// Requests per second in each of 24 equal parts of the trace.
    pub(super) hours: [f64; 24],
    /// What an SLA planner asks, if there is one.
    pub(super) profile: Option<&'a std::path::Path>,
    /// How long the trace is, in seconds.
    pub(super) span: f64,
}

impl Ground<'_> {
    /// Instances of prefill and decode for a rate, if each carries a part of its capacity; at least one of each.
    pub(super) fn sizes(&self, rate: f64, headroom: f64) -> (u32, u32) {
        let all = rate / (self.capacity.rate * headroom).max(1e-9);
        let of = |size: u32| Rounding::Up.apply(all * f64::from(size)).max(1);
        (of(self.capacity.prefill), of(self.capacity.decode))
    }

    /// All settings of a policy.
    pub(super) fn candidates(&self, policy: &'static str) -> Vec<Candidate> {
        let paced = matches!(
            policy,
            "heteroscale"
                | "hpa_gpu"
                | "independent_tps"
                | "pure_latency"
                | "latency_ttft"
                | "utilization"
                | "queue"
        );
        let cooldowns = if paced {
            &COOLDOWNS[..]
        } else {
            &COOLDOWNS[..1]
        };
        let mut candidates = Vec::new();
        for headroom in HEADROOMS {
            for (out, inwards) in cooldowns {
                let mut config = self.config.clone();
                let section = &mut config.autoscaling;
                section.policy = policy.to_owned();
                if paced {
                    section.interval_seconds = Some(10.0);
                    section.scale_out_cooldown_seconds = Some(*out);
                    section.scale_in_cooldown_seconds = Some(*inwards);
                }
                self.tune(section, policy, headroom);
                let pace = if paced {
                    format!(", cooldowns {out} and {inwards} s")
                } else {
                    String::new()
                };
                candidates.push(Candidate {
                    policy,
                    setting: format!("{:.0} % of capacity{pace}", headroom * 100.0),
                    config,
                });
            }
        }
        candidates
    }

    /// Sets a policy's parameters so that an instance carries a part of what it could.
    fn tune(&self, section: &mut AutoscalingSection, policy: &str, headroom: f64) {
        let seen = &self.capacity.seen;
        let (prefill, decode) = (
            f64::from(self.capacity.prefill.max(1)),
            f64::from(self.capacity.decode.max(1)),
        );
        let slo = &self.config.slo;
        let part = |name: &str| (seen.get(name) * headroom).max(1e-3);
        // Where there is one fleet, it is the one that decodes.
        let main = if self.capacity.prefill > 0 {
            "decode"
        } else {
            "aggregated"
        };
        let of_main = |name: &str| part(&format!("{main}_{name}"));
        match policy {
            "heteroscale" => {
                let own = &mut section.heteroscale;
                own.target_tps = part("decode_tps") / (prefill + decode);
                own.pd_ratio = prefill / decode;
                own.tbt_slo = slo.tbt_seconds;
                own.out_threshold = 0.1;
                own.in_threshold = 0.1;
                own.rounding = Rounding::Up;
            }
            "hpa_gpu" => {
                section.hpa_gpu.prefill_target = part("prefill_busy");
                section.hpa_gpu.decode_target = of_main("busy");
            }
            "independent_tps" => {
                let own = &mut section.independent_tps;
                own.prefill_rate = PrefillRate::CacheMissedTokens;
                own.prefill_target = part("cache_missed_tps") / prefill;
                own.decode_target = part("decode_tps") / decode;
                own.rounding = Rounding::Up;
            }
            "pure_latency" => section.pure_latency.tbt_slo = slo.tbt_seconds * headroom,
            "latency_ttft" => {
                section.latency_ttft.ttft_target = slo.ttft_seconds * headroom;
                section.latency_ttft.tbt_target = Some(slo.tbt_seconds * headroom);
            }
            "periodic" => {
                let own = &mut section.periodic;
                own.day_seconds = self.span.max(1.0);
                own.start_hour = 0.0;
                let hour = |(index, rate): (usize, &f64)| {
                    let (prefill, decode) = self.sizes(*rate, headroom);
                    let split = self.capacity.prefill > 0;
                    Hours {
                        from: index as f64,
                        to: index as f64 + 1.0,
                        prefill: split.then_some(prefill),
                        decode: split.then_some(decode),
                        aggregated: (!split).then_some(decode),
                    }
                };
                own.hours = self.hours.iter().enumerate().map(hour).collect();
            }
            "utilization" => {
                section.utilization.high = of_main("kv_usage");
                section.utilization.low = of_main("kv_usage") * 0.5;
            }
            "queue" => {
                let own = &mut section.queue;
                let tokens = |name: &str| seen.get(name).max(100.0) * headroom;
                own.prefill_high = tokens("prefill_queue_tokens") as u64;
                own.prefill_low = own.prefill_high / 10;
                own.decode_high = tokens(&format!("{main}_queue_tokens")) as u64;
                own.decode_low = own.decode_high / 10;
                own.step = 1;
            }
            "sla" => {
                let own = &mut section.sla;
                own.target_ttft_ms = slo.ttft_seconds * 1e3 * headroom;
                own.target_itl_ms = slo.tbt_seconds * 1e3 * headroom;
                own.profile_data_dir = self.profile.map(std::path::Path::to_path_buf);
                own.adjustment_interval_sec = 30.0;
                own.max_gpu_budget = -1;
                own.max_prefill_instances = section.prefill.max;
                own.max_decode_instances = section.decode.max;
                own.load_predictor_type = "kalman".into();
            }
            "hpa_v2" => {
                let metric = |fleet: &str, signal: &str, kind, target| Metric {
                    fleet: fleet.to_owned(),
                    signal: signal.to_owned(),
                    target,
                    kind,
                };
                section.hpa_v2.metrics = vec![
                    metric(
                        "prefill",
                        "busy",
                        TargetType::Utilization,
                        part("prefill_busy"),
                    ),
                    metric(
                        main,
                        "requests",
                        TargetType::AverageValue,
                        of_main("requests") / decode,
                    ),
                ];
                section.hpa_v2.scale_down.stabilization_window_seconds = 120.0;
            }
            "kpa" => {
                let own = &mut section.kpa;
                own.target_utilization = headroom;
                own.container_concurrency_target =
                    seen.get(&format!("{main}_requests")).max(1.0) / decode;
                let prompts = seen.get("prefill_running") + seen.get("prefill_waiting");
                own.prefill_concurrency_target = Some(prompts.max(0.1) / prefill);
            }
            "wva" => {
                let own = &mut section.wva;
                own.kv_cache_threshold = of_main("kv_usage").min(0.95);
                own.kv_spare_trigger = own.kv_cache_threshold / 8.0;
            }
            _ => {}
        }
    }
}
