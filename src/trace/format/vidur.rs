//! Vidur's processed traces: CSV `arrived_at,num_prefill_tokens,num_decode_tokens`.
//!
//! Defined by `vidur/request_generator/trace_replay_request_generator.py` of microsoft/vidur. Lengths only.

use std::path::Path;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::Trace;

use super::csv_rows::{self, Label, NoOutput};
use super::{Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport};

const COLUMNS: [&str; 3] = ["arrived_at", "num_prefill_tokens", "num_decode_tokens"];

/// Reader and writer of the trace format `vidur`.
pub(super) struct Vidur;

impl TraceFormat for Vidur {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "vidur",
            "Vidur's CSV of arrivals and lengths (no content: for simulate only)",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.columns(&COLUMNS)
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let request = NoOutput::Request;
        csv_rows::read(
            self.name(),
            &COLUMNS,
            request,
            input,
            options,
            |index, _| Ok(Label::alone(index)),
        )
    }

    fn write(
        &self,
        trace: &Trace,
        _options: &WriteOptions<'_>,
        path: &Path,
    ) -> Result<WriteReport> {
        csv_rows::write(trace, path, &COLUMNS.join(","), |_, r| {
            format!("{},{},{}", r.arrival, r.input_length, r.output_length)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::testing;

    #[test]
    fn round_trip() {
        testing::round_trip_of_lengths(
            "vidur",
            "arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,3,2\n1.500000001,5,1\n2.0,6,1\n",
        );
    }

    #[test]
    fn bad_rows() {
        testing::refuses_rows(
            "arrived_at,num_prefill_tokens,num_decode_tokens",
            "0.0",
            "seconds",
        );
    }
}
