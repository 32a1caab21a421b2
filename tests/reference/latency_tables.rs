//! The roofline model against what was measured: where it may stand in for measurements, and where not.

use std::collections::BTreeMap;

use crate::harness::Need::Data;
use crate::harness::tests;
use kvreplay::base::io::Input;
use kvreplay::cache::capacity::{ModelConfig, Storage};
use kvreplay::sim::latency::{Chunk, Gpu, LatencyModel, Profile, Roofline, RooflineConfig, Step};

tests! {
    roofline_and_profile_of_an_rtx_pro_6000: [Data("reference/vllm-truth/RTXPRO6000")];
    roofline_and_splitwise_table: [Data("reference/splitwise/perf_model.csv.gz")];
}

fn step(prefills: &[(u32, u32)], decodes: u32, context: u64) -> Step {
    Step {
        prefills: prefills
            .iter()
            .map(|(tokens, past)| Chunk {
                tokens: *tokens,
                past: *past,
            })
            .collect(),
        decodes,
        decode_context: context * u64::from(decodes),
        sampled: decodes + prefills.len() as u32,
    }
}

/// Kernels of Llama 3.1 8B on an RTX PRO 6000, decodes, prefills and both, with the default efficiencies: within 20 %, and
/// within 10 % on the average.
fn roofline_and_profile_of_an_rtx_pro_6000() {
    let folder = crate::harness::shared("reference/vllm-truth/RTXPRO6000");
    let model = ModelConfig::builtin("llama-3.1-8b").expect("built in");
    let mut profile = Profile::load(&folder, &model, 0.0).expect("loads");
    let gpu = Gpu::by_name("rtxpro6000-96gb").expect("known");
    let config = RooflineConfig {
        step_overhead_ms: 0.0,
        ..RooflineConfig::default()
    };
    let mut roofline = Roofline::new(&gpu, &model, config).expect("builds");
    let steps = [
        step(&[], 1, 512),
        step(&[], 8, 1024),
        step(&[], 32, 1024),
        step(&[], 64, 2048),
        step(&[], 128, 1024),
        step(&[], 128, 4096),
        step(&[(128, 0)], 0, 0),
        step(&[(512, 0)], 0, 0),
        step(&[(1024, 0)], 0, 0),
        step(&[(2048, 0)], 0, 0),
        step(&[(2048, 8192)], 0, 0),
        step(&[(512, 0)], 32, 1024),
        step(&[(1024, 1024)], 64, 1024),
        step(&[(1920, 0)], 128, 1024),
    ];
    let mut sum = 0.0;
    for step in &steps {
        let (measured, computed) = (profile.seconds(step), roofline.seconds(step));
        let error = computed / measured - 1.0;
        assert!(
            error.abs() < 0.2,
            "{step:?}: {measured} {computed} {error:+.3}"
        );
        sum += error.abs();
    }
    let mean = sum / steps.len() as f64;
    assert!(mean < 0.1, "{mean}");
    assert_eq!(profile.clamped().steps, 0);
}

/// Llama 2 70B on two GPUs as vLLM ran it in 2023 (SplitwiseSim's table): there the host and kernels of that time took more than
/// the hardware must. The roofline lies below, by less than two fifths.
fn roofline_and_splitwise_table() {
    let file = crate::harness::shared("reference/splitwise/perf_model.csv.gz");
    let storage = Storage {
        tensor_parallel: 2,
        ..Storage::default()
    };
    let model = ModelConfig::builtin("llama-2-70b")
        .and_then(|model| model.stored(storage))
        .expect("built in");
    let mut rows = csv::Reader::from_reader(Input::open(&file).expect("opens").into_reader());
    let header = rows.headers().expect("a header").clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|field| field == name)
            .expect("a column")
    };
    let columns = [
        "model",
        "hardware",
        "tensor_parallel",
        "prompt_size",
        "batch_size",
    ]
    .map(column);
    let times = ["prompt_time", "token_time"].map(column);
    let mut measured: BTreeMap<(String, u32), [Vec<f64>; 2]> = BTreeMap::new();
    for row in rows.records() {
        let row = row.expect("a row");
        let [name, hardware, gpus, prompt, batch] = columns.map(|index| row[index].to_owned());
        if name != "llama2-70b" || gpus != "2" || batch != "1" {
            continue;
        }
        let prompt: u32 = prompt.parse().expect("a number");
        let place = measured.entry((hardware, prompt)).or_default();
        for (list, index) in place.iter_mut().zip(times) {
            list.push(row[index].parse().expect("a number"));
        }
    }
    let mut compared = 0;
    for ((hardware, prompt), mut lists) in measured {
        let Ok(gpu) = Gpu::by_name(&hardware) else {
            continue;
        };
        if !(512..=4096).contains(&prompt) {
            continue;
        }
        let mut roofline = Roofline::new(&gpu, &model, RooflineConfig::default()).expect("builds");
        let steps = [
            step(&[(prompt, 0)], 0, 0),
            step(&[], 1, u64::from(prompt) + 64),
        ];
        for (list, step) in lists.iter_mut().zip(&steps) {
            list.sort_by(f64::total_cmp);
            let measured = list[list.len() / 2] / 1e3;
            let error = roofline.seconds(step) / measured - 1.0;
            assert!(
                (-0.4..0.0).contains(&error),
                "{hardware} {step:?}: {measured} {error:+.3}"
            );
            compared += 1;
        }
    }
    assert!(compared >= 16, "{compared}");
}
