//! vLLM's simulator by text: JSONL `{"prompt": "...", "response": "..."}`.
//!
//! Defined by the variant of `--use-simulator --sim-trace-path FILE`. Reading it needs the model's tokenizer. It has no times:
//! every request arrives at time 0.

use std::path::Path;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::prompt::encode_text;
use crate::trace::{TokenReplay, Trace, TraceMeta};

use super::lines::{Fault, foreign};
use super::{
    Head, ReadOptions, ReadReport, TraceFormat, WriteOptions, WriteReport, answers, bytes,
    require_tokens,
};

const KEYS: [&str; 2] = ["prompt", "response"];

/// Reader and writer of the trace format `vllm-sim-text`.
pub(super) struct VllmSimText;

impl TraceFormat for VllmSimText {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "vllm-sim-text",
            "vLLM simulator by text: prompts and responses",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        head.has("prompt") && head.has("response")
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let tokenizer = options.text(self.name())?;
        let meta = TraceMeta {
            tokenizer: Some(tokenizer.identity().clone()),
            ..foreign(self.name())
        };
        answers::read(KEYS, input, options, meta, |value, ids| {
            let text = value.string("a text")?;
            encode_text(tokenizer, &text, ids).map_err(Fault::from)
        })
    }

    fn needs_text(&self) -> bool {
        true
    }

    fn write(&self, trace: &Trace, options: &WriteOptions<'_>, path: &Path) -> Result<WriteReport> {
        require_tokens(trace, self.name())?;
        let text = options.text(self.name())?;
        let mut replay = TokenReplay::new(trace);
        answers::write(trace, self.name(), path, |_, out| {
            if let Some(tokens) = replay.next_request() {
                bytes::key(out, KEYS[0]);
                bytes::string(out, &text(tokens.prompt)?);
                bytes::key(out, KEYS[1]);
                bytes::string(out, &text(tokens.output)?);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::vllm_sim_text::*;
    use crate::trace::format::{format, testing};

    #[test]
    fn golden_and_the_missing_tokenizer() {
        let spell = |ids: &[u32]| Ok(format!("{ids:?}\n"));
        let options = WriteOptions {
            detokenize: Some(&spell),
            ..WriteOptions::default()
        };
        let written = testing::write(&testing::sample(), "vllm-sim-text", &options);
        assert_eq!(
            String::from_utf8_lossy(&written).lines().next(),
            Some(r#"{"prompt":"[1, 2, 3]\n","response":"[4, 5]\n"}"#)
        );
        let error = format("vllm-sim-text")
            .and_then(|f| f.write(&testing::sample(), &WriteOptions::default(), Path::new("x")))
            .expect_err("needs text");
        assert!(error.to_string().contains("`tokenizer`"), "{error}");
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let tokenizer = crate::prompt::tokenizer::load("chars").expect("built in");
        let options = ReadOptions {
            tokenizer: Some(super::super::Text(tokenizer.into())),
            ..ReadOptions::default()
        };
        let line = b"{\"prompt\":\"ab\\u00e9\",\"response\":\"c\"}\n".to_vec();
        let input = || {
            Input::from_reader("t", Box::new(std::io::Cursor::new(line.clone()))).expect("opens")
        };
        let (trace, _) = VllmSimText.read(input(), &options).expect("reads");
        let request = &trace.requests()[0];
        assert_eq!(trace.ids(request.fresh), [97, 98, 233]);
        assert_eq!(trace.ids(request.output), [99]);
        let error = VllmSimText
            .read(input(), &ReadOptions::default())
            .expect_err("needs a tokenizer");
        assert!(error.to_string().contains("`tokenizer`"), "{error}");
    }
}
