//! Random: any block goes, each as likely as the others.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{BlockId, Eviction, Setup, Use};

/// Not in the cache.
const NOWHERE: u32 = u32::MAX;

/// Blocks in no order.
#[derive(Debug)]
pub struct Random {
    blocks: Vec<BlockId>,
    places: Vec<u32>,
    capacity: u32,
    random: Pcg64,
    steps: u64,
}

impl Random {
    /// An empty cache.
    pub fn new(setup: &Setup) -> Self {
        Self {
            blocks: Vec::new(),
            places: vec![NOWHERE; setup.blocks as usize],
            capacity: setup.capacity,
            random: Pcg64::seed_from_u64(setup.seed),
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
            // The new one takes the victim's place.
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
    use super::super::testing::play;
    use super::*;

    #[test]
    fn a_seed_gives_the_same_choices() {
        let stream: Vec<u32> = (0..50).chain(0..50).collect();
        let evicted = |seed| {
            let setup = Setup {
                seed,
                ..Setup::of(50, 10)
            };
            play(&mut Random::new(&setup), &stream).evicted
        };
        assert_eq!(evicted(1), evicted(1));
        assert_ne!(evicted(1), evicted(2));
    }
}
