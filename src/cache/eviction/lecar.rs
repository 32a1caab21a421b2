//! LeCaR (Vietri et al., HotStorage 2018): each victim is chosen by LRU or by LFU, which are drawn with learned
//! weights. A miss on a block that one of the two evicted recently lowers the weight of that one.
//!
//! Parameters as in `LeCaR.c` of libCacheSim: learning rate 0.45, discount 0.005^(1 / capacity), equal initial weights,
//! and a ghost list of half the capacity for each. The random numbers differ, so counts of misses differ by chance.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::queues::{NONE, Queues};
use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard = EvictionCard::new(
    "lecar",
    "LRU or LFU, whichever has been wrong less often",
    |context, _| Some(Box::new(Lecar::new(context))),
);

const RESIDENT: u32 = 0;
/// Ghost list of LRU.
const BY_AGE: u32 = 1;
/// Ghost list of LFU.
const BY_COUNT: u32 = 2;

const LEARNING_RATE: f64 = 0.45;
/// Lower bound of the weights.
const LEAST: f64 = 1e-10;

/// The policy `lecar`: the orders of its experts LRU and LFU, with their ghost lists and weights.
#[derive(Debug)]
pub struct Lecar {
    ages: Queues,
    /// Resident blocks, one queue per count.
    counts: Queues,
    /// Lower bound of the resident blocks' counts.
    lowest: u32,
    /// Time at which each block was evicted.
    gone: Vec<u64>,
    capacity: u32,
    /// Logarithm of the factor by which regret fades per use.
    discount: f64,
    /// Weight of LRU, 0 to 1; the weight of LFU is 1 minus this.
    weight: f64,
    clock: u64,
    random: Pcg64,
}

impl Lecar {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        Self {
            ages: Queues::new(context.blocks, 3),
            counts: Queues::new(context.blocks, 2),
            lowest: 1,
            gone: vec![0; context.blocks as usize],
            capacity: context.capacity,
            discount: libm::log(0.005) / f64::from(context.capacity),
            weight: 0.5,
            clock: 0,
            random: Pcg64::seed_from_u64(context.seed),
        }
    }

    /// Lowers the weight of the expert that evicted the block.
    fn regret(&mut self, block: BlockId, memory: u32) {
        let ago = (self.clock - self.gone[block as usize]) as f64;
        let factor = libm::exp(-LEARNING_RATE * libm::exp(self.discount * ago));
        let (mut age, mut count) = (self.weight, 1.0 - self.weight);
        if memory == BY_AGE {
            age *= factor;
        } else {
            count *= factor;
        }
        self.weight = (age + LEAST) / (age + count + 2.0 * LEAST);
    }

    fn evict(&mut self) -> Option<BlockId> {
        while self.counts.len(self.lowest) == 0 {
            self.lowest += 1;
        }
        let oldest = self.ages.front(RESIDENT)?;
        let rarest = self.counts.front(self.lowest)?;
        let by_age = oldest != rarest && self.random.random::<f64>() < self.weight;
        let victim = if by_age { oldest } else { rarest };
        self.ages.remove(victim);
        self.counts.remove(victim);
        self.gone[victim as usize] = self.clock;
        let memory = if by_age { BY_AGE } else { BY_COUNT };
        // If both experts choose the same block, neither ghost list records the eviction.
        if oldest != rarest && self.capacity >= 2 {
            if self.ages.len(memory) == self.capacity / 2 {
                self.ages.pop(memory);
            }
            self.ages.push(memory, victim);
        }
        Some(victim)
    }

    fn set_count(&mut self, block: BlockId, count: u32) {
        self.counts.set_count(block, count);
        self.counts.grow(count as usize + 1);
        self.counts.move_to(count, block);
    }
}

impl Eviction for Lecar {
    fn contains(&self, block: BlockId) -> bool {
        self.ages.queue_of(block) == RESIDENT
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        self.clock += 1;
        let block = used.block;
        match self.ages.queue_of(block) {
            RESIDENT => {
                self.ages.move_to(RESIDENT, block);
                let count = self.counts.count(block) + 1;
                self.set_count(block, count);
                return true;
            }
            NONE => {}
            memory => {
                self.regret(block, memory);
                self.ages.remove(block);
            }
        }
        if self.len() == self.capacity {
            evicted.extend(self.evict());
        }
        self.ages.push(RESIDENT, block);
        self.set_count(block, 1);
        self.lowest = 1;
        false
    }

    fn len(&self) -> u32 {
        self.ages.len(RESIDENT)
    }

    fn steps(&self) -> u64 {
        self.ages.steps() + self.counts.steps()
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::lecar::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn regret_by_hand() {
        // Two fit. 0 is used twice, then 1: LRU would evict 0, LFU 1; the random draw decides which is evicted for 2.
        // That block returns one use later. Its regret is 0.005^(1/2) = 0.0707107, so the weight of the expert that
        // evicted it falls from 1/2 by the factor exp(-0.45 * 0.0707107) = 0.9686811, to 0.4843406 of 0.4843406 + 0.5:
        // 0.4920456.
        for seed in 0..8 {
            let context = EvictionContext {
                seed,
                ..EvictionContext::of(3, 2)
            };
            let mut lecar = Lecar::new(&context);
            let victim = play(&mut lecar, &[0, 0, 1, 2]).evicted[0];
            play(&mut lecar, &[victim]);
            let of_lru = match victim {
                0 => 0.492_045_6,
                1 => 1.0 - 0.492_045_6,
                _ => 0.0,
            };
            assert!(
                (lecar.weight - of_lru).abs() < 1e-6,
                "{victim}: {}",
                lecar.weight
            );
        }
    }

    #[test]
    fn who_evicted_what_comes_back_loses_weight() {
        let context = EvictionContext::of(40, 10);
        let mut lecar = Lecar::new(&context);
        // A loop over more blocks than fit, each used once: both experts choose the oldest, so the weights do not
        // change.
        let round: Vec<u32> = (0..20).chain(0..20).collect();
        play(&mut lecar, &round);
        assert!((lecar.weight - 0.5).abs() < 1e-9);
        // Blocks used twice at first, then never, between scans: LFU keeps them, and the scans' blocks return.
        let again: Vec<u32> = (0..200).map(|step| step % 12 + 20).collect();
        play(&mut lecar, &again);
        assert!(lecar.weight > 0.0 && lecar.weight < 1.0);
    }
}
