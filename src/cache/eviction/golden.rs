//! Counts of misses compared with those of libCacheSim (PyPI `libcachesim` 0.3.5), and properties of every policy.
//!
//! `scripts/reference/rebuild.py libcachesim` checks whether libCacheSim still has these counts. Policies that it does
//! not have are compared with their own earlier counts.

use proptest::prelude::*;

use crate::base::registry::Named;

use super::{Eviction, EvictionContext, POLICIES, Use, by_name};

/// The upper 31 bits of Knuth's MMIX generator.
struct Lcg(u64);

impl Lcg {
    fn draw(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// Of 5,000 blocks, the one of rank r is used in proportion to 1 / r; with scans, after every 200 uses on average, 64
/// new blocks follow one another.
fn stream(seed: u64, scans: bool) -> Vec<u32> {
    let mut random = Lcg(seed);
    let mut total = 0;
    let bounds: Vec<u64> = (1..=5_000)
        .map(|rank| {
            total += (1 << 32) / rank;
            total
        })
        .collect();
    let mut blocks = Vec::new();
    let mut fresh = 5_000;
    while blocks.len() < 100_000 {
        if scans && random.draw().is_multiple_of(200) {
            blocks.extend(fresh..fresh + 64);
            fresh += 64;
        }
        let high = random.draw();
        let at = ((high << 31) | random.draw()) % total;
        blocks.push(bounds.partition_point(|bound| *bound <= at) as u32);
    }
    blocks.truncate(100_000);
    blocks
}

/// Uses with the time of each block's next use.
fn uses(stream: &[u32]) -> Vec<Use> {
    let blocks = stream.iter().max().map_or(0, |block| block + 1);
    let mut next = vec![u32::MAX; blocks as usize];
    let mut uses: Vec<Use> = (0..stream.len() as u32)
        .zip(stream)
        .rev()
        .map(|(request, &block)| Use {
            block,
            request,
            next: std::mem::replace(&mut next[block as usize], request),
            ..Use::default()
        })
        .collect();
    uses.reverse();
    uses
}

fn make(policy: &str, blocks: u32, capacity: u32) -> Box<dyn Eviction> {
    by_name(policy, &EvictionContext::of(blocks, capacity)).expect("a known policy")
}

fn misses(policy: &str, uses: &[Use], capacity: u32) -> u32 {
    let blocks = uses.iter().map(|used| used.block + 1).max().unwrap_or(0);
    let mut cache = make(policy, blocks, capacity);
    let mut evicted = Vec::new();
    uses.iter()
        .map(|used| u32::from(!cache.access(used, &mut evicted)))
        .sum()
}

/// Misses at 100, 500 and 2,000 blocks, of the stream without scans and of the one with scans; and the tolerance, in
/// thousandths.
type Golden = (&'static str, [[u32; 3]; 2], u32);

const GOLDEN: &[Golden] = &[
    ("lru", [[56471, 34866, 15113], [70377, 55470, 42756]], 0),
    ("fifo", [[61482, 39610, 18330], [73465, 59386, 46614]], 0),
    ("clock", [[55108, 33768, 14685], [69035, 54241, 41605]], 0),
    ("sieve", [[45459, 28451, 13449], [58321, 46648, 37104]], 0),
    ("belady", [[37375, 20092, 8023], [52422, 39457, 30479]], 0),
    ("s3-fifo", [[45523, 28592, 13726], [58446, 45769, 35996]], 0),
    ("2q", [[47852, 30237, 15171], [60219, 47572, 38137]], 0),
    ("slru", [[46832, 29096, 13616], [59642, 47333, 38375]], 0),
    ("arc", [[46567, 29457, 14396], [59042, 46034, 35803]], 0),
    ("lirs", [[46222, 29345, 13840], [58805, 45916, 35597]], 5),
    (
        "w-tinylfu",
        [[45581, 27572, 13301], [58774, 46285, 36997]],
        0,
    ),
    ("lfu", [[46421, 28565, 13449], [58840, 46709, 37104]], 0),
    ("gdsf", [[48960, 30459, 13785], [63517, 50950, 39618]], 5),
    ("lecar", [[55481, 34455, 14724], [68827, 54717, 42171]], 5),
];

#[test]
fn misses_are_those_of_libcachesim() {
    let streams = [uses(&stream(7, false)), uses(&stream(11, true))];
    let mut wrong = Vec::new();
    for (policy, expected, tolerance) in GOLDEN {
        for (uses, expected) in streams.iter().zip(expected) {
            for (capacity, expected) in [100, 500, 2_000].into_iter().zip(expected) {
                let ours = misses(policy, uses, capacity);
                if ours.abs_diff(*expected) * 1_000 > tolerance * expected {
                    let part = f64::from(ours) / f64::from(*expected) - 1.0;
                    wrong.push(format!(
                        "{policy} at {capacity}: {ours}, not {expected}: {:+.3} %",
                        part * 100.0
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// For every policy, misses at 100 and 500 blocks on walks down a tree with depths, sessions, priorities and times,
/// which libCacheSim does not model. They are the counts of the current implementation, so that any change of a rule is
/// detected.
const OWN: &[(&str, [u32; 2])] = &[
    ("lru", [37346, 25492]),
    ("fifo", [40216, 28397]),
    ("clock", [36534, 24841]),
    ("sieve", [32416, 22133]),
    ("s3-fifo", [30594, 21059]),
    ("2q", [32027, 22282]),
    ("slru", [31424, 21739]),
    ("arc", [31300, 21429]),
    ("lirs", [31000, 21313]),
    ("lfu", [32416, 22133]),
    ("lfu-aging", [33389, 23009]),
    ("gdsf", [33389, 23009]),
    ("w-tinylfu", [30598, 21289]),
    ("lecar", [36520, 25167]),
    ("cacheus", [31041, 21122]),
    ("random", [40088, 28521]),
    ("ttl:20", [39546, 39546]),
    ("priority", [47791, 43545]),
    ("leaf-lru", [36750, 25413]),
    ("session-aware", [37381, 25518]),
    ("cost-aware", [35595, 23725]),
    ("length-aware", [30225, 20915]),
    ("belady", [26096, 16343]),
    ("belady-leaf", [26477, 16381]),
];

/// Requests of 16 sessions, each a walk down a tree of 16,383 blocks; the likely leaves drift over time.
fn tree_stream() -> Vec<Use> {
    let mut random = Lcg(5);
    let mut walks = Vec::new();
    for request in 0..4_000u32 {
        let session = (random.draw() % 16) as u32;
        let mut block = 0;
        for level in 0..13 {
            // Sessions differ in their first turns; below those, left is likelier than right, increasingly so over
            // time.
            let right = if level < 4 {
                session >> level & 1 == 1
            } else {
                random.draw() % 8_000 > 4_000 + u64::from(request) / 2
            };
            block = 2 * block + 1 + u32::from(right);
        }
        walks.push((block, session));
    }
    tree_uses(&walks)
}

#[test]
fn every_policy_misses_as_before() {
    let uses = tree_stream();
    let found: Vec<_> = all()
        .map(|policy| {
            let found = [100, 500].map(|capacity| misses_of_requests(&policy, &uses, capacity));
            (policy, found)
        })
        .collect();
    let own: Vec<_> = OWN
        .iter()
        .map(|(policy, misses)| ((*policy).to_owned(), *misses))
        .collect();
    assert_eq!(found, own, "a new policy needs a row in OWN");
}

/// As [`misses`], with a clock that advances.
fn misses_of_requests(policy: &str, uses: &[Use], capacity: u32) -> u32 {
    let blocks = uses.iter().map(|used| used.block + 1).max().unwrap_or(0);
    let mut cache = make(policy, blocks, capacity);
    let mut evicted = Vec::new();
    let missed = uses.iter().map(|used| {
        cache.advance(used.now, &mut evicted);
        u32::from(!cache.access(used, &mut evicted))
    });
    missed.sum()
}

/// Every registered policy as users write it; a policy that needs a parameter gets 20.
fn all() -> impl Iterator<Item = String> {
    POLICIES.iter().map(|policy| match policy.name() {
        name if policy.needs_parameter() => format!("{name}:20"),
        name => name.to_owned(),
    })
}

/// Requests that walk down a tree of blocks: the parent of block `b` is `(b - 1) / 2`, so the last block identifies the
/// path.
fn tree_uses(paths: &[(u32, u32)]) -> Vec<Use> {
    let mut uses = Vec::new();
    for (request, &(last, session)) in (0..).zip(paths) {
        let mut path: Vec<u32> =
            std::iter::successors(Some(last), |block| (*block > 0).then(|| (block - 1) / 2))
                .collect();
        path.reverse();
        for (depth, &block) in (0..).zip(&path) {
            uses.push(Use {
                block,
                parent: (block > 0).then(|| (block - 1) / 2),
                depth,
                request,
                session,
                priority: (session % 3) as i32,
                now: crate::trace::Nanos(u64::from(request) * 3_000_000_000),
                ..Use::default()
            });
        }
    }
    // Fills in the future accesses, from the last to the first; the blocks of one request are used together.
    let blocks = uses.iter().map(|used| used.block + 1).max().unwrap_or(0);
    let mut next = vec![u32::MAX; blocks as usize];
    let mut turns = std::collections::BTreeMap::new();
    for path in uses.chunk_by_mut(|a, b| a.request == b.request).rev() {
        for used in path.iter_mut() {
            used.next = std::mem::replace(&mut next[used.block as usize], used.request);
            used.turns_left = turns.get(&used.session).copied().unwrap_or(0);
        }
        *turns.entry(path[0].session).or_insert(0) += 1;
    }
    uses
}

proptest! {
    #[test]
    fn every_policy_says_what_it_holds(
        capacity in 1u32..12,
        paths in prop::collection::vec((0u32..31, 0u32..5), 0..80),
    ) {
        for policy in all() {
            let mut cache = make(&policy, 31, capacity);
            let mut model = [false; 31];
            let mut evicted = Vec::new();
            let mut steps = 0;
            for used in tree_uses(&paths) {
                evicted.clear();
                cache.advance(used.now, &mut evicted);
                for block in evicted.drain(..) {
                    prop_assert!(std::mem::take(&mut model[block as usize]), "{policy}");
                }
                let hit = cache.access(&used, &mut evicted);
                prop_assert_eq!(hit, model[used.block as usize], "{}", &policy);
                model[used.block as usize] = true;
                for block in &evicted {
                    prop_assert!(std::mem::take(&mut model[*block as usize]), "{policy} evicts {block} twice");
                }
                for block in 0..31 {
                    prop_assert_eq!(cache.contains(block), model[block as usize], "{}, block {}", &policy, block);
                }
                let resident = model.iter().filter(|inside| **inside).count();
                prop_assert_eq!(cache.len() as usize, resident, "{}", &policy);
                prop_assert!(cache.len() <= capacity, "{}", &policy);
                prop_assert!(cache.steps() >= steps, "{}", &policy);
                steps = cache.steps();
            }
        }
    }

    /// A larger cache always holds all blocks of a smaller one. This holds for policies that rank blocks independently
    /// of the capacity (Mattson et al., 1970). It does not hold for LFU, whose counts since insertion depend on
    /// evictions, nor for policies that refuse blocks.
    #[test]
    fn a_larger_cache_includes_a_smaller(
        capacity in 1u32..12,
        more in 1u32..5,
        paths in prop::collection::vec((0u32..31, 0u32..5), 0..60),
    ) {
        for policy in ["lru", "belady", "ttl:20"] {
            let (mut small, mut large) = (make(policy, 31, capacity), make(policy, 31, capacity + more));
            let mut evicted = Vec::new();
            for used in tree_uses(&paths) {
                for cache in [&mut small, &mut large] {
                    cache.advance(used.now, &mut evicted);
                    cache.access(&used, &mut evicted);
                }
                for block in 0..31 {
                    prop_assert!(large.contains(block) || !small.contains(block), "{policy}: {block}");
                }
            }
        }
    }

    #[test]
    fn no_policy_misses_less_than_belady(
        capacity in 1u32..20,
        blocks in prop::collection::vec(0u32..40, 0..300),
    ) {
        let uses = uses(&blocks);
        let bound = misses("belady", &uses, capacity);
        for policy in all() {
            let missed = misses(&policy, &uses, capacity);
            prop_assert!(missed >= bound, "{policy}: {missed} < {bound}");
        }
    }

    #[test]
    fn leaves_go_before_what_they_stand_on(
        capacity in 6u32..20,
        paths in prop::collection::vec((0u32..63, 0u32..5), 0..80),
    ) {
        for policy in ["leaf-lru", "belady-leaf"] {
            let mut cache = make(policy, 63, capacity);
            let mut evicted = Vec::new();
            for used in tree_uses(&paths) {
                cache.access(&used, &mut evicted);
                for block in evicted.drain(..) {
                    for child in [2 * block + 1, 2 * block + 2] {
                        prop_assert!(child > 62 || !cache.contains(child), "{policy}: {block} before {child}");
                    }
                }
            }
        }
    }
}
