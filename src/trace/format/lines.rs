//! What readers share: the loop over lines or rows, faults with a place, and numbers.

use std::borrow::Cow;

use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::trace::{Nanos, Trace, TraceBuilder, TraceMeta};

use super::{ReadOptions, ReadReport};

/// What is wrong with a line; the loop puts the place in front.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) problem: String,
    pub(super) remedy: Cow<'static, str>,
}

impl Fault {
    /// A fault of the file's content.
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            remedy: Cow::Borrowed("repair or remove the line"),
        }
    }

    /// With another remedy than to repair the line.
    pub(super) fn remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = Cow::Borrowed(remedy);
        self
    }

    /// A key that must be there and is not.
    pub(super) fn missing(key: &str) -> Self {
        Self::new(format!("has no `{key}`"))
    }

    pub(super) fn of_key(mut self, key: &str) -> Self {
        self.problem = format!("`{key}`: {}", self.problem);
        self
    }
}

impl From<String> for Fault {
    fn from(problem: String) -> Self {
        Self::new(problem)
    }
}

/// How many broken lines a report names.
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
        Err(fault) => return Err(Error::input(at, fault.problem, fault.remedy)),
    }
    Ok(())
}

/// Hands every line that is not blank to `record`, from the second line on where `skip_first`.
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

/// A row of a CSV file, by the columns that were asked for.
pub(super) struct Row<'a> {
    record: &'a csv::ByteRecord,
    columns: &'a [Option<usize>],
    names: &'a [&'a str],
}

impl<'a> Row<'a> {
    /// The text of column `index` of those asked for; blank where the file has no such column.
    pub(super) fn text(&self, index: usize) -> Result<&'a str, Fault> {
        let Some(column) = self.columns[index] else {
            return Ok("");
        };
        let Some(field) = self.record.get(column) else {
            return Err(Fault::new(format!(
                "has {} columns, `{}` is missing (truncated line)",
                self.record.len(),
                self.names[index]
            )));
        };
        std::str::from_utf8(field)
            .map(str::trim)
            .map_err(|_| Fault::new(format!("`{}`: invalid UTF-8", self.names[index])))
    }

    /// A number of tokens.
    pub(super) fn count(&self, index: usize) -> Result<u32, Fault> {
        let text = self.text(index)?;
        count(text).ok_or_else(|| self.wrong(index, text, "a whole number of tokens"))
    }

    /// Seconds.
    pub(super) fn seconds(&self, index: usize) -> Result<Nanos, Fault> {
        let text = self.text(index)?;
        Nanos::parse_secs(text).ok_or_else(|| self.wrong(index, text, "seconds"))
    }

    pub(super) fn wrong(&self, index: usize, text: &str, what: &str) -> Fault {
        Fault::new(format!(
            "`{}`: expected {what}, found `{}`",
            self.names[index],
            text.escape_debug()
        ))
    }
}

/// Hands every row to `record`; the first `required` of `names` must be columns of the file.
pub(super) fn each_row(
    input: Input,
    options: &ReadOptions,
    names: &[&str],
    required: usize,
    mut record: impl FnMut(&Row<'_>) -> Result<(), Fault>,
) -> Result<ReadReport> {
    let path = input.path().to_path_buf();
    let mut rows = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(input.into_reader());
    let fail = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::read(&path, source),
        _ => Error::input(
            Location::file(&path),
            "is not readable as CSV",
            "repair the file",
        ),
    };
    let header = rows.byte_headers().map_err(fail)?.clone();
    if header.iter().all(<[u8]>::is_empty) {
        return Err(empty(&path));
    }
    let mut columns = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let column = header
            .iter()
            .position(|field| field.trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
        if column.is_none() && index < required {
            return Err(Error::input(
                Location::line(&path, 1),
                format!("has no column `{name}`"),
                format!("expected the columns {}", names[..required].join(",")),
            ));
        }
        columns.push(column);
    }
    let mut report = ReadReport::default();
    let mut row = csv::ByteRecord::new();
    while rows.read_byte_record(&mut row).map_err(fail)? {
        let line = row.position().map_or(0, csv::Position::line);
        let outcome = record(&Row {
            record: &row,
            columns: &columns,
            names,
        });
        settle(outcome, Location::line(&path, line), options, &mut report)?;
    }
    Ok(report)
}

/// A whole number that fits 32 bits, also written as `374.0`.
pub(super) fn count(text: &str) -> Option<u32> {
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        let whole = value as u32;
        (f64::from(whole) == value).then_some(whole)
    })
}

/// Reads decimal milliseconds, exact to the nanosecond.
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

/// Milliseconds with as many decimals as it takes to be exact.
pub(super) fn millis(time: Nanos) -> String {
    let (whole, nanos) = (time.0 / 1_000_000, time.0 % 1_000_000);
    if nanos == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{nanos:06}").trim_end_matches('0'))
}

/// Ends a trace that was read from a file: faults of the whole get its name.
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

/// The header of a trace that comes from another tool's file.
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
