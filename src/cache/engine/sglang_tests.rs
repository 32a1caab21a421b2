//! Small cases worked by hand, and a tree of tokens that follows the rule step by step.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::cache::Facts;
use crate::cache::engine::{Capacity, EngineKind, build, check_policy};
use crate::trace::{Content, Nanos, NewRequest, Trace, TraceBuilder, TraceMeta};

/// Tokens of a prompt and its output.
type Turn = (Vec<u32>, Vec<u32>);

fn trace_of(content: Content, turns: &[Turn]) -> Trace {
    let size = match content {
        Content::HashIds { block_size } => block_size,
        _ => 1,
    };
    let mut builder = TraceBuilder::new(content);
    for (index, (prompt, output)) in turns.iter().enumerate() {
        let id = index.to_string();
        builder
            .push(NewRequest {
                id: &id,
                session: &id,
                turn: 0,
                arrival: Nanos(index as u64),
                input_length: prompt.len() as u32 * size,
                output_length: output.len() as u32,
                shared: 0,
                fresh: prompt,
                output,
                extra: None,
            })
            .expect("fits");
    }
    builder.finish(TraceMeta::default()).expect("a trace")
}

fn blocks(turns: &[Turn], page_size: u32) -> BlockTrace {
    let trace = trace_of(Content::Tokens, turns);
    BlockTrace::new(&trace, Some(page_size), HashScheme::Chained).expect("blocks")
}

fn options(policy: &str, pages: u32) -> EngineOptions {
    EngineOptions {
        engine: EngineKind::SGLANG,
        policy: policy.into(),
        capacity: Capacity::Blocks(pages),
        ..EngineOptions::default()
    }
}

fn shape((prompt, output): &Turn) -> Shape {
    Shape {
        input_length: prompt.len() as u32,
        output_length: output.len() as u32,
    }
}

/// Prompts without outputs.
fn prompts(prompts: &[&[u32]]) -> Vec<Turn> {
    prompts.iter().map(|p| (p.to_vec(), Vec::new())).collect()
}

/// Hit and evicted pages of each request, and the number of pages in the tree at the end.
fn replay(turns: &[Turn], page_size: u32, policy: &str, pages: u32) -> (Vec<[u32; 2]>, u32) {
    let trace = blocks(turns, page_size);
    let mut engine = Sglang::new(&trace, pages, &options(policy, pages)).expect("builds");
    let mut cursor = trace.cursor();
    let mut met = Vec::new();
    for turn in turns {
        let run = cursor.next_run().expect("a run");
        let outcome = engine.serve(&run, shape(turn), &mut Vec::new());
        met.push([outcome.hit_blocks, outcome.evicted]);
        // No request is running, so every page that is not free is in the tree.
        assert_eq!(engine.free() + engine.resident(), pages);
    }
    (met, engine.resident())
}

#[test]
fn leaves_go_as_a_whole() {
    // 4 pages of 2 tokens. The first prompt takes 3; the second needs 2, lacks 1, and evicts the only leaf with its 3
    // pages.
    let turns = prompts(&[&[1, 1, 2, 2, 3, 3], &[4, 4, 5, 5]]);
    assert_eq!(replay(&turns, 2, "lru", 4), (vec![[0, 0], [0, 3]], 2));
}

#[test]
fn a_look_up_splits_and_only_the_far_end_goes() {
    // 4 pages of 1 token. The second prompt shares 2 of 3 pages and splits the node there: 12 -> {3, 4}; all 4 pages
    // are full. The third needs 1 page: the look-up refreshed leaf 3 before leaf 4 was created, so 3 is evicted. The
    // fourth needs 1 more and evicts 4. The fifth needs 2 and lacks 2: the front 12 has become a leaf, older than 5 and
    // 6, and is evicted whole.
    let turns = prompts(&[&[1, 2, 3], &[1, 2, 4], &[5], &[6], &[7, 8]]);
    let met = vec![[0, 0], [2, 0], [0, 1], [0, 1], [0, 2]];
    assert_eq!(replay(&turns, 1, "lru", 4), (met, 4));
}

#[test]
fn the_last_token_is_computed_and_its_page_freed_again() {
    // A prompt of 2 whole pages of 4 tokens finds 1 of them, (8 - 1) / 4, computes the other again, and keeps no copy.
    // A prompt of 9 tokens finds both; its third page is partial and is allocated only while the request runs.
    let turns = prompts(&[
        &[1, 2, 3, 4, 5, 6, 7, 8],
        &[1, 2, 3, 4, 5, 6, 7, 8],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9],
    ]);
    assert_eq!(
        replay(&turns, 4, "lru", 3),
        (vec![[0, 0], [1, 0], [2, 0]], 2)
    );
}

#[test]
fn outputs_are_kept_without_their_last_token() {
    // 3 + 5 - 1 = 7 tokens, 3 whole pages of 2. The next prompt has 9 tokens, so up to 4 pages could be found; 3 are.
    let turns = vec![
        (vec![1, 2, 3], vec![4, 5, 6, 7, 8]),
        (vec![1, 2, 3, 4, 5, 6, 7, 8, 9], Vec::new()),
    ];
    assert_eq!(replay(&turns, 2, "lru", 9), (vec![[0, 0], [3, 0]], 4));
    // With room for 2 pages the output is truncated: the prompt has 2 pages, and there is no third. The next prompt
    // finds no free page.
    assert_eq!(replay(&turns, 2, "lru", 2), (vec![[0, 0], [0, 0]], 2));
}

#[test]
fn each_order_lets_another_leaf_go() {
    // 4 pages of 1 token. Prompts 1 2 and 3 leave 1 page free. 1 2 arrives again; its look-up is limited to page 1,
    // which splits the node, and the free page holds the copy of 2 while it runs. Then 4 5 lacks 1 page, which comes
    // from leaf 2 (created first, used last, inserted twice) or leaf 3 (created second, used before, inserted once).
    let turns = prompts(&[&[1, 2], &[3], &[1, 2], &[4, 5], &[3, 9]]);
    // Whether 3 is still cached when the last prompt is looked up.
    for (policy, stays) in [
        ("lru", 0),
        ("lfu", 0),
        ("slru", 0),
        ("priority", 0),
        ("fifo", 1),
        ("mru", 1),
        ("filo", 0),
    ] {
        assert_eq!(replay(&turns, 1, policy, 4).0[4][0], stays, "{policy}");
    }
}

#[test]
fn what_runs_does_not_go_and_others_wait() {
    let turns = prompts(&[&[1, 2], &[3, 4], &[5]]);
    let trace = blocks(&turns, 1);
    let mut engine = Sglang::new(&trace, 3, &options("lru", 3)).expect("builds");
    let mut cursor = trace.cursor();
    let mut evicted = Vec::new();
    let first = cursor.next_run().expect("a run").prompt.to_vec();
    let run = Run {
        index: 0,
        prompt: &first,
        all: &first,
        facts: Facts::default(),
    };
    let mut running = engine
        .start(&run, shape(&turns[0]), 0, &mut evicted)
        .expect("fits");
    let run = cursor.next_run().expect("a run");
    assert!(
        engine
            .start(&run, shape(&turns[1]), 0, &mut evicted)
            .is_none()
    );
    // After the checkpoint the pages are in the tree, but still locked.
    engine.checkpoint(&mut running, &first);
    assert_eq!((engine.resident(), engine.free()), (2, 1));
    assert!(
        engine
            .start(&run, shape(&turns[1]), 0, &mut evicted)
            .is_none()
    );
    assert!(engine.extend(&mut running, 3, &mut evicted));
    assert!(!engine.extend(&mut running, 4, &mut evicted));
    engine.finish(running, &first);
    assert_eq!((engine.resident(), engine.free()), (2, 1));
    let running = engine
        .start(&run, shape(&turns[1]), 0, &mut evicted)
        .expect("fits");
    assert_eq!(evicted, [0, 1]);
    engine.finish(running, run.prompt);
    assert_eq!((engine.resident(), engine.free()), (2, 1));
}

#[test]
fn two_that_compute_the_same_leave_one_copy() {
    let turns = prompts(&[&[1, 2, 3], &[1, 2, 3]]);
    let trace = blocks(&turns, 1);
    let mut engine = Sglang::new(&trace, 9, &options("lru", 9)).expect("builds");
    let mut evicted = Vec::new();
    let mut cursor = trace.cursor();
    let pages = cursor.next_run().expect("a run").prompt.to_vec();
    let run = Run {
        index: 0,
        prompt: &pages,
        all: &pages,
        facts: Facts::default(),
    };
    let mut one = engine
        .start(&run, shape(&turns[0]), 0, &mut evicted)
        .expect("fits");
    let mut other = engine
        .start(&run, shape(&turns[1]), 0, &mut evicted)
        .expect("fits");
    assert_eq!((one.hits(), other.hits(), engine.free()), (0, 0, 3));
    engine.checkpoint(&mut one, &pages[..2]);
    assert_eq!((engine.resident(), engine.free()), (2, 3));
    engine.checkpoint(&mut other, &pages);
    assert_eq!((engine.resident(), engine.free()), (3, 5));
    engine.finish(one, &pages);
    engine.finish(other, &pages);
    assert_eq!((engine.resident(), engine.free()), (3, 6));
}

#[test]
fn ids_that_are_not_chained_are_refused() {
    let content = Content::HashIds { block_size: 4 };
    for (turns, chained) in [
        (prompts(&[&[0, 1, 2], &[0, 1, 3]]), true),
        (prompts(&[&[0, 1], &[1]]), false),
        (prompts(&[&[0, 1, 0]]), false),
        (prompts(&[&[0, 2], &[1, 2]]), false),
    ] {
        let trace =
            BlockTrace::new(&trace_of(content, &turns), None, HashScheme::Chained).expect("blocks");
        for capacity in [Capacity::Blocks(9), Capacity::Unbounded] {
            let options = EngineOptions {
                capacity,
                ..options("lru", 1)
            };
            assert_eq!(build(&options, &trace).is_ok(), chained, "{turns:?}");
        }
    }
}

#[test]
fn each_engine_has_its_own_policies() {
    for (engine, policy, known) in [
        ("sglang", "slru", true),
        ("sglang", "tlru:4096,1024", true),
        ("sglang", "lruu", false),
        ("vllm", "lru", true),
        ("vllm", "tlru:4096,1024", false),
    ] {
        assert_eq!(
            check_policy(engine, policy).is_ok(),
            known,
            "{engine} {policy}"
        );
    }
}

/// A node of the model: its tokens, and times of a clock that advances with every operation.
#[derive(Debug, Default)]
struct Plain {
    key: Vec<u32>,
    parent: usize,
    children: BTreeMap<Vec<u32>, usize>,
    locked: bool,
    hits: u64,
    used: u64,
    created: u64,
    gone: bool,
}

/// The radix tree as in the textbook: token by token, and every eviction examines all leaves.
struct Model {
    nodes: Vec<Plain>,
    page: usize,
    free: usize,
    clock: u64,
    policy: &'static str,
}

impl Model {
    fn new(page: usize, capacity: usize, policy: &'static str) -> Self {
        Self {
            nodes: vec![Plain::default()],
            page,
            free: capacity,
            clock: 0,
            policy,
        }
    }

    fn add(&mut self, node: Plain) -> usize {
        self.clock += 1;
        self.nodes.push(Plain {
            used: self.clock,
            created: self.clock,
            ..node
        });
        self.nodes.len() - 1
    }

    fn attach(&mut self, node: usize) {
        let (parent, edge) = (
            self.nodes[node].parent,
            self.nodes[node].key[..self.page].to_vec(),
        );
        self.nodes[parent].children.insert(edge, node);
    }

    /// Number of leading tokens of `key` that are cached, and the node that ends with them.
    fn walk(&mut self, key: &[u32], inserting: bool) -> (usize, usize) {
        self.clock += 1;
        let now = self.clock;
        let (mut found, mut at) = (0, 0);
        while found < key.len() {
            let Some(child) = self.nodes[at]
                .children
                .get(&key[found..found + self.page])
                .copied()
            else {
                break;
            };
            self.nodes[child].used = now;
            let pairs = self.nodes[child]
                .key
                .chunks(self.page)
                .zip(key[found..].chunks(self.page));
            let common = pairs.take_while(|(mine, asked)| mine == asked).count() * self.page;
            at = if common < self.nodes[child].key.len() {
                let rest = self.nodes[child].key.split_off(common);
                let front = std::mem::replace(&mut self.nodes[child].key, rest);
                let old = &self.nodes[child];
                let upper = Plain {
                    key: front,
                    parent: old.parent,
                    locked: old.locked,
                    hits: old.hits,
                    ..Plain::default()
                };
                let upper = self.add(upper);
                self.attach(upper);
                self.nodes[child].parent = upper;
                self.attach(child);
                upper
            } else {
                child
            };
            self.nodes[at].hits += u64::from(inserting);
            found += common;
        }
        (found, at)
    }

    fn insert(&mut self, key: &[u32]) -> usize {
        let (found, parent) = self.walk(key, true);
        if found < key.len() {
            let leaf = self.add(Plain {
                key: key[found..].to_vec(),
                parent,
                hits: 1,
                ..Plain::default()
            });
            self.attach(leaf);
        }
        found
    }

    fn lock(&mut self, mut node: usize, locked: bool) {
        while node != 0 {
            self.nodes[node].locked = locked;
            node = self.nodes[node].parent;
        }
    }

    /// Takes as many of `tokens` as there is room for.
    fn take(&mut self, tokens: usize, evicted: &mut usize) -> usize {
        while self.free < tokens {
            let key = |node: &Plain| match self.policy {
                "lfu" => (node.hits, node.used),
                "slru" => (u64::from(node.hits >= 2), node.used),
                "fifo" => (0, node.created),
                "mru" => (0, u64::MAX - node.used),
                "filo" => (0, u64::MAX - node.created),
                _ => (0, node.used),
            };
            let leaves = (1..self.nodes.len()).filter(|index| {
                let node = &self.nodes[*index];
                !node.gone && !node.locked && node.children.is_empty()
            });
            let Some(victim) = leaves.min_by_key(|index| key(&self.nodes[*index])) else {
                break;
            };
            self.nodes[victim].gone = true;
            let (parent, size) = (self.nodes[victim].parent, self.nodes[victim].key.len());
            let edge = self.nodes[victim].key[..self.page].to_vec();
            self.nodes[parent].children.remove(&edge);
            self.free += size;
            *evicted += size;
        }
        let taken = tokens.min(self.free);
        self.free -= taken;
        taken
    }

    /// Cached and evicted tokens.
    fn serve(&mut self, (prompt, output): &Turn) -> (usize, usize) {
        let up = |tokens: usize| tokens.div_ceil(self.page) * self.page;
        let down = |tokens: usize| tokens / self.page * self.page;
        let mut tokens = prompt.clone();
        if let Some((_, computed)) = output.split_last() {
            tokens.extend(computed);
        }
        let (prompt_room, room) = (up(prompt.len()), up(tokens.len()));
        let lookup = down(prompt.len().saturating_sub(1));
        let (hits, node) = self.walk(&prompt[..lookup], false);
        self.lock(node, true);
        let mut evicted = 0;
        let mut own = self.take(prompt_room - hits, &mut evicted);
        own += self.take(room - prompt_room, &mut evicted);
        let kept = (tokens.len() / self.page * self.page).min(hits + own);
        let found = self.insert(&tokens[..kept]);
        self.free += own - (kept - found);
        self.lock(node, false);
        (hits, evicted)
    }

    fn resident(&self) -> usize {
        self.nodes
            .iter()
            .filter(|node| !node.gone)
            .map(|node| node.key.len())
            .sum()
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let tokens = |most| prop::collection::vec(0u32..2, 0..most);
    prop::collection::vec((tokens(24), tokens(9)), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model(
        turns in turns(), wide in any::<bool>(), pages in 1u32..30,
        policy in prop::sample::select(vec!["lru", "lru", "lfu", "slru", "fifo", "mru", "filo"]),
    ) {
        let page_size = if wide { 4 } else { 1 };
        let trace = blocks(&turns, page_size);
        let mut engine = Sglang::new(&trace, pages, &options(policy, pages)).expect("builds");
        let capacity = (pages * page_size) as usize;
        let mut model = Model::new(page_size as usize, capacity, policy);
        let mut cursor = trace.cursor();
        for turn in &turns {
            let mut evicted = Vec::new();
            let outcome = engine.serve(&cursor.next_run().expect("a run"), shape(turn), &mut evicted);
            prop_assert_eq!(outcome.evicted as usize, evicted.len());
            if turn.0.len().div_ceil(page_size as usize) > pages as usize {
                prop_assert!(outcome.rejected);
                continue;
            }
            let met = (outcome.cached_tokens as usize, (outcome.evicted * page_size) as usize);
            prop_assert_eq!(met, model.serve(turn));
            prop_assert_eq!((engine.resident() * page_size) as usize, model.resident());
            prop_assert_eq!((engine.free() * page_size) as usize, model.free);
            prop_assert_eq!(engine.free() + engine.resident(), pages);
        }
    }

    #[test]
    fn unbounded_finds_what_a_tree_with_room_finds(turns in turns(), page_size in 1u32..5) {
        let trace = blocks(&turns, page_size);
        let mut tree = Sglang::new(&trace, 1 << 20, &options("lru", 1 << 20)).expect("builds");
        let mut unbounded = UnboundedSglang::new(&trace, &options("lru", 1)).expect("builds");
        let mut cursor = trace.cursor();
        for turn in &turns {
            let run = cursor.next_run().expect("a run");
            let outcome = tree.serve(&run, shape(turn), &mut Vec::new());
            prop_assert_eq!(outcome, unbounded.serve(&run, shape(turn), &mut Vec::new()));
            prop_assert_eq!(tree.resident(), unbounded.resident());
        }
    }
}
