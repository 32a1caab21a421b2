//! Tables of what tuning found.

use super::table::table;
use crate::metrics::statistics::p_text;
use crate::tune::significance::Finding;

/// Each threshold against the baseline: how much better or worse, how sure, and whether that can be told from chance.
pub fn significance(findings: &[Finding], confidence: f64) -> String {
    let interval = format!("{:.0} % interval", confidence * 100.0);
    let header = [
        "threshold",
        "score against baseline",
        &interval,
        "p (Holm)",
        "verdict",
    ];
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| {
            let verdict = match (finding.significant, finding.change < 0.0) {
                (false, _) => "no significant difference",
                (true, true) => "better",
                (true, false) => "worse",
            };
            vec![
                finding.threshold.to_string(),
                format!("{:+.2} %", finding.change * 100.0),
                format!(
                    "[{:+.2}, {:+.2}]",
                    finding.interval.low * 100.0,
                    finding.interval.high * 100.0
                ),
                p_text(finding.p_adjusted),
                verdict.to_owned(),
            ]
        })
        .collect();
    table(&header, &rows)
}
