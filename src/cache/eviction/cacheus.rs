//! Cacheus (Rodriguez et al., FAST 2021): LeCaR with better experts and an adaptive learning rate.
//!
//! One expert is an LRU that resists scans: new blocks wait in one segment until they are used and only then enter the
//! other, and the border between the segments moves as evicted blocks return. The other is an LFU that resists churn:
//! among the least used blocks it evicts the newest. Follows the paper. libCacheSim's `Cacheus.c` never moves that
//! border, because it loses its flags when a block changes lists, and it rounds its hit rate down to 0 when it adapts
//! the learning rate, so counts of misses differ.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard = EvictionCard::new(
    "cacheus",
    "LeCaR with rules for scans and churn",
    |context, _| Some(Box::new(Cacheus::new(context))),
);

/// Blocks not used since insertion, and those demoted from the other segment.
const WAITING: u32 = 0;
const USED: u32 = 1;
/// Evicted blocks, whose counts are remembered.
const GONE: u32 = 2;

/// Ghost lists of the scan-resistant and of the churn-resistant expert.
const BY_AGE: u32 = 0;
const BY_COUNT: u32 = 1;

/// Marks of a block in the first expert's lists: evicted or waiting without a use, or demoted.
const NEW: u32 = 1;
const SUNK: u32 = 2;

/// The policy `cacheus`: two experts, their ghost lists and the learned weights.
#[derive(Debug)]
pub struct Cacheus {
    ages: Queues,
    counts: Queues,
    memories: Queues,
    lowest: u32,
    capacity: u32,
    /// Maximum number of blocks in the waiting segment.
    waiting: f64,
    /// Number of marked blocks: new ones among the evicted, demoted ones among the resident.
    new: u32,
    sunk: u32,
    /// Weight of the scan-resistant expert, 0 to 1; the weight of the other is 1 minus this.
    weight: f64,
    rate: Rate,
    random: Pcg64,
}

/// An adaptive learning rate, which follows the hit ratio upwards.
#[derive(Debug)]
struct Rate {
    now: f64,
    before: f64,
    hit_ratio: f64,
    hits: u32,
    uses: u32,
    /// Consecutive rounds without gain.
    stuck: u32,
}

impl Rate {
    fn draw(random: &mut Pcg64) -> f64 {
        0.001 + 0.999 * random.random::<f64>()
    }

    fn learn(&mut self, random: &mut Pcg64) {
        let ratio = f64::from(self.hits) / f64::from(self.uses);
        let gain = ratio - self.hit_ratio;
        let change = self.now - self.before;
        self.before = self.now;
        if change == 0.0 {
            if ratio == 0.0 || gain <= 0.0 {
                self.stuck += 1;
            }
            if self.stuck >= 10 {
                self.stuck = 0;
                self.now = Self::draw(random);
            }
        } else {
            let further = (self.now * change).abs();
            self.now = if gain / change > 0.0 {
                (self.now + further).min(1.0)
            } else {
                (self.now - further).max(0.001)
            };
            self.stuck = 0;
        }
        self.hit_ratio = ratio;
        (self.hits, self.uses) = (0, 0);
    }
}

impl Cacheus {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        let mut random = Pcg64::seed_from_u64(context.seed);
        Self {
            ages: Queues::new(context.blocks, 3),
            counts: Queues::new(context.blocks, 2),
            memories: Queues::new(context.blocks, 2),
            lowest: 1,
            capacity: context.capacity,
            waiting: (f64::from(context.capacity) / 2.0).max(1.0),
            new: 0,
            sunk: 0,
            weight: 0.5,
            rate: Rate {
                now: Rate::draw(&mut random),
                before: 0.0,
                hit_ratio: 0.0,
                hits: 0,
                uses: 0,
                stuck: 0,
            },
            random,
        }
    }

    /// Distance by which the border moves; it grows with the number of blocks that have the other mark.
    fn stride(found: u32, other: u32) -> f64 {
        (f64::from(other) / f64::from(found.max(1)))
            .round()
            .max(1.0)
    }

    /// Demotes the oldest used blocks until the segment has its target size.
    fn settle(&mut self) {
        let most = (f64::from(self.capacity) - self.waiting).max(0.0);
        while f64::from(self.ages.len(USED)) > most
            && let Some(oldest) = self.ages.pop(USED)
        {
            self.ages.push(WAITING, oldest);
            if self.ages.count(oldest) & SUNK == 0 {
                self.ages.set_count(oldest, SUNK);
                self.sunk += 1;
            }
        }
    }

    fn set_uses(&mut self, block: BlockId, uses: u32) {
        self.counts.set_count(block, uses);
        self.counts.grow(uses as usize + 1);
        self.counts.move_to(uses, block);
        self.lowest = self.lowest.min(uses);
    }

    fn hit(&mut self, block: BlockId) {
        self.rate.hits += 1;
        if self.ages.queue_of(block) == WAITING && self.ages.count(block) & SUNK != 0 {
            // The block should not have been demoted: give the used segment more room.
            let stride = Self::stride(self.sunk, self.new);
            self.waiting = (self.waiting - stride).max(1.0);
            self.sunk -= 1;
        }
        self.ages.set_count(block, 0);
        self.ages.move_to(USED, block);
        self.settle();
        let uses = self.counts.count(block) + 1;
        self.set_uses(block, uses);
    }

    /// Lowers the weight of the expert that evicted the block.
    fn regret(&mut self, block: BlockId) {
        let memory = self.memories.queue_of(block);
        if memory == NONE {
            return;
        }
        self.memories.remove(block);
        let factor = libm::exp(-self.rate.now);
        let (mut age, mut count) = (self.weight, 1.0 - self.weight);
        if memory == BY_AGE {
            age *= factor;
        } else {
            count *= factor;
        }
        // Keeps both weights above 0, because a weight of 0 could never rise again.
        self.weight = (age / (age + count)).clamp(0.01, 0.99);
    }

    fn evict(&mut self) -> Option<BlockId> {
        while self.counts.len(self.lowest) == 0 {
            self.lowest += 1;
        }
        let oldest = self.ages.front(WAITING).or_else(|| self.ages.front(USED))?;
        let rarest = self.counts.back(self.lowest)?;
        let by_age = oldest != rarest && self.random.random::<f64>() < self.weight;
        let victim = if by_age { oldest } else { rarest };
        self.counts.remove(victim);
        match self.ages.count(victim) {
            NEW => self.new += 1,
            SUNK => {
                self.sunk -= 1;
                self.ages.set_count(victim, 0);
            }
            _ => {}
        }
        self.ages.move_to(GONE, victim);
        if self.ages.len(GONE) > self.capacity
            && let Some(forgotten) = self.ages.pop(GONE)
            && self.ages.count(forgotten) == NEW
        {
            self.new -= 1;
        }
        if oldest != rarest && self.capacity >= 2 {
            let memory = if by_age { BY_AGE } else { BY_COUNT };
            if self.memories.len(memory) == self.capacity / 2 {
                self.memories.pop(memory);
            }
            self.memories.push(memory, victim);
        }
        Some(victim)
    }

    fn insert(&mut self, block: BlockId) {
        if self.ages.queue_of(block) != GONE {
            self.ages.set_count(block, NEW);
            self.ages.push(WAITING, block);
            self.set_uses(block, 1);
            return;
        }
        if self.ages.count(block) == NEW {
            // The block should have waited longer: give new blocks more room.
            let stride = Self::stride(self.new, self.sunk);
            let most = f64::from(self.capacity - 1).max(1.0);
            self.waiting = (self.waiting + stride).min(most);
            self.new -= 1;
        }
        self.ages.set_count(block, 0);
        self.ages.move_to(USED, block);
        self.settle();
        let uses = self.counts.count(block) + 1;
        self.set_uses(block, uses);
    }
}

impl Eviction for Cacheus {
    fn contains(&self, block: BlockId) -> bool {
        matches!(self.ages.queue_of(block), WAITING | USED)
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        self.rate.uses += 1;
        let hit = self.contains(block);
        if hit {
            self.hit(block);
        } else {
            self.regret(block);
            if self.len() == self.capacity {
                evicted.extend(self.evict());
            }
            self.insert(block);
        }
        if self.rate.uses == self.capacity {
            self.rate.learn(&mut self.random);
        }
        hit
    }

    fn len(&self) -> u32 {
        self.ages.len(WAITING) + self.ages.len(USED)
    }

    fn steps(&self) -> u64 {
        self.ages.steps() + self.counts.steps() + self.memories.steps()
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::cacheus::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn experts_regret_and_border_by_hand() {
        // Four fit, two of them waiting. 0 is used twice and is in the used segment; 1, 2 and 3 wait, used once each.
        // For 4 the first expert would evict 1, the oldest that waits; the second 3, the newest of the least used.
        let mut victims = std::collections::BTreeSet::new();
        for seed in 0..16 {
            let context = EvictionContext {
                seed,
                ..EvictionContext::of(5, 4)
            };
            let mut cache = Cacheus::new(&context);
            let victim = play(&mut cache, &[0, 1, 0, 2, 3, 4]).evicted[0];
            victims.insert(victim);
            assert_eq!((cache.new, cache.waiting), (1, 2.0));
            // The block returns: it had no use before its eviction, so one more may wait; and the expert that evicted
            // it now has e^-rate / (e^-rate + 1) of the weight, but at least a hundredth.
            let lowered = libm::exp(-cache.rate.now);
            play(&mut cache, &[victim]);
            assert_eq!((cache.new > 1, cache.waiting), (false, 3.0));
            let weight = if victim == 1 {
                cache.weight
            } else {
                1.0 - cache.weight
            };
            assert!((weight - lowered / (lowered + 1.0)).abs() < 1e-12);
        }
        assert_eq!(victims.into_iter().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_rate_that_helped_goes_further() {
        let mut random = Pcg64::seed_from_u64(0);
        let mut rate = Rate {
            now: 0.5,
            before: 0.4,
            hit_ratio: 0.2,
            hits: 3,
            uses: 10,
            stuck: 0,
        };
        // The rate rose by 0.1 and hits rose to 0.3: it rises again, by 0.5 * 0.1 to 0.55. Then hits fall to 0.1: it
        // falls by 0.55 * 0.05.
        rate.learn(&mut random);
        assert!((rate.now - 0.55).abs() < 1e-12);
        (rate.hits, rate.uses) = (1, 10);
        rate.learn(&mut random);
        assert!((rate.now - 0.522_5).abs() < 1e-12);
    }

    #[test]
    fn used_blocks_survive_a_scan() {
        let scan: Vec<u32> = [0, 1, 0, 1]
            .into_iter()
            .chain(2..30)
            .chain([0, 1])
            .collect();
        let played = play(&mut Cacheus::new(&EvictionContext::of(30, 10)), &scan);
        assert!(played.hits.ends_with("hh"), "{}", played.hits);
    }
}
