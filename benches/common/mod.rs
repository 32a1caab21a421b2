//! Seeded input of the benchmarks.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each benchmark uses a part"
)]

use rand::SeedableRng;
use rand_distr::{Distribution, Zipf};
use rand_pcg::Pcg64;

/// Uses of dense block ids.
pub(crate) struct Stream {
    pub(crate) blocks: Vec<u32>,
    /// Which use of the block is the next; `u32::MAX` for none.
    pub(crate) next: Vec<u32>,
    pub(crate) distinct: u32,
}

impl Stream {
    /// Ids in order of first use.
    fn new(names: impl Iterator<Item = u64>) -> Self {
        let mut known = std::collections::HashMap::new();
        let blocks: Vec<u32> = names
            .map(|name| {
                let fresh = known.len() as u32;
                *known.entry(name).or_insert(fresh)
            })
            .collect();
        let distinct = known.len() as u32;
        let mut last = vec![u32::MAX; distinct as usize];
        let mut next: Vec<u32> = (0..blocks.len() as u32)
            .rev()
            .map(|at| std::mem::replace(&mut last[blocks[at as usize] as usize], at))
            .collect();
        next.reverse();
        Self {
            blocks,
            next,
            distinct,
        }
    }

    /// Records of 24 bytes: time (4), id (8), size (4), next use (8).
    pub(crate) fn of_oracle_general(bytes: &[u8]) -> Self {
        Self::new(bytes.chunks_exact(24).map(|record| {
            let mut id = [0; 8];
            id.copy_from_slice(&record[4..12]);
            u64::from_le_bytes(id)
        }))
    }
}

/// A fixed sequence of uses of objects by Zipf's law with exponent 0.9.
pub(crate) fn zipf(uses: usize, objects: u32) -> Stream {
    let mut random = Pcg64::seed_from_u64(1);
    let law = Zipf::new(f64::from(objects), 0.9).expect("a law");
    Stream::new((0..uses).map(|_| law.sample(&mut random) as u64))
}
