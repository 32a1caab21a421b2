//! vLLM's simulator by request id: JSONL `{"request_id": "...", "output_token_ids": [...]}`.
//!
//! Defined by the variant that `VLLM_USE_SIMULATOR=1 VLLM_SIMULATOR_TRACE_PATH=FILE` enables. It holds no prompts, so requests
//! that are read back have output lengths only, and prompts of length 0.

use std::path::Path;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::{Content, Nanos, Trace, TraceBuilder};

use super::csv_rows::{Label, lengths};
use super::lines::{Fault, each_line, finish, foreign};
use super::scan::Scanner;
use super::{
    Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport, answers, bytes,
};

/// Reader and writer of the trace format `vllm-sim-request`.
pub(super) struct VllmSimRequest;

impl TraceFormat for VllmSimRequest {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "vllm-sim-request",
            "vLLM simulator by request id: output token ids",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("request_id") && head.has("output_token_ids")
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let path = input.path().to_path_buf();
        let mut builder = TraceBuilder::new(Content::Lengths);
        let mut output = Vec::<u32>::new();
        let report = each_line(input, options, |line| {
            output.clear();
            let (mut id, mut has_output) = (None, false);
            Scanner::new(line)?.object(|key, value| match key {
                "request_id" => {
                    id = Some(value.name()?.into_owned());
                    Ok(())
                }
                "output_token_ids" => {
                    has_output = true;
                    value.integers(&mut output)
                }
                _ => value.skip(),
            })?;
            let label = Label::alone(id.ok_or_else(|| Fault::missing("request_id"))?);
            answers::require(has_output, "output_token_ids")?;
            builder.push(lengths(&label, Nanos::ZERO, 0, output.len() as u32))?;
            Ok(())
        })?;
        Ok((finish(builder, foreign(self.name()), &path)?, report))
    }

    fn write(
        &self,
        trace: &Trace,
        _options: &WriteOptions<'_>,
        path: &Path,
    ) -> Result<WriteReport> {
        let mut report = answers::write(trace, self.name(), path, |index, out| {
            let request = &trace.requests()[index];
            bytes::key(out, "request_id");
            bytes::string(out, &request.id);
            bytes::key(out, "output_token_ids");
            bytes::ids(out, trace.ids(request.output));
            Ok(())
        })?;
        report
            .notes
            .push("the client must send the same request ids".into());
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::testing;
    use crate::trace::format::vllm_sim_request::*;

    #[test]
    fn golden() {
        let written = testing::write(
            &testing::sample(),
            "vllm-sim-request",
            &WriteOptions::default(),
        );
        assert_eq!(
            String::from_utf8_lossy(&written).lines().next(),
            Some(r#"{"request_id":"a_turn0","output_token_ids":[4,5]}"#)
        );
    }

    #[test]
    fn reads_back_the_lengths() {
        let written = testing::write(
            &testing::sample(),
            "vllm-sim-request",
            &WriteOptions::default(),
        );
        let input =
            Input::from_reader("t", Box::new(std::io::Cursor::new(written))).expect("opens");
        let (trace, _) = VllmSimRequest
            .read(input, &ReadOptions::default())
            .expect("reads");
        let sample = testing::sample();
        assert_eq!(trace.content(), Content::Lengths);
        for request in trace.requests() {
            let known = sample
                .requests()
                .iter()
                .find(|known| known.id == request.id)
                .expect("the same ids");
            assert_eq!(request.output_length, known.output_length);
        }
    }
}
