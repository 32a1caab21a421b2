//! SplitwiseSim's request traces: CSV with `arrival_timestamp,prompt_size,token_size` and four further columns.
//!
//! Defined by `generate_trace.py` and `trace.py` of Mutinifni/splitwise-sim. Lengths only. In these files, request type 2 means
//! generation.

use std::path::Path;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::Trace;

use super::csv_rows::{self, Label, NoOutput};
use super::{Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport};

/// Columns that are read; `request_id` may be missing.
const COLUMNS: [&str; 4] = [
    "arrival_timestamp",
    "prompt_size",
    "token_size",
    "request_id",
];

/// Reader and writer of the trace format `splitwise`.
pub(super) struct Splitwise;

impl TraceFormat for Splitwise {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "splitwise",
            "SplitwiseSim's CSV of arrivals and lengths (no content: for simulate only)",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.columns(&COLUMNS[..3])
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let request = NoOutput::Request;
        csv_rows::read(
            self.name(),
            &COLUMNS,
            request,
            input,
            options,
            |index, row| {
                Ok(match row.text(3)? {
                    "" => Label::alone(index),
                    id => Label::alone(id),
                })
            },
        )
    }

    fn write(
        &self,
        trace: &Trace,
        _options: &WriteOptions<'_>,
        path: &Path,
    ) -> Result<WriteReport> {
        let header = "request_id,request_type,application_id,arrival_timestamp,batch_size,prompt_size,token_size";
        csv_rows::write(trace, path, header, |index, r| {
            format!(
                "{index},2,0,{},1,{},{}",
                r.arrival, r.input_length, r.output_length
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::testing;

    #[test]
    fn round_trip() {
        testing::round_trip_of_lengths(
            "splitwise",
            "request_id,request_type,application_id,arrival_timestamp,batch_size,prompt_size,token_size\n\
             0,2,0,0.0,1,3,2\n1,2,0,1.500000001,1,5,1\n2,2,0,2.0,1,6,1\n",
        );
    }

    #[test]
    fn bad_rows() {
        testing::refuses_rows("arrival_timestamp,prompt_size,token_size", "0.0", "seconds");
    }
}
