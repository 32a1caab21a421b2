//! BurstGPT: CSV `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`, times in seconds.
//!
//! Defined by `data/` of HPMLL/BurstGPT; its release 2.0 adds `Session ID` and `Elapsed time`. Lengths only.

use std::path::Path;

use hashbrown::HashMap;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::Trace;

use super::csv_rows::{self, Label};
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
        let mut turns: HashMap<String, u32, std::hash::RandomState> =
            HashMap::with_hasher(std::hash::RandomState::new());
        csv_rows::read(self.name(), &COLUMNS, input, options, |index, row| {
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

    fn write(
        &self,
        trace: &Trace,
        _options: &WriteOptions<'_>,
        path: &Path,
    ) -> Result<WriteReport> {
        let header = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type";
        csv_rows::write(trace, path, header, |_, r| {
            let total = u64::from(r.input_length) + u64::from(r.output_length);
            // vLLM's loader uses only the rows of this model.
            format!(
                "{},GPT-4,{},{},{total},Conversation log",
                r.arrival, r.input_length, r.output_length
            )
        })
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
    fn bad_rows() {
        testing::refuses_rows("Timestamp,Request tokens,Response tokens", "0.0", "seconds");
    }
}
