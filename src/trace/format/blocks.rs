//! Block ids for formats that hold blocks: chained hashes of tokens, or the hash ids of a trace.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128;

use crate::base::error::{Error, Result};
use crate::trace::{Content, ExtraKeys, TokenReplay, Trace};

/// Iterates over a trace in arrival order and returns each prompt as block ids, numbered from 0 in order of first use. The last
/// block may be partial and also has an id.
pub(super) struct BlockIds<'a> {
    trace: &'a Trace,
    replay: TokenReplay<'a>,
    block_size: usize,
    chains: Vec<Chain>,
    known: HashTable<u32>,
    hashes: Vec<u128>,
    /// For a trace of hash ids: the dense id of each hash id.
    renamed: Vec<u32>,
    ids: Vec<u32>,
    scratch: Vec<u8>,
}

/// The blocks of a session's last prompt.
#[derive(Default)]
struct Chain {
    ids: Vec<u32>,
    /// Number of complete blocks; the last, partial block changes when the prompt grows.
    whole: usize,
    extra: u32,
}

/// Marks a hash id that has not occurred yet.
const UNKNOWN: u32 = u32::MAX;

impl<'a> BlockIds<'a> {
    /// Creates the iterator with `asked` tokens per block, or with `usual` if neither the caller nor the trace sets a size.
    pub(super) fn new(
        trace: &'a Trace,
        asked: Option<u32>,
        usual: u32,
        format: &str,
    ) -> Result<Self> {
        let block_size = match (trace.content(), asked) {
            (_, Some(0)) => {
                return Err(Error::usage(
                    "the block size is 0",
                    "give the tokens per block, at least 1",
                ));
            }
            (Content::Tokens, asked) => asked.unwrap_or(usual),
            (Content::HashIds { block_size }, None) => block_size,
            (Content::HashIds { block_size }, Some(asked)) if asked == block_size => asked,
            (Content::HashIds { block_size }, Some(asked)) => {
                return Err(Error::usage(
                    format!("the trace has blocks of {block_size} tokens, not of {asked}"),
                    "leave `block_size` out, or export a trace with token ids",
                ));
            }
            (Content::Lengths, _) => {
                return Err(Error::usage(
                    format!("format `{format}` needs content, but this trace has lengths only"),
                    "such a trace works with `replay simulate` only; give a trace with token ids or hash ids",
                ));
            }
        };
        Ok(Self {
            trace,
            replay: TokenReplay::new(trace),
            block_size: block_size as usize,
            chains: (0..trace.sessions().len())
                .map(|_| Chain::default())
                .collect(),
            known: HashTable::new(),
            hashes: Vec::new(),
            renamed: Vec::new(),
            ids: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Tokens per block.
    pub(super) fn block_size(&self) -> u32 {
        self.block_size as u32
    }

    /// Returns the next request's index and blocks.
    pub(super) fn next_request(&mut self) -> Option<(usize, &[u32])> {
        let tokens = self.replay.next_request()?;
        let index = tokens.index;
        let request = &self.trace.requests()[index];
        if self.trace.content() != Content::Tokens {
            self.ids.clear();
            for id in tokens.prompt {
                let at = *id as usize;
                if at >= self.renamed.len() {
                    self.renamed.resize(at + 1, UNKNOWN);
                }
                if self.renamed[at] == UNKNOWN {
                    self.renamed[at] = self.hashes.len() as u32;
                    self.hashes.push(0);
                }
                self.ids.push(self.renamed[at]);
            }
            return Some((index, &self.ids));
        }
        let chain = &mut self.chains[request.session as usize];
        // Complete blocks within the shared prefix are equal to those of the previous turn, up to the length of the previous
        // turn.
        let mut kept = (request.shared as usize / self.block_size).min(chain.whole);
        if chain.extra != request.extra {
            kept = 0;
        }
        chain.extra = request.extra;
        chain.whole = tokens.prompt.len() / self.block_size;
        chain.ids.truncate(kept);
        let seed = seed(self.trace.extra_keys(request));
        let mut parent = match kept.checked_sub(1) {
            Some(last) => self.hashes[chain.ids[last] as usize],
            None => seed,
        };
        for block in tokens.prompt[kept * self.block_size..].chunks(self.block_size) {
            self.scratch.clear();
            self.scratch.extend_from_slice(&parent.to_le_bytes());
            for token in block {
                self.scratch.extend_from_slice(&token.to_le_bytes());
            }
            let hash = xxh3_128(&self.scratch);
            let hashes = &mut self.hashes;
            let found = self
                .known
                .find(hash as u64, |i| hashes[*i as usize] == hash);
            let id = match found {
                Some(id) => *id,
                None => {
                    let id = hashes.len() as u32;
                    hashes.push(hash);
                    self.known
                        .insert_unique(hash as u64, id, |i| hashes[*i as usize] as u64);
                    id
                }
            };
            chain.ids.push(id);
            parent = hash;
        }
        Some((index, &chain.ids))
    }
}

/// Hash that stands for the parent of a first block, so that the same prompt with another adapter or salt has other blocks.
fn seed(extra: &ExtraKeys) -> u128 {
    if *extra == ExtraKeys::default() {
        return 0;
    }
    xxh3_128(format!("{:?}", (&extra.lora, &extra.cache_salt)).as_bytes())
}

#[cfg(test)]
mod tests {
    use crate::trace::format::blocks::*;
    use crate::trace::format::testing;

    #[test]
    fn ids_are_chained_and_in_order_of_first_use() {
        let trace = testing::sample();
        let mut blocks = BlockIds::new(&trace, Some(2), 512, "test").expect("fits");
        let mut out = Vec::new();
        while let Some((_, ids)) = blocks.next_request() {
            out.push(ids.to_vec());
        }
        // a: [1 2] [3]; b: [1 2] [9 9] [9]; a again: [1 2] [3 4] [5 6]
        assert_eq!(out, [vec![0, 1], vec![0, 2, 3], vec![0, 4, 5]]);
    }
}
