//! Azure's LLM inference traces: CSV `TIMESTAMP,ContextTokens,GeneratedTokens`, times as date and time of day.
//!
//! Defined by `data/AzureLLMInferenceTrace_*.csv` of Azure/AzurePublicDataset. Lengths only; the first arrival becomes 0.

use std::path::Path;

use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::{Content, Nanos, Trace, TraceBuilder};

use super::csv_rows::{self, Label, REQUIRED, lengths};
use super::lines::{each_row, finish, foreign, tokens};
use super::{Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport};

const COLUMNS: [&str; 3] = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];

const DAY: i128 = 86_400_000_000_000;

/// Reader and writer of the trace format `azure`.
pub(super) struct Azure;

impl TraceFormat for Azure {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "azure",
            "Azure's CSV of arrivals and lengths (no content: for simulate only)",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.columns(&COLUMNS)
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let path = input.path().to_path_buf();
        let mut rows = Vec::new();
        let report = each_row(input, options, &COLUMNS, REQUIRED, |row| {
            let time = row.parse(0, "a time as in 2023-11-16 18:15:46.6805900", parse)?;
            rows.push((time, tokens(row, 1)?, tokens(row, 2)?));
            Ok(())
        })?;
        // Times are dates and may be unordered, so the first arrival is known only after all rows have been read.
        let start = rows.iter().map(|row| row.0).min().unwrap_or(0);
        let mut builder = TraceBuilder::new(Content::Lengths);
        for (index, (time, prompt, output)) in rows.into_iter().enumerate() {
            let arrival = Nanos(u64::try_from(time - start).unwrap_or(u64::MAX));
            builder
                .push(lengths(&Label::alone(index), arrival, prompt, output))
                .map_err(|problem| {
                    Error::input(Location::file(&path), problem, "repair the file")
                })?;
        }
        Ok((finish(builder, foreign(self.name()), &path)?, report))
    }

    fn write(
        &self,
        trace: &Trace,
        _options: &WriteOptions<'_>,
        path: &Path,
    ) -> Result<WriteReport> {
        csv_rows::write(trace, path, &COLUMNS.join(","), |_, r| {
            format!(
                "{},{},{}",
                stamp(r.arrival),
                r.input_length,
                r.output_length
            )
        })
    }
}

/// Parses `2023-11-16 18:15:46.6805900`, with or without an offset such as `+00:00`, to nanoseconds since 1970.
fn parse(text: &str) -> Option<i128> {
    let (date, clock) = text.split_once([' ', 'T'])?;
    let mut parts = date.split('-').map(|part| part.parse::<u32>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    if !(1..=31).contains(&day) {
        return None;
    }
    let clock = clock.strip_suffix('Z').unwrap_or(clock);
    let (clock, offset) = match clock.find(['+', '-']) {
        Some(at) => {
            let (hours, minutes) = clock[at + 1..].split_once(':')?;
            let minutes = i128::from(hours.parse::<u8>().ok()?) * 60
                + i128::from(minutes.parse::<u8>().ok()?);
            let sign = if clock.as_bytes()[at] == b'-' { -1 } else { 1 };
            (&clock[..at], sign * minutes * 60_000_000_000)
        }
        None => (clock, 0),
    };
    let mut parts = clock.splitn(3, ':');
    let hours: u8 = parts.next()?.parse().ok()?;
    let minutes: u8 = parts.next()?.parse().ok()?;
    let seconds = Nanos::parse_secs(parts.next()?)?;
    let time = (i128::from(hours) * 3600 + i128::from(minutes) * 60) * 1_000_000_000
        + i128::from(seconds.0);
    Some(days(year, month, day) * DAY + time - offset)
}

/// Days since 1970 in the Gregorian calendar, with years from March to February, so that a leap day is the last day of a year.
fn days(year: u32, month: u32, day: u32) -> i128 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (year, month, day) = (i128::from(year), i128::from(month), i128::from(day));
    let leaps = year / 4 - year / 100 + year / 400;
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Formats an arrival time as a date; the trace starts with the year 2023.
fn stamp(time: Nanos) -> String {
    let (seconds, nanos) = (time.0 / 1_000_000_000, time.0 % 1_000_000_000);
    let (mut day, mut month, mut year) = (seconds / 86_400, 1, 2023);
    loop {
        let next = if month == 12 {
            (year + 1, 1)
        } else {
            (year, month + 1)
        };
        let length = (days(next.0, next.1, 1) - days(year, month, 1)) as u64;
        if day < length {
            break;
        }
        day -= length;
        (year, month) = next;
    }
    let clock = seconds % 86_400;
    // Azure's own files have seven decimals; nine are written only if the value needs them.
    let fraction = if nanos % 100 == 0 {
        format!("{:07}", nanos / 100)
    } else {
        format!("{nanos:09}")
    };
    format!(
        "{year}-{month:02}-{:02} {:02}:{:02}:{:02}.{fraction}",
        day + 1,
        clock / 3600,
        clock / 60 % 60,
        clock % 60
    )
}

#[cfg(test)]
mod tests {
    use crate::trace::format::azure::*;
    use crate::trace::format::testing;

    #[test]
    fn round_trip() {
        testing::round_trip_of_lengths(
            "azure",
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-01-01 00:00:00.0000000,3,2\n\
             2023-01-01 00:00:01.500000001,5,1\n2023-01-01 00:00:02.0000000,6,1\n",
        );
    }

    #[test]
    fn calendar() {
        assert_eq!(parse("1970-01-01 00:00:00"), Some(0));
        assert_eq!(parse("2000-03-01 00:00:00Z"), Some(951_868_800_000_000_000));
        assert_eq!(
            parse("2024-05-10 02:00:00.5+02:00"),
            Some(1_715_299_200_500_000_000)
        );
        for nanos in [0, DAY as u64 * 59, DAY as u64 * 800 + 7] {
            let start = days(2023, 1, 1) * DAY;
            let back = parse(&stamp(Nanos(nanos))).expect("parses");
            assert_eq!(back - start, i128::from(nanos));
        }
    }

    #[test]
    fn bad_rows() {
        testing::refuses_rows(
            "TIMESTAMP,ContextTokens,GeneratedTokens",
            "2023-11-16 18:15:46",
            "a time as in 2023-11-16 18:15:46.6805900",
        );
    }
}
