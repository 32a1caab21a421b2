//! Named random streams.

use rand_pcg::Pcg64;
use xxhash_rust::xxh3::xxh3_128;

/// Returns the random stream of a name and index. The same seed, name and index always give the same numbers, regardless of
/// other draws in the program.
///
/// The generator is PCG XSL RR 128/64 (`rand_pcg::Pcg64`), whose output is fixed by its definition.
pub fn stream(seed: u64, name: &str, index: u64) -> Pcg64 {
    let mut key = name.as_bytes().to_vec();
    key.extend_from_slice(&index.to_le_bytes());
    Pcg64::new(u128::from(seed), xxh3_128(&key))
}
