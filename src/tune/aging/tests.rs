use crate::sim::Outcome;
use crate::sim::RequestRecord;
use crate::trace::Nanos;
use crate::tune::aging::*;
use crate::tune::trace_variants::testing::{config, trace};

fn record(prompt: u32, ttft: f64) -> RequestRecord {
    RequestRecord {
        prompt,
        output: 2,
        outcome: Outcome::Finished,
        scheduled: Some(Nanos::ZERO),
        first_token: Some(Nanos::from_secs_f64(ttft)),
        ended: Nanos::from_secs_f64(ttft + 1.0),
        last_prompt: prompt,
        ..RequestRecord::default()
    }
}

#[test]
fn measures_by_hand() {
    let records = [record(10, 1.0), record(20, 2.0), record(30, 6.0)];
    let found = Measures::of(&records, &[1.0, 1.0, 2.0]).expect("finished");
    assert_eq!(found.ttft[0], 2.0);
    // Slowdowns of 1, 2 and 3: 36 / (3 x 14).
    assert!((found.jain - 36.0 / 42.0).abs() < 1e-12);
    assert_eq!(found.max_wait, 4.0);
    assert_eq!(found.classes.map(|class| class.p99), [1.0, 2.0, 3.0]);
    assert!(Measures::of(&[RequestRecord::default()], &[1.0]).is_none());
}

#[test]
fn token_times_by_hand() {
    let records = vec![vec![record(10, 1.0), record(10, 2.0), record(10, 6.0)]];
    let found = TokenTime::of(&records).expect("finished");
    assert!((found.mean - 0.3).abs() < 1e-12 && (found.median - 0.2).abs() < 1e-12);
    // Between 0.2 and 0.6, at 1.6 of 2.
    assert!((found.p80 - 0.44).abs() < 1e-12);
    assert!((found.ratios()[1].0 - 5.0).abs() < 1e-9);
}

#[test]
fn a_front_by_hand() {
    let point = |ttft: f64, jain: f64| Point {
        order: Order::Fcfs,
        origin: String::new(),
        mean: Measures {
            ttft: [ttft; 3],
            jain,
            ..Measures::default()
        },
        runs: Vec::new(),
        on_front: false,
        against_fcfs: None,
    };
    let mut points = [
        point(1.0, 0.5),
        point(2.0, 0.5),
        point(3.0, 0.9),
        point(3.0, 0.9),
        point(4.0, 0.8),
    ];
    let sweep = AgingSweep {
        ratios: Vec::new(),
        ttft: 1,
        fairness: Fairness::Jain,
        confidence: 0.95,
    };
    mark_front(&mut points, &sweep);
    assert_eq!(
        points.map(|point| point.on_front),
        [true, false, true, true, false]
    );
}

#[test]
fn a_study_has_both_ends_and_what_was_derived() {
    let variants = TraceVariants::new(&trace(60), 0.3, &[0, 1, 2], true).expect("is made");
    // Chunks shrink as a prompt progresses, so several prompts are partly computed at the same time.
    let config = with_opt_sarathi(&config(), |own| {
        own.enable_dynamic_chunking_schedule = true;
        own.low_chunk_size = 64;
        own.high_chunk_size = 512;
        own.chunk_schedule_max_tokens = 1024;
        own.chunk_schedule_stages = 8;
    });
    let sweep = AgingSweep {
        ratios: vec![100.0, 1e9],
        ttft: 0,
        fairness: Fairness::MaxWait,
        confidence: 0.95,
    };
    let run = || study(&variants, &config, &sweep, &AtomicU64::new(0)).expect("runs");
    let found = run();
    assert_eq!(found.points.len(), 8, "two ends, two given, four derived");
    assert!(
        found
            .points
            .is_sorted_by(|a, b| a.order.ratio() < b.order.ratio())
    );
    let (fcfs, endless) = (&found.points[7], &found.points[6]);
    assert_eq!(
        fcfs.runs, endless.runs,
        "an endless ratio is first come first served"
    );
    assert_ne!(fcfs.runs, found.points[0].runs, "the other end is not");
    assert!(found.points.iter().any(|point| point.on_front));
    assert!(fcfs.against_fcfs.is_none() && found.points[0].against_fcfs.is_some());
    let alone = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a pool");
    assert_eq!(alone.install(run), found);
    let bad = AgingSweep {
        ratios: vec![-1.0],
        ..sweep
    };
    assert!(study(&variants, &config, &bad, &AtomicU64::new(0)).is_err());
}

#[test]
fn orders_that_cannot_differ_are_refused() {
    let variants = TraceVariants::new(&trace(60), 0.3, &[0, 1], true).expect("is made");
    let sweep = AgingSweep {
        ratios: vec![100.0],
        ttft: 0,
        fairness: Fairness::MaxWait,
        confidence: 0.95,
    };
    let error = study(&variants, &config(), &sweep, &AtomicU64::new(0)).expect_err("is refused");
    assert!(
        error
            .to_string()
            .starts_with("all orders give the same run"),
        "{error}"
    );
}
