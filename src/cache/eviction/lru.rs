//! Least recently used: the block that was not used for longest goes.

use super::{BlockId, Eviction, Links, Setup, Use};

/// The order of last use, oldest first.
#[derive(Debug)]
pub struct Lru {
    order: Links,
    resident: Vec<bool>,
    capacity: u32,
    steps: u64,
}

impl Lru {
    /// An empty cache.
    pub fn new(setup: &Setup) -> Self {
        Self {
            order: Links::new(setup.blocks),
            resident: vec![false; setup.blocks as usize],
            capacity: setup.capacity,
            steps: 0,
        }
    }
}

impl Eviction for Lru {
    fn name(&self) -> &'static str {
        "lru"
    }

    fn contains(&self, block: BlockId) -> bool {
        self.resident[block as usize]
    }

    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool {
        let block = used.block;
        self.steps += 1;
        if self.resident[block as usize] {
            self.order.remove(block);
            self.order.push_back(block);
            return true;
        }
        if self.order.len() == self.capacity
            && let Some(victim) = self.order.pop_front()
        {
            self.steps += 1;
            self.resident[victim as usize] = false;
            evicted.push(victim);
        }
        self.resident[block as usize] = true;
        self.order.push_back(block);
        false
    }

    fn len(&self) -> u32 {
        self.order.len()
    }

    fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first() {
        let mut lru = Lru::new(&Setup {
            blocks: 5,
            capacity: 3,
            block_size: 16,
            seed: 0,
        });
        let mut evicted = Vec::new();
        let hits: Vec<bool> = [0, 1, 2, 0, 3, 4, 0]
            .into_iter()
            .map(|block| {
                let used = Use {
                    block,
                    ..Use::default()
                };
                lru.access(&used, &mut evicted)
            })
            .collect();
        // Oldest first: 0 1 2, then 1 2 0, 2 0 3, 0 3 4, 3 4 0.
        assert_eq!(hits, [false, false, false, true, false, false, true]);
        assert_eq!(evicted, [1, 2]);
    }
}
