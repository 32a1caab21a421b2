//! `replay tune select` against the output of sarathi-serve's own `select_threshold.py`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::process::Command;

use crate::common::replay_in;
use crate::harness::Need::Data;
use crate::harness::{shared, tests};

tests! {
    the_originals_output_to_the_byte: [Data("reference/threshold-golden")];
}

fn the_originals_output_to_the_byte() {
    let golden = shared("reference/threshold-golden");
    let folder = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar")
        .arg("xzf")
        .arg(golden.join("threshold_output.tgz"))
        .arg("-C")
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(unpacked.success());
    for (file, arguments) in [
        ("expected.txt", &[][..]),
        ("expected_run_aggmedian.txt", &["--run_agg", "median"]),
        ("expected_run_aggp90.txt", &["--run-agg", "p90"]),
        ("expected_run_aggmax.txt", &["--run_agg=max"]),
        ("expected_baseline99.txt", &["--baseline", "99"]),
        (
            "expected_w_prefill_exec_norm035_w_request025_w_prefill025.txt",
            &[
                "--w_prefill_exec_norm",
                "0.35",
                "--w-request",
                "0.25",
                "--w_prefill",
                "0.25",
            ],
        ),
    ] {
        // The script's output alone on standard output.
        let own = [
            "tune",
            "select",
            "threshold_output",
            "--significance",
            "stderr",
        ];
        let all = [&own, arguments].concat();
        let found = replay_in(folder.path(), &all);
        let expected = std::fs::read_to_string(golden.join(file)).unwrap();
        assert_eq!(String::from_utf8(found.stdout).unwrap(), expected, "{file}");
        assert!(found.status.success(), "{file}");
        let beside = String::from_utf8(found.stderr).unwrap();
        // Five per cent of noise on 80 requests is more than any of these differences.
        assert!(
            beside.contains("no significant difference") || beside.contains("the baseline itself"),
            "{file}: {beside}"
        );
    }
}
