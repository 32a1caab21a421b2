//! Block and token counts of a request, for all engines that find prefixes.

use super::super::{BlockTrace, Run};
use super::{EngineOptions, Outcome, Shape, tokens_in};

/// Rules by which blocks and tokens are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) block_size: u32,
    pub(super) partial_tail: bool,
    pub(super) cache_output: bool,
    pub(super) last_token_cap: bool,
}

impl Rules {
    pub(super) fn new(trace: &BlockTrace, options: &EngineOptions) -> Self {
        Self {
            block_size: trace.block_size(),
            partial_tail: trace.partial_tail(),
            cache_output: options.caches_output(),
            last_token_cap: options.caps_last_token(trace),
        }
    }

    /// Number of leading blocks that may be looked up. The last token must be computed, because it yields the logits
    /// for the next.
    pub(super) fn lookups(&self, run: &Run<'_>, request: Shape) -> usize {
        let mut most = run.prompt.len();
        if self.last_token_cap {
            let whole = request.input_length.saturating_sub(1) / self.block_size;
            // A partial block that has an id of its own also ends with the last token.
            most = most.min(whole as usize);
        }
        most
    }

    /// Whether the output of a request takes blocks: outputs are cached, and its tokens are known.
    pub(super) fn decodes(&self, request: Shape) -> bool {
        self.cache_output && request.output_length > 0 && !self.partial_tail
    }

    /// Number of blocks that the prompt needs, cached or not.
    pub(super) fn prompt_blocks(&self, request: Shape) -> u32 {
        request.input_length.div_ceil(self.block_size)
    }

    /// The outcome of a request with this number of hits that has stored and evicted nothing yet.
    pub(super) fn outcome(&self, hits: u32, request: Shape) -> Outcome {
        Outcome {
            hit_blocks: hits,
            cached_tokens: tokens_in(hits, self.block_size, request.input_length),
            allocated_blocks: self.prompt_blocks(request) - hits,
            ..Outcome::default()
        }
    }
}
