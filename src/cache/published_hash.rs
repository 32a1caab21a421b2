//! Block hashes as vLLM computes them, to match a trace's blocks with KV events and logs of a running engine.
//!
//! vLLM 0.33, `vllm/v1/core/kv_cache_utils.py` and `vllm/utils/hashing.py`: the hash of the parent's hash, the token ids
//! and the extra keys, encoded as canonical CBOR. vLLM's default, `sha256`, pickles these instead, which only Python can
//! reproduce.

use std::convert::Infallible;

use minicbor::Encoder;
use sha2::{Digest as _, Sha256};
use xxhash_rust::xxh3::xxh3_128;

use super::{BlockTrace, HashScheme};
use crate::base::error::{Error, Result};
use crate::trace::{Content, ExtraKeys, TokenReplay, Trace};

/// Hash of a block: 32 bytes of SHA-256, or 16 of XXH3-128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHash {
    bytes: [u8; 32],
    length: u8,
}

impl BlockHash {
    fn new(bytes: &[u8]) -> Self {
        let mut hash = Self {
            bytes: [0; 32],
            length: bytes.len() as u8,
        };
        hash.bytes[..bytes.len()].copy_from_slice(bytes);
        hash
    }

    /// The bytes of the hash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// In hexadecimal, as vLLM's logs show it.
    pub fn hex(&self) -> String {
        use std::fmt::Write as _;
        self.as_bytes()
            .iter()
            .fold(String::new(), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
    }

    /// Its lowest 64 bits: the id in KV events if vLLM publishes integers.
    pub fn low_64(&self) -> u64 {
        let bytes = self.as_bytes();
        bytes[bytes.len() - 8..]
            .iter()
            .fold(0, |low, byte| low << 8 | u64::from(*byte))
    }
}

/// A hash algorithm of vLLM, `--prefix-caching-hash-algo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// `sha256_cbor`
    Sha256Cbor,
    /// `xxhash_cbor`
    XxhashCbor,
}

/// Names that [`HashAlgorithm::by_name`] accepts.
pub const HASH_NAMES: &[&str] = &["sha256_cbor", "xxhash_cbor"];

impl HashAlgorithm {
    /// The algorithm with vLLM's name.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name.
    pub fn by_name(name: &str) -> Result<Self> {
        match name {
            "sha256_cbor" => Ok(Self::Sha256Cbor),
            "xxhash_cbor" => Ok(Self::XxhashCbor),
            _ => Err(Error::unknown_name("hash", name, HASH_NAMES)),
        }
    }

    fn hash(self, bytes: &[u8]) -> BlockHash {
        match self {
            Self::Sha256Cbor => BlockHash::new(&Sha256::digest(bytes)),
            Self::XxhashCbor => BlockHash::new(&xxh3_128(bytes).to_be_bytes()),
        }
    }
}

/// Computes the hashes of a stream of tokens.
#[derive(Debug)]
struct Chain {
    algorithm: HashAlgorithm,
    root: BlockHash,
    buffer: Vec<u8>,
}

impl Chain {
    /// `seed` is the value of `PYTHONHASHSEED`, if it was set.
    fn new(algorithm: HashAlgorithm, seed: Option<&str>) -> Result<Self> {
        let seed = match (seed, algorithm) {
            (Some(seed), _) => seed,
            (None, HashAlgorithm::Sha256Cbor) => "vllm-none-hash",
            (None, HashAlgorithm::XxhashCbor) => {
                return Err(Error::usage(
                    "xxhash_cbor hashes need a seed: without one, vLLM draws another in each process",
                    "set `hash_seed` to the PYTHONHASHSEED that the engine ran with",
                ));
            }
        };
        let mut buffer = Vec::new();
        written(Encoder::new(&mut buffer).str(seed));
        Ok(Self {
            algorithm,
            root: algorithm.hash(&buffer),
            buffer,
        })
    }

    /// The hash of a block that follows `parent`, or of the first block.
    fn next(&mut self, parent: Option<&BlockHash>, tokens: &[u32], extra: &ExtraKeys) -> BlockHash {
        self.buffer.clear();
        let parent_bytes = parent.unwrap_or(&self.root).as_bytes();
        let mut cbor = Encoder::new(&mut self.buffer);
        written(write_block(
            &mut cbor,
            parent_bytes,
            tokens,
            extra,
            parent.is_none(),
        ));
        self.algorithm.hash(&self.buffer)
    }
}

fn write_block(
    cbor: &mut Encoder<&mut Vec<u8>>,
    parent: &[u8],
    tokens: &[u32],
    extra: &ExtraKeys,
    first: bool,
) -> std::result::Result<(), minicbor::encode::Error<Infallible>> {
    cbor.array(3)?.bytes(parent)?.array(tokens.len() as u64)?;
    for token in tokens {
        cbor.u32(*token)?;
    }
    let salt = extra.cache_salt.as_deref().filter(|_| first);
    let keys = u64::from(extra.lora.is_some()) + u64::from(salt.is_some());
    if keys == 0 {
        cbor.null()?;
        return Ok(());
    }
    cbor.array(keys)?;
    if let Some(lora) = &extra.lora {
        // As vLLM's --lora-modules takes it: name=path.
        let (name, path) = lora.split_once('=').unwrap_or((lora, ""));
        cbor.array(3)?.str("lora")?.str(name)?.str(path)?;
    }
    if let Some(salt) = salt {
        cbor.array(2)?.str("cache_salt")?.str(salt)?;
    }
    Ok(())
}

fn written<T>(result: std::result::Result<T, minicbor::encode::Error<Infallible>>) {
    assert!(result.is_ok(), "a vector takes whatever is written to it");
}

/// vLLM's hash of every block of `blocks`, by block id.
///
/// # Errors
/// [`Error::Usage`] for a trace without tokens, blocks that vLLM would hash differently, or a missing seed.
pub fn published_hashes(
    trace: &Trace,
    blocks: &BlockTrace,
    algorithm: HashAlgorithm,
    seed: Option<&str>,
) -> Result<Vec<BlockHash>> {
    if trace.content() != Content::Tokens || blocks.scheme() != HashScheme::Chained {
        return Err(Error::usage(
            "vLLM's own hashes need token ids, and an engine that hashes full blocks in a chain",
            "use a trace with token ids, and set `engine` to vllm",
        ));
    }
    let mut chain = Chain::new(algorithm, seed)?;
    let mut hashes = vec![None; blocks.distinct() as usize];
    let size = blocks.block_size() as usize;
    let mut tokens = Vec::with_capacity(size);
    let mut cursor = blocks.cursor();
    let mut replay = TokenReplay::new(trace);
    while let (Some(run), Some(request)) = (cursor.next_run(), replay.next_request()) {
        let extra = trace.extra_keys(&trace.requests()[run.index]);
        let mut parent: Option<BlockHash> = None;
        for (index, block) in run.all.iter().enumerate() {
            let known = &mut hashes[*block as usize];
            let hash = *known.get_or_insert_with(|| {
                tokens.clear();
                let stream = request.prompt.iter().chain(request.output);
                tokens.extend(stream.skip(index * size).take(size));
                chain.next(parent.as_ref(), &tokens, extra)
            });
            parent = Some(hash);
        }
    }
    // Every id occurs in some run.
    Ok(hashes.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use crate::cache::published_hash::*;

    fn block(algorithm: HashAlgorithm, seed: Option<&str>, extra: &ExtraKeys) -> BlockHash {
        let tokens: Vec<u32> = (0..16).collect();
        Chain::new(algorithm, seed)
            .expect("has a seed")
            .next(None, &tokens, extra)
    }

    #[test]
    fn cbor_as_the_standard_has_it() {
        let mut bytes = Vec::new();
        let tokens = [0, 23, 24, 255, 256, 65_535, 65_536];
        write_block(
            &mut Encoder::new(&mut bytes),
            &[0xab; 2],
            &tokens,
            &ExtraKeys::default(),
            true,
        )
        .expect("a vector takes it");
        let expected = [
            0x83, 0x42, 0xab, 0xab, 0x87, 0x00, 0x17, 0x18, 24, 0x18, 255, 0x19, 1, 0, 0x19, 255,
            255, 0x1a, 0, 1, 0, 0, 0xf6,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_seed_is_needed_where_the_engine_draws_one() {
        assert!(Chain::new(HashAlgorithm::XxhashCbor, None).is_err());
        let none = ExtraKeys::default();
        assert_ne!(
            block(HashAlgorithm::Sha256Cbor, None, &none),
            block(HashAlgorithm::Sha256Cbor, Some("0"), &none)
        );
        assert_eq!(
            block(HashAlgorithm::XxhashCbor, Some("0"), &none)
                .as_bytes()
                .len(),
            16
        );
    }
}
