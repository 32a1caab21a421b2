//! Autoscaling in the simulator: what actuation takes, what bounds hold, and what is true of every policy.

use std::io::Write as _;

use kvreplay::autoscale::policy::POLICIES;
use kvreplay::autoscale::policy::script::ScriptConfig;
use kvreplay::base::random::stream;
use kvreplay::base::registry::Named;
use kvreplay::scenario::{Run, RunOptions, ScenarioConfig};
use kvreplay::sim::{Item, Outcome, Records, Role, State, Workload};
use kvreplay::trace::Nanos;
use proptest::prelude::*;
use rand::Rng;

/// One prefill and one decode instance and more; steps take 10 ms and a little for each token.
const CLUSTER: &str = r#"
[model]
name = "test"
kv_bytes_per_token = 1000.0
layers = 4
[slo]
ttft_seconds = 1.0
tbt_seconds = 0.05
[latency]
kind = "linear"
[[pool]]
name = "prefill"
role = "prefill"
instances = 2
blocks = 4000
startup_seconds = 20
[pool.scheduler]
kind = "vllm-v1"
max_num_batched_tokens = 512
[[pool]]
name = "decode"
role = "decode"
instances = 2
blocks = 4000
startup_seconds = 30
[pool.scheduler]
kind = "vllm-v1"
max_num_seqs = 16
"#;

fn config(settings: &[&str]) -> ScenarioConfig {
    let mut file = tempfile::Builder::new()
        .suffix(".toml")
        .tempfile()
        .expect("a file");
    file.write_all(CLUSTER.as_bytes()).expect("written");
    let settings: Vec<String> = settings.iter().map(|text| (*text).to_owned()).collect();
    ScenarioConfig::read(file.path(), &settings).expect("a configuration")
}

/// Requests by a rate that changes: pairs of seconds and requests per second.
fn load(seed: u64, steps: &[(u32, f64)]) -> Workload<'static> {
    let mut random = stream(seed, "load", 0);
    let mut draw = move |below: u64| random.next_u64() % below;
    let mut items = Vec::new();
    let mut time = 0.0;
    let mut end = 0.0;
    for (seconds, rate) in steps {
        end += f64::from(*seconds);
        loop {
            // Between none and twice the mean gap.
            time += draw(2_000) as f64 / 1_000.0 / rate.max(1e-9);
            if time >= end {
                break;
            }
            items.push(Item {
                arrival: Nanos::from_secs_f64(time),
                session: items.len() as u32,
                prompt: 20 + draw(500) as u32,
                output: 1 + draw(100) as u32,
            });
        }
        time = end;
    }
    Workload::of_items(items)
}

fn simulate(config: &ScenarioConfig, workload: &Workload<'_>) -> Records {
    run(config, workload).records
}

fn run(config: &ScenarioConfig, workload: &Workload<'_>) -> Run {
    let options = RunOptions {
        log_steps: true,
        ..RunOptions::default()
    };
    let scenario = config.prepare().expect("a valid configuration");
    scenario.run(workload, 0, options).expect("a run")
}

/// A policy that does as a script says.
fn script(code: &str, settings: &[&str]) -> ScenarioConfig {
    let mut config = config(settings);
    let script = ScriptConfig {
        path: None,
        code: Some(code.to_owned()),
    };
    config.autoscaling.choose(&script).expect("text");
    config
}

fn seconds(time: Nanos) -> f64 {
    time.as_secs_f64()
}

/// States of an instance, by time.
fn life(records: &Records, instance: u32) -> Vec<(f64, State)> {
    let events = records.state_changes.iter();
    events
        .filter(|event| event.instance == instance)
        .map(|event| (seconds(event.time), event.state))
        .collect()
}

#[test]
fn starting_takes_its_time() {
    let code = "fn decide(s) { if s.time >= 10.0 { #{ prefill: 3, decode: 3 } } }";
    let workload = load(1, &[(90, 8.0)]);
    let turns = ["router.prompt=round-robin", "router.output=round-robin"];
    let Run {
        records, scaling, ..
    } = run(&script(code, &turns), &workload);
    // Asked for at the first look, 10 s; the prefill instance serves 20 s later, the decode instance 30 s.
    assert_eq!(
        life(&records, 4),
        [(10.0, State::Starting), (30.0, State::Ready)]
    );
    assert_eq!(
        life(&records, 5),
        [(10.0, State::Starting), (40.0, State::Ready)]
    );
    for (instance, ready) in [(4, 30.0), (5, 40.0)] {
        let steps = records.step_log.iter();
        let mut first = steps.filter(|step| step.instance == instance);
        let first = seconds(first.next().expect("it works").started);
        assert!(first >= ready, "instance {instance} works at {first} s");
    }
    // The signals tell them apart.
    let log = scaling.expect("a log");
    let tick = &log.ticks[1];
    assert_eq!(tick.time, 20.0);
    assert_eq!(tick.fleets[0][..2], [2.0, 1.0]);
}

#[test]
fn draining_takes_no_new_work_and_finishes_the_old() {
    let code = "fn decide(s) { if s.time >= 30.0 { #{ prefill: 1, decode: 1 } } }";
    let workload = load(2, &[(60, 8.0)]);
    let records = simulate(&script(code, &[]), &workload);
    let drained: Vec<_> = records
        .instances
        .iter()
        .filter_map(|instance| Some((instance.instance, instance.draining?, instance.gone)))
        .collect();
    assert_eq!(drained.len(), 2);
    let mut carried = 0;
    for (instance, since, gone) in drained {
        assert_eq!(since, Nanos::from_secs_f64(30.0));
        for request in &records.requests {
            assert_eq!(request.outcome, Outcome::Finished);
            if request.prefill_instance == instance {
                assert!(request.arrival <= since && request.scheduled.expect("it ran") <= gone);
            }
            if request.decode_instance == instance {
                assert!(request.transfer_start <= since && request.ended <= gone);
                carried += u32::from(request.ended > since);
            }
        }
    }
    assert!(carried > 0, "nothing was in flight: the case shows nothing");
}

#[test]
fn an_instance_that_starts_can_be_given_back() {
    let code = "fn decide(s) { #{ decode: if s.time < 20.0 { 3 } else { 2 } } }";
    let records = simulate(&script(code, &[]), &load(3, &[(60, 4.0)]));
    assert_eq!(
        life(&records, 4),
        [(10.0, State::Starting), (20.0, State::Gone)]
    );
}

#[test]
fn soft_scale_in_comes_back_when_latency_gets_worse() {
    // Two decode instances carry it, one does not: the one put aside at 20 s has to come back before its 60 s are over.
    let code = "fn decide(s) { if s.time == 20.0 { #{ decode: 1 } } }";
    let settings = ["autoscaling.soft_scale_in.seconds=60"];
    let heavy = load(4, &[(90, 45.0)]);
    let Run {
        records, scaling, ..
    } = run(&script(code, &settings), &heavy);
    let states: Vec<State> = (2..4)
        .flat_map(|instance| life(&records, instance))
        .filter(|(time, _)| *time > 0.0)
        .map(|(_, state)| state)
        .collect();
    assert_eq!(states, [State::Parked, State::Ready]);
    assert_eq!(scaling.expect("a log").counts.reinstated, 1);
    // With little to do, it goes when its time is over.
    let records = simulate(&script(code, &settings), &load(4, &[(120, 1.0)]));
    let states: Vec<_> = (2..4)
        .flat_map(|instance| life(&records, instance))
        .filter(|(time, _)| *time > 0.0)
        .collect();
    assert_eq!(
        states,
        [
            (20.0, State::Parked),
            (80.0, State::Draining),
            (80.0, State::Gone)
        ]
    );
}

#[test]
fn the_role_that_is_there_first_waits_for_the_other() {
    let code = "fn decide(s) { #{ prefill: 4, decode: 4 } }";
    let records = simulate(
        &script(code, &["autoscaling.ready_ratio_guard=true"]),
        &load(5, &[(80, 4.0)]),
    );
    // 1 to 1 is wanted: prefill instances, there at 30 s, are held until decode instances are, at 40 s.
    for instance in [4, 5] {
        assert_eq!(
            life(&records, instance),
            [
                (10.0, State::Starting),
                (30.0, State::Ready),
                (30.0, State::Parked),
                (40.0, State::Ready)
            ]
        );
    }
}

#[test]
fn distance_costs_bandwidth_and_groups_stay_together() {
    let sites = &r#"topology.site=[
        { name = "a", minipod = "m", bigpod = "b", gpus = [{ sku = "h100-80gb", count = 2 }] },
        { name = "c", minipod = "n", bigpod = "b", gpus = [{ sku = "h100-80gb", count = 2 }] }]"#
        .replace('\n', "");
    let slow = [
        "transfer.gb_per_second=0.0001",
        "transfer.latency_ms=0",
        "transfer.contention=none",
    ];
    let workload = load(6, &[(20, 0.5)]);
    let moved = |settings: &[&str]| {
        let records = simulate(&config(settings), &workload);
        let of = |request: &kvreplay::sim::RequestRecord| {
            assert_eq!(request.outcome, Outcome::Finished);
            let time = seconds(request.transfer_end - request.transfer_start);
            (request.output > 1).then(|| time / f64::from(request.transferred_tokens))
        };
        let times: Vec<f64> = records.requests.iter().filter_map(of).collect();
        times.iter().sum::<f64>() / times.len() as f64
    };
    // 1,000 bytes a token at 100,000 bytes/s: 10 ms, alone on its link.
    let near = moved(&[slow[0], slow[1], slow[2], sites]);
    assert!((near - 0.01).abs() < 1e-6, "{near}");
    // Anywhere is near enough: half of the outputs go to the other minipod, at half the speed.
    let far = [
        slow[0],
        slow[1],
        slow[2],
        sites,
        "topology.group=anywhere",
        "topology.same_bigpod=0.5",
        "router.output=round-robin",
    ];
    let apart = moved(&far);
    assert!(apart > 0.0125 && apart < 0.0175, "{apart}");
}

/// Most of something at once: what each event adds, in order.
fn check_sizes(records: &Records, gpus: u32) -> Result<(), TestCaseError> {
    let mut states: Vec<Option<State>> = vec![None; records.instances.len()];
    let mut events = records.state_changes.iter().peekable();
    while let Some(event) = events.next() {
        states[event.instance as usize] = Some(event.state);
        if events.peek().is_some_and(|next| next.time == event.time) {
            continue;
        }
        let there = |pick: &dyn Fn(usize, State) -> bool| {
            let all = states.iter().enumerate();
            all.filter(|(index, state)| state.is_some_and(|state| pick(*index, state)))
                .count() as u32
        };
        let held = there(&|_, state| state != State::Gone);
        prop_assert!(held <= gpus, "{held} GPUs at {:?}", event.time);
        for role in [Role::Prefill, Role::Decode] {
            let some = there(&|index, state| {
                records.instances[index].role == role
                    && matches!(state, State::Ready | State::Starting | State::Parked)
            });
            prop_assert!(some >= 1, "no {role:?} at {:?}", event.time);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the policy and the load: every request ends, both roles have someone, the budget holds, all is repeatable.
    #[test]
    fn every_policy_keeps_the_peace(
        seed in any::<u64>(),
        steps in prop::collection::vec((5u32..60, 0.0f64..25.0), 1..6),
        interval in 1u32..20,
        (cooldown, soft) in (0u32..30, 0u32..40),
        guard in any::<bool>(),
        damping in 0.2f64..1.0,
    ) {
        let workload = load(seed, &steps);
        for policy in POLICIES.iter().filter(|policy| policy.name() != "script") {
            let mut config = config(&[]);
            let section = &mut config.autoscaling;
            section.policy = policy.name().into();
            section.interval_seconds = Some(interval.into());
            section.scale_out_cooldown_seconds = Some(cooldown.into());
            section.scale_in_cooldown_seconds = Some(cooldown.into());
            section.soft_scale_in.seconds = soft.into();
            section.ready_ratio_guard = guard;
            section.damping = damping;
            section.gpu_budget = Some(12);
            let Run { records, scaling, .. } = run(&config, &workload);
            for request in &records.requests {
                prop_assert_eq!(request.outcome, Outcome::Finished, "{}", policy.name());
                prop_assert_eq!(request.generated, request.output);
            }
            check_sizes(&records, 12)?;
            let again = run(&config, &workload);
            prop_assert_eq!(&records.requests, &again.records.requests);
            prop_assert_eq!(&scaling, &again.scaling);
            prop_assert_eq!(&records.state_changes, &again.records.state_changes);
        }
    }
}
