//! Result folders that have pages.

use std::path::Path;

use super::stdout;

/// The charts of an experiment's page.
pub const PICTURES: [&str; 5] = [
    "sharing_fraction_cdf",
    "block_hit_distribution",
    "reuse_gap_cdf",
    "sharing_by_turn",
    "comparison",
];

/// Runs `experiment` on 50 conversations into a folder; the page that it writes.
pub fn experiment(folder: &Path, extra: &[&str]) -> String {
    assert_cmd::Command::cargo_bin("replay")
        .expect("binary")
        .args(["experiment", "--max-conversations", "50"])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/data/sharegpt-synthetic.jsonl.zst"
        ))
        .arg("--output-dir")
        .arg(folder)
        .args(extra)
        .assert()
        .success();
    std::fs::read_to_string(folder.join("report.html")).expect("page")
}

/// Runs two policies at two rates; the folder of the results.
pub fn results(folder: &Path) -> String {
    let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for n in 0..300u32 {
        let millis = n * 50;
        text += &format!(
            "2023-11-16 18:00:{:02}.{:03}0000,{},{}\n",
            millis / 1000,
            millis % 1000,
            200 + (n * 91) % 1500,
            5 + (n * 53) % 120
        );
    }
    let trace = folder.join("conv.csv");
    std::fs::write(&trace, text).expect("writes");
    let root = folder.join("results").to_str().expect("UTF-8").to_owned();
    stdout(&[
        "matrix",
        trace.to_str().expect("UTF-8"),
        "--rates",
        "20,60",
        "--autoscaler",
        "no_autoscaling,hpa_gpu",
        "--results",
        &root,
    ]);
    root
}

/// Runs `experiment`, `sweep` and `curve` into three folders; each with a figure that its page must have.
pub fn studies(folder: &Path) -> [(String, &'static str); 3] {
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/sharegpt-synthetic.jsonl.zst"
    );
    let study = path("study");
    stdout(&[
        "experiment",
        "--max-conversations",
        "50",
        data,
        "--output-dir",
        &study,
    ]);
    let trace = format!("{study}/multi_turn.jsonl.zst");
    let (sweep, curve) = (path("sweep"), path("curve"));
    stdout(&[
        "sweep",
        &trace,
        "--engine",
        "ideal",
        "--eviction",
        "lru,fifo",
        "--capacity",
        "10%,50%",
        "--output-dir",
        &sweep,
    ]);
    stdout(&["curve", &trace, "--output-dir", &curve]);
    [
        (study, "sharing_fraction_cdf"),
        (sweep, "hit_ratio"),
        (curve, "curve"),
    ]
}
