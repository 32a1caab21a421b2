//! The planner against figures of the systems it follows: Dynamo's profile of an H200, and a real trace's requests.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;

use crate::harness::Need::Data;
use crate::harness::{shared, tests};
use kvreplay::autoscale::planner::backtest::{self, counts};
use kvreplay::autoscale::planner::interpolate::{DynamoGrid, Monotone, PerformanceModel};
use kvreplay::autoscale::planner::predictor::PredictorOptions;
use kvreplay::autoscale::planner::profile::{DECODE_CSV, PREFILL_CSV, Profile};
use kvreplay::autoscale::planner::{Planner, PlannerConfig, Variant};
use kvreplay::trace::format::{ReadOptions, read_trace};

tests! {
    dynamos_interpolation_of_the_h200: [Data("reference/planner/npz")];
    the_default_interpolation_meets_the_points_of_the_h200_and_has_no_cliffs: [Data("reference/planner/npz")];
    csv_and_archives_hold_the_same: [Data("reference/planner")];
    predictors_on_mooncakes_conversations: [Data("data/mooncake_conversation_trace.jsonl.xz")];
    prophet_forecasts_as_prophet_does: [Data("data/mooncake_conversation_trace.jsonl.xz")];
    a_plan_for_the_h200_by_hand: [Data("reference/planner/npz")];
}

fn h200() -> Profile {
    Profile::load(&shared("reference/planner/npz"), None).unwrap()
}

/// Equal to as many digits as are printed.
fn printed(value: f64, digits: usize, expected: &str) {
    assert_eq!(format!("{value:.digits$}"), expected);
}

fn dynamos_interpolation_of_the_h200() {
    let profile = h200();
    assert_eq!(profile.max_kv_tokens, 945_029.0);
    let mut grid = DynamoGrid::new(&profile).unwrap();
    printed(grid.ttft_ms(3000.0), 4, "60.4587");
    printed(grid.prefill_throughput(3000.0), 3, "49481.094");
    let best = grid.best_decode(10.0, 3075.0);
    printed(best.throughput_per_gpu, 4, "4679.6389");
    printed(best.itl_ms, 4, "9.7404");
    printed(best.kv_usage, 4, "0.1515");
    let best = grid.best_decode(20.0, 500.0);
    printed(best.throughput_per_gpu, 4, "13480.3135");
    printed(best.itl_ms, 4, "19.8163");
    printed(best.kv_usage, 4, "0.1111");
    printed(grid.itl_ms(10.0, 3075.0), 4, "5.4001");
    assert_eq!(grid.clamped(), 0);
    // SciPy's own values of single cells: near a corner of the hull, on a row of points, and outside of the hull, where the
    // nearest point's value stands.
    for (row, cell, itl, throughput) in CELLS {
        let at = row * 100 + cell;
        assert!(
            (grid.itl_cells()[at] - itl).abs() < 1e-9 * itl,
            "{row} {cell}"
        );
        let found = grid.throughput_cells()[at];
        assert!(
            (found - throughput).abs() < 1e-9 * throughput,
            "{row} {cell}"
        );
    }
}

/// Row, cell, ITL and throughput, of `scipy.interpolate.griddata` 1.17.
const CELLS: [(usize, usize, f64, f64); 6] = [
    (3, 1, 5.925668941660281, 1804.073859812955),
    (22, 15, 9.740428116692607, 4679.638896044765),
    (47, 62, 24.969229544594352, 3495.457098658062),
    (80, 33, 14.863672453810526, 1896.9949287027566),
    (99, 95, 36.01774931006219, 1760.707709228977),
    (0, 0, 4.379871, 226.91981992754495),
];

fn the_default_interpolation_meets_the_points_of_the_h200_and_has_no_cliffs() {
    let profile = h200();
    let mut model = Monotone::new(&profile);
    for point in &profile.prefill {
        assert!((model.ttft_ms(point.isl) - point.ttft_ms).abs() < 1e-9);
    }
    for point in &profile.decode {
        let concurrency = point.kv_usage * profile.max_kv_tokens / point.context_length;
        let itl = model.itl_ms(concurrency, point.context_length);
        assert!((itl - point.itl_ms).abs() < 1e-9 * point.itl_ms);
    }
    assert_eq!(model.clamped(), 0);
    // One request more never doubles the ITL.
    for context in [400.0, 3000.0, 9000.0] {
        let most = (0.5 * profile.max_kv_tokens / context) as u32;
        let mut before = model.itl_ms(1.0, context);
        for concurrency in 2..most {
            let itl = model.itl_ms(f64::from(concurrency), context);
            assert!(
                itl < 1.3 * before,
                "{context} {concurrency}: {before} -> {itl}"
            );
            before = itl;
        }
    }
}

fn csv_and_archives_hold_the_same() {
    let (profile, folder) = (h200(), shared("reference/planner"));
    assert_eq!(Profile::load(&folder, Some(945_029.0)).unwrap(), profile);
    let copy = tempfile::tempdir().unwrap();
    let (prefill, decode) = profile.to_csv();
    std::fs::write(copy.path().join(PREFILL_CSV), prefill).unwrap();
    std::fs::write(copy.path().join(DECODE_CSV), decode).unwrap();
    assert_eq!(Profile::load(copy.path(), None).unwrap(), profile);
}

fn arrivals(folder: &Path) -> Vec<f64> {
    let packed = shared("data/mooncake_conversation_trace.jsonl.xz");
    let file = crate::common::unpack(&packed, folder);
    let read = read_trace(&file, &ReadOptions::default()).unwrap();
    let requests = read.trace.requests();
    requests.iter().map(|r| r.arrival.as_secs_f64()).collect()
}

fn predictors_on_mooncakes_conversations() {
    let folder = tempfile::tempdir().unwrap();
    let arrivals = arrivals(folder.path());
    // Name, and Dynamo's mean absolute errors at 60 s and 180 s, with a window of 50 as Dynamo has by default.
    let theirs = [
        ("constant", 23.09, 30.43),
        ("kalman", 18.60, 28.71),
        ("arima", 22.15, 62.30),
        ("arima (dynamo)", 22.15, 62.30),
        ("prophet (dynamo)", 16.56, 26.53),
    ];
    let series = counts(arrivals.iter().copied(), 60.0);
    assert_eq!(series.len(), 58);
    assert_eq!(
        series[..8],
        [162.0, 177.0, 217.0, 175.0, 187.0, 164.0, 144.0, 183.0]
    );
    let options = |interval_sec| PredictorOptions {
        window: 50,
        interval_sec,
        ..PredictorOptions::default()
    };
    let minutes = backtest::scores(&options(60.0), &series).unwrap();
    let series = counts(arrivals.iter().copied(), 180.0);
    assert_eq!(series.len(), 19);
    let longer = backtest::scores(&options(180.0), &series).unwrap();
    for (name, minute, three) in theirs {
        for (scores, most) in [(&minutes, minute), (&longer, three)] {
            let score = scores.iter().find(|score| score.predictor == name).unwrap();
            assert!(score.mae <= most + 0.005, "{score:?} against {most}");
        }
    }
    let mae = |scores: &[backtest::Score], name: &str| {
        scores
            .iter()
            .find(|score| score.predictor == name)
            .unwrap()
            .mae
    };
    for (name, minute, three) in [("constant", "23.09", "30.43"), ("kalman", "18.60", "28.71")] {
        printed(mae(&minutes, name), 2, minute);
        printed(mae(&longer, name), 2, three);
    }
    assert!(mae(&minutes, "prophet") <= 16.55);
    assert!(mae(&longer, "prophet") <= 26.53);
}

fn prophet_forecasts_as_prophet_does() {
    let folder = tempfile::tempdir().unwrap();
    let arrivals = arrivals(folder.path());
    let options = PredictorOptions {
        window: 50,
        prophet_minimum_points: 5,
        ..PredictorOptions::default()
    };
    let series = counts(arrivals.iter().copied(), 60.0);
    let ours = backtest::predictions("prophet", &options, &series).unwrap();
    // prophet 1.5 (PyPI) on the same windows, for the 6th, 16th, ... value.
    for (value, expected) in PROPHET {
        let found = ours[value - 1];
        assert!(
            (found - expected).abs() < 0.5,
            "{value}: {found} {expected}"
        );
    }
}

const PROPHET: [(usize, f64); 6] = [
    (5, 198.011),
    (15, 192.153),
    (25, 201.399),
    (35, 214.412),
    (45, 224.536),
    (55, 231.527),
];

fn a_plan_for_the_h200_by_hand() {
    let folder = shared("reference/planner/npz");
    let mut planner = Planner::new(PlannerConfig {
        profile_data_dir: Some(folder),
        prefill_gpus_per_instance: 1,
        target_itl_ms: 10.0,
        load_predictor_type: "constant".into(),
        max_gpu_budget: 32,
        enable_correction: false,
        ..PlannerConfig::of(Variant::Dynamo)
    })
    .unwrap();
    // 9000 requests in 180 s, 3000 in and 150 out: 150,000 tokens/s over 49,481 make 4; 7500 over best(10, 3075) = 4679.6
    // make 2.
    let decision = planner.tick(&kvreplay::autoscale::planner::Observation {
        num_req: Some(9000.0),
        isl: Some(3000.0),
        osl: Some(150.0),
        ttft_ms: Some(60.0),
        itl_ms: Some(10.0),
        ready_prefill: 1,
        ready_decode: 1,
        ..Default::default()
    });
    assert_eq!(
        (decision.raw_prefill, decision.raw_decode),
        (Some(4), Some(2))
    );
    assert_eq!((decision.prefill, decision.decode), (4, 2));
}
