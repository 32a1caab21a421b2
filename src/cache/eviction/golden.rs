//! Counts of misses against those of libCacheSim (PyPI `libcachesim` 0.3.5), and what holds for every policy.
//!
//! The counts are printed by `scripts/oracle/libcachesim_policies.py --golden`.

use proptest::prelude::*;

use super::{Eviction, POLICIES, Setup, Use, by_name};

/// Knuth's MMIX generator, the upper 31 bits.
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

/// Of 5,000 blocks the one of rank r is used in proportion to 1 / r; with scans, after each 200 uses on average 64 new
/// blocks follow one another.
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

/// Uses that know when their block is used next.
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
    by_name(policy, &Setup::of(blocks, capacity)).expect("a known policy")
}

fn misses(policy: &str, uses: &[Use], capacity: u32) -> u32 {
    let blocks = uses.iter().map(|used| used.block + 1).max().unwrap_or(0);
    let mut cache = make(policy, blocks, capacity);
    let mut evicted = Vec::new();
    uses.iter()
        .map(|used| u32::from(!cache.access(used, &mut evicted)))
        .sum()
}

/// At 100, 500 and 2,000 blocks, of the stream without scans and of the one with; and by how much ours may differ, as a
/// part of a thousand.
type Golden = (&'static str, [[u32; 3]; 2], u32);

const GOLDEN: &[Golden] = &[
    ("lru", [[56471, 34866, 15113], [70377, 55470, 42756]], 0),
    ("fifo", [[61482, 39610, 18330], [73465, 59386, 46614]], 0),
    ("clock", [[55108, 33768, 14685], [69035, 54241, 41605]], 0),
    ("sieve", [[45459, 28451, 13449], [58321, 46648, 37104]], 0),
    ("belady", [[37375, 20092, 8023], [52422, 39457, 30479]], 0),
    ("s3-fifo", [[45523, 28592, 13726], [58446, 45769, 35996]], 5),
    ("2q", [[47852, 30237, 15171], [60219, 47572, 38137]], 5),
    ("slru", [[46832, 29096, 13616], [59642, 47333, 38375]], 5),
    ("arc", [[46567, 29457, 14396], [59042, 46034, 35803]], 5),
    ("lirs", [[46222, 29345, 13840], [58805, 45916, 35597]], 5),
    (
        "w-tinylfu",
        [[45581, 27572, 13301], [58774, 46285, 36997]],
        8,
    ),
    ("lfu", [[46421, 28565, 13449], [58840, 46709, 37104]], 5),
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

/// Of each policy, a text that makes it.
fn all() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().map(|entry| match entry.name {
        "ttl" => "ttl:20",
        name => name,
    })
}

/// Requests that walk down a tree of blocks: block `b` stands on `(b - 1) / 2`, so that a path is known by its last block.
fn tree_uses(paths: &[(u32, u32)]) -> Vec<Use> {
    let mut uses = Vec::new();
    for (request, &(last, session)) in (0..).zip(paths) {
        let mut path = vec![last];
        while let Some(&block) = path.last()
            && block > 0
        {
            path.push((block - 1) / 2);
        }
        path.reverse();
        for (depth, &block) in (0..).zip(&path) {
            let later = &paths[request as usize + 1..];
            let is_on = |last: u32| {
                std::iter::successors(Some(last), |block| (*block > 0).then(|| (block - 1) / 2))
                    .any(|other| other == block)
            };
            let after = later.iter().position(|(last, _)| is_on(*last));
            uses.push(Use {
                block,
                parent: (block > 0).then(|| (block - 1) / 2),
                depth,
                request,
                session,
                turns_left: later.iter().filter(|(_, other)| *other == session).count() as u32,
                priority: (session % 3) as i32,
                now: crate::trace::Nanos(u64::from(request) * 3_000_000_000),
                next: after.map_or(u32::MAX, |after| request + 1 + after as u32),
            });
        }
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
            let mut cache = make(policy, 31, capacity);
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
                prop_assert_eq!(hit, model[used.block as usize], "{}", policy);
                model[used.block as usize] = true;
                for block in &evicted {
                    prop_assert!(std::mem::take(&mut model[*block as usize]), "{policy} evicts {block} twice");
                }
                for block in 0..31 {
                    prop_assert_eq!(cache.contains(block), model[block as usize], "{}, block {}", policy, block);
                }
                let resident = model.iter().filter(|inside| **inside).count();
                prop_assert_eq!(cache.len() as usize, resident, "{}", policy);
                prop_assert!(cache.len() <= capacity, "{}", policy);
                prop_assert!(cache.steps() >= steps, "{}", policy);
                steps = cache.steps();
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
            let missed = misses(policy, &uses, capacity);
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
