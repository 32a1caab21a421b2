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

/// A run of `simulate --output-dir` has a page with the figures of its summary, with an autoscaler and without, on separate
/// fleets and on one.
#[test]
fn the_page_of_a_run_has_the_figures_of_its_summary() {
    let folder = tempfile::tempdir().expect("folder");
    let trace = folder.path().join("trace.csv");
    let mut lines = "arrived_at,num_prefill_tokens,num_decode_tokens\n".to_owned();
    for n in 0..60 {
        lines += &format!("{}.5,{},{}\n", n / 4, 200 + n, 20 + n % 7);
    }
    std::fs::write(&trace, lines).expect("writes");
    for (preset, policy, has_ratio) in [
        ("llama-8b-pd-4-4", "kpa", true),
        ("llama-8b-aggregated-4", "no_autoscaling", false),
    ] {
        let out = folder.path().join(preset);
        stdout(&[
            "simulate",
            text(&trace),
            "--preset",
            preset,
            "--autoscaler",
            policy,
            "--output-dir",
            text(&out),
        ]);
        stdout(&["report", text(&out)]);
        let found = page(&out);
        let summary = std::fs::read_to_string(out.join("summary.json")).expect("a summary");
        let summary: serde_json::Value = serde_json::from_str(&summary).expect("JSON");
        assert_eq!(summary["finished"], 60);
        let cells = cells(&found);
        let beside = |name: &str| {
            let row = found.split_once(&format!("scope=\"row\">{name}</th>"));
            let (_, rest) = row.expect("a row");
            let (_, rest) = rest.split_once("<td").expect("a cell");
            let (_, rest) = rest.split_once('>').expect("its text");
            rest.split_once('<').expect("its end").0.to_owned()
        };
        assert_eq!(beside("requests that arrived"), "60");
        let instances = std::fs::read_to_string(out.join("instances.csv")).expect("instances");
        let of = |pool: &str| {
            let rows = instances.lines().skip(1);
            rows.filter(|row| row.split(',').nth(1) == Some(pool))
                .count()
        };
        let lead = match has_ratio {
            true => format!(
                "prefill: {} instances over the run, each 1 x h100-80gb; decode: {} instances over the run, each 1 x h100-80gb; \
                 autoscaler kpa; seed 0",
                of("prefill"),
                of("decode")
            ),
            false => "replicas: 4 instances, each 1 x h100-80gb; seed 0".to_owned(),
        };
        assert!(found.contains(&lead), "{lead}");
        let tokens = summary["output_tokens"].as_u64().expect("tokens");
        let digits: String = beside("output tokens")
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        assert_eq!(digits, tokens.to_string());
        assert!(cells.contains(&"E2E P99"), "limits of slowdowns");
        let all = charts(&found);
        let names: Vec<&str> = all
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|chart| chart["name"].as_str())
            .collect();
        for name in ["load", "instances", "ttft_time", "ttft_cdf", "e2e_cdf"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        let fleet = all.as_array().expect("a list").iter();
        let mut fleet = fleet.filter(|chart| chart["name"] == "instances");
        let series = fleet.next().expect("instances")["variants"][0]["series"].clone();
        let named = |name: &str| {
            let all = series.as_array().expect("series").iter();
            all.into_iter().any(|one| one["name"] == name)
        };
        assert_eq!((named("prefill"), named("all")), (has_ratio, true));
    }
}
