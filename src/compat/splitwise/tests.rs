//! Runs worked out by hand.

use super::*;

/// A prompt takes 1 s and a token 0.5 s, for any batch.
const FLAT: &str = "model,hardware,tensor_parallel,batch_tokens,prompt_seconds,token_seconds\n\
    bloom-176b,h100-80gb,8,1,1,0.5\nbloom-176b,h100-80gb,8,2,1,0.5\nbloom-176b,h100-80gb,1,1,1,0.5\nbloom-176b,h100-80gb,1,2,1,0.5\n";

fn flat() -> SplitwiseTable {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("flat.csv");
    std::fs::write(&path, FLAT).expect("writes");
    SplitwiseTable::read(&path).expect("reads")
}

fn request(id: u64, arrival: f64, prompt: u32, output: u32) -> Arrival {
    Arrival {
        id,
        arrival,
        prompt,
        output,
        batch: 1,
    }
}

fn pools(scheduler: &str) -> Config {
    Config {
        servers: vec![Servers::new("dgx-h100", 2)],
        start_state: StartState::preset("splitwise").expect("known"),
        scheduler: SchedulerConfig::named(scheduler),
        ..Config::default()
    }
}

/// Two bytes of KV cache per token, no weights, 50 tokens per instance of one GPU.
fn tight(scheduler: &str) -> Config {
    let mut config = pools(scheduler);
    config.model = ModelConfig {
        layers: Some(1),
        hidden_size: Some(1),
        dtype_size: Some(1),
        weights: Some(0),
        ..ModelConfig::default()
    };
    config.servers[0].gpus = Some(1);
    config.servers[0].gpu_memory = Some(100);
    let StartState::Homogeneous { prompt, token } = &mut config.start_state else {
        panic!("has pools");
    };
    prompt.instance.tensor_parallelism = 1;
    token.instance.tensor_parallelism = 1;
    config
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
}

/// A: prompt from 1 to 2, then 4 tokens in one event at 4. B arrives at 2.75, when one token is done: the iterations
/// are interrupted after the second token, at 3. The prompt of B and a token of A take 1.1 s, until 4.1; the last token
/// of both is generated at 4.6.
#[test]
fn contiguous_iterations_are_paused_for_a_prompt() {
    let arrivals = [request(0, 1.0, 10, 5), request(1, 2.75, 10, 2)];
    let report = simulate(&Config::default(), &arrivals, &flat()).expect("runs");
    let [a, b] = report.requests.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!((a.id, a.ttft, a.queue), (0, 1.0, 0.0));
    near(a.response, 3.6);
    near(a.tbt, 2.6 / 5.0);
    near(b.queue, 0.25);
    near(b.ttft, 1.35);
    near(b.response, 1.85);
    // Seven events: two arrivals; the prompt; four tokens, cancelled; their interruption; the mixed iteration; the last
    // token.
    assert_eq!(report.events, 7);
    // Busy from 1 to 4.6, which is the end of the run.
    near(report.instances[0].utilization, 3.6 / 4.6);
}

/// ORCA has no token limit: both later prompts wait for the first and run in one batch.
#[test]
fn orca_takes_all_that_wait() {
    let config = Config {
        start_state: StartState::preset("orca").expect("known"),
        ..Config::default()
    };
    let arrivals = [
        request(0, 1.0, 4000, 2),
        request(1, 1.5, 4000, 2),
        request(2, 1.5, 4000, 2),
    ];
    let report = simulate(&config, &arrivals, &flat()).expect("runs");
    // The first: prompt 1 to 2, a token with both prompts to 3.1. The others: a token to 3.6.
    let responses: Vec<f64> = report.requests.iter().map(|r| r.response).collect();
    near(responses[0], 2.1);
    near(responses[1], 2.1);
    near(responses[2], 2.1);

    // Splitwise: 4000 tokens fill a batch, and the next prompt waits for the second.
    let report = simulate(&Config::default(), &arrivals, &flat()).expect("runs");
    let ttfts: Vec<f64> = report.requests.iter().map(|r| r.ttft).collect();
    near(ttfts.iter().copied().fold(0.0, f64::max), 2.5);
}

/// 4096 tokens of bloom-176b over 200 GiB/s: 4096 * 4,014,080 B / (200 * 2^30 B/s) = 0.0765625 s.
#[test]
fn the_kv_cache_is_shipped_after_the_prompt() {
    let arrivals = [request(0, 1.0, 4096, 3)];
    for (scheduler, seconds) in [
        ("kv_round_robin", 0.076_562_5),
        ("kv_round_robin_ethernet", 1.225),
        ("overlap_kv_jsq", 0.007_656_25),
        ("kv_jsq", 0.076_562_5),
        ("mixed_pool", 0.076_562_5),
    ] {
        let report = simulate(&pools(scheduler), &arrivals, &flat()).expect("runs");
        let request = &report.requests[0];
        let flow = request.flow_span.expect("ships");
        assert_eq!(flow, (2.0, 2.0 + seconds), "{scheduler}");
        near(request.nth_token_overhead, seconds);
        near(request.response, 2.0 + seconds);
        assert_eq!((request.prompt_instance, request.token_instance), (0, 1));
    }
    let report = simulate(&pools("jsq"), &arrivals, &flat()).expect("runs");
    assert_eq!(report.requests[0].flow_span, None);
    assert_eq!(report.requests[0].response, 2.0);
}

/// A holds 2 * 11 bytes of prompt and 2 * 20 bytes of tokens, of the token instance's 100, from 2 to 12 s. B ends its
/// prompt at 3 and needs 2 * 20 bytes: it tries again at 4, 5, ... and at 12, a little before A ends; it finds room at
/// 13.
#[test]
fn a_flow_without_room_tries_again_every_second() {
    let arrivals = [request(0, 1.0, 10, 21), request(1, 1.5, 19, 2)];
    let report = simulate(&tight("kv_round_robin"), &arrivals, &flat()).expect("runs");
    near(report.requests[0].response, 11.0);
    near(report.requests[1].nth_token_overhead, 10.0);
    near(report.requests[1].response, 12.0);
}

/// A prompt of 60 tokens never fits into 50; the reference does not report such a request.
#[test]
fn what_does_not_end_is_reported() {
    let arrivals = [request(7, 1.0, 60, 2), request(8, 2.0, 5, 2)];
    let report = simulate(&tight("kv_round_robin"), &arrivals, &flat()).expect("runs");
    assert_eq!(report.requests.len(), 0);
    let stages: Vec<_> = report.unfinished.iter().map(|r| (r.id, r.stage)).collect();
    // The second waits behind the first.
    assert_eq!(stages, [(7, Stage::PromptWaits), (8, Stage::PromptWaits)]);
    assert!(report.stalls > 0);

    let mut config = pools("kv_round_robin");
    config.end_time = 1.5;
    let arrivals = [request(0, 1.0, 10, 5), request(1, 9.0, 10, 5)];
    let report = simulate(&config, &arrivals, &flat()).expect("runs");
    // The end of the prompt, at 2, is after the end of the run and is still processed.
    let stages: Vec<_> = report.unfinished.iter().map(|r| (r.id, r.stage)).collect();
    assert_eq!(stages, [(0, Stage::Shipping), (1, Stage::NotArrived)]);
}

/// The original ends with an exception here; in this reproduction, the arrival is an ordinary event.
#[test]
fn arrivals_at_zero_and_none_at_all() {
    let report = simulate(&Config::default(), &[request(0, 0.0, 10, 3)], &flat()).expect("runs");
    assert_eq!(report.requests[0].response, 2.0);
    let report = simulate(&Config::default(), &[], &flat()).expect("runs");
    assert_eq!((report.requests.len(), report.unfinished.len()), (0, 0));
    let folder = tempfile::tempdir().expect("folder");
    write_report(&report, WriteOptions::default(), folder.path()).expect("writes");
}

/// Under load, prompts also go to the token instance: it runs in the mixed pool and returns to its own pool when it is
/// idle.
#[test]
fn the_mixed_pool_borrows() {
    let arrivals: Vec<Arrival> = (0..8)
        .map(|id| request(id, 1.0 + id as f64 / 100.0, 8000, 2))
        .collect();
    let report = simulate(&pools("mixed_pool"), &arrivals, &flat()).expect("runs");
    assert_eq!(report.requests.len(), 8);
    let on = |instance| {
        report
            .requests
            .iter()
            .filter(|r| r.prompt_instance == instance)
            .count()
    };
    assert!(on(0) > 0 && on(1) > 0, "{} {}", on(0), on(1));
}

/// A single output token is complete with the prompt; the original loses its event at the next arrival and stops.
#[test]
fn requests_of_one_token_end() {
    let arrivals = [
        request(0, 1.0, 10, 1),
        request(1, 1.5, 10, 4),
        request(2, 2.25, 10, 1),
        request(3, 3.0, 10, 3),
    ];
    for scheduler in super::SCHEDULERS {
        let report = simulate(&pools(scheduler), &arrivals, &flat()).expect("runs");
        assert_eq!(report.requests.len(), 4, "{scheduler}");
    }
}

/// Of 50 tokens A holds 11 and reserves 10. The prompt of B needs 31, its tokens 2. With a limit of no preemptions
/// every waiting task is urgent, so the token task is taken and the prompt is not. The original stops at an assertion.
#[test]
fn tokens_before_their_prompt_are_an_error() {
    let mut config = tight("jsq");
    config.servers[0].count = 1;
    config.start_state = StartState::Uniform {
        instance: InstanceConfig {
            tensor_parallelism: 1,
            max_preemptions: 0,
            ..InstanceConfig::default()
        },
    };
    let arrivals = [request(0, 1.0, 10, 11), request(1, 1.5, 30, 3)];
    let error = simulate(&config, &arrivals, &flat()).expect_err("stops");
    assert!(
        error.to_string().contains("generate before its prompt"),
        "{error}"
    );
    if let StartState::Uniform { instance } = &mut config.start_state {
        instance.max_preemptions = 4;
    }
    // Otherwise the prompt of B is first and fits; then the tokens of A do not fit, and those of B wait behind them for
    // ever.
    let report = simulate(&config, &arrivals, &flat()).expect("runs");
    let stages: Vec<_> = report.unfinished.iter().map(|r| r.stage).collect();
    assert_eq!(stages, [Stage::TokensWait; 2]);
}

#[test]
fn what_cannot_be_simulated() {
    let table = SplitwiseTable::builtin();
    let run = |change: fn(&mut Config)| {
        let mut config = pools("mixed_pool");
        change(&mut config);
        let arrivals = [request(0, 1.0, 60_000, 2)];
        simulate(&config, &arrivals, table)
            .expect_err("cannot")
            .to_string()
    };
    for (error, expected) in [
        (
            run(|c| c.scheduler.name = "mixd_pool".into()),
            "did you mean `mixed_pool`",
        ),
        (
            run(|c| c.servers[0].sku = "dgx-b200".into()),
            "unknown server `dgx-b200`",
        ),
        (run(|c| c.servers.clear()), "no instance on any server"),
        (
            run(|c| c.model = ModelConfig::named("opt-66b")),
            "unknown model size",
        ),
        (
            run(|c| c.start_state = StartState::default()),
            "the scheduler has no instance",
        ),
        (run(|c| c.end_time = f64::NAN), "`end_time` is NaN"),
        (
            run(|c| c.scheduler.transfer_bandwidth = Some(0.0)),
            "a transfer bandwidth of 0",
        ),
        (
            run(|c| {
                c.scheduler = SchedulerConfig::named("jsq");
                c.scheduler.transfer_bandwidth = Some(1.0);
            }),
            "has no `transfer_bandwidth`",
        ),
        (
            // Beyond 16384 tokens the measured times decrease, so their extrapolation falls below 0.
            run(|c| {
                c.model = ModelConfig::named("llama2-70b");
                c.start_state = StartState::Uniform {
                    instance: InstanceConfig {
                        tensor_parallelism: 2,
                        ..InstanceConfig::default()
                    },
                };
                c.scheduler = SchedulerConfig::named("jsq");
            }),
            "s for an iteration of 60000 tokens",
        ),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}
