//! The planner as a whole, and what went wrong for others.

use proptest::prelude::*;

use super::interpolate::{Best, PerformanceModel};
use super::*;

/// An instance that computes 10,000 prompt tokens per second and GPU, and up to 10 requests at 10 ms a token each.
#[derive(Debug)]
struct Plain;

impl PerformanceModel for Plain {
    fn ttft_ms(&mut self, isl: f64) -> f64 {
        isl / 10.0
    }

    fn prefill_throughput(&mut self, _: f64) -> f64 {
        10_000.0
    }

    fn itl_ms(&mut self, concurrency: f64, _: f64) -> f64 {
        5.0 + concurrency / 2.0
    }

    fn best_decode(&mut self, itl_ms: f64, _: f64) -> Best {
        let concurrency = (2.0 * (itl_ms - 5.0)).clamp(0.0, 10.0);
        Best {
            throughput_per_gpu: 1000.0 * concurrency / itl_ms,
            itl_ms: 5.0 + concurrency / 2.0,
            kv_usage: concurrency / 10.0,
            met: itl_ms >= 5.0,
        }
    }
}

fn config(variant: Variant) -> PlannerConfig {
    PlannerConfig {
        variant,
        target_ttft_ms: 300.0,
        target_itl_ms: 10.0,
        prefill_gpus_per_instance: 1,
        ..PlannerConfig::default()
    }
}

fn planner(config: PlannerConfig) -> Planner {
    Planner::with_model(config, Box::new(Plain)).unwrap()
}

/// A minute with requests of 1000 prompt and 100 output tokens, measured as the model says.
fn minute(requests: f64, prefill: u32, decode: u32) -> Observation {
    let busy = requests > 0.0;
    Observation {
        interval_sec: 60.0,
        num_req: Some(requests),
        isl: busy.then_some(1000.0),
        osl: busy.then_some(100.0),
        ttft_ms: busy.then_some(100.0),
        itl_ms: busy.then_some(10.0),
        request_duration_sec: busy.then_some(1.1),
        ready_prefill: prefill,
        ready_decode: decode,
        ..Observation::default()
    }
}

#[test]
fn a_tick_by_hand() {
    // 1800 a minute: 30 x 1000 = 30,000 prompt tokens/s make 3 instances. Concurrency 1800 / 3 x 1.1 / 60 = 11 on each of 3
    // decode instances, foretold 10.5 ms, measured 10: c_d = 0.952, target 10.5 ms, 10 requests: 952.4 tokens/s; 3000 make 4.
    let mut planner = planner(config(Variant::Dynamo));
    let decision = planner.tick(&minute(1800.0, 3, 3));
    assert_eq!((decision.c_p, decision.raw_prefill), (1.0, Some(3)));
    assert!((decision.c_d - 10.0 / 10.5).abs() < 1e-12);
    assert_eq!(
        (decision.raw_decode, decision.prefill, decision.decode),
        (Some(4), 3, 4)
    );
    assert_eq!(decision.reason, "");
    let predicted = Load {
        num_req: 1800.0,
        isl: 1000.0,
        osl: 100.0,
    };
    assert_eq!(decision.predicted, Some(predicted));
}

#[test]
fn idle_intervals_scale_in() {
    for variant in [Variant::Dynamo, Variant::Sagellm] {
        let mut planner = planner(config(variant));
        planner.tick(&minute(1800.0, 3, 4));
        let decision = planner.tick(&minute(0.0, 3, 4));
        assert_eq!(
            (decision.held, decision.prefill, decision.decode),
            (false, 1, 1)
        );
    }
    // One at a time, unless told otherwise.
    let mut planner = planner(config(Variant::Replay));
    planner.tick(&minute(1800.0, 3, 4));
    let decision = planner.tick(&minute(0.0, 3, 4));
    assert_eq!((decision.prefill, decision.decode), (2, 3));
    assert!(decision.reason.contains("step"));
}

#[test]
fn missing_measurements_hold() {
    type Damage = fn(&mut Observation);
    let damages: [(Damage, &str); 7] = [
        (|o| o.num_req = None, "number of requests"),
        (|o| o.num_req = Some(f64::NAN), "number of requests"),
        (|o| o.isl = None, "length"),
        (|o| o.osl = Some(f64::NAN), "length"),
        (|o| o.ttft_ms = None, "TTFT"),
        (|o| o.itl_ms = Some(f64::INFINITY), "ITL"),
        (|o| o.fault = Some("server down".into()), "server down"),
    ];
    for variant in [Variant::Replay, Variant::Dynamo, Variant::Sagellm] {
        for (damage, told) in damages {
            let mut planner = planner(config(variant));
            planner.tick(&minute(1800.0, 5, 7));
            let mut seen = minute(1800.0, 5, 7);
            damage(&mut seen);
            let decision = planner.tick(&seen);
            assert_eq!(
                (decision.held, decision.prefill, decision.decode),
                (true, 5, 7)
            );
            assert!(decision.reason.contains(told), "{}", decision.reason);
            // And it finds back.
            assert!(!planner.tick(&minute(1800.0, 5, 7)).held);
        }
    }
}

#[test]
fn no_flapping_when_the_model_has_no_capacity() {
    // An ITL target that nothing keeps: the sources fall to the minimum, from there TTFT explodes, and so on.
    let text = PlannerConfig {
        target_itl_ms: 4.0,
        ..config(Variant::Replay)
    };
    let mut planner = planner(text.clone());
    for _ in 0..10 {
        // 16.5 requests an instance: measured as foretold.
        let seen = Observation {
            itl_ms: Some(13.25),
            ..minute(1800.0, 3, 2)
        };
        let decision = planner.tick(&seen);
        assert_eq!(decision.decode, 2);
        assert!(decision.reason.contains("no decode capacity"));
    }
    let mut theirs = super::tests::planner(PlannerConfig {
        variant: Variant::Dynamo,
        ..text
    });
    let decision = theirs.tick(&served(1800.0, 4, 2));
    assert_eq!((decision.decode, decision.raw_decode), (1, None));
}

/// A cluster that answers as [`Plain`] does, with queues.
fn served(requests: f64, prefill: u32, decode: u32) -> Observation {
    let offered = requests / 60.0 * 0.1;
    let wait = replicas::wait_ms(offered, 100.0, prefill).min(31_000.0);
    let concurrency = requests / 60.0 * 1.0 / f64::from(decode);
    Observation {
        ttft_ms: Some(100.0 + wait),
        itl_ms: Some(5.0 + concurrency / 2.0),
        request_duration_sec: Some(1.0 + wait / 1000.0),
        ..minute(requests, prefill, decode)
    }
}

#[test]
fn a_steady_load_finds_a_steady_count_that_keeps_the_target() {
    for requests in [300.0, 550.0, 595.0, 605.0, 1199.0, 1800.0, 3000.0] {
        let mut planner = planner(config(Variant::Replay));
        let (mut prefill, mut decode) = (1, 1);
        let mut last = Vec::new();
        for tick in 0..40 {
            let decision = planner.tick(&served(requests, prefill, decode));
            (prefill, decode) = (decision.prefill, decision.decode);
            if tick >= 30 {
                last.push((prefill, decode));
            }
        }
        assert!(
            last.iter().all(|pair| *pair == last[0]),
            "{requests}: {last:?}"
        );
        let end = served(requests, prefill, decode);
        assert!(end.ttft_ms.unwrap() <= 300.0, "{requests}: {end:?}");
        assert!(end.itl_ms.unwrap() <= 10.0, "{requests}: {end:?}");
    }
}

#[test]
fn the_ttft_target_enters_the_count() {
    // 595 requests a minute keep one instance 99 % busy: enough for the sources, and prompts wait for ten seconds.
    let mut theirs = planner(config(Variant::Dynamo));
    assert_eq!(theirs.tick(&served(595.0, 1, 2)).prefill, 1);
    let mut ours = planner(config(Variant::Replay));
    assert_eq!(ours.tick(&served(595.0, 1, 2)).prefill, 2);
}

#[test]
fn demand_is_what_arrives() {
    // 3000 arrive, 600 are completed, since one instance serves no more; 2400 wait.
    let seen = Observation {
        arrivals: Some(3000.0),
        queue_length: Some(2400.0),
        ..minute(600.0, 1, 2)
    };
    let mut ours = planner(PlannerConfig {
        limit_steps: Some(false),
        ..config(Variant::Replay)
    });
    let decision = ours.tick(&seen);
    assert_eq!(decision.predicted.unwrap().num_req, 3000.0);
    // 5400 x 1000 / 60 = 90,000 tokens/s.
    assert!(decision.raw_prefill.unwrap() >= 9);
    let mut theirs = planner(config(Variant::Dynamo));
    assert_eq!(theirs.tick(&seen).raw_prefill, Some(1));
    // Nothing completed at all is not idleness.
    let stuck = Observation {
        arrivals: Some(3000.0),
        ..minute(0.0, 1, 2)
    };
    assert!(ours.tick(&stuck).raw_prefill.unwrap() >= 5);
    let mut fresh = planner(config(Variant::Replay));
    let decision = fresh.tick(&stuck);
    assert!(decision.held && decision.reason.contains("none has finished"));
}

#[test]
fn cold_start_samples_do_not_collapse_the_estimate() {
    // After a start, two requests come with a TTFT of 40 s. The sources then believe in any factor; and a cold cache makes
    // one interval's ITL a tenth of what it will be.
    let cold = Observation {
        num_req: Some(2.0),
        ttft_ms: Some(40_000.0),
        itl_ms: Some(1.0),
        ..minute(2.0, 3, 4)
    };
    let mut ours = planner(config(Variant::Replay));
    ours.tick(&minute(1800.0, 3, 4));
    let before = (
        ours.tick(&minute(1800.0, 3, 4)).c_p,
        ours.tick(&minute(1800.0, 3, 4)).c_d,
    );
    let decision = ours.tick(&cold);
    assert!((decision.c_p - before.0).abs() < 0.1 && (decision.c_d - before.1).abs() < 0.1);
    let mut theirs = planner(config(Variant::Dynamo));
    theirs.tick(&minute(1800.0, 3, 4));
    assert!(theirs.tick(&cold).c_p > 100.0);
}

#[test]
fn the_budget_has_the_last_word() {
    // 6 and 20 wanted, 16 GPUs.
    let mut planner = planner(PlannerConfig {
        max_gpu_budget: 16,
        limit_steps: Some(false),
        ..config(Variant::Replay)
    });
    let decision = planner.tick(&minute(9000.0, 10, 6));
    assert!(decision.prefill + decision.decode <= 16);
    assert!(decision.reason.contains("budget"), "{}", decision.reason);
    // Also where it finds more than it allows.
    let decision = planner.tick(&minute(9000.0, 10, 20));
    assert!(decision.prefill + decision.decode <= 16);
}

#[test]
fn empty_intervals_stay_on_the_time_axis() {
    let mut planner = planner(PlannerConfig {
        load_predictor_type: "moving_average".into(),
        ..config(Variant::Replay)
    });
    let mut last = None;
    for requests in [600.0, 0.0, 0.0, 600.0] {
        last = planner.tick(&minute(requests, 1, 2)).predicted;
    }
    let last = last.unwrap();
    // Half of the time there was nothing; when there was, prompts had 1000 tokens.
    assert_eq!((last.num_req, last.isl), (300.0, 1000.0));
}

#[test]
fn starting_instances_are_capacity_to_come() {
    let seen = Observation {
        starting_prefill: 3,
        ..served(1800.0, 1, 4)
    };
    let mut planner = planner(PlannerConfig {
        max_scale_out_per_tick: 1,
        ..config(Variant::Replay)
    });
    let decision = planner.tick(&seen);
    // One ready and three starting: four are there, and no fifth is asked for because of the present queue.
    assert_eq!(decision.prefill, 4);
}

#[test]
fn scale_in_waits_until_fewer_are_enough() {
    // ARIMA or not, one quiet minute foretold does not take away what the last minute needed.
    let mut planner = planner(PlannerConfig {
        load_predictor_type: "moving_average".into(),
        ..config(Variant::Replay)
    });
    for _ in 0..9 {
        planner.tick(&minute(60.0, 4, 5));
    }
    let decision = planner.tick(&minute(1800.0, 4, 5));
    assert!(decision.raw_prefill.unwrap() < 4);
    assert_eq!((decision.prefill, decision.decode), (4, 5));
    assert!(
        decision
            .reason
            .contains("prefill: fewer instances would miss the target")
    );
}

#[test]
fn cached_prompts_need_no_prefill() {
    let seen = Observation {
        cache_hit_ratio: Some(0.75),
        ttft_ms: Some(25.0),
        ..minute(4800.0, 8, 9)
    };
    let mut ours = planner(config(Variant::Replay));
    let decision = ours.tick(&seen);
    // 80 x 250 tokens a second, and TTFT as foretold for 250 tokens.
    assert_eq!(decision.c_p, 1.0);
    assert!(decision.raw_prefill.unwrap() <= 3, "{decision:?}");
    let mut theirs = planner(config(Variant::Dynamo));
    let decision = theirs.tick(&seen);
    // The factor says the same: 80 x 1000 x 0.25 / 10,000.
    assert_eq!((decision.c_p, decision.raw_prefill), (0.25, Some(2)));
}

#[test]
fn a_dry_run_says_so() {
    let mut planner = planner(PlannerConfig {
        no_operation: true,
        ..config(Variant::Replay)
    });
    assert!(planner.tick(&minute(60.0, 1, 1)).reason.contains("dry run"));
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let value = |high: f64| prop_oneof![4 => (0.0..high).prop_map(Some), 1 => Just(None)];
    let measurements = (
        value(20_000.0),
        value(20_000.0),
        value(20_000.0),
        value(2000.0),
        value(50_000.0),
        value(500.0),
    );
    let cluster = (
        1_u32..12,
        0_u32..4,
        1_u32..24,
        0_u32..4,
        value(1.0),
        value(5000.0),
    );
    (measurements, cluster).prop_map(
        |((n, a, isl, osl, ttft, itl), (rp, sp, rd, sd, hits, queue))| Observation {
            interval_sec: 60.0,
            num_req: n,
            arrivals: a,
            isl,
            osl,
            ttft_ms: ttft,
            itl_ms: itl,
            cache_hit_ratio: hits,
            queue_length: queue,
            ready_prefill: rp,
            starting_prefill: sp,
            ready_decode: rd,
            starting_decode: sd,
            ..Observation::default()
        },
    )
}

proptest! {
    #[test]
    fn always_within_bounds_and_budget(
        series in prop::collection::vec(any_observation(), 1..8),
        variant in prop_oneof![Just(Variant::Replay), Just(Variant::Dynamo)],
        gpus in 5_i64..60,
    ) {
        let mut planner = planner(PlannerConfig {
            max_gpu_budget: gpus,
            prefill_gpus_per_instance: 4,
            ..config(variant)
        });
        for seen in &series {
            let decision = planner.tick(seen);
            if decision.held {
                let there = (seen.ready_prefill + seen.starting_prefill, seen.ready_decode + seen.starting_decode);
                prop_assert_eq!((decision.prefill, decision.decode), there);
                prop_assert!(!decision.reason.is_empty());
                continue;
            }
            prop_assert!((1..=10).contains(&decision.prefill) && (1..=20).contains(&decision.decode));
            prop_assert!(i64::from(decision.prefill * 4 + decision.decode) <= gpus);
        }
    }

    #[test]
    fn more_requests_never_need_fewer_instances(
        requests in 1.0..20_000.0_f64,
        more in 0.0..5000.0_f64,
        variant in prop_oneof![Just(Variant::Replay), Just(Variant::Dynamo), Just(Variant::Sagellm)],
    ) {
        // Without correction, which depends on how the instances did.
        let decide = |requests| {
            let mut planner = planner(PlannerConfig {
                enable_correction: false,
                max_gpu_budget: -1,
                ..config(variant)
            });
            let decision = planner.tick(&minute(requests, 3, 3));
            (decision.raw_prefill, decision.raw_decode, decision.prefill, decision.decode)
        };
        let (few, many) = (decide(requests), decide(requests + more));
        prop_assert!(few.0 <= many.0 && few.1 <= many.1 && few.2 <= many.2 && few.3 <= many.3);
    }
}
