//! Requests that overlap: cases worked by hand, and properties that always hold. A token takes a nanosecond, a block
//! has 4 tokens.

use super::overlap::{CacheChange, Candidate, Findable, Manager, PromptRequest, drive};
use super::*;
use crate::cache::{BlockManager, HeldBlocks};
use crate::trace::{Content, NewRequest, Trace, TraceBuilder, TraceMeta};
use proptest::prelude::*;

/// Arrival, prompt and output of each request.
pub(crate) type Plan = (u64, Vec<u32>, Vec<u32>);

pub(crate) fn trace(plan: &[Plan]) -> Trace {
    let mut builder = TraceBuilder::new(Content::Tokens);
    for (index, (arrival, prompt, output)) in plan.iter().enumerate() {
        let id = index.to_string();
        builder
            .push(NewRequest {
                id: &id,
                session: &id,
                turn: 0,
                arrival: Nanos(*arrival),
                input_length: prompt.len() as u32,
                output_length: output.len() as u32,
                shared: 0,
                fresh: prompt,
                output,
                extra: None,
            })
            .expect("fits");
    }
    builder
        .finish_in_entry_order(TraceMeta::default())
        .expect("is whole")
}

pub(crate) fn blocks(trace: &Trace) -> BlockTrace {
    BlockTrace::new(trace, Some(4), HashScheme::Chained).expect("has blocks")
}

pub(crate) fn linear(prefill: u64, decode: u64) -> Hold {
    Hold::Linear {
        prefill_per_token: Nanos(prefill),
        decode_per_token: Nanos(decode),
    }
}

pub(crate) fn options(engine: &str, capacity: Capacity, hold: Hold) -> EngineOptions {
    EngineOptions {
        engine: engine.parse().expect("known"),
        capacity,
        hold,
        ..EngineOptions::default()
    }
}

/// Outcome of each request, and when it was served.
#[derive(Debug, Default)]
struct Log {
    met: Vec<(u64, Outcome)>,
    preempted: Vec<usize>,
    cached: CachedSet,
}

/// The blocks that are cached, by the changes that an engine reports.
#[derive(Debug, Default)]
pub(crate) struct CachedSet(pub(crate) std::collections::BTreeSet<BlockId>);

impl CachedSet {
    /// Applies a change and checks its count.
    pub(crate) fn apply(&mut self, change: &CacheChange<'_>) {
        for block in change.went {
            assert!(
                self.0.remove(block),
                "block {block} was evicted and not cached"
            );
        }
        let new = change.came.iter().filter(|block| self.0.insert(**block));
        assert_eq!(new.count(), change.stored as usize, "{change:?}");
    }
}

impl EngineObserver for Log {
    fn served(&mut self, run: &Run<'_>, now: Nanos, outcome: &Outcome, change: &CacheChange<'_>) {
        assert_eq!(run.index, self.met.len(), "in the order of arrival");
        assert_eq!(outcome.evicted as usize, change.went.len());
        assert_eq!(outcome.new_blocks, change.stored);
        self.met.push((now.0, *outcome));
        self.cached.apply(change);
    }

    fn changed(&mut self, request: usize, _: Nanos, change: &CacheChange<'_>) {
        self.met[request].1.evicted += change.went.len() as u32;
        self.met[request].1.new_blocks += change.stored;
        self.cached.apply(change);
    }

    fn happened(&mut self, request: usize, what: EngineEvent) {
        match what {
            EngineEvent::Preempted => self.preempted.push(request),
            EngineEvent::Truncated => self.met[request].1.cut = true,
        }
    }
}

fn run(engine: &str, capacity: u32, plan: &[Plan]) -> Log {
    let trace = trace(plan);
    let mut log = Log::default();
    let options = options(engine, Capacity::Blocks(capacity), linear(1, 1));
    replay(&blocks(&trace), &options, &mut log).expect("replays");
    log
}

fn prompt(from: u32, tokens: u32) -> Vec<u32> {
    (from..from + tokens).collect()
}

/// Each prompt has 2 blocks of its own; 4 fit. The first is computed from 0 to 8 and generates its only token until 9,
/// the second from 1 to 10. The third arrives at 2, finds no free block, and is admitted to the first's blocks when
/// that ends.
#[test]
fn two_requests_hold_all_blocks_and_the_third_waits() {
    let plan = [
        (0, prompt(0, 8), vec![1]),
        (1, prompt(100, 8), vec![1]),
        (2, prompt(200, 8), vec![1]),
    ];
    for engine in ["vllm", "sglang"] {
        let log = run(engine, 4, &plan);
        let times: Vec<u64> = log.met.iter().map(|(time, _)| *time).collect();
        assert_eq!(times, [0, 1, 9], "{engine}");
        let waited = log.met[2].1;
        assert_eq!(waited.waited, Some(Nanos(7)), "{engine}");
        assert_eq!((waited.hit_blocks, waited.evicted), (0, 2), "{engine}");
        assert_eq!(log.met[1].1.waited, None, "{engine}");
    }
}

/// The second needs all 4 blocks and waits for the first, which holds 3 until 13. The third needs only the one free
/// block, but no request overtakes another: it is admitted after the second, which ends at 13 + 16 + 1.
#[test]
fn requests_do_not_overtake_each_other() {
    let plan = [
        (0, prompt(0, 12), vec![1]),
        (1, prompt(100, 16), vec![1]),
        (2, prompt(200, 4), vec![1]),
    ];
    for engine in ["vllm", "sglang"] {
        let log = run(engine, 4, &plan);
        let times: Vec<u64> = log.met.iter().map(|(time, _)| *time).collect();
        assert_eq!(times, [0, 13, 30], "{engine}");
    }
}

/// A prompt of 4 is computed at 4, and token k of the output is generated at 4 + k. At 4 + 4 the second block is full:
/// 4 tokens of prompt and 4 of output are computed. The request ends at 13. Another prompt begins with those 8 tokens.
#[test]
fn an_output_is_found_while_its_request_runs() {
    let mut longer = prompt(0, 4);
    longer.extend(prompt(50, 5));
    // Arrival of the other request, and the number of blocks it finds. In vLLM's manager a prompt can be found at once
    // and an output block once it is full; in SGLang's tree, a prompt once it is computed and the output once its
    // request has ended.
    for (engine, arrival, hits) in [
        ("vllm", 0, 1),
        ("vllm", 7, 1),
        ("vllm", 8, 2),
        ("vllm", 13, 2),
        ("sglang", 3, 0),
        ("sglang", 4, 1),
        ("sglang", 12, 1),
        ("sglang", 13, 2),
    ] {
        let plan = [
            (0, prompt(0, 4), prompt(50, 9)),
            (arrival, longer.clone(), vec![1]),
        ];
        for capacity in [Capacity::Blocks(20), Capacity::Unbounded] {
            let trace = trace(&plan);
            let mut log = Log::default();
            let options = options(engine, capacity, linear(1, 1));
            replay(&blocks(&trace), &options, &mut log).expect("replays");
            let found = log.met[1].1.hit_blocks;
            assert_eq!(found, hits, "{engine} at {arrival}, {capacity:?}");
        }
    }
}

/// Two prompts of 4 with outputs of 9, 4 blocks. The first takes its second block at 5 and its third at 9, the second
/// one takes its second at 6. At 9 none is free: the last admitted is preempted, with 4 tokens generated (its prompt
/// was computed at 5). The first is processed first in that step, so the other's second block is not full yet, and that
/// block is taken. The first ends at 13. Then 8 tokens are a prompt, the first block of which is found; a block of the
/// other's output is evicted. 4 tokens are computed until 17; the fifth token of output is generated at 18 and takes
/// another block, the ninth at 22.
#[test]
fn vllm_preempts_the_last_admitted() {
    let plan = [
        (0, prompt(0, 4), prompt(50, 9)),
        (1, prompt(100, 4), prompt(150, 9)),
        // No block is taken for it until 22.
        (14, prompt(200, 16), vec![1]),
    ];
    let log = run("vllm", 4, &plan);
    assert_eq!(log.preempted, [1]);
    assert_eq!(log.met[0].1.evicted, 0);
    assert_eq!(log.met[1].1.evicted, 2);
    assert_eq!(log.met[1].0, 1);
    assert_eq!(log.met[2].0, 22);
    assert_eq!(log.met[2].1.waited, Some(Nanos(8)));
}

/// The same case with SGLang's rule: at 9 the second has the shorter output, 4 against 5, and is preempted. Its
/// prompt's page stays in the tree, and the page of its output is lost, so the first takes that and nothing is evicted.
/// At 13 the first ends; its output's two pages are one leaf, which is evicted for the second's page, and leaves one
/// more page for its next.
#[test]
fn sglang_retracts_the_shortest_output() {
    let plan = [
        (0, prompt(0, 4), prompt(50, 9)),
        (1, prompt(100, 4), prompt(150, 9)),
        (14, prompt(200, 16), vec![1]),
    ];
    let log = run("sglang", 4, &plan);
    assert_eq!(log.preempted, [1]);
    assert_eq!(log.met[0].1.evicted, 0);
    assert_eq!(log.met[1].1.evicted, 2);
    assert_eq!(log.met[2].0, 22);
}

/// A cache of 2 blocks: a prompt of 3 is rejected; one of 2 fits, but its output finds no third block, even with
/// preemption.
#[test]
fn what_is_larger_than_all_blocks() {
    let plan = [
        (0, prompt(0, 12), vec![1]),
        (1, prompt(100, 8), prompt(50, 9)),
        (2, prompt(200, 4), vec![1]),
    ];
    for engine in ["vllm", "sglang"] {
        let log = run(engine, 2, &plan);
        assert!(log.met[0].1.rejected, "{engine}");
        assert!(log.met[1].1.cut && !log.met[1].1.rejected, "{engine}");
        // It keeps its blocks for its whole service time: from 1 to 1 + 8 + 9.
        assert_eq!(log.met[2].0, 18, "{engine}");
        assert!(log.preempted.is_empty(), "{engine}");
    }
}

#[test]
fn a_trace_that_has_service_times() {
    let plan = [
        (0, prompt(0, 4), prompt(50, 9)),
        (1, prompt(100, 4), vec![1]),
        (2, prompt(200, 4), vec![1]),
    ];
    let plain = trace(&plan);
    let hold = options("vllm", Capacity::Blocks(1), Hold::Trace);
    let error = replay(&blocks(&plain), &hold, &mut Log::default()).expect_err("has none");
    let error = error.to_string();
    assert!(
        error.contains("request 1") && error.contains("`hold` to linear"),
        "{error}"
    );
    // Service times from the header: 2 ns per prompt token, 1 ns per output token and 1 ns of overhead: 9 for the first
    // prompt.
    let mut meta = TraceMeta::default();
    meta.arrival.insert(
        "service_time".into(),
        serde_json::json!({"prefill_ms": 2e-6, "decode_ms": 1e-6, "fixed_s": 1e-9}),
    );
    let mut with_header = trace(&plan);
    with_header.meta = meta;
    let mut log = Log::default();
    let hold = options("vllm", Capacity::Blocks(1), Hold::Trace);
    replay(&blocks(&with_header), &hold, &mut log).expect("replays");
    let times: Vec<u64> = log.met.iter().map(|(time, _)| *time).collect();
    // 9 + 9, then 9 + 1.
    assert_eq!(times, [0, 18, 28]);
}

#[test]
fn what_engines_refuse() {
    for (engine, hold, words) in [
        ("ideal", linear(1, 1), "use engine `vllm` or `sglang`"),
        ("block", Hold::Trace, "use engine `vllm` or `sglang`"),
        ("naive", Hold::Requests(1), "use engine `vllm` or `sglang`"),
        ("sglang", Hold::Requests(1), "hold `linear:"),
    ] {
        let error = check(&options(engine, Capacity::Unbounded, hold)).expect_err("refused");
        assert!(error.to_string().contains(words), "{error}");
    }
    let plain = trace(&[(0, prompt(0, 4), vec![1])]);
    let overlapping = options("vllm", Capacity::Blocks(3), linear(1, 1));
    assert!(build(&overlapping, &blocks(&plain)).is_err());
}

/// vLLM's manager, with a separate record of the blocks that each request holds.
struct Audited {
    manager: BlockManager,
    held: Vec<u32>,
}

impl Audited {
    fn hold(&mut self, held: &HeldBlocks, from: usize) {
        for slot in &held.slots()[from..] {
            self.held[*slot as usize] += 1;
        }
        // A block that was held and then taken for another request would have one holder in the manager and two in this
        // record.
        assert_eq!(self.held, self.manager.references());
        let free = self.held.iter().filter(|held| **held == 0).count();
        assert_eq!(free, self.manager.free_blocks() as usize);
    }
}

impl Manager for Audited {
    type Held = HeldBlocks;
    const FINDABLE: Findable = Findable::AsFilled;
    const TO_THE_FRONT: bool = true;

    fn capacity(&self) -> u32 {
        self.manager.blocks()
    }

    fn admit(
        &mut self,
        ask: &PromptRequest<'_>,
        held: &mut HeldBlocks,
        evicted: &mut Vec<BlockId>,
    ) -> Option<u32> {
        let hits = self.manager.admit(ask, held, evicted)?;
        self.hold(held, 0);
        Some(hits)
    }

    fn prefilled(&mut self, _: &mut HeldBlocks, _: &[BlockId]) {}

    fn grow(
        &mut self,
        held: &mut HeldBlocks,
        computed: u32,
        path: &[BlockId],
        evicted: &mut Vec<BlockId>,
    ) -> bool {
        let before = held.slots().len();
        let grown = self.manager.grow(held, computed, path, evicted);
        self.hold(held, before);
        grown
    }

    fn findable(&self, held: &HeldBlocks) -> u32 {
        self.manager.findable(held)
    }

    fn evicted_copies(&self) -> u64 {
        self.manager.evicted_copies()
    }

    fn finish(&mut self, held: &mut HeldBlocks, path: &[BlockId]) -> usize {
        let blocks = path.len().min(held.slots().len());
        self.preempt(held);
        blocks
    }

    fn preempt(&mut self, held: &mut HeldBlocks) {
        for slot in held.slots() {
            self.held[*slot as usize] -= 1;
        }
        self.manager.free(held);
        self.hold(held, 0);
    }

    fn rank(candidate: &Candidate) -> (u64, u64) {
        BlockManager::rank(candidate)
    }

    fn cached_blocks(&self) -> u32 {
        self.manager.cached_contents()
    }

    fn is_idle(&self) -> bool {
        self.manager.is_idle() && self.held.iter().all(|held| *held == 0)
    }
}

/// SGLang's tree, with a record of the pages that were found and are in use.
struct Pinned(Sglang, Vec<u32>);

impl Manager for Pinned {
    type Held = (Option<Running>, Vec<BlockId>);
    const FINDABLE: Findable = Findable::AtEnd;
    const TO_THE_FRONT: bool = false;

    fn capacity(&self) -> u32 {
        self.0.capacity()
    }

    fn admit(
        &mut self,
        ask: &PromptRequest<'_>,
        held: &mut Self::Held,
        evicted: &mut Vec<BlockId>,
    ) -> Option<u32> {
        let hits = self.0.admit(ask, &mut held.0, evicted)?;
        held.1 = ask.path[..hits as usize].to_vec();
        for page in &held.1 {
            self.1[*page as usize] += 1;
        }
        assert!(evicted.iter().all(|page| self.1[*page as usize] == 0));
        Some(hits)
    }

    fn prefilled(&mut self, held: &mut Self::Held, path: &[BlockId]) {
        self.0.prefilled(&mut held.0, path);
    }

    fn grow(
        &mut self,
        held: &mut Self::Held,
        computed: u32,
        path: &[BlockId],
        evicted: &mut Vec<BlockId>,
    ) -> bool {
        let grown = Manager::grow(&mut self.0, &mut held.0, computed, path, evicted);
        assert!(evicted.iter().all(|page| self.1[*page as usize] == 0));
        grown
    }

    fn finish(&mut self, held: &mut Self::Held, path: &[BlockId]) -> usize {
        let pages = Manager::finish(&mut self.0, &mut held.0, path);
        for page in held.1.drain(..) {
            self.1[page as usize] -= 1;
        }
        pages
    }

    fn preempt(&mut self, held: &mut Self::Held) {
        Manager::preempt(&mut self.0, &mut held.0);
        for page in held.1.drain(..) {
            self.1[page as usize] -= 1;
        }
    }

    fn rank(candidate: &Candidate) -> (u64, u64) {
        Sglang::rank(candidate)
    }

    fn cached_blocks(&self) -> u32 {
        self.0.cached_blocks()
    }

    fn is_idle(&self) -> bool {
        self.0.is_idle() && self.1.iter().all(|pins| *pins == 0)
    }
}

/// Prompts over two letters, so that many share a prefix; some repeat a prompt and its output.
pub(crate) fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let tokens = |most| prop::collection::vec(0u32..2, 1..most);
    let request = (0u64..12, tokens(30), tokens(20), any::<bool>());
    prop::collection::vec(request, 1..40).prop_map(|requests| {
        let mut plan: Vec<Plan> = Vec::new();
        let mut now = 0;
        for (gap, mut prompt, output, follows) in requests {
            now += gap;
            if let (true, Some((_, before, reply))) = (follows, plan.last()) {
                prompt = [&before[..], reply, &prompt[..2.min(prompt.len())]].concat();
                prompt.truncate(60);
            }
            plan.push((now, prompt, output));
        }
        plan
    })
}

proptest! {
    #[test]
    fn what_is_held_stays_and_nothing_is_left_over(
        plan in plans(), capacity in 1u32..24, prefill in 0u64..3, decode in 0u64..4, outputs: bool,
    ) {
        let trace = trace(&plan);
        let blocks = blocks(&trace);
        for engine in ["vllm", "sglang"] {
            let options = EngineOptions {
                cache_output: Some(outputs),
                ..options(engine, Capacity::Blocks(capacity), linear(prefill, decode))
            };
            let mut log = Log::default();
            // At the end, `drive` asserts that no request is in flight and that no blocks are held.
            let resident = if engine == "vllm" {
                let manager = vllm::manager(&blocks, capacity, &options);
                let held = vec![0; capacity as usize];
                drive(Audited { manager, held }, &blocks, &options, &mut log)
            } else {
                let tree = Sglang::new(&blocks, capacity, &options).expect("builds");
                drive(Pinned(tree, vec![0; blocks.distinct() as usize]), &blocks, &options, &mut log)
            };
            prop_assert!(resident <= capacity);
            prop_assert_eq!(log.cached.0.len(), resident as usize);
            prop_assert_eq!(log.met.len(), plan.len());
            for ((_, outcome), (_, prompt, _)) in log.met.iter().zip(&plan) {
                prop_assert_eq!(outcome.rejected, prompt.len().div_ceil(4) > capacity as usize);
            }
        }
    }
}
