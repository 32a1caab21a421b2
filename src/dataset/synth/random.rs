//! Random streams by label, and the draws that the generator needs.
//!
//! Every draw uses integer arithmetic and single IEEE additions, multiplications and divisions, which round equally on
//! every platform; the range sampling of `rand` may change its values between releases.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// A stream of random numbers that depends only on a seed, a label and an index.
pub(super) struct Stream(Pcg64);

impl Stream {
    /// The stream of `label` and `index` under `seed`.
    ///
    /// The three are hashed, because PCG streams that share a state and differ only in the increment are correlated.
    pub(super) fn new(seed: u64, label: &str, index: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"replay/synth/1/");
        hash.update(label.as_bytes());
        hash.update(seed.to_le_bytes());
        hash.update(index.to_le_bytes());
        Self(Pcg64::from_seed(hash.finalize().into()))
    }

    /// Uniform in 0..`n`; 0 where `n` is 0. The bias of the multiplication is below n / 2^64.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let product = u128::from(self.0.next_u64()) * (n as u128);
        (product >> 64) as usize
    }

    /// Uniform in [0, 1), with 53 bits.
    pub(super) fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        (self.0.next_u64() >> 11) as f64 * STEP
    }

    /// Returns true with probability `p`.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Zipf-Mandelbrot over 0..`n`: rank k has weight 1 / (k + 1 + `flatness`); 0 where `n` is 0.
    ///
    /// An exponent of 1 needs no power function, and approximates word frequencies and prompt popularity closely enough.
    pub(super) fn zipf(&mut self, n: usize, flatness: f64) -> usize {
        let weight = |rank: usize| 1.0 / (rank as f64 + 1.0 + flatness);
        let total: f64 = (0..n).map(weight).sum();
        let mut left = self.unit() * total;
        for rank in 0..n {
            left -= weight(rank);
            if left < 0.0 {
                return rank;
            }
        }
        n.saturating_sub(1)
    }

    /// One of `items`, each with the same probability; `None` if there are none.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}

#[cfg(test)]
mod tests {
    use crate::dataset::synth::random::*;

    #[test]
    fn streams_differ_by_each_part_of_their_name() {
        let first = |seed, label, index| Stream::new(seed, label, index).0.next_u64();
        let base = first(1, "a", 1);
        assert_eq!(base, first(1, "a", 1));
        for other in [first(2, "a", 1), first(1, "b", 1), first(1, "a", 2)] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn zipf_follows_its_weights() {
        // weights 1, 1/2, 1/3: shares 6/11, 3/11, 2/11
        let mut stream = Stream::new(7, "t", 0);
        let mut counts = [0u32; 3];
        for _ in 0..11_000 {
            counts[stream.zipf(3, 0.0)] += 1;
        }
        for (count, expected) in counts.into_iter().zip([6_000u32, 3_000, 2_000]) {
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
    }

    #[test]
    fn draws_stay_in_range() {
        let mut stream = Stream::new(0, "t", 0);
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.zipf(0, 1.0), 0);
        assert!((0..1000).all(|_| stream.below(5) < 5 && stream.unit() < 1.0));
    }
}
