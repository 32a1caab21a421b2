//! Least recently used: the block that was not used for longest goes.

use super::{BlockId, Eviction, Links};

/// The order of last use, oldest first.
#[derive(Debug)]
pub struct Lru {
    order: Links,
}

impl Lru {
    /// For block ids below `blocks`.
    pub fn new(blocks: u32) -> Self {
        Self {
            order: Links::new(blocks),
        }
    }
}

impl Eviction for Lru {
    fn name(&self) -> &'static str {
        "lru"
    }

    fn insert(&mut self, block: BlockId) {
        self.order.push_back(block);
    }

    fn touch(&mut self, block: BlockId) {
        self.order.remove(block);
        self.order.push_back(block);
    }

    fn evict(&mut self) -> Option<BlockId> {
        self.order.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first() {
        let mut lru = Lru::new(4);
        for block in [0, 1, 2] {
            lru.insert(block);
        }
        lru.touch(0); // oldest first: 1 2 0
        lru.insert(3); // 1 2 0 3
        assert_eq!(
            std::iter::from_fn(|| lru.evict()).collect::<Vec<_>>(),
            [1, 2, 0, 3]
        );
    }
}
