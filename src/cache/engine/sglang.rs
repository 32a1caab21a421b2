//! SGLang's radix cache, version 0.5.23: `python/sglang/srt/mem_cache/radix_cache.py`, and the scheduler's use of it.
//!
//! Agrees with SGLang request by request. A page is a block; a page that is not full never enters the tree.

use super::super::{BlockId, BlockTrace, HashScheme, Run};
use super::card::{EngineCard, ServerCard};
use super::overlap::{Candidate, Findable, Manager, PromptRequest, drive};
use super::sglang_order::Order;
use super::sglang_tree::{NodeId, Tree};
use super::vllm::UnboundedVllm;
use super::{CacheEngine, Capacity, EngineOptions, Hold, Outcome, Shape, tokens_in};
use crate::base::error::{Error, Result};

/// The card of the engine.
pub(super) const CARD: EngineCard = EngineCard::server(
    "sglang",
    "SGLang's radix tree, exact",
    ServerCard {
        policies: &["lru", "lfu", "slru", "fifo", "mru", "filo"],
        check_policy: |policy| Order::parse(policy, 1).map(drop),
        holds: |hold| matches!(hold, Hold::Trace | Hold::Linear { .. }),
        replay: |trace, options, watch| {
            Ok(match options.capacity {
                Capacity::Unbounded => {
                    drive(UnboundedSglang::new(trace, options)?, trace, options, watch)
                }
                Capacity::Blocks(pages) => {
                    drive(Sglang::new(trace, pages, options)?, trace, options, watch)
                }
            })
        },
    },
    |trace, options| {
        Ok(match options.capacity {
            Capacity::Unbounded => Box::new(UnboundedSglang::new(trace, options)?),
            Capacity::Blocks(pages) => Box::new(Sglang::new(trace, pages, options)?),
        })
    },
);

/// SGLang's cache with a finite pool.
#[derive(Debug)]
pub struct Sglang {
    tree: Tree,
    capacity: u32,
    page_size: u32,
    partial_tail: bool,
    cache_output: bool,
    last_token_cap: bool,
}

/// A request between [`Sglang::start`] and [`Sglang::finish`].
#[derive(Debug)]
pub struct Running {
    /// The node that ends the prefix locked for the request.
    node: NodeId,
    /// Number of pages of that prefix.
    shared: u32,
    /// Number of the request's own pages beyond that prefix, which no other request can find.
    own: u32,
    hits: u32,
    priority: i32,
}

impl Running {
    /// Number of prompt pages that were found.
    pub fn hits(&self) -> u32 {
        self.hits
    }
}

impl Sglang {
    /// Creates an empty tree over a pool of `pages` pages.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown order, or for a trace whose ids do not stand for whole prefixes.
    pub fn new(trace: &BlockTrace, pages: u32, options: &EngineOptions) -> Result<Self> {
        require_prefixes(trace)?;
        let order = Order::parse(&options.policy, trace.block_size())?;
        Ok(Self {
            tree: Tree::new(pages, trace.distinct(), order),
            capacity: pages,
            page_size: trace.block_size(),
            partial_tail: trace.partial_tail(),
            cache_output: options.caches_output(),
            last_token_cap: options.caps_last_token(trace),
        })
    }

    /// Number of free pages.
    pub fn free(&self) -> u32 {
        self.tree.free()
    }

    /// Looks a prompt up, locks the cached prefix and allocates pages for the rest (`match_prefix`, `inc_lock_ref`,
    /// `evict`).
    ///
    /// `None` if other requests hold too many pages; the request then has to wait, and only the look-up has changed the
    /// tree.
    pub fn start(
        &mut self,
        run: &Run<'_>,
        request: Shape,
        priority: i32,
        evicted: &mut Vec<BlockId>,
    ) -> Option<Running> {
        let mut most = run.prompt.len();
        if self.last_token_cap {
            // The last token must be computed, because it yields the logits for the next.
            most = most.min((request.input_length.saturating_sub(1) / self.page_size) as usize);
        }
        let needed = self.prompt_pages(run, request);
        self.begin(&run.prompt[..most], needed, priority, evicted)
    }

    /// As [`Sglang::start`], with the pages that may be looked up and the total number of pages needed.
    fn begin(
        &mut self,
        lookups: &[BlockId],
        needed: u32,
        priority: i32,
        evicted: &mut Vec<BlockId>,
    ) -> Option<Running> {
        let (hits, node) = self.tree.find(lookups);
        self.tree.lock(node);
        let own = needed - hits;
        if !self.tree.take(own, evicted) {
            self.tree.unlock(node);
            return None;
        }
        Some(Running {
            node,
            shared: hits,
            own,
            hits,
            priority,
        })
    }

    /// Allocates pages for output, until the request has `pages` in total; returns whether it got all of them.
    pub fn extend(
        &mut self,
        running: &mut Running,
        pages: u32,
        evicted: &mut Vec<BlockId>,
    ) -> bool {
        let wanted = pages.saturating_sub(running.shared + running.own);
        let given = wanted.min(self.tree.available());
        if self.tree.take(given, evicted) {
            running.own += given;
        }
        given == wanted
    }

    /// Makes the pages that a running request has computed so far available to others (`cache_unfinished_req`).
    ///
    /// The tree gets a node that ends here, so later pages of the request are evicted separately from it.
    pub fn checkpoint(&mut self, running: &mut Running, pages: &[BlockId]) {
        let pages = self.insert(running, pages);
        let (shared, node) = self.tree.find(pages);
        self.tree.lock(node);
        self.tree.unlock(running.node);
        running.node = node;
        running.shared = shared;
    }

    /// Inserts all full pages, frees what was there already and the partial last page, and unlocks
    /// (`cache_finished_req`).
    pub fn finish(&mut self, mut running: Running, pages: &[BlockId]) {
        self.insert(&mut running, pages);
        self.tree.give_back(running.own);
        self.tree.unlock(running.node);
    }

    /// Moves a request's own pages to the tree; pages that the tree holds already are freed.
    fn insert<'a>(&mut self, running: &mut Running, pages: &'a [BlockId]) -> &'a [BlockId] {
        // Output for which no page was free was not computed.
        let pages = &pages[..pages.len().min((running.shared + running.own) as usize)];
        let found = self.tree.insert(pages, running.priority);
        self.tree.give_back(found - running.shared);
        running.own -= pages.len() as u32 - running.shared;
        pages
    }

    fn prompt_pages(&self, run: &Run<'_>, request: Shape) -> u32 {
        let pages = request.input_length.div_ceil(self.page_size);
        pages.max(run.prompt.len() as u32)
    }
}

impl CacheEngine for Sglang {
    fn name(&self) -> &'static str {
        "sglang"
    }

    /// Serves requests one after another. They enter the tree once, when they finish: no other request could find them
    /// earlier, so [`Sglang::checkpoint`] is not called between prompt and output.
    fn serve(&mut self, run: &Run<'_>, request: Shape, evicted: &mut Vec<BlockId>) -> Outcome {
        let (before, cached) = (evicted.len(), self.tree.resident());
        let needed = self.prompt_pages(run, request);
        let rejected = Outcome {
            rejected: true,
            ..Outcome::default()
        };
        // SGLang's server rejects a prompt that is longer than its pool before it looks at the tree.
        if needed > self.capacity {
            return rejected;
        }
        let Some(mut running) = self.start(run, request, 0, evicted) else {
            return rejected;
        };
        let hits = running.hits();
        let (mut pages, mut cut) = (run.prompt, false);
        if self.cache_output && request.output_length > 0 && !self.partial_tail {
            // The last token of an output is sampled, but its KV is never computed.
            let computed = request.input_length + request.output_length - 1;
            cut = !self.extend(&mut running, computed.div_ceil(self.page_size), evicted);
            pages = run.all;
        }
        self.finish(running, pages);
        let gone = (evicted.len() - before) as u32;
        Outcome {
            hit_blocks: hits,
            cached_tokens: tokens_in(hits, self.page_size, request.input_length),
            new_blocks: self.tree.resident() + gone - cached,
            allocated_blocks: needed - hits,
            evicted: gone,
            cut,
            ..Outcome::default()
        }
    }

    fn resident(&self) -> u32 {
        self.tree.resident()
    }

    fn keeps(&self, block: BlockId) -> bool {
        self.tree.holds(block)
    }
}

/// Rules for requests that overlap: a prompt can be found once it is computed, an output once its request has ended.
///
/// Simplified: a prompt is admitted as soon as it fits. SGLang also reserves room for a fraction of the tokens that
/// running requests may still generate (`new_token_ratio`), and in a shortage it frees pages for the next 20 steps
/// instead of one.
impl Manager for Sglang {
    type Held = Option<Running>;
    const FINDABLE: Findable = Findable::AtEnd;
    const TO_THE_FRONT: bool = false;

    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn admit(
        &mut self,
        ask: &PromptRequest<'_>,
        held: &mut Self::Held,
        evicted: &mut Vec<BlockId>,
    ) -> Option<u32> {
        *held = self.begin(&ask.path[..ask.lookups], ask.needed, 0, evicted);
        held.as_ref().map(Running::hits)
    }

    fn prefilled(&mut self, held: &mut Self::Held, path: &[BlockId]) {
        if let Some(running) = held {
            self.checkpoint(running, path);
        }
    }

    fn grow(
        &mut self,
        held: &mut Self::Held,
        computed: u32,
        _: &[BlockId],
        evicted: &mut Vec<BlockId>,
    ) -> bool {
        let pages = computed.div_ceil(self.page_size);
        held.as_mut()
            .is_none_or(|running| self.extend(running, pages, evicted))
    }

    fn finish(&mut self, held: &mut Self::Held, path: &[BlockId]) -> usize {
        let Some(running) = held.take() else {
            return 0;
        };
        let pages = path.len().min((running.shared + running.own) as usize);
        Self::finish(self, running, path);
        pages
    }

    /// As `release_req` of `managers/schedule_batch.py`: pages that are not in the tree are lost.
    fn preempt(&mut self, held: &mut Self::Held) {
        if let Some(running) = held.take() {
            self.tree.give_back(running.own);
            self.tree.unlock(running.node);
        }
    }

    /// As `retract_decode` of `managers/schedule_batch.py`: preempts the request with the shortest output; of several,
    /// the one with the longest prompt.
    fn rank(candidate: &Candidate) -> (u64, u64) {
        (
            u64::from(candidate.generated),
            u64::MAX - u64::from(candidate.input_length),
        )
    }

    fn cached_blocks(&self) -> u32 {
        self.tree.resident()
    }

    fn is_idle(&self) -> bool {
        self.tree.free() + self.tree.resident() == self.capacity
            && self.tree.available() == self.capacity
    }
}

/// SGLang's cache without a capacity limit. The layout of pages then has no effect, and a tree finds what vLLM's table
/// finds.
#[derive(Debug)]
pub struct UnboundedSglang(UnboundedVllm);

impl UnboundedSglang {
    /// Creates an empty cache.
    ///
    /// # Errors
    /// As [`Sglang::new`].
    pub fn new(trace: &BlockTrace, options: &EngineOptions) -> Result<Self> {
        require_prefixes(trace)?;
        Ok(Self(UnboundedVllm::new(trace, options)))
    }
}

impl CacheEngine for UnboundedSglang {
    fn name(&self) -> &'static str {
        "sglang"
    }

    fn serve(&mut self, run: &Run<'_>, request: Shape, evicted: &mut Vec<BlockId>) -> Outcome {
        self.0.serve(run, request, evicted)
    }

    fn resident(&self) -> u32 {
        self.0.resident()
    }

    fn keeps(&self, block: BlockId) -> bool {
        self.0.keeps(block)
    }
}

/// Rules for requests that overlap, without a capacity limit.
impl Manager for UnboundedSglang {
    type Held = ();
    const FINDABLE: Findable = Findable::AtEnd;
    const TO_THE_FRONT: bool = false;

    fn capacity(&self) -> u32 {
        u32::MAX
    }

    fn admit(&mut self, ask: &PromptRequest<'_>, (): &mut (), _: &mut Vec<BlockId>) -> Option<u32> {
        Some(self.0.find(&ask.path[..ask.lookups]) as u32)
    }

    fn prefilled(&mut self, (): &mut (), path: &[BlockId]) {
        self.0.add(path);
    }

    fn grow(&mut self, (): &mut (), _: u32, _: &[BlockId], _: &mut Vec<BlockId>) -> bool {
        true
    }

    fn finish(&mut self, (): &mut (), path: &[BlockId]) -> usize {
        self.0.add(path);
        path.len()
    }

    fn preempt(&mut self, (): &mut ()) {}

    fn rank(candidate: &Candidate) -> (u64, u64) {
        (candidate.admission, 0)
    }

    fn cached_blocks(&self) -> u32 {
        self.0.resident()
    }

    fn is_idle(&self) -> bool {
        true
    }
}

/// Ids given in a trace need not be chained; such ids do not form a tree.
fn require_prefixes(trace: &BlockTrace) -> Result<()> {
    if trace.scheme() == HashScheme::Chained {
        return Ok(());
    }
    const UNKNOWN: u32 = u32::MAX;
    const NOTHING: u32 = u32::MAX - 1;
    let mut above = vec![UNKNOWN; trace.distinct() as usize];
    let mut cursor = trace.cursor();
    while let Some(run) = cursor.next_run() {
        let mut previous = NOTHING;
        for block in run.all {
            let known = std::mem::replace(&mut above[*block as usize], previous);
            if known != UNKNOWN && known != previous {
                return Err(Error::usage(
                    format!(
                        "request {} of the trace has a hash id that follows different ids in different requests: its ids do \
                         not identify whole prefixes, so they form no radix tree",
                        run.index + 1
                    ),
                    "set `engine` to ideal",
                ));
            }
            previous = *block;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "sglang_tests.rs"]
mod tests;
