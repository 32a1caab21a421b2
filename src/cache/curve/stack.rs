//! Stack distances of chained blocks: the number of different blocks used since a block's last use.
//!
//! With chained hashes a request uses a path from the root, so the blocks last used by request `r` are always the end of
//! its path. A tree of counts per request therefore gives exact distances, with one query per run of blocks that were last
//! used by the same request; the textbook method needs one query per block.

/// Counts per request, in a Fenwick tree.
#[derive(Debug)]
pub(crate) struct StackDistances {
    tree: Vec<u32>,
    total: u64,
}

impl StackDistances {
    pub(crate) fn new(requests: usize) -> Self {
        Self {
            tree: vec![0; requests + 1],
            total: 0,
        }
    }

    /// Adds `blocks` blocks that were last used by `request`.
    pub(crate) fn add(&mut self, request: u32, blocks: u32) {
        self.total += u64::from(blocks);
        self.update(request, |count| *count += blocks);
    }

    /// Removes `blocks` of them, which were used again.
    pub(crate) fn remove(&mut self, request: u32, blocks: u32) {
        self.total = self.total.saturating_sub(u64::from(blocks));
        self.update(request, |count| *count = count.saturating_sub(blocks));
    }

    fn update(&mut self, request: u32, change: impl Fn(&mut u32)) {
        let mut index = request as usize + 1;
        while index < self.tree.len() {
            change(&mut self.tree[index]);
            index += index & index.wrapping_neg();
        }
    }

    /// Number of blocks whose last use was after `request`.
    pub(crate) fn after(&self, request: u32) -> u64 {
        let mut index = request as usize + 1;
        let mut upto = 0;
        while index > 0 {
            upto += u64::from(self.tree[index]);
            index -= index & index.wrapping_neg();
        }
        self.total.saturating_sub(upto)
    }
}
