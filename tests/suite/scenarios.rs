//! The scenarios that ship show what they are said to show.

use std::path::Path;

use crate::common::stdout;
use serde_json::Value;

/// A run of a scenario: its figures, and its looks by column.
struct Run {
    figures: Value,
    looks: Vec<csv::StringRecord>,
    head: csv::StringRecord,
}

impl Run {
    fn of(name: &str, rate: &str, conversations: &str, shape: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (chats, trace, out) = (path("chats.jsonl"), path("trace.jsonl.zst"), path("out"));
        let config = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("data/scenarios/{name}.toml"))
            .display()
            .to_string();
        stdout(&[
            "synth-dataset",
            "--conversations",
            conversations,
            "--max-turns",
            "6",
            "--seed",
            "1",
            "--output",
            &chats,
        ]);
        stdout(&[
            "gen-trace",
            &chats,
            "--rate",
            rate,
            "--rate-shape",
            shape,
            "--output",
            &trace,
        ]);
        let figures = stdout(&[
            "simulate",
            &trace,
            "--config",
            &config,
            "--output-dir",
            &out,
            "--json",
        ]);
        let path = Path::new(&out).join("scaling/0.csv");
        let mut reader = csv::Reader::from_path(path).expect("a log");
        Self {
            figures: serde_json::from_str(&figures).expect("JSON"),
            head: reader.headers().expect("a head").clone(),
            looks: reader.records().map(|row| row.expect("a row")).collect(),
        }
    }

    /// A column of the looks.
    fn column(&self, name: &str) -> Vec<f64> {
        let index = self.head.iter().position(|known| known == name);
        let index = index.unwrap_or_else(|| panic!("no column {name}"));
        let number = |row: &csv::StringRecord| row[index].parse().expect("a number");
        self.looks.iter().map(number).collect()
    }
}

#[test]
fn hpa_never_shrinks_decode() {
    let run = Run::of(
        "hpa-decode-never-shrinks",
        "30",
        "16000",
        "diurnal:period=30m,low=0.2,high=1.8",
    );
    let (decode, rate) = (run.column("decode_ready"), run.column("arrival_rate"));
    assert!(decode.is_sorted(), "it shrank: {decode:?}");
    assert_eq!(decode.last(), Some(&16.0));
    // It is as large when the day is over as at its height, with a tenth of the load.
    let last = rate[rate.len() - 6..].iter().sum::<f64>() / 6.0;
    let most = rate.iter().copied().fold(0.0, f64::max);
    assert!(last < 0.25 * most, "{last} of {most} requests/s");
    // As long as requests arrive, at any rate, no instance appears idle.
    let busy = run.column("decode_busy");
    let looks = busy.iter().zip(&rate).skip(2);
    assert!(
        looks
            .filter(|(_, rate)| **rate > 0.0)
            .all(|(busy, _)| *busy > 0.9)
    );
}

#[test]
fn independent_pools_swing() {
    let run = Run::of(
        "independent-ratio-swings",
        "30",
        "16000",
        "square:period=10m,low=0.3,high=1.7",
    );
    let ratio = run.column("pd_ratio");
    let settled = &ratio[6..150];
    let most = settled.iter().copied().fold(0.0, f64::max);
    let least = settled.iter().copied().fold(f64::MAX, f64::min);
    assert!(most > 2.0 * least, "P/D ratio from {least} to {most}");
}

#[test]
fn latency_alone_flaps() {
    let run = Run::of("pure-latency-flaps", "30", "16000", "steady");
    let flaps = run.figures["scaling"]["flaps"].as_u64().expect("flaps");
    assert!(flaps >= 10, "{flaps} flaps under a steady load");
    // And every dip is paid with tokens that are late.
    let late = run
        .column("tbt_p90")
        .iter()
        .filter(|tbt| **tbt > 0.04)
        .count();
    assert!(late > 20, "late at {late} looks");
}

#[test]
fn a_timetable_does_not_see_the_crowd() {
    let run = Run::of(
        "periodic-blind",
        "12",
        "9000",
        "spike:at=10m,factor=4,width=5m,decay=2m",
    );
    // Ten minutes to fifteen: four times the load, the same two decode instances.
    let crowd: Vec<usize> = (61..90).collect();
    let (decode, rate) = (run.column("decode_ready"), run.column("arrival_rate"));
    assert!(crowd.iter().all(|look| decode[*look] == 2.0));
    let in_crowd = crowd.iter().map(|look| rate[*look]).sum::<f64>() / crowd.len() as f64;
    assert!(in_crowd > 3.0 * rate[..50].iter().sum::<f64>() / 50.0);
    let attainment = run.figures["slo"]["attainment"].as_f64().expect("a part");
    assert!(attainment < 0.6, "{attainment} met the SLO");
}
