//! W-TinyLFU (Einziger, Friedman and Manes, ACM TOS 2017): new blocks enter through a small LRU window; a block that leaves it is
//! admitted to the main part, a segmented LRU, only if it was used more often than the block it would replace.
//!
//! As `WTinyLFU.c` of libCacheSim: the window has 1 % of the capacity, and a fifth of the main part is on probation;
//! the window is filled to the capacity before the main part is, and uses are counted on entry, in the main part and
//! when leaving the window. All counts are halved after 32 uses of the main part per place in it. As in libCacheSim,
//! counts are kept in a counting Bloom filter sized for the main part's number of blocks, with an error rate of one in
//! a thousand. Exact counts would miss 1 to 3 % less often, but need memory for every block ever seen. Blocks share
//! counters exactly as in libCacheSim, so misses agree one by one with the build on PyPI (0.3.5). Sources from before
//! 2025 continue to evict after a block was admitted in place of another, until one is refused: they miss up to 0.8 %
//! more often.

use std::collections::HashMap;

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard = EvictionCard::new(
    "w-tinylfu",
    "an LRU window, and a main segment that admits by frequency",
    |context, _| Some(Box::new(WTinyLfu::new(context))),
);

const WINDOW: u32 = 0;
const PROBATION: u32 = 1;
const PROTECTED: u32 = 2;

/// Counters per block for an error rate of one in a thousand, `-ln(0.001) / ln(2)^2`; and the optimal number of hashes
/// for them.
const COUNTERS_PER_BLOCK: f64 = 14.377_587_3;
const HASHES: usize = 10;
/// The count in a byte, and the mark of a counter that overflowed.
const LOW: u8 = 127;
const CARRIED: u8 = 128;
/// libCacheSim's seeds of XXH64 (`hash.h`), so that blocks share the same counters as in libCacheSim.
const SEEDS: [u64; 2] = [0x1234_5678, 0x1234_4321];

/// XXH64 of a number, as eight little-endian bytes.
fn xxh64(number: u64, seed: u64) -> u64 {
    const P1: u64 = 0x9E37_79B1_85EB_CA87;
    const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
    const P3: u64 = 0x1656_67B1_9E37_79F9;
    const P4: u64 = 0x85EB_CA77_C2B2_AE63;
    const P5: u64 = 0x27D4_EB2F_1656_67C5;
    let mut hash = seed.wrapping_add(P5).wrapping_add(8);
    hash ^= number.wrapping_mul(P2).rotate_left(31).wrapping_mul(P1);
    hash = hash.rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
    hash = (hash ^ hash >> 33).wrapping_mul(P2);
    hash = (hash ^ hash >> 29).wrapping_mul(P3);
    hash ^ hash >> 32
}

/// Use counters shared by blocks; the smallest counter of a block is an upper bound of its uses.
///
/// A counter is a byte, so that the processor's caches hold most of them: seven bits, and a mark where 128 and more were
/// carried over to `high`.
#[derive(Debug)]
struct Sketch {
    counters: Vec<u8>,
    /// Number of overflows per counter; only of counters that overflowed.
    high: HashMap<u32, u32>,
    /// `2^64 / length`, rounded up: reduces a remainder to two multiplications (Lemire, Kaser and Kurz, 2019).
    inverse: u64,
}

impl Sketch {
    fn new(blocks: u32) -> Self {
        let counters = (f64::from(blocks) * COUNTERS_PER_BLOCK).ceil() as usize;
        let length = counters.clamp(2 * HASHES, u32::MAX as usize);
        Self {
            counters: vec![0; length],
            high: HashMap::new(),
            inverse: u64::MAX / length as u64 + 1,
        }
    }

    /// Positions of a block's counters, by double hashing.
    fn places(&self, block: BlockId) -> [u32; HASHES] {
        let [mut at, stride] = SEEDS.map(|seed| xxh64(u64::from(block), seed) as u32);
        let length = self.counters.len() as u128;
        let mut places = [0; HASHES];
        for place in &mut places {
            let fraction = self.inverse.wrapping_mul(u64::from(at));
            *place = ((u128::from(fraction) * length) >> 64) as u32;
            at = at.wrapping_add(stride);
        }
        places
    }

    fn count(&mut self, block: BlockId) {
        self.count_at(&self.places(block));
    }

    fn count_at(&mut self, places: &[u32; HASHES]) {
        for place in places {
            let counter = &mut self.counters[*place as usize];
            if *counter & LOW == LOW {
                *counter = CARRIED;
                *self.high.entry(*place).or_insert(0) += 1;
            } else {
                *counter += 1;
            }
        }
    }

    fn uses_at(&self, places: &[u32; HASHES]) -> u32 {
        let counters = places.map(|place| self.counters[place as usize]);
        let least = counters.into_iter().min().unwrap_or(0);
        if least < CARRIED {
            return u32::from(least);
        }
        let counts = places.iter().zip(counters).map(|(place, counter)| {
            let carried = self.high.get(place).copied().unwrap_or(0);
            carried << 7 | u32::from(counter & LOW)
        });
        counts.min().unwrap_or(0)
    }

    fn halve(&mut self) {
        for (place, counter) in (0..).zip(&mut self.counters) {
            if *counter < CARRIED {
                *counter /= 2;
                continue;
            }
            let carried = self.high.remove(&place).unwrap_or(0);
            let half = (carried << 7 | u32::from(*counter & LOW)) / 2;
            *counter = half as u8 & LOW;
            if half > u32::from(LOW) {
                *counter |= CARRIED;
                self.high.insert(place, half >> 7);
            }
        }
    }
}

/// The policy `w-tinylfu`: window, main part and use counts.
#[derive(Debug)]
pub struct WTinyLfu {
    parts: Queues,
    counts: Sketch,
    capacity: u32,
    main: u32,
    probation: u32,
    protected: u32,
    /// Uses of the main part since the last halving.
    since: u64,
}

impl WTinyLfu {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        let main = context.capacity - (context.capacity / 100).max(1);
        Self {
            parts: Queues::new(context.blocks, 3),
            counts: Sketch::new(main),
            capacity: context.capacity,
            main,
            probation: main / 5,
            protected: (f64::from(main) * 0.8) as u32,
            since: 0,
        }
    }

    /// The main part's next victim.
    fn weakest(&self) -> Option<BlockId> {
        self.parts
            .front(PROBATION)
            .or_else(|| self.parts.front(PROTECTED))
    }

    /// Admits a block to the main part, into the lowest segment with room.
    fn admit(&mut self, block: BlockId) {
        let protected = self.parts.len(PROBATION) >= self.probation
            && self.parts.len(PROTECTED) < self.protected;
        self.parts
            .move_to(if protected { PROTECTED } else { PROBATION }, block);
    }

    /// Moves blocks from the window into the main part as long as there is room, then evicts the window's oldest block
    /// or the main part's next victim.
    fn evict(&mut self, evicted: &mut Vec<BlockId>) {
        while let Some(candidate) = self.parts.front(WINDOW) {
            let places = self.counts.places(candidate);
            let room = self.parts.len(PROBATION) + self.parts.len(PROTECTED) < self.main;
            if room {
                self.admit(candidate);
            } else {
                let uses = self.counts.uses_at(&places);
                let weaker = self.weakest().filter(|weakest| {
                    let weakest = self.counts.places(*weakest);
                    uses > self.counts.uses_at(&weakest)
                });
                let victim = weaker.unwrap_or(candidate);
                self.parts.remove(victim);
                evicted.push(victim);
                if weaker.is_some() {
                    self.admit(candidate);
                }
            }
            self.counts.count_at(&places);
            if !room {
                return;
            }
        }
        if let Some(weakest) = self.weakest() {
            self.parts.remove(weakest);
            evicted.push(weakest);
        }
    }

    fn hit(&mut self, block: BlockId, part: u32, evicted: &mut Vec<BlockId>) {
        if part == WINDOW {
            self.parts.move_to(WINDOW, block);
            return;
        }
        self.parts.move_to(PROTECTED, block);
        if self.parts.len(PROTECTED) > self.protected
            && let Some(oldest) = self.parts.pop(PROTECTED)
        {
            self.parts.push(PROBATION, oldest);
            // A place that rounding assigned to neither segment may have been filled here.
            if self.parts.len(PROBATION) > self.probation {
                evicted.extend(self.parts.pop(PROBATION));
            }
        }
        self.counts.count(block);
        self.since += 1;
        if self.since >= 32 * u64::from(self.main) {
            self.since = 0;
            self.counts.halve();
        }
    }
}

impl Eviction for WTinyLfu {
    fn contains(&self, block: BlockId) -> bool {
        self.parts.queue_of(block) != NONE
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        let part = self.parts.queue_of(block);
        if part != NONE {
            self.hit(block, part, evicted);
            return true;
        }
        if self.len() == self.capacity {
            self.evict(evicted);
        }
        self.parts.push(WINDOW, block);
        self.counts.count(block);
        false
    }

    fn len(&self) -> u32 {
        self.parts.len(WINDOW) + self.parts.len(PROBATION) + self.parts.len(PROTECTED)
    }

    fn steps(&self) -> u64 {
        self.parts.steps()
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::testing::play;
    use crate::cache::eviction::w_tinylfu::*;

    /// Compares a sketch of bytes with one of integers.
    #[test]
    fn counters_run_over_and_are_halved() {
        let mut sketch = Sketch::new(10);
        let mut whole = vec![0; sketch.counters.len()];
        for step in 0..20_000u32 {
            let block = (step * step) % 37 % 12;
            sketch.count(block);
            for place in sketch.places(block) {
                whole[place as usize] += 1;
            }
            if step % 7_000 == 6_999 {
                sketch.halve();
                whole.iter_mut().for_each(|count| *count /= 2);
            }
            let places = sketch.places(step % 14);
            let least = places.iter().map(|place| whole[*place as usize]).min();
            assert_eq!(Some(sketch.uses_at(&places)), least, "step {step}");
        }
        assert!(!sketch.high.is_empty());
    }

    #[test]
    fn hashes_and_remainders_are_exact() {
        let sketch = Sketch::new(495);
        for block in [0, 1, 77, 123_456_789, u32::MAX] {
            let id = u64::from(block).to_le_bytes();
            let [start, stride] = SEEDS.map(|seed| xxhash_rust::xxh64::xxh64(&id, seed) as u32);
            let length = sketch.counters.len() as u32;
            let places: Vec<u32> = (0..HASHES as u32)
                .map(|i| start.wrapping_add(i.wrapping_mul(stride)) % length)
                .collect();
            assert_eq!(sketch.places(block).to_vec(), places);
        }
    }

    #[test]
    fn what_was_used_less_is_not_let_in() {
        // The window fills all three places. For 3, the older two move to the main part, each counted once more, and 2
        // in the window, counted once, is refused; so is 3 for 4. Of the two places of the main part one is protected
        // and, rounded down, none is on probation: 1 takes the protected place from 0, for which none is left.
        let played = play(
            &mut WTinyLfu::new(&EvictionContext::of(5, 3)),
            &[0, 1, 2, 3, 4, 0, 1],
        );
        assert_eq!(played.hits, ".....hh");
        assert_eq!(played.evicted, [2, 3, 0]);
    }
}
