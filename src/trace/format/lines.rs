//! Shared by readers of traces: the loop over lines or rows, which counts or rejects malformed ones, and parsing of numbers.

pub(super) use crate::base::Fault;
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::table::{Row, TableReader};
use crate::trace::{Nanos, Trace, TraceBuilder, TraceMeta};

use super::{ReadOptions, ReadReport};

/// Maximum number of malformed lines that a report names.
const NAMED: usize = 5;

pub(super) fn settle(
    outcome: Result<(), Fault>,
    at: Location,
    options: &ReadOptions,
    report: &mut ReadReport,
) -> Result<()> {
    match outcome {
        Ok(()) => report.records += 1,
        Err(fault) if options.tolerate => {
            report.broken += 1;
            if report.broken_lines.len() < NAMED {
                report.broken_lines.extend(at.line);
            }
            report.first_problem.get_or_insert(fault.problem);
        }
        Err(fault) => return Err(fault.at(at)),
    }
    Ok(())
}

/// Calls `record` with every line that is not blank, from the second line on if `skip_first` is set.
pub(super) fn each_line(
    input: Input,
    options: &ReadOptions,
    mut record: impl FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<ReadReport> {
    let mut report = ReadReport::default();
    let path = input.path().to_path_buf();
    let mut lines = input.lines();
    while let Some((number, line)) = lines.next_line()? {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let outcome = record(line);
        settle(outcome, Location::line(&path, number), options, &mut report)?;
    }
    if report.records + report.broken == 0 {
        return Err(empty(&path));
    }
    Ok(report)
}

/// The error for a file without content.
pub(super) fn empty(path: &std::path::Path) -> Error {
    Error::input(
        Location::file(path),
        "is empty, expected a trace",
        "check how the file was made or downloaded",
    )
}

/// Calls `record` with every row of a CSV file; the first `required` of `names` must be columns of the file.
pub(super) fn each_row(
    input: Input,
    options: &ReadOptions,
    names: &[&str],
    required: usize,
    mut record: impl FnMut(&Row<'_>) -> Result<(), Fault>,
) -> Result<ReadReport> {
    let mut table = TableReader::open(input, names, required)?;
    let path = table.path().to_path_buf();
    let mut report = ReadReport::default();
    while let Some(row) = table.next_row()? {
        let at = Location::line(&path, row.line());
        settle(record(&row), at, options, &mut report)?;
    }
    Ok(report)
}

/// Parses a column with a number of tokens.
pub(super) fn tokens(row: &Row<'_>, column: usize) -> Result<u32, Fault> {
    row.parse(column, "a whole number of tokens", count)
}

/// Parses a column with seconds.
pub(super) fn seconds(row: &Row<'_>, column: usize) -> Result<Nanos, Fault> {
    row.parse(column, "seconds", Nanos::parse_secs)
}

/// A time for a number that is too large for [`Nanos`], which [`plausible`] rejects with a better message than a parser; `None` for
/// other texts.
pub(super) fn beyond(text: &str) -> Option<Nanos> {
    let value: f64 = text.parse().ok()?;
    (value.is_finite() && value > 1e9).then_some(Nanos(u64::MAX))
}

/// Rejects an arrival after the year 2100, whether it counts from 1970 or from the start of the trace: the file's times are in a
/// smaller unit than its format's.
pub(super) fn plausible(arrival: Nanos, unit: &str) -> Result<Nanos, Fault> {
    /// Seconds from 1970 to 2100.
    const YEAR_2100: u64 = 4_102_444_800;
    if arrival < Nanos(YEAR_2100 * 1_000_000_000) {
        return Ok(arrival);
    }
    let problem = format!("the arrival lies after the year 2100 if it is in {unit}");
    Err(Fault::new(problem).remedy("give arrivals in the format's unit"))
}

/// Parses a whole number that fits 32 bits, also in the form `374.0`.
pub(super) fn count(text: &str) -> Option<u32> {
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        let whole = value as u32;
        (f64::from(whole) == value).then_some(whole)
    })
}

/// Parses decimal milliseconds, exact to the nanosecond.
pub(super) fn parse_millis(text: &str) -> Option<Nanos> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 6 || !plain(whole) || !plain(fraction) {
        let millis: f64 = text.parse().ok()?;
        return (millis.is_finite() && millis >= 0.0)
            .then(|| Nanos::from_secs_f64(millis / 1000.0));
    }
    let whole: u64 = whole.parse().ok()?;
    let nanos: u64 = format!("{fraction:0<6}").parse().ok()?;
    Some(Nanos(whole.checked_mul(1_000_000)?.checked_add(nanos)?))
}

/// Formats milliseconds with exactly the decimals that the value needs.
pub(super) fn millis(time: Nanos) -> String {
    let (whole, nanos) = (time.0 / 1_000_000, time.0 % 1_000_000);
    if nanos == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{nanos:06}").trim_end_matches('0'))
}

/// Completes a trace that was read from a file; errors about the whole trace get the file's name.
pub(super) fn finish(
    builder: TraceBuilder,
    meta: TraceMeta,
    path: &std::path::Path,
) -> Result<Trace> {
    builder
        .finish_in_entry_order(meta)
        .map_err(|error| match error {
            Error::Usage { problem, remedy } => Error::input(Location::file(path), problem, remedy),
            other => other,
        })
}

/// The metadata of a trace that comes from another tool's file.
pub(super) fn foreign(format: &str) -> TraceMeta {
    TraceMeta {
        generator: format!("replay {} from {format}", crate::base::version::VERSION),
        ..TraceMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::lines::*;
    use proptest::prelude::*;

    #[test]
    fn numbers() {
        assert_eq!(count("374"), Some(374));
        assert_eq!(count("374.0"), Some(374));
        for bad in ["", "-1", "1.5", "nan", "4294967296"] {
            assert_eq!(count(bad), None, "{bad}");
        }
        assert_eq!(parse_millis("1.5"), Some(Nanos(1_500_000)));
        assert_eq!(parse_millis("1e3"), Some(Nanos(1_000_000_000)));
        assert_eq!(parse_millis("-1"), None);
    }

    proptest! {
        #[test]
        fn millis_are_exact(nanos in any::<u64>()) {
            prop_assert_eq!(parse_millis(&millis(Nanos(nanos))), Some(Nanos(nanos)));
        }
    }
}
