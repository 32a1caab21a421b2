//! `report FOLDER`: the page of a folder of results has the figures of the command that wrote the folder.

use crate::common::{stdout, text};
use std::path::Path;

const TRACE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/data/sharegpt-synthetic.jsonl.zst"
);

fn page(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("report.html")).expect("a page")
}

/// Cells of the page's tables, without what they sort by.
fn cells(page: &str) -> Vec<&str> {
    let cell = |part: &'static str, end: &'static str| {
        page.split(part)
            .skip(1)
            .filter_map(move |rest| rest.split_once('>')?.1.split_once(end))
            .map(|(text, _)| text)
    };
    cell("<td", "</td>")
        .chain(cell("<th scope=\"row\"", "</th>"))
        .collect()
}

/// Points of the page's charts.
fn charts(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once("id=\"chart-data\">").expect("charts");
    let (data, _) = rest.split_once("</script>").expect("an end");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn the_page_of_an_analysis_is_the_one_that_analyze_wrote() {
    let folder = tempfile::tempdir().expect("folder");
    let trace = folder.path().join("trace.jsonl");
    stdout(&[
        "gen-trace",
        "--input",
        TRACE,
        "--max-conversations",
        "40",
        "--output",
        text(&trace),
    ]);
    let out = folder.path().join("out");
    stdout(&[
        "analyze",
        text(&trace),
        "--capacity",
        "30%",
        "--output-dir",
        text(&out),
    ]);
    let analyzed = page(&out);
    stdout(&["report", text(&out)]);
    let reported = page(&out);
    assert_eq!(cells(&analyzed), cells(&reported));
    assert_eq!(charts(&analyzed), charts(&reported));
    assert_eq!(analyzed, reported, "the whole page, byte for byte");
    // Turns count from 1, and gaps are of accesses: both were once different in the second page.
    let all = charts(&reported);
    let named = |name: &str| {
        let all = all.as_array().expect("a list");
        let place = all.iter().find(|place| place["name"] == name);
        place.expect("a chart")["variants"][0].clone()
    };
    assert_eq!(named("sharing_by_turn")["categories"][0], "1");
    let gaps = named("reuse_gap_cdf");
    let points = gaps["series"][0]["data"].as_array().expect("points");
    assert!(points.len() > 2 && points.last().expect("a point")[1] == 1.0);
}

#[test]
fn the_page_of_an_experiment_is_the_one_that_experiment_wrote() {
    // With engine naive the page has four replays: as counted and as served, single-turn and multi-turn.
    for engine in ["vllm", "naive"] {
        let folder = tempfile::tempdir().expect("folder");
        let out = text(folder.path());
        stdout(&[
            "experiment",
            "--max-conversations",
            "20",
            "--engine",
            engine,
            "--input",
            TRACE,
            "--output-dir",
            out,
        ]);
        let written = page(folder.path());
        stdout(&["report", out]);
        let reported = page(folder.path());
        assert_eq!(cells(&written), cells(&reported), "{engine}");
        assert_eq!(charts(&written), charts(&reported), "{engine}");
        assert!(
            written == reported,
            "{engine}: the whole page, byte for byte"
        );
    }
}

#[test]
fn a_folder_without_its_charts_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let trace = folder.path().join("trace.jsonl");
    stdout(&[
        "gen-trace",
        "--input",
        TRACE,
        "--max-conversations",
        "3",
        "--output",
        text(&trace),
    ]);
    let out = folder.path().join("out");
    stdout(&["analyze", text(&trace), "--output-dir", text(&out)]);
    std::fs::remove_file(out.join("charts.csv")).expect("removed");
    let before = page(&out);
    let output = crate::common::replay(&["report", text(&out)]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("lacks charts.csv, from which the charts are drawn"),
        "{told}"
    );
    assert_eq!(page(&out), before, "the page of `analyze` is left alone");
}
