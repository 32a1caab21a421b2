use crate::scenario::profiler::*;

fn small() -> Grid {
    Grid {
        max_isl: 4000,
        osl: 20,
        prefill_points: 4,
        contexts: 2,
        loads: 3,
        ..Grid::default()
    }
}

#[test]
fn points_between_two() {
    assert_eq!(spread(100, 400, 4), [100, 200, 300, 400]);
    assert_eq!(spread(1, 2, 5), [1, 2]);
    assert_eq!(spread(7, 9, 1), [7]);
}

#[test]
fn a_linear_instance_by_hand() {
    // A step takes 2 ms plus 0.1 ms per prompt token; one GPU has 500 tokens of KV.
    let set = [
        "latency.kind=constant",
        "latency.seconds=0.002",
        "pool.decode.blocks=64",
        "pool.decode.gpus=2",
    ]
    .map(str::to_owned);
    let config = ScenarioConfig::preset("llama-8b-pd-4-4", &set).unwrap();
    let measured = measure(&config, &small()).unwrap();
    assert_eq!(measured.profile.max_kv_tokens, 1024.0);
    let facts = &measured.facts;
    assert_eq!(facts.model, "llama-3-8b");
    assert_eq!(
        (
            facts.prefill.gpus_per_instance,
            facts.decode.gpus_per_instance
        ),
        (1, 2)
    );
    assert_eq!(
        (
            facts.decode.kv_tokens,
            &*facts.decode.gpu,
            &*facts.decode.scheduler,
            &*facts.decode.latency
        ),
        (1024, "h100-80gb", "vllm-v1", "constant")
    );
    let folder = tempfile::tempdir().unwrap();
    measured.write(folder.path()).unwrap();
    assert_eq!(
        Profile::load(folder.path(), None).unwrap(),
        measured.profile
    );
    assert_eq!(
        ProfileFacts::load(folder.path()).unwrap().as_ref(),
        Some(facts)
    );
    // 100 tokens in one step of 2 ms: 50,000 tokens/s.
    let first = measured.profile.prefill[0];
    assert_eq!((first.isl, first.ttft_ms), (100.0, 2.0));
    assert!((first.throughput_per_gpu - 50_000.0).abs() < 1e-6);
    // 1024 / 120 = 8 requests fit: loads of 1, 4 and 8, each with a token every 2 ms, on two GPUs; longer prompts do not fit.
    assert_eq!(measured.profile.decode.len(), 3);
    for (point, load) in measured.profile.decode.iter().zip([1.0, 4.0, 8.0]) {
        assert_eq!(point.context_length, 110.0);
        // The KV transfer takes one nanosecond.
        assert!((point.itl_ms - 2.0).abs() < 1e-6);
        assert!((point.kv_usage - load * 110.0 / 1024.0).abs() < 1e-12);
        assert!(
            (point.throughput_per_gpu - load * 250.0).abs() < 0.02 * load * 250.0,
            "{point:?}"
        );
    }
}

#[test]
fn decode_slows_down_with_its_load() {
    let config = ScenarioConfig::preset("llama-8b-pd-4-4", &[]).unwrap();
    let measured = measure(&config, &small()).unwrap();
    let profile = &measured.profile;
    // 256 requests of 110 tokens do not fill the memory.
    assert_eq!(measured.limited, 1);
    assert_eq!(profile.decode.len(), 6);
    assert!(
        profile
            .prefill
            .windows(2)
            .all(|w| w[0].ttft_ms < w[1].ttft_ms)
    );
    for row in profile
        .decode
        .chunk_by(|a, b| a.context_length == b.context_length)
    {
        assert!(row.windows(2).all(|w| w[0].itl_ms < w[1].itl_ms), "{row:?}");
    }
    // An aggregated instance is measured as both.
    let whole = ScenarioConfig::preset("llama-8b-aggregated-4", &[]).unwrap();
    assert!(measure(&whole, &small()).is_ok());
}

#[test]
fn what_makes_no_sense_is_told() {
    let config = ScenarioConfig::preset("llama-8b-pd-4-4", &[]).unwrap();
    for grid in [
        Grid {
            min_isl: 0,
            ..small()
        },
        Grid {
            max_isl: 50,
            ..small()
        },
        Grid { osl: 1, ..small() },
    ] {
        assert!(measure(&config, &grid).is_err());
    }
    let tiny =
        ScenarioConfig::preset("llama-8b-pd-4-4", &["pool.decode.blocks=2".to_owned()]).unwrap();
    let error = measure(&tiny, &small()).unwrap_err().to_string();
    assert!(error.contains("pool decode"), "{error}");
}

#[test]
fn a_policy_does_not_disturb_the_measurement() {
    let plain = ScenarioConfig::preset("llama-8b-pd-4-4", &[]).unwrap();
    let mut scaled = plain.clone();
    scaled.autoscaling.policy = "kpa".into();
    let profile = |config| measure(config, &small()).unwrap().profile;
    assert_eq!(profile(&plain), profile(&scaled));
}

#[test]
fn the_planner_without_a_profile_gets_one_of_its_own_cluster() {
    let config = |more: &[&str]| {
        let mut set = vec!["autoscaling.policy=sla".to_owned()];
        set.extend(more.iter().map(|text| (*text).to_owned()));
        ScenarioConfig::preset("llama-8b-pd-4-4", &set).unwrap()
    };
    let scenario = config(&[]).prepare().unwrap();
    let own = scenario.measured_profile().unwrap();
    let folder = tempfile::tempdir().unwrap();
    own.write(folder.path()).unwrap();
    let named = format!("autoscaling.sla.profile_data_dir={:?}", folder.path());
    let named = config(&[&named]).prepare().unwrap();
    assert!(named.measured_profile().is_none());
    // The planner makes the same decisions with both profiles.
    let workload = Workload::of_items(same(200, 2000, 100));
    let run = |scenario: &Scenario| {
        let run = scenario.run(&workload, 0, RunOptions::default()).unwrap();
        run.scaling.unwrap().ticks
    };
    assert_eq!(run(&scenario), run(&named));
}
