//! Block hashes. The hash of a block covers its tokens and all tokens before them, so equal hashes mean equal prefixes.

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use crate::trace::ExtraKeys;

/// What a block's hash covers, and which blocks have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashScheme {
    /// Full blocks only, chained: as vLLM does.
    Chained,
    /// As chained, but the partial last block of a prompt has a hash too: as in Mooncake's traces.
    ChainedPartial,
    /// Each block is hashed alone, including the partial last one: a way of counting seen in notebooks, which finds sharing
    /// that an engine could not use.
    Alone,
}

/// Computes the hashes of one stream of tokens.
#[derive(Debug)]
pub struct BlockHasher {
    scheme: HashScheme,
    buffer: Vec<u8>,
}

impl BlockHasher {
    /// A hasher for blocks of at most `block_size` tokens.
    pub fn new(scheme: HashScheme, block_size: usize) -> Self {
        Self {
            scheme,
            buffer: Vec::with_capacity(32 + block_size * 4),
        }
    }

    /// Parent of the first block of a stream.
    pub fn root(extra: &ExtraKeys) -> u128 {
        if *extra == ExtraKeys::default() {
            return 0;
        }
        // The lengths distinguish ("ab", "c") from ("a", "bc").
        let mut bytes = Vec::new();
        for part in [&extra.lora, &extra.cache_salt] {
            let part = part.as_deref();
            bytes.extend_from_slice(&(part.map_or(u64::MAX, |p| p.len() as u64)).to_le_bytes());
            bytes.extend_from_slice(part.unwrap_or_default().as_bytes());
        }
        xxh3_128_with_seed(&bytes, 1)
    }

    /// XXH3-128 of the parent's hash and the token ids, or of the ids alone.
    pub fn hash(&mut self, parent: u128, tokens: &[u32]) -> u128 {
        self.buffer.clear();
        if self.scheme != HashScheme::Alone {
            self.buffer.extend_from_slice(&parent.to_le_bytes());
        }
        for token in tokens {
            self.buffer.extend_from_slice(&token.to_le_bytes());
        }
        xxh3_128(&self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::hashing::*;

    #[test]
    fn a_chained_hash_depends_on_what_came_before() {
        let mut chained = BlockHasher::new(HashScheme::Chained, 2);
        let mut alone = BlockHasher::new(HashScheme::Alone, 2);
        let first = chained.hash(0, &[1, 2]);
        assert_ne!(first, chained.hash(first, &[1, 2]));
        assert_eq!(alone.hash(0, &[1, 2]), alone.hash(first, &[1, 2]));
    }

    #[test]
    fn extra_keys_isolate() {
        let keys = |lora: Option<&str>, salt: Option<&str>| {
            BlockHasher::root(&ExtraKeys {
                lora: lora.map(Into::into),
                cache_salt: salt.map(Into::into),
            })
        };
        let roots = [
            keys(None, None),
            keys(Some("a"), None),
            keys(None, Some("a")),
            keys(Some("a"), Some("a")),
        ];
        for (i, a) in roots.iter().enumerate() {
            for b in &roots[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }
}
