//! Comparing what was found with what was worked out.

use serde_json::{Map, Value, json};

/// Equal but for the rounding of a few operations.
pub(super) fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-12 * expected.abs().max(1.0)
}

/// Every difference of two JSON values, with its place; a key that only one of them has is a difference.
pub(super) fn json(place: &str, found: &Value, expected: &Value, faults: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let keys: std::collections::BTreeSet<&String> =
                found.keys().chain(expected.keys()).collect();
            for key in keys {
                let place = format!("{place}.{key}");
                match (found.get(key), expected.get(key)) {
                    (Some(found), Some(expected)) => json(&place, found, expected, faults),
                    (found, expected) => {
                        faults.push(format!("{place}: {found:?}, expected {expected:?}"));
                    }
                }
            }
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                json(&format!("{place}[{index}]"), found, expected, faults);
            }
        }
        _ => {
            let numbers = found.as_f64().zip(expected.as_f64());
            let same = numbers.map_or(found == expected, |(a, b)| close(a, b));
            if !same {
                faults.push(format!("{place}: {found}, expected {expected}"));
            }
        }
    }
}

/// Every cell of two CSV texts; lines of `expected` may be indented.
pub(super) fn csv(name: &str, found: &str, expected: &str) {
    let lines = |text: &str| -> Vec<Vec<String>> {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| line.split(',').map(|cell| cell.trim().to_owned()).collect())
            .collect()
    };
    let (found, expected) = (lines(found), lines(expected));
    assert_eq!(found[0], expected[0], "{name}: columns");
    let mut faults = Vec::new();
    for (number, (row, wanted)) in found.iter().zip(&expected).enumerate() {
        for ((column, cell), wanted) in found[0].iter().zip(row).zip(wanted) {
            let same = match (number_of(cell), number_of(wanted)) {
                (Some(a), Some(b)) => close(a, b),
                _ => cell == wanted,
            };
            if !same {
                faults.push(format!(
                    "line {number}, {column}: `{cell}`, expected `{wanted}`"
                ));
            }
        }
        assert_eq!(row.len(), wanted.len(), "{name}, line {number}");
    }
    assert!(faults.is_empty(), "{name}:\n{}\n", faults.join("\n"));
    assert_eq!(found.len(), expected.len(), "{name}: lines");
}

/// A number, or a quotient of two.
fn number_of(cell: &str) -> Option<f64> {
    match cell.split_once('/') {
        Some((above, below)) => Some(above.parse::<f64>().ok()? / below.parse::<f64>().ok()?),
        None => cell.parse().ok(),
    }
}

/// The quantile of values as numpy defines it: linear between the two nearest ranks, of which the first is 0.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = part * (values.len() - 1) as f64;
    let (below, above) = (rank.floor() as usize, rank.ceil() as usize);
    let weight = rank - rank.floor();
    sorted[below] * (1.0 - weight) + sorted[above] * weight
}

/// The eleven figures of a distribution; of no values, `null` but for the count.
pub(super) fn spread(values: &[f64]) -> Value {
    let places = [
        ("min", 0.0),
        ("p5", 0.05),
        ("p25", 0.25),
        ("p50", 0.5),
        ("p75", 0.75),
        ("p90", 0.9),
        ("p95", 0.95),
        ("p99", 0.99),
        ("max", 1.0),
    ];
    let of = |figure: f64| {
        if values.is_empty() {
            super::expect::none()
        } else {
            json!(figure)
        }
    };
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let mut figures = Map::from_iter([
        ("count".to_owned(), json!(values.len())),
        ("mean".to_owned(), of(mean)),
    ]);
    for (name, part) in places {
        let figure = if values.is_empty() {
            0.0
        } else {
            quantile(values, part)
        };
        figures.insert(name.to_owned(), of(figure));
    }
    Value::Object(figures)
}

/// The middle of the histogram bucket of a gap in milliseconds, in seconds. HdrHistogram with three digits has 2,048 buckets
/// of one unit, and from then on 1,024 buckets for each doubling.
pub(super) fn bucket(milliseconds: u64) -> f64 {
    let nanos = milliseconds * 1_000_000;
    let width = 1 << (nanos.ilog2() - 10);
    (nanos / width * width + width / 2) as f64 / 1e9
}

/// `limits` at p50, p90 and p99 of some slowdowns, as the summary lists them.
pub(super) fn limits(metric: &str, limits: [f64; 3], values: &[f64]) -> Vec<Value> {
    [(50, 0.5), (90, 0.9), (99, 0.99)]
        .iter()
        .zip(limits)
        .map(|((percentile, part), limit)| {
            let (value, met) = match values {
                [] => (none(), none()),
                _ => {
                    let value = quantile(values, *part);
                    (json!(value), json!(value <= limit))
                }
            };
            json!({"metric": metric, "percentile": percentile, "limit": limit, "value": value, "met": met})
        })
        .collect()
}

/// SplitwiseSim's eleven figures of one column of `summary.csv`.
pub(super) fn eleven(values: &[f64]) -> [f64; 11] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    let logs = values.iter().map(|v| v.ln()).sum::<f64>() / count;
    let at = |part: f64| quantile(values, part);
    [
        mean,
        variance.sqrt(),
        at(0.0),
        at(1.0),
        at(0.5),
        at(0.5),
        at(0.9),
        at(0.95),
        at(0.99),
        at(0.999),
        logs.exp(),
    ]
}

/// Requests that met an objective, as a fraction of those that arrived.
pub(super) fn attainment(met: u32, arrived: u32) -> Value {
    json!(f64::from(met) / f64::from(arrived))
}

/// A figure of no values.
pub(super) fn none() -> Value {
    Value::Null
}
