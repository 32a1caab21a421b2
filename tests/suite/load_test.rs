//! The load test of `replay study`: a rate counts only if it can be held.

use crate::common::{json, text};

#[test]
fn no_fleet_carries_more_than_its_profile_allows() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.csv");
    let mut content = "arrived_at,num_prefill_tokens,num_decode_tokens\n".to_owned();
    for i in 0..600 {
        content += &format!("{},500,50\n", f64::from(i) * 0.5);
    }
    std::fs::write(&trace, content).expect("writes");
    let out = folder.path().join("study");
    let study = json(&[
        "study",
        text(&trace),
        "--preset",
        "llama-8b-pd-4-4",
        "--autoscaler",
        "periodic",
        "--test-instances",
        "3",
        "--test-requests",
        "600",
        "--output-dir",
        text(&out),
        "--json",
    ]);
    let capacities = study["capacities"].as_array().expect("capacities");
    assert_eq!(capacities.len(), 2);
    for capacity in capacities {
        let number = |name: &str| capacity[name].as_f64().expect("a number");
        assert!(
            number("rate") > 0.0 && number("rate") <= number("ceiling"),
            "{capacity}"
        );
        // As a burst of a second, two prefill instances and one for decode "carried" 602 requests/s: 600 prompts of 500 tokens
        // are computed in little more than the two seconds that the TTFT allows.
        assert!(number("rate") < 150.0 * number("prefill"), "{capacity}");
        let seconds = number("held_requests") / number("rate");
        let held = number("held_seconds");
        assert!((held / seconds - 1.0).abs() < 0.1, "{held} s: {capacity}");
    }
    // Prompts limit the rate: an H100 computes at most this many prompt tokens per second.
    let profile = std::fs::read_to_string(out.join("profile/prefill_profile.csv")).expect("reads");
    let best = profile.lines().skip(1).filter_map(|line| {
        let throughput = line.rsplit(',').next()?;
        throughput.parse::<f64>().ok()
    });
    let best = best.fold(0.0, f64::max);
    for capacity in capacities {
        let prefill = capacity["prefill"].as_f64().expect("a number");
        let ceiling = capacity["ceiling"].as_f64().expect("a number");
        assert!(ceiling <= prefill * best / 500.0 + 1e-6, "{capacity}");
    }
    let page = std::fs::read_to_string(out.join("study.md")).expect("reads");
    assert!(page.contains("| held for | profile's ceiling |"), "{page}");
}
