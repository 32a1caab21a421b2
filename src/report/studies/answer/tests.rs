//! Tests of every answer as a whole sentence.

use crate::report::studies::answer::*;

#[test]
fn shares_are_never_rounded_to_none_or_all() {
    for (fraction, text) in [
        (0.0, "0.0 %"),
        (0.0002, "less than 0.1 %"),
        (0.9549, "95.5 %"),
        (0.9997, "more than 99.9 %"),
        (1.0, "100.0 %"),
    ] {
        assert_eq!(share(fraction), text);
    }
}

fn cached(capacity_blocks: Option<u32>, cached_tokens: u64) -> Cached<'static> {
    Cached {
        engine: "vllm",
        eviction: "lru",
        block_size: 16,
        capacity_blocks,
        capacity_bytes: None,
        distinct_blocks: 75_951,
        prompt_tokens: 1000,
        cached_tokens,
        rejected: 0,
    }
}

#[test]
fn an_analysis() {
    assert_eq!(
        analysis(&cached(None, 955)),
        "A cache without a limit saves the prefill of 95.5 % of prompt tokens (engine vllm, eviction lru, 16 tokens a block)."
    );
    let small = Cached {
        capacity_bytes: Some(15.0 * 1_073_741_824.0),
        rejected: 1,
        ..cached(Some(7_595), 955)
    };
    assert_eq!(
        analysis(&small),
        "A cache of 7,595 blocks (10.0 % of the distinct blocks, 15.00 GiB) saves the prefill of 95.5 % of prompt tokens (engine vllm, eviction lru, 16 tokens a block); 1 request did not fit and was rejected."
    );
    assert_eq!(
        analysis(&cached(Some(1), 0)),
        "A cache of 1 block (0.0 % of the distinct blocks) saves nothing: no prompt token is found in it (engine vllm, eviction lru, 16 tokens a block)."
    );
    let naive = Cached {
        engine: "naive",
        ..cached(None, 955)
    };
    assert!(analysis(&naive).starts_with("By an accounting that no server follows: A cache"));
    assert!(
        experiment(&[(naive.clone(), naive)])
            .starts_with("By an accounting that no server follows: A prefix cache")
    );
    let empty = Cached {
        prompt_tokens: 0,
        ..cached(None, 0)
    };
    assert_eq!(
        analysis(&empty),
        "The trace has no prompt tokens, so there is nothing to cache."
    );
}

#[test]
fn a_curve() {
    let coarse = Curve {
        block_size: 64,
        sampled: false,
        replayed: None,
        enough: (0.57, 100, None),
        best: (0.6, 900),
    };
    assert_eq!(
        curve(std::slice::from_ref(&coarse), "ideal"),
        "100 blocks (6,400 tokens) save 57.0 % of prompt tokens, at least 95 % of the 60.0 % that 900 blocks save (engine ideal, eviction lru, 64 tokens a block)."
    );
    let fine = Curve {
        block_size: 16,
        sampled: false,
        replayed: Some(48),
        enough: (0.63, 1_500, Some(3.0 * 1_073_741_824.0)),
        best: (0.66, 4_000),
    };
    assert_eq!(
        curve(&[coarse.clone(), fine], "vllm"),
        "1,500 blocks (24,000 tokens, 3.00 GiB, the smallest of 48 sizes replayed that does) save 63.0 % of prompt tokens, at least 95 % of the 66.0 % that 4,000 blocks save (engine vllm, eviction lru, 16 tokens a block, the best of 2 block sizes)."
    );
    let sampled = Curve {
        sampled: true,
        ..coarse.clone()
    };
    assert!(
        curve(&[sampled], "ideal").contains("57.0 % of block look-ups (estimated from a sample)")
    );
    let nothing = Curve {
        best: (0.0, 1),
        ..coarse
    };
    assert_eq!(
        curve(&[nothing], "vllm"),
        "No cache size saves anything: no prompt shares a full block with an earlier one (engine vllm, eviction lru, 64 tokens a block)."
    );
    assert_eq!(curve(&[], "vllm"), "The curve has no points.");
}

fn cell(
    policy: &'static str,
    capacity: &'static str,
    blocks: Option<u32>,
    ratio: f64,
) -> Swept<'static> {
    Swept {
        block_size: 16,
        policy,
        offline: policy == "belady",
        capacity,
        capacity_blocks: blocks,
        ratio,
    }
}

#[test]
fn a_sweep() {
    let cells = [
        cell("belady", "1%", Some(760), 0.70),
        cell("belady", "inf", None, 0.95),
        cell("lru", "1%", Some(760), 0.60),
        cell("lru", "inf", None, 0.95),
        cell("s3-fifo", "1%", Some(760), 0.65),
        cell("s3-fifo", "inf", None, 0.95),
    ];
    assert_eq!(
        sweep(&cells, "ideal"),
        "The choice matters most at capacity 1% (760 blocks of 16 tokens): s3-fifo is the best of 2 eviction policies and saves 65.0 % of prompt tokens, 5.0 points more than lru and 5.0 points less than belady, which knows the future (engine ideal)."
    );
    assert_eq!(
        sweep(&cells[2..4], "vllm"),
        "Eviction policy lru, the only one tried, saves from 60.0 % of prompt tokens at capacity 1% (760 blocks of 16 tokens) to 95.0 % without a limit at 16 tokens a block (engine vllm)."
    );
    // The prefix rule can make a policy save more tokens than the bound, because the bound is on block hits.
    let above = [
        cell("belady", "1%", Some(760), 0.5),
        cell("lru", "1%", Some(760), 0.6),
        cell("fifo", "1%", Some(760), 0.4),
    ];
    assert_eq!(
        sweep(&above, "ideal"),
        "The choice matters most at capacity 1% (760 blocks of 16 tokens): lru is the best of 2 eviction policies and saves 60.0 % of prompt tokens, 10.0 points more than belady, which maximises block hits (engine ideal)."
    );
    let same = [
        cell("lru", "inf", None, 0.95),
        cell("fifo", "inf", None, 0.95),
    ];
    assert_eq!(
        sweep(&same, "ideal"),
        "All 2 eviction policies save the same: 95.0 % of prompt tokens everywhere (engine ideal)."
    );
    for none in [&cells[..1], &[]] {
        assert_eq!(
            sweep(none, "ideal"),
            "No policy was tried that could run in a server."
        );
    }
}

#[test]
fn an_experiment() {
    let single = cached(None, 34);
    let multi = cached(None, 955);
    assert_eq!(
        experiment(&[(single.clone(), multi.clone())]),
        "A prefix cache saves the prefill of 95.5 % of prompt tokens of multi-turn traffic and 3.4 % of single-turn traffic: 92.1 points come from the history of the chats (engine vllm, 16 tokens a block)."
    );
    let larger = Cached {
        block_size: 64,
        cached_tokens: 900,
        ..multi.clone()
    };
    let several = experiment(&[(single.clone(), larger), (single.clone(), multi)]);
    assert!(
        several.ends_with("(engine vllm, 16 tokens a block, the best of 2 block sizes)."),
        "{several}"
    );
    assert_eq!(
        experiment(&[(cached(None, 50), cached(None, 50))]),
        "A prefix cache saves the prefill of 5.0 % of prompt tokens of multi-turn traffic and 5.0 % of single-turn traffic: the history of the chats adds nothing (engine vllm, 16 tokens a block)."
    );
    assert_eq!(
        experiment(&[(cached(None, 0), cached(None, 0))]),
        "A prefix cache saves nothing, neither of single-turn nor of multi-turn traffic (engine vllm, 16 tokens a block)."
    );
}

fn served(arrived: u64, finished: u64, attainment: f64) -> Served {
    Served {
        arrived,
        finished,
        attainment: (arrived > 0).then_some(attainment),
        goodput: Some(3.17),
        objectives: "TTFT <= 2 s".into(),
        gpu_hours: Some(7.89),
        dollars: Some(37.54),
    }
}

#[test]
fn a_simulation() {
    assert_eq!(
        simulation(&served(12_031, 12_031, 0.9366)),
        "93.7 % of the 12,031 requests that arrived met the SLO (TTFT <= 2 s), 3.17 a second; the cluster took 7.89 GPU-hours ($37.54)."
    );
    let unpriced = Served {
        dollars: None,
        ..served(10, 9, 0.9)
    };
    assert_eq!(
        simulation(&unpriced),
        "90.0 % of the 10 requests that arrived met the SLO (TTFT <= 2 s), 3.17 a second, 1 did not finish; the cluster took 7.89 GPU-hours."
    );
    assert_eq!(
        simulation(&served(1, 0, 0.0)),
        "The only request did not finish and did not meet the SLO; the cluster took 7.89 GPU-hours ($37.54)."
    );
    assert_eq!(
        simulation(&served(5, 0, 0.0)),
        "None of the 5 requests finished, so none met the SLO; the cluster took 7.89 GPU-hours ($37.54)."
    );
    assert_eq!(simulation(&served(0, 0, 0.0)), "No request arrived.");
    let unknown = Served {
        goodput: None,
        gpu_hours: None,
        ..served(2, 2, 1.0)
    };
    assert_eq!(
        simulation(&unknown),
        "100.0 % of the 2 requests that arrived met the SLO (TTFT <= 2 s)."
    );
}

fn candidate(name: &str, attainment: f64, dollars: f64) -> Candidate<'_> {
    Candidate {
        name,
        attainment: Some(attainment),
        dollars: Some(dollars),
        gpu_hours: Some(2.0 * dollars),
    }
}

#[test]
fn a_comparison() {
    let fixed = candidate("no_autoscaling", 1.0, 25.6);
    let pure = candidate("pure_latency", 0.995, 11.25);
    let cheap = candidate("kpa", 0.80, 5.0);
    assert_eq!(
        comparison(&[fixed.clone(), pure.clone(), cheap.clone()], 0),
        "The cheapest of the 2 policies that keep the SLO for at least 99 % of the requests: pure_latency, $11.25, 56.1 % less than the fixed fleet."
    );
    // If a price is unknown, GPU-hours are compared.
    let unpriced = Candidate {
        dollars: None,
        ..pure.clone()
    };
    assert_eq!(
        comparison(&[fixed.clone(), unpriced], 0),
        "The cheapest of the 2 policies that keep the SLO for at least 99 % of the requests: pure_latency, 22.50 GPU-hours, 56.1 % less than the fixed fleet."
    );
    // The fixed fleet is the cheapest, so the answer compares it with no other policy.
    assert_eq!(
        comparison(&[fixed.clone(), candidate("hpa_gpu", 1.0, 30.0)], 0),
        "The cheapest of the 2 policies that keep the SLO for at least 99 % of the requests: no_autoscaling, $25.60."
    );
    // Of many equals, three are named.
    let names = ["a", "b", "c", "d", "e", "f"].map(|name| candidate(name, 1.0, 3.0));
    let mut all = names[..4].to_vec();
    all.push(fixed.clone());
    assert_eq!(
        comparison(&all, 0),
        "The cheapest of the 5 policies that keep the SLO for at least 99 % of the requests: a and b and c and d, $3.00, 88.3 % less than the fixed fleet."
    );
    all.extend_from_slice(&names[4..]);
    assert_eq!(
        comparison(&all, 0),
        "The cheapest of the 7 policies that keep the SLO for at least 99 % of the requests: a, b, c and 3 others, $3.00, 88.3 % less than the fixed fleet."
    );
    // The fixed fleet is cheaper but misses the objectives.
    assert_eq!(
        comparison(&[candidate("no_autoscaling", 0.5, 10.0), pure.clone()], 0),
        "The only policy that keeps the SLO for at least 99 % of the requests: pure_latency, $11.25, 12.5 % more than the fixed fleet, which misses it."
    );
    assert_eq!(
        comparison(&[cheap.clone(), candidate("hpa_gpu", 0.9, 7.0)], 0),
        "No policy keeps the SLO for 99 % of the requests; hpa_gpu comes nearest with 90.0 %, at $7.00."
    );
    assert_eq!(
        comparison(&[pure.clone(), candidate("kpa", 1.0, 11.25)], 0),
        "All 2 policies keep the SLO for at least 99 % of the requests and cost the same, $11.25."
    );
    assert_eq!(
        comparison(&[pure], 0),
        "pure_latency, the only policy, keeps the SLO for 99.5 % of the requests, at $11.25."
    );
    assert_eq!(
        comparison(&[], 2),
        "Runs of every policy are missing, so none can be chosen."
    );
    assert!(comparison(&[fixed], 2).ends_with(" 2 policies with missing runs are left out."),);
    let unknown = Candidate {
        attainment: None,
        ..cheap
    };
    assert_eq!(
        comparison(&[unknown], 0),
        "No run tells how many requests met the SLO."
    );
}

#[test]
fn a_plan() {
    let planned = Planned {
        interval_sec: 1800.0,
        decided: vec![(1, 2, 3), (3, 2, 5)],
        ttft_ms: 500.0,
        itl_ms: 20.0,
        missed: 0,
    };
    assert_eq!(
        plan(&planned),
        "For TTFT within 500.0 ms and ITL within 20.0 ms, the planner asks for 1 to 3 prefill and 2 decode instances: 4.0 GPU-hours over 60.0 min, at most 5 GPUs at once; by the performance model, every interval keeps both."
    );
    let short = Planned {
        missed: 1,
        ..planned.clone()
    };
    assert!(
        plan(&short).ends_with("; by the performance model, 1 of 2 intervals miss one of them."),
        "{}",
        plan(&short)
    );
    let none = Planned {
        decided: Vec::new(),
        ..planned
    };
    assert_eq!(plan(&none), "No interval was planned.");
}

#[test]
fn an_order() {
    let found = Ordered {
        name: "srtf".into(),
        percentile: "P90".into(),
        ttft: 0.5,
        fcfs_ttft: 2.0,
        p: Some(0.0001),
        confidence: 0.95,
        fairness: "Jain's index of slowdowns",
        fair: 0.5,
        fcfs_fair: 0.75,
    };
    assert_eq!(
        aging(&found),
        "srtf has the shortest TTFT P90, 500.0 ms, 75.0 % less than first come first served (p < 0.001), and Jain's index of slowdowns 0.500 against 0.750."
    );
    for (p, text) in [
        (None, "(which one seed cannot tell from chance)"),
        (Some(0.3), "(which cannot be told from chance, p = 0.30)"),
    ] {
        let sentence = aging(&Ordered { p, ..found.clone() });
        assert!(sentence.contains(text), "{sentence}");
    }
    let fcfs = Ordered {
        name: "fcfs".into(),
        ..found
    };
    assert_eq!(
        aging(&fcfs),
        "No order has a shorter TTFT P90 than first come first served (2.00 s)."
    );
}
