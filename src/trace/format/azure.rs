//! Azure's LLM inference traces: CSV `TIMESTAMP,ContextTokens,GeneratedTokens`, times as date and time of day.
//!
//! Defined by `data/AzureLLMInferenceTrace_*.csv` of Azure/AzurePublicDataset. Lengths only; the first arrival becomes 0.

use std::path::Path;

use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::dataset::time::{Timestamp, days};
use crate::trace::{Content, Nanos, Trace, TraceBuilder};

use super::csv_rows::{self, Label, REQUIRED, lengths};
use super::lines::{Fault, each_row, finish, foreign, tokens};
use super::{Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport};

const COLUMNS: [&str; 3] = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];

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
        let mut rows: Vec<(Timestamp, u32, u32)> = Vec::new();
        let report = each_row(input, options, &COLUMNS, REQUIRED, |row| {
            let expected = "a time from 1990 to 2100 as in 2023-11-16 18:15:46.6805900";
            let date = |text: &str| {
                Timestamp::parse(text)
                    .ok()
                    .filter(|time| time.form.is_date())
            };
            let time = row.parse(0, expected, date)?;
            if rows.first().is_some_and(|first| first.0.form != time.form) {
                return Err(
                    Fault::new("some times have a time zone, and others have none")
                        .remedy("write all times in one form"),
                );
            }
            rows.push((time, tokens(row, 1)?, tokens(row, 2)?));
            Ok(())
        })?;
        // Times are dates and may be unordered, so the first arrival is known only after all rows have been read.
        let start = rows.iter().map(|row| row.0.time).min();
        let start = start.unwrap_or_default();
        let mut builder = TraceBuilder::new(Content::Lengths);
        for (index, (time, prompt, output)) in rows.into_iter().enumerate() {
            let arrival = time.time - start;
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
        let day = 86_400_000_000_000;
        for nanos in [0, day * 59, day * 800 + 7] {
            let text = stamp(Nanos(nanos));
            let back = Timestamp::parse(&text).expect("parses").time;
            let start = Timestamp::parse("2023-01-01 00:00:00")
                .expect("parses")
                .time;
            assert_eq!(back - start, Nanos(nanos), "{text}");
        }
    }

    #[test]
    fn times_with_and_without_a_zone_do_not_mix() {
        let rows = |first: &str, second: &str| {
            format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{first},3,2\n{second},3,2\n")
        };
        let bare = "2024-05-10 00:00:00.5";
        let mixed = rows(bare, "2024-05-10 00:00:00+00:00");
        testing::refuses(&[
            (
                &mixed,
                "t:3: some times have a time zone, and others have none",
            ),
            (&rows(bare, "1715299200"), "t:3: `TIMESTAMP`"),
            (&rows(bare, "2200-01-01 00:00:00"), "from 1990 to 2100"),
        ]);
        let zoned = rows("2024-05-10 02:00:00.5+02:00", "2024-05-10 00:00:01Z");
        let trace = testing::read(zoned.as_bytes(), &ReadOptions::default());
        let trace = trace.expect("reads").trace;
        let arrivals: Vec<_> = trace.requests().iter().map(|r| r.arrival.0).collect();
        assert_eq!(arrivals, [0, 500_000_000]);
    }

    #[test]
    fn bad_rows() {
        testing::refuses_rows(
            "TIMESTAMP,ContextTokens,GeneratedTokens",
            "2023-11-16 18:15:46",
            "a time from 1990 to 2100 as in 2023-11-16 18:15:46.6805900",
        );
    }
}
