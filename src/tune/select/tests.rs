use std::path::Path;

use crate::tune::select::text::python_path;
use crate::tune::select::*;

fn column(values: &[f64]) -> Column {
    Column {
        values: values.to_vec(),
        ids: Vec::new(),
    }
}

fn run(name: &str, thresholds: &[(i128, f64)]) -> ThresholdRun {
    let columns =
        |factor: f64| std::array::from_fn(|_| column(&[factor, 2.0 * factor, 4.0 * factor]));
    ThresholdRun {
        name: name.into(),
        thresholds: thresholds
            .iter()
            .map(|(threshold, factor)| (*threshold, columns(*factor)))
            .collect(),
    }
}

#[test]
fn quantiles_by_hand() {
    assert_eq!(quantile(&[4.0, 1.0, 2.0], 0.5), 2.0);
    assert_eq!(quantile(&[4.0, 1.0], 0.9), 1.0 + 3.0 * 0.9);
    assert_eq!(quantile(&[7.0], 0.95), 7.0);
}

#[test]
fn ratios_are_to_each_runs_own_baseline() {
    // The second run has no threshold 0, so its lowest threshold, 1, is the baseline.
    let runs = [
        run("a", &[(0, 4.0), (1, 2.0)]),
        run("b", &[(1, 4.0), (2, 2.0)]),
    ];
    let found = select(&runs, &SelectOptions::default()).expect("selects");
    let rows = found.rows.iter();
    let ratios: Vec<(i128, usize, f64)> = rows
        .map(|row| (row.threshold, row.runs, row.ratios[0]))
        .collect();
    assert_eq!(ratios, [(0, 1, 1.0), (1, 2, 0.75), (2, 1, 0.5)]);
    assert_eq!(found.best, 2);
    let most = SelectOptions {
        aggregate: Aggregate::Max,
        ..SelectOptions::default()
    };
    let found = select(&runs, &most).expect("selects");
    assert_eq!(found.rows[1].ratios, [1.0; 5]);
    let equal = [run("c", &[(0, 2.0), (5, 1.0), (4, 1.0)])];
    let found = select(&equal, &SelectOptions::default()).expect("selects");
    assert_eq!(found.best, 4, "of equal scores the lower threshold");
}

#[test]
fn nothing_is_divided_by_zero() {
    let error = select(
        &[run("a", &[(0, 0.0), (1, 1.0)])],
        &SelectOptions::default(),
    );
    let text = error.expect_err("is refused").to_string();
    assert!(
        text.starts_with("run `a`: request_execution_time of the baseline 0 is 0"),
        "{text}"
    );
    assert!(select(&[], &SelectOptions::default()).is_err());
}

#[test]
fn paths_as_python_prints_them() {
    for (path, expected) in [
        ("a/", "a"),
        ("./a//b/.", "a/b"),
        (".", "."),
        ("", "."),
        ("/a", "/a"),
        ("../a", "../a"),
    ] {
        assert_eq!(python_path(Path::new(path)), expected, "{path}");
    }
}

fn read(content: &str) -> Result<Column> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.csv");
    std::fs::write(&path, content).expect("writes");
    read_column(&path, "m")
}

#[test]
fn cells_as_python_reads_them() {
    let found = read("\"\",Request Id,m,cdf\n3,r3,1.5,0.1\n\n4,r4,,0.2\n5,r5\n6,r6, 2e0 ,0.3\n")
        .expect("reads");
    assert_eq!(found.values, [1.5, 2.0]);
    assert_eq!(found.ids, ["r3", "r6"]);
    assert_eq!(read("m,m\n1,2\n").expect("reads").values, [2.0]);
    for (content, expected) in [
        ("", "has no column `m`"),
        ("\nm\n1\n", "has no column `m`"),
        ("a\n1\n", "has no column `m`"),
        ("m\n\n", "has no values in column `m`"),
        ("m\n1\nx\n", "m.csv:3: `x` in column `m` is no number"),
    ] {
        let error = read(content).expect_err(content).to_string();
        assert!(error.contains(expected), "{content:?}: {error}");
    }
}
