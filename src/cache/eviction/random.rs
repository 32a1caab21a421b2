//! Evicts a random block; all have the same probability.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{BlockId, Eviction, EvictionCard, EvictionContext, Use};

/// The card of the policy.
pub(super) const CARD: EvictionCard =
    EvictionCard::new("random", "a random block, by the seed", |context, _| {
        Some(Box::new(Random::new(context)))
    });

/// Position of a block that is not resident.
const NOWHERE: u32 = u32::MAX;

/// The policy `random`: resident blocks in no order.
#[derive(Debug)]
pub struct Random {
    blocks: Vec<BlockId>,
    places: Vec<u32>,
    capacity: u32,
    random: Pcg64,
    steps: u64,
}

impl Random {
    /// Creates an empty cache.
    pub fn new(context: &EvictionContext) -> Self {
        Self {
            blocks: Vec::new(),
            places: vec![NOWHERE; context.blocks as usize],
            capacity: context.capacity,
            random: Pcg64::seed_from_u64(context.seed),
            steps: 0,
        }
    }
}

impl Eviction for Random {
    fn contains(&self, block: BlockId) -> bool {
        self.places[block as usize] != NOWHERE
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        if self.contains(block) {
            return true;
        }
        self.steps += 1;
        if self.len() == self.capacity {
            // The new block takes the victim's place.
            let place = self.random.random_range(0..self.capacity);
            let victim = std::mem::replace(&mut self.blocks[place as usize], block);
            self.places[victim as usize] = NOWHERE;
            self.places[block as usize] = place;
            evicted.push(victim);
        } else {
            self.places[block as usize] = self.len();
            self.blocks.push(block);
        }
        false
    }

    fn len(&self) -> u32 {
        self.blocks.len() as u32
    }

    fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::random::*;
    use crate::cache::eviction::testing::play;

    #[test]
    fn the_new_block_takes_the_place_that_is_drawn() {
        // Two places, holding 0 and 1. Each new block draws one of them, and the block in that place is evicted: the
        // random numbers alone determine the result.
        let mut random = Pcg64::seed_from_u64(0);
        let mut places = [0, 1];
        let gone: Vec<u32> = (2..50)
            .map(|block| {
                let place: u32 = random.random_range(0..2);
                std::mem::replace(&mut places[place as usize], block)
            })
            .collect();
        let stream: Vec<u32> = (0..50).collect();
        let played = play(&mut Random::new(&EvictionContext::of(50, 2)), &stream);
        assert_eq!(played.evicted, gone);
        // With one place there is only one possible victim.
        let played = play(
            &mut Random::new(&EvictionContext::of(2, 1)),
            &[0, 0, 1, 1, 0],
        );
        assert_eq!((&*played.hits, played.evicted), (".h.h.", [0, 1].to_vec()));
    }

    #[test]
    fn each_place_is_as_likely() {
        // 8,000 victims out of 4 places: 2,000 each, with a standard deviation of sqrt(8000 * 1/4 * 3/4) = 39.
        let mut cache = Random::new(&EvictionContext::of(8_004, 4));
        let (mut evicted, mut counts) = (Vec::new(), [0i32; 4]);
        for block in 0..8_004 {
            let used = Use {
                block,
                ..Use::default()
            };
            cache.access(&used, &mut evicted);
            if !evicted.is_empty() {
                counts[cache.places[block as usize] as usize] += 1;
                evicted.clear();
            }
        }
        assert!(
            counts.iter().all(|count| (count - 2_000).abs() < 160),
            "{counts:?}"
        );
    }

    #[test]
    fn a_seed_gives_the_same_choices() {
        let stream: Vec<u32> = (0..50).chain(0..50).collect();
        let evicted = |seed| {
            let context = EvictionContext {
                seed,
                ..EvictionContext::of(50, 10)
            };
            play(&mut Random::new(&context), &stream).evicted
        };
        assert_eq!(evicted(1), evicted(1));
        assert_ne!(evicted(1), evicted(2));
    }
}
