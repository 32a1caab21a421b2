//! BurstGPT: CSV `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`, times in seconds.
//!
//! Defined by `data/` of HPMLL/BurstGPT; its release 2.0 adds `Session ID` and `Elapsed time`. Lengths only. Its description calls
//! a row without response tokens a failure: `burstgpt` leaves such rows out and counts them, `burstgpt-all` keeps them as requests
//! without output.

use std::path::Path;

use hashbrown::HashMap;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::Trace;

use super::csv_rows::{self, Label, NoOutput};
use super::lines::seconds;
use super::{Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport};

/// Columns that are read; `Session ID` and `Elapsed time` may be missing.
const COLUMNS: [&str; 5] = [
    "Timestamp",
    "Request tokens",
    "Response tokens",
    "Session ID",
    "Elapsed time",
];

/// Reader and writer of the trace format `burstgpt`.
pub(super) struct BurstGpt;

/// Reader of the trace format `burstgpt-all`: the same files, with the requests that failed.
pub(super) struct BurstGptAll;

impl TraceFormat for BurstGptAll {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "burstgpt-all",
            "the same with requests that failed, which have no response tokens (read only)",
        );
        &CARD
    }

    fn writable(&self) -> bool {
        false
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        read(self.name(), NoOutput::Request, input, options)
    }
}

fn read(
    format: &str,
    no_output: NoOutput,
    input: Input,
    options: &ReadOptions,
) -> Result<(Trace, ReadReport)> {
    let mut turns: HashMap<String, u32, std::hash::RandomState> =
        HashMap::with_hasher(std::hash::RandomState::new());
    csv_rows::read(format, &COLUMNS, no_output, input, options, |index, row| {
        let session = match row.text(3)? {
            "" => (format!("row {index}"), 0),
            name => {
                let next = turns.entry(name.to_owned()).or_insert(0);
                *next += 1;
                (name.to_owned(), *next - 1)
            }
        };
        Ok(Label {
            id: index.to_string(),
            session: Some(session),
            service_time: match row.text(4)? {
                "" => None,
                _ => Some(seconds(row, 4)?),
            },
        })
    })
}

impl TraceFormat for BurstGpt {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "burstgpt",
            "BurstGPT's CSV of arrivals and lengths (no content: for simulate only)",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.columns(&COLUMNS[..3])
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        read(self.name(), NoOutput::Failure, input, options)
    }

    fn write(
        &self,
        trace: &Trace,
        _options: &WriteOptions<'_>,
        path: &Path,
    ) -> Result<WriteReport> {
        let header = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type";
        let mut report = csv_rows::write(trace, path, header, |_, r| {
            let total = u64::from(r.input_length) + u64::from(r.output_length);
            // vLLM's loader uses only the rows of this model.
            format!(
                "{},GPT-4,{},{},{total},Conversation log",
                r.arrival, r.input_length, r.output_length
            )
        })?;
        let without = trace.requests().iter().filter(|r| r.output_length == 0);
        let without = without.count();
        if without > 0 {
            report.notes.push(format!(
                "{without} requests have no output; readers of this format take them for failures"
            ));
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::Nanos;
    use crate::trace::format::burstgpt::*;
    use crate::trace::format::testing;

    #[test]
    fn round_trip() {
        testing::round_trip_of_lengths(
            "burstgpt",
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
             0.0,GPT-4,3,2,5,Conversation log\n1.500000001,GPT-4,5,1,6,Conversation log\n2.0,GPT-4,6,1,7,Conversation log\n",
        );
    }

    #[test]
    fn elapsed_time_is_the_service_time() {
        let text = b"Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
            5.0,a,43,GPT-4,906,446,1352,Conversation log\n6.0,b,,GPT-4,36,29,65,Conversation log\n";
        let trace = testing::read(text, &ReadOptions::default())
            .expect("reads")
            .trace;
        let times: Vec<_> = trace.requests().iter().map(|r| r.service_time).collect();
        assert_eq!(times, [Some(Nanos(43_000_000_000)), None]);
        let bad = String::from_utf8_lossy(text).replace("43", "long");
        testing::refuses(&[(&bad, "t:2: `Elapsed time`: expected seconds, found `long`")]);
    }

    #[test]
    fn failures_are_left_out_and_counted() {
        let text = b"Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
            1.0,a,4,GPT-4,10,0,10,Conversation log\n2.0,a,5,GPT-4,20,7,27,Conversation log\n3.0,,,GPT-4,0,0,0,API log\n";
        let read = testing::read(text, &ReadOptions::default()).expect("reads");
        assert_eq!((read.report.records, read.report.failures), (1, 2));
        let request = &read.trace.requests()[0];
        assert_eq!((request.input_length, request.output_length), (20, 7));
        assert_eq!((request.turn, request.arrival), (0, Nanos(2_000_000_000)));
        let all = ReadOptions {
            format: Some("burstgpt-all".into()),
            ..ReadOptions::default()
        };
        let read = testing::read(text, &all).expect("reads");
        assert_eq!((read.report.records, read.report.failures), (3, 0));
        let outputs: Vec<_> = read
            .trace
            .requests()
            .iter()
            .map(|r| r.output_length)
            .collect();
        assert_eq!(outputs, [0, 7, 0]);
    }

    #[test]
    fn bad_rows() {
        testing::refuses_rows("Timestamp,Request tokens,Response tokens", "0.0", "seconds");
    }
}
