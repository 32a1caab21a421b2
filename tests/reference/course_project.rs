//! The course project's published figures and files, from the same conversations.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crate::common::text;
use crate::harness::Need::Data;
use crate::harness::{shared, tests};

tests! {
    every_request_and_block_as_published: [Data("data/sharegpt_v3_split_first1000.jsonl.xz"), Data("reference/course-project/first100")];
}

fn gunzip(path: &Path) -> String {
    let mut content = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).expect("opens"))
        .read_to_string(&mut content)
        .expect("reads");
    content
}

fn every_request_and_block_as_published() {
    let packed = shared("data/sharegpt_v3_split_first1000.jsonl.xz");
    let reference = shared("reference/course-project/first100");
    let folder = tempfile::tempdir().expect("folder");
    let input = crate::common::unpack(&packed, folder.path());
    let out = folder.path().join("out");
    let printed = crate::common::stdout(&[
        "experiment",
        text(&input),
        "--preset",
        "course-project",
        "--output-dir",
        text(&out),
    ]);
    for figure in [
        "5.11 %",
        "2.01 %",
        "40.59 %",
        "41.89 %",
        "57.95 %",
        "1.04 / 10",
        "2.38 / 25",
    ] {
        let line = printed
            .lines()
            .find(|line| line.matches(figure).count() >= 2);
        assert!(
            line.is_some(),
            "{figure} is not both published and found in\n{printed}"
        );
    }
    for mode in ["single_turn", "multi_turn"] {
        let theirs = gunzip(&reference.join(format!("{mode}_request_metrics.csv.gz")));
        let ours = std::fs::read_to_string(out.join(format!("{mode}_request_metrics.csv")))
            .expect("reads");
        assert_eq!(ours.lines().count(), theirs.lines().count());
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            assert!(ours.starts_with(theirs.trim_end()), "{ours}\n{theirs}");
        }
        let count = |csv: &str| -> BTreeMap<u64, u64> {
            let mut counts = BTreeMap::new();
            for line in csv.lines().skip(1) {
                let hits = line
                    .split(',')
                    .nth(1)
                    .expect("column")
                    .trim()
                    .parse()
                    .expect("number");
                *counts.entry(hits).or_default() += 1;
            }
            counts
        };
        let theirs = gunzip(&reference.join(format!("{mode}_block_hit_counts.csv.gz")));
        let ours =
            std::fs::read_to_string(out.join(format!("{mode}_block_metrics.csv"))).expect("reads");
        assert_eq!(count(&ours), count(&theirs));
        let theirs: serde_json::Value =
            serde_json::from_str(&gunzip(&reference.join(format!("{mode}_stats.json.gz"))))
                .expect("JSON");
        let ours: serde_json::Value = serde_json::from_slice(
            &std::fs::read(out.join(format!("{mode}_stats.json"))).expect("reads"),
        )
        .expect("JSON");
        for key in [
            "total_requests",
            "total_blocks_allocated",
            "total_blocks_reused",
            "unique_blocks",
            "sharing_fraction",
            "block_hits",
        ] {
            assert_eq!(ours[key], theirs[key], "{mode}: {key}");
        }
    }
}
