//! The cluster simulator against queueing theory, and what holds for every simulation.

use std::sync::LazyLock;

use kvreplay::base::random::stream;
use kvreplay::base::registry::Named;
use kvreplay::cache::capacity::ModelConfig;
use kvreplay::sim::latency::{
    Constant, Exponential, LatencyConfig, LatencyContext, LatencyFactory, LatencyModel, MODELS,
};
use kvreplay::sim::replica::{SCHEDULERS, SchedulerConfig, VllmV1, VllmV1Config};
use kvreplay::sim::router::{self, Stage};
use kvreplay::sim::topology::Topology;
use kvreplay::sim::transfer::{Contention, TransferConfig};
use kvreplay::sim::{
    Cluster, ClusterView, Controller, InstanceSpec, Item, Kv, Outcome, Pacing, Pool, Records,
    Resize, Role, ScalingAction, Simulation, State, Workload,
};
use kvreplay::trace::Nanos;
use proptest::prelude::*;
use rand::Rng;
use rand_distr::{Distribution, Exp};

/// One token in, one token out: a request is one step.
fn poisson(rate: f64, requests: u32) -> Workload<'static> {
    let gaps = Exp::new(rate).expect("a rate");
    let mut random = stream(1, "arrivals", 0);
    let mut seconds = 0.0;
    let items = (0..requests).map(|session| {
        seconds += gaps.sample(&mut random);
        Item {
            arrival: Nanos::from_secs_f64(seconds),
            session,
            prompt: 1,
            output: 1,
        }
    });
    Workload::of_items(items.collect())
}

/// `servers` instances that serve one request at a time from one queue.
fn servers(
    servers: u32,
    latency: impl Fn(u32) -> Box<dyn LatencyModel> + Send + Sync + 'static,
) -> Cluster<'static> {
    let make = move |number: u32| InstanceSpec {
        kv: Kv::counted(16, 16),
        scheduler: Box::new(VllmV1::new(VllmV1Config {
            max_num_seqs: 1,
            ..VllmV1Config::default()
        })),
        latency: latency(number),
    };
    Cluster {
        prompt_router: router::by_name("central:1", 0, Stage::Prompt).expect("known"),
        ..Cluster::aggregated("servers", servers, Box::new(make))
    }
}

fn exponential(number: u32) -> Box<dyn LatencyModel> {
    let random = stream(2, "service", u64::from(number));
    Box::new(Exponential::new(1.0, random).expect("a mean"))
}

fn mean_e2e(records: &Records) -> f64 {
    let sum: f64 = records
        .requests
        .iter()
        .map(|r| r.e2e().expect("finished"))
        .sum();
    sum / records.requests.len() as f64
}

fn within_a_hundredth(what: &str, got: f64, expected: f64) {
    let error = got / expected - 1.0;
    assert!(
        error.abs() < 0.01,
        "{what}: {got}, theory says {expected}: {error:+.4}"
    );
}

const REQUESTS: u32 = 1_000_000;

#[test]
fn one_server_with_exponential_times_is_m_m_1() {
    // Mean time in system 1 / (mu - lambda) = 1 / (1 - 0.5).
    let workload = poisson(0.5, REQUESTS);
    let records = Simulation::new(&workload, servers(1, exponential)).run();
    within_a_hundredth("M/M/1", mean_e2e(&records), 2.0);
}

#[test]
fn one_server_with_a_constant_time_is_m_d_1() {
    // Pollaczek and Khinchine: 1 + rho / (2 (1 - rho)) with a service time of 1, rho = 0.6: 1.75.
    let workload = poisson(0.6, REQUESTS);
    let constant = |_| Box::new(Constant { seconds: 1.0 }) as Box<dyn LatencyModel>;
    let records = Simulation::new(&workload, servers(1, constant)).run();
    within_a_hundredth("M/D/1", mean_e2e(&records), 1.75);
}

#[test]
fn four_servers_with_one_queue_are_m_m_4() {
    // Erlang C with offered load a = 2.4 on 4 servers: P(wait) = (a^4/4! * 4/(4-a)) / (sum_{k<4} a^k/k! + the same).
    let a: f64 = 2.4;
    let last = a.powi(4) / 24.0 * 4.0 / (4.0 - a);
    let others = 1.0 + a + a * a / 2.0 + a.powi(3) / 6.0;
    let expected = 1.0 + last / (others + last) / (4.0 - a);
    let workload = poisson(a, REQUESTS);
    let records = Simulation::new(&workload, servers(4, exponential)).run();
    within_a_hundredth("M/M/4", mean_e2e(&records), expected);
}

#[test]
fn rounding_to_nanoseconds_does_not_add_up() {
    // A prompt token and 999 decodes, of a million nanoseconds and four tenths each.
    let workload = Workload::of_items(vec![Item {
        arrival: Nanos(0),
        session: 0,
        prompt: 1,
        output: 1000,
    }]);
    let make = |_| InstanceSpec {
        kv: Kv::counted(16, 100),
        scheduler: Box::new(VllmV1::new(VllmV1Config::default())),
        latency: Box::new(Constant {
            seconds: 0.001_000_000_4,
        }),
    };
    let cluster = Cluster::aggregated("one", 1, Box::new(make));
    let records = Simulation::new(&workload, cluster).run();
    assert_eq!(records.requests[0].ended, Nanos(1_000_000_400));
}

fn spec(blocks: u32) -> InstanceSpec {
    InstanceSpec {
        kv: Kv::counted(4, blocks),
        scheduler: Box::new(VllmV1::new(VllmV1Config {
            max_num_batched_tokens: 8,
            ..VllmV1Config::default()
        })),
        latency: Box::new(Constant { seconds: 0.01 }),
    }
}

fn at_zero(sizes: &[(u32, u32)]) -> Workload<'static> {
    let items = sizes
        .iter()
        .zip(0..)
        .map(|(&(prompt, output), session)| Item {
            arrival: Nanos(0),
            session,
            prompt,
            output,
        });
    Workload::of_items(items.collect())
}

#[test]
fn token_pairs_in_attention_by_hand() {
    // 8 tokens a step. Step 1: 8 of the first prompt's 10, 8 x 8. Step 2: its last 2, 2 x (2 + 8) = 20, and the second prompt, 4 x 4 = 16. Then both
    // decode: contexts of 10 and 4 and twice 2, and of 11 and 5 and twice 2.
    let cluster = Cluster {
        log_steps: true,
        ..Cluster::aggregated("one", 1, Box::new(|_| spec(100)))
    };
    let records = Simulation::new(&at_zero(&[(10, 3), (4, 3)]), cluster).run();
    let attended: Vec<u64> = records.step_log.iter().map(|step| step.attended).collect();
    assert_eq!(attended, [64, 36, 18, 20]);
}

#[test]
fn the_last_output_token_needs_no_memory() {
    // 4 blocks of 4 tokens: 8 + 9 tokens, of which the last is never computed, fill them; 8 + 10 do not fit.
    let outcome = |pools: Vec<Pool<'static>>, output| {
        let cluster = Cluster {
            pools,
            ..Cluster::aggregated("any", 1, Box::new(|_| spec(4)))
        };
        let records = Simulation::new(&at_zero(&[(8, output)]), cluster).run();
        records.requests[0].outcome
    };
    let pool = |role, blocks| Pool {
        name: format!("{role:?}"),
        role,
        instances: 1,
        startup: Nanos(0),
        sites: Vec::new(),
        make: Box::new(move |_| spec(blocks)),
    };
    // A prefill instance keeps the prompt alone, in two blocks.
    let whole = || vec![pool(Role::Aggregated, 4)];
    let apart = || vec![pool(Role::Prefill, 2), pool(Role::Decode, 4)];
    assert_eq!(outcome(whole(), 9), Outcome::Finished);
    assert_eq!(outcome(whole(), 10), Outcome::TooLarge);
    assert_eq!(outcome(apart(), 9), Outcome::Finished);
    assert_eq!(outcome(apart(), 10), Outcome::TooLarge);
    // A single output token comes from the prefill instance; the decode instance is not asked.
    let tiny = || vec![pool(Role::Prefill, 2), pool(Role::Decode, 1)];
    assert_eq!(outcome(tiny(), 1), Outcome::Finished);
    // A prompt of two blocks fits nowhere if only the decode instance has them.
    let narrow = || vec![pool(Role::Prefill, 1), pool(Role::Decode, 4)];
    assert_eq!(outcome(narrow(), 9), Outcome::TooLarge);
}

/// Gives its actions in turn, one list at each tick of 50 ms.
#[derive(Debug, Default)]
struct Script(std::collections::VecDeque<Vec<ScalingAction>>);

impl Controller for Script {
    fn interval(&self) -> Nanos {
        Nanos(50_000_000)
    }

    fn tick(&mut self, _: &ClusterView<'_, '_>) -> Vec<ScalingAction> {
        self.0.pop_front().unwrap_or_default()
    }

    fn ready(&mut self, _: &ClusterView<'_, '_>, _: u32) -> Vec<ScalingAction> {
        Vec::new()
    }
}

/// Milliseconds, instance and state.
fn changes(records: &Records) -> Vec<(u64, u32, State)> {
    let changes = records.state_changes.iter();
    changes
        .map(|change| (change.time.0 / 1_000_000, change.instance, change.state))
        .collect()
}

#[test]
fn actions_that_do_not_fit_a_state_change_nothing() {
    // Instance 0 has a request of 30 steps of 10 ms. Told to drain at 50 ms, it cannot be drained again, parked or reinstated at 100 ms;
    // instance 1, which is ready, cannot be reinstated.
    use ScalingAction::{Drain, Park, Reinstate};
    let actions = [
        vec![Drain(0)],
        vec![Drain(0), Park(0), Reinstate(0), Reinstate(1)],
    ];
    let mut script = Script(actions.into());
    let cluster = Cluster::aggregated("two", 2, Box::new(|_| spec(100)));
    let records = Simulation::new(&at_zero(&[(8, 30)]), cluster)
        .controlled(&mut script)
        .run();
    let expected = [
        (0, 0, State::Ready),
        (0, 1, State::Ready),
        (50, 0, State::Draining),
        (300, 0, State::Gone),
    ];
    assert_eq!(changes(&records), expected);
}

#[test]
fn a_controller_that_does_nothing_is_given_up() {
    // No instance is there. The simulation ends at the first tick after more than 1,000 without any other event: 1,001 x 50 ms.
    let mut script = Script::default();
    let cluster = Cluster {
        end: Some(Nanos(100_000_000_000)),
        ..Cluster::aggregated("none", 0, Box::new(|_| spec(100)))
    };
    let records = Simulation::new(&at_zero(&[(8, 2)]), cluster)
        .controlled(&mut script)
        .run();
    assert_eq!(records.end, Nanos(50_050_000_000));
    assert_eq!(records.requests[0].outcome, Outcome::NoInstance);
}

#[test]
fn a_resize_changes_its_own_pool_and_requests_wait_for_it() {
    // 8 + 2 tokens need 3 blocks: the instances that are there have 2, the one that is asked for at 0 has 4 and is ready at 100 ms.
    let pool = |name: &str, instances, blocks| Pool {
        name: name.into(),
        role: Role::Aggregated,
        instances,
        startup: Nanos(100_000_000),
        sites: Vec::new(),
        make: Box::new(move |_| spec(blocks)),
    };
    let cluster = Cluster {
        pools: vec![pool("small", 2, 2), pool("large", 0, 4)],
        resizes: vec![Resize {
            at: Nanos(0),
            pool: 1,
            instances: 1,
        }],
        ..Cluster::aggregated("any", 1, Box::new(|_| spec(4)))
    };
    let records = Simulation::new(&at_zero(&[(8, 2)]), cluster).run();
    let expected = [
        (0, 0, State::Ready),
        (0, 1, State::Ready),
        (0, 2, State::Starting),
        (100, 2, State::Ready),
    ];
    assert_eq!(changes(&records), expected);
    assert_eq!(records.requests[0].outcome, Outcome::Finished);
    assert_eq!(records.requests[0].ended, Nanos(120_000_000));
}

#[derive(Debug, Clone)]
struct Case {
    requests: Vec<(u64, u32, u32, u32)>,
    prefill: u32,
    decode: u32,
    mixed: u32,
    blocks: u32,
    routers: (usize, usize),
    contention: Contention,
    layerwise: bool,
    wait: bool,
    ahead: bool,
    /// Numbers of a registered scheduler and of a latency model; larger ones begin again at the first.
    scheduler: usize,
    latency: usize,
    resizes: Vec<(u64, u32, u32)>,
    end: Option<u64>,
    /// Seed of random changes of size, if there are any.
    meddling: Option<u64>,
}

fn case() -> impl Strategy<Value = Case> {
    let request = (0u64..5_000, 0u32..6, 1u32..300, 1u32..60);
    let contention = prop_oneof![
        Just(Contention::None),
        Just(Contention::PerInstance),
        Just(Contention::Fabric)
    ];
    (
        prop::collection::vec(request, 1..60),
        (1u32..4, 1u32..4, 0u32..2),
        4u32..40,
        (
            any::<usize>(),
            any::<usize>(),
            any::<usize>(),
            any::<usize>(),
        ),
        (contention, any::<bool>(), any::<bool>(), any::<bool>()),
        prop::collection::vec((0u64..5_000, 0u32..3, 0u32..4), 0..5),
        prop::option::weighted(0.2, 0u64..6_000),
        prop::option::weighted(0.5, any::<u64>()),
    )
        .prop_map(
            |(requests, (prefill, decode, mixed), blocks, parts, flags, resizes, end, meddling)| {
                Case {
                    requests,
                    prefill,
                    decode,
                    mixed,
                    blocks,
                    routers: (parts.0, parts.1),
                    scheduler: parts.2,
                    latency: parts.3,
                    contention: flags.0,
                    layerwise: flags.1,
                    wait: flags.2,
                    ahead: flags.3,
                    resizes,
                    end,
                    meddling,
                }
            },
        )
}

/// Starts, drains, parks and reinstates what it likes, but for the first instance of each pool.
#[derive(Debug)]
struct Meddler {
    random: rand_pcg::Pcg64,
    meddles: bool,
    firsts: [u32; 3],
}

impl Meddler {
    fn new(case: &Case) -> Self {
        Self {
            random: stream(case.meddling.unwrap_or(0), "meddler", 0),
            meddles: case.meddling.is_some(),
            firsts: [0, case.prefill, case.prefill + case.decode],
        }
    }
}

impl Controller for Meddler {
    fn interval(&self) -> Nanos {
        Nanos(50_000_000)
    }

    fn tick(&mut self, view: &ClusterView<'_, '_>) -> Vec<ScalingAction> {
        if !self.meddles {
            return Vec::new();
        }
        let count = view.instances.len() as u32;
        let mut draw = |below: u32| (self.random.next_u64() % u64::from(below)) as u32;
        let instance = draw(count);
        let order = match draw(4) {
            0 if count < 40 => ScalingAction::Start {
                pool: draw(3),
                site: 0,
            },
            1 => ScalingAction::Drain(instance),
            2 => ScalingAction::Park(instance),
            _ => ScalingAction::Reinstate(instance),
        };
        let spared = |number: &u32| self.firsts.contains(number);
        match order {
            ScalingAction::Drain(number) | ScalingAction::Park(number) if spared(&number) => {
                Vec::new()
            }
            order => vec![order],
        }
    }

    fn ready(&mut self, _: &ClusterView<'_, '_>, _: u32) -> Vec<ScalingAction> {
        Vec::new()
    }
}

/// Every registered scheduler, with its defaults.
fn schedulers() -> Vec<SchedulerConfig> {
    let names = SCHEDULERS.iter().map(Named::name);
    names
        .map(|name| toml::from_str(&format!("kind = \"{name}\"")).expect("has defaults"))
        .collect()
}

/// Every registered latency model that can be built without parameters, and some that cannot.
static LATENCIES: LazyLock<Vec<LatencyFactory>> = LazyLock::new(|| {
    let model = ModelConfig::builtin("llama-3-8b").expect("is built in");
    let context = LatencyContext::new(Some(&model), "h100-80gb", 5);
    let names = MODELS.iter().map(Named::name);
    let plain = names.map(|name| format!("kind = \"{name}\""));
    let further = [
        "kind = \"constant\"\nseconds = 0.02",
        "kind = \"exponential\"\nmean_seconds = 0.02",
    ];
    let built: Vec<LatencyFactory> = plain
        .chain(further.map(str::to_owned))
        .filter_map(|text| toml::from_str::<LatencyConfig>(&text).ok())
        .filter_map(|config| config.prepare(&context).ok())
        .collect();
    assert!(built.len() >= 4);
    built
});

/// In milliseconds.
const FOREVER: u64 = 10_000_000;

fn run(case: &Case) -> Records {
    let mut items: Vec<Item> = case
        .requests
        .iter()
        .map(|&(ms, session, prompt, output)| Item {
            arrival: Nanos(ms * 1_000_000),
            session,
            prompt,
            output,
        })
        .collect();
    items.sort_by_key(|item| item.arrival);
    let workload = Workload::of_items(items);
    let blocks = case.blocks;
    let schedulers = schedulers();
    let scheduler = &schedulers[case.scheduler % schedulers.len()];
    let latency = &LATENCIES[case.latency % LATENCIES.len()];
    // A small budget, so that prompts are computed in pieces.
    let small = &VllmV1Config {
        max_num_batched_tokens: 128,
        max_num_seqs: 8,
        async_scheduling: case.ahead,
        ..VllmV1Config::default()
    };
    let pool = |name: &str, role, instances| Pool {
        name: name.into(),
        role,
        instances,
        startup: Nanos(100_000_000),
        sites: Vec::new(),
        make: Box::new(move |number| InstanceSpec {
            kv: Kv::counted(16, blocks),
            scheduler: match scheduler.name() {
                "vllm-v1" => Box::new(VllmV1::new(small.clone())),
                _ => scheduler.build().expect("defaults are right"),
            },
            latency: latency.build(number),
        }),
    };
    let [prompt_routers, output_routers] = [Stage::Prompt, Stage::Output].map(router::names);
    let cluster = Cluster {
        pools: vec![
            pool("prefill", Role::Prefill, case.prefill),
            pool("decode", Role::Decode, case.decode),
            pool("mixed", Role::Mixed, case.mixed),
        ],
        prompt_router: router::by_name(
            prompt_routers[case.routers.0 % prompt_routers.len()],
            3,
            Stage::Prompt,
        )
        .expect("known"),
        output_router: router::by_name(
            output_routers[case.routers.1 % output_routers.len()],
            3,
            Stage::Output,
        )
        .expect("known"),
        transfer: TransferConfig {
            gb_per_second: 0.001,
            latency_ms: 0.1,
            contention: case.contention,
            layerwise: case.layerwise,
        },
        kv_bytes_per_token: 1000.0,
        layers: 4,
        write_back: true,
        pacing: if case.wait {
            Pacing::Wait
        } else {
            Pacing::Open
        },
        resizes: case
            .resizes
            .iter()
            .map(|&(ms, pool, instances)| Resize {
                at: Nanos(ms * 1_000_000),
                pool,
                instances,
            })
            .collect(),
        topology: Topology::default(),
        // Where nothing ends a simulation, this tells one that goes on for ever.
        end: Some(Nanos(case.end.unwrap_or(FOREVER) * 1_000_000)),
        log_steps: false,
    };
    let mut meddler = Meddler::new(case);
    Simulation::new(&workload, cluster)
        .controlled(&mut meddler)
        .run()
}

proptest! {
    #[test]
    fn nothing_is_lost_and_time_does_not_run_backwards(case in case()) {
        let records = run(&case);
        let room = case.blocks * 16;
        for record in &records.requests {
            match record.outcome {
                Outcome::Finished => {
                    prop_assert_eq!(record.generated, record.output);
                    let scheduled = record.scheduled.expect("scheduled");
                    let first = record.first_token.expect("a token");
                    prop_assert!(record.arrival <= scheduled && scheduled < first && first <= record.ended);
                    // From the first batch to the last, a request is in a batch or between two.
                    prop_assert_eq!(record.executed + record.stalled, record.ended - scheduled);
                    if record.prefill_instance != record.decode_instance {
                        prop_assert!(first <= record.transfer_start && record.transfer_start <= record.transfer_end);
                        prop_assert!(record.transfer_end < record.ended);
                    }
                }
                Outcome::TooLarge => prop_assert!(record.prompt + record.output - 1 > room),
                Outcome::EndOfTime | Outcome::NotArrived => prop_assert!(case.end.is_some()),
                // Pools may be closed for good.
                Outcome::NoInstance => prop_assert!(case.resizes.iter().any(|resize| resize.2 == 0) || case.end.is_some()),
            }
        }
        let finished: u64 = records.requests.iter().map(|record| u64::from(record.generated)).sum();
        let sampled: u64 = records.instances.iter().map(|instance| instance.output_tokens).sum();
        if case.end.is_none() {
            // Vidur's Sarathi decodes the rest of a prompt that it preempts half way: those tokens are sampled, too.
            let cuts_prompts = schedulers()[case.scheduler % SCHEDULERS.iter().len()].name() == "sarathi";
            prop_assert!(if cuts_prompts { finished <= sampled } else { finished == sampled }, "{} of {}", finished, sampled);
        }
        for instance in &records.instances {
            prop_assert!(instance.peak_kv_usage <= 1.0);
            prop_assert!(instance.utilisation().is_none_or(|busy| busy <= 1.0 + 1e-9));
        }
    }

    #[test]
    fn the_same_again_is_the_same(case in case()) {
        let (first, second) = (run(&case), run(&case));
        prop_assert_eq!(first.requests, second.requests);
        prop_assert_eq!(first.instances, second.instances);
    }
}
