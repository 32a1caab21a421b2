use crate::sim::Outcome;
use crate::tune::study::load_test::steadiness::in_flight_seconds;
use crate::tune::study::load_test::*;

/// Requests at one per second from 1 s on, each in flight for the given number of seconds.
fn requests(count: u32, in_flight: impl Fn(u32) -> u32) -> Vec<RequestRecord> {
    let seconds = |time: u32| Nanos(u64::from(time) * 1_000_000_000);
    (1..=count)
        .map(|at| RequestRecord {
            arrival: seconds(at),
            ended: seconds(at + in_flight(at)),
            outcome: Outcome::Finished,
            ..RequestRecord::default()
        })
        .collect()
}

#[test]
fn a_queue_is_stationary_if_it_does_not_grow() {
    let all = |requests: &[RequestRecord]| requests.len() as f64;
    // Five requests are always in flight. 40 s are four quarters of 10 s; 20 requests arrive from 10 s to below 30 s.
    let steady = Steadiness::of(&requests(40, |_| 5), 1.0, &all);
    assert_eq!(steady.attainment, 20.0);
    assert_eq!(steady.growth, 0.0);
    assert!(steady.is_stationary());
    // No request finishes: the mean number in flight is 25 and 35 in the last two quarters, ten more in 10 s at 1 request/s.
    let growing = Steadiness::of(&requests(40, |_| 100), 1.0, &all);
    assert!((growing.growth - 1.0).abs() < 0.06, "{growing:?}");
    assert!(!growing.is_stationary());
    // One of ten arriving requests exceeds the capacity: each request waits a tenth of its arrival time longer.
    let overload = Steadiness::of(&requests(400, |at| at / 10), 1.0, &all);
    assert!((overload.growth - 0.1).abs() < 0.02, "{overload:?}");
    assert!(!overload.is_stationary());
}

/// One instance whose steps take 10 ms and hold at most four requests.
const FOUR_AT_A_TIME: &str = r#"
[[pool]]
name = "all"
blocks = 10000
[latency]
kind = "constant"
seconds = 0.01
[scheduler]
kind = "vllm-v1"
max_num_seqs = 4
"#;

const ONE_INSTANCE: LoadTest = LoadTest {
    requests: 100,
    attainment: 0.99,
    instances: 1,
    seed: 0,
};

/// A hundred requests of this many output tokens.
fn requests_of(output: u32) -> Workload<'static> {
    let item = |session| crate::sim::Item {
        arrival: Nanos::ZERO,
        session,
        prompt: 50,
        output,
    };
    Workload::of_items((0..100).map(item).collect())
}

#[test]
fn a_burst_is_no_capacity() {
    let config: ScenarioConfig = toml::from_str(FOUR_AT_A_TIME).expect("TOML");
    let workload = requests_of(10);
    let measured = crate::scenario::profiler::measure(
        &config,
        &crate::scenario::profiler::Grid::of(&workload),
    );
    let profile = measured.expect("is measured").profile;
    for profile in [None, Some(&profile)] {
        let steps = AtomicU64::new(0);
        let count = |number| {
            steps.fetch_add(number, Ordering::Relaxed);
        };
        let found =
            capacities(&config, &workload, &ONE_INSTANCE, profile, count).expect("is carried");
        assert_eq!(steps.into_inner(), STEPS_OF_A_SPLIT);
        let [found] = found.as_slice() else {
            panic!("one fleet: {found:?}");
        };
        // A request takes 10 steps, so the maximum is 4 / 0.1 s = 40 requests/s; an overload of 1 % is not detected. As a
        // burst, 100 requests at 200 requests/s would meet the TTFT of 2 s: they are computed in 100 / 40 = 2.5 s and arrive
        // within 0.5 s.
        assert!(found.rate > 37.0 && found.rate <= 40.4, "{found:?}");
        assert!(found.held_requests >= SHORTEST_HOLD, "{found:?}");
        let seconds = found.held_requests as f64 / found.rate;
        assert!(
            (found.held_seconds / seconds - 1.0).abs() < 0.01,
            "{found:?}"
        );
        // The profile allows 400 tokens/s, and a request has 9 tokens after its first.
        let ceiling = found.ceiling.map(|ceiling| (ceiling * 9.0).round());
        assert_eq!(ceiling, profile.map(|_| 400.0));
    }
}

/// A request takes 20 steps of 100 s, so four at a time are 4 / 2,000 s = 0.002 requests/s. 1,600 requests take nine days, in which a
/// control interval of a second would come more often than a run may record.
#[test]
fn fleets_that_take_minutes_for_a_request_are_measured() {
    let slow = FOUR_AT_A_TIME.replace("seconds = 0.01", "seconds = 100.0");
    let slow = slow + "[slo]\nttft_seconds = 20000.0\ntbt_seconds = 150.0\n";
    let config: ScenarioConfig = toml::from_str(&slow).expect("TOML");
    let workload = requests_of(20);
    let found = capacities(&config, &workload, &ONE_INSTANCE, None, |_| {}).expect("is carried");
    let [found] = found.as_slice() else {
        panic!("one fleet: {found:?}");
    };
    assert!(found.rate > 0.001 && found.rate <= 0.00203, "{found:?}");
    assert!(found.seen.get("aggregated_busy") > 0.5, "{found:?}");
}

#[test]
fn chance_does_not_add_up_over_a_hold() {
    let times = arrivals(3, 20.0, 250);
    assert!(times.is_sorted());
    // 100 requests at 20 per second take 5 s, and the last 50 take 2.5 s.
    for (last, seconds) in [(99, 5.0), (199, 10.0), (249, 12.5)] {
        assert!((times[last].as_secs_f64() - seconds).abs() < 1e-6);
    }
    assert_ne!(times[1] - times[0], times[2] - times[1]);
}

#[test]
fn seconds_in_flight_by_hand() {
    // The requests are in flight from 1 to 6 s, 2 to 7 s and 3 to 8 s. Within [4, 7) these are 2, 3 and 3 s.
    assert_eq!(in_flight_seconds(&requests(3, |_| 5), 4.0, 7.0), 8.0);
    assert_eq!(in_flight_seconds(&requests(3, |_| 5), 0.0, 1.0), 0.0);
}
