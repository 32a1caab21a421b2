//! Vocabularies of bytes with ranked merges: the usual kind of `tokenizer.json`.

use hashbrown::HashTable;
use tokenizers::pipeline::PipelineNormalizer;
use tokenizers::utils::byte_level::{BYTES_CHAR_LOOKUP, char_to_byte};

use super::document::{Bpe, Document, kind};
use super::pipeline::Steps;
use super::vocabulary::Vocabulary;
use crate::prompt::cuts::Cuts;
use crate::prompt::tokenizer::byte_level::{ByteLevel, Merging, Splitter};
use crate::prompt::tokenizer::merge::Pair;

/// The vocabulary and the merges.
pub(super) struct Merges {
    vocabulary: Vocabulary,
    pairs: HashTable<RankedPair>,
    bytes: [u32; 256],
    /// Ranks and products of pairs of bytes: the first look-ups for every word.
    byte_pairs: Box<[(u32, u32)]>,
    /// Whether a word that is a token becomes that token, whatever the merges are.
    whole_words: bool,
}

#[derive(Clone, Copy)]
struct RankedPair {
    left: u32,
    right: u32,
    rank: u32,
    product: u32,
}

/// The rank of bytes that are not merged.
const NEVER: u32 = u32::MAX;

/// Whether the file has a vocabulary of bytes whose texts are at most normalized to NFC.
pub(super) fn takes(document: &Document<'_>, steps: &Steps) -> bool {
    let normalizers = &steps.normalizers[..];
    steps.byte_level
        && matches!(normalizers, [] | [PipelineNormalizer::NFC(_)])
        && kind(&document.decoder) == Some("ByteLevel")
}

/// The encoder for a file that [`takes`] accepts.
pub(super) fn encoder(bpe: Bpe<'_>, steps: Steps) -> ByteLevel<Merges> {
    let nfc = !steps.normalizers.is_empty();
    let splitter = Splitter::Known(steps.pre_tokenizer);
    ByteLevel::new(Merges::new(bpe), splitter, nfc)
}

fn hash(left: u32, right: u32) -> u64 {
    // The high bits of a product depend on all bits of the factors.
    let product = (u64::from(left) << 32 | u64::from(right)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ product.rotate_left(32)
}

impl Merges {
    fn new(bpe: Bpe<'_>) -> Self {
        let mut pairs = HashTable::with_capacity(bpe.merges.len());
        for (rank, merge) in (0..).zip(&bpe.merges) {
            let pair = RankedPair {
                left: merge.left,
                right: merge.right,
                rank,
                product: merge.product,
            };
            let hasher = |pair: &RankedPair| hash(pair.left, pair.right);
            // Of equal merges, the last one counts, as in the reference implementation.
            let same = |other: &RankedPair| (other.left, other.right) == (pair.left, pair.right);
            pairs.entry(hasher(&pair), same, hasher).insert(pair);
        }
        let bytes: [u32; 256] = std::array::from_fn(|byte| {
            let text = BYTES_CHAR_LOOKUP[byte];
            // Bytes that no text has may lack a token.
            let id = bpe.vocabulary.id(text.encode_utf8(&mut [0; 4]));
            id.unwrap_or_default()
        });
        let mut merges = Self {
            pairs,
            bytes,
            byte_pairs: Box::default(),
            whole_words: bpe.ignore_merges,
            vocabulary: bpe.vocabulary,
        };
        let neighbours = bytes
            .iter()
            .flat_map(|left| bytes.iter().map(|right| (*left, *right)));
        merges.byte_pairs = neighbours
            .map(|(left, right)| merges.find(left, right).unwrap_or((NEVER, 0)))
            .collect();
        merges
    }

    fn find(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let same = |other: &RankedPair| (other.left, other.right) == (left, right);
        let found = self.pairs.find(hash(left, right), same)?;
        Some((found.rank, found.product))
    }

    /// The text of the ids.
    pub(super) fn decode(&self, ids: &[u32], cuts: &Cuts) -> Result<String, String> {
        let mut bytes = Vec::new();
        for id in ids {
            let text = self.vocabulary.text(*id).or_else(|| cuts.text_of(*id));
            let text = text.ok_or_else(|| format!("id {id} is not in the vocabulary"))?;
            // A token with other signs than those for bytes stands for itself.
            let start = bytes.len();
            for sign in text.chars() {
                let Some(byte) = char_to_byte(sign) else {
                    bytes.truncate(start);
                    bytes.extend_from_slice(text.as_bytes());
                    break;
                };
                bytes.push(byte);
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Merging for Merges {
    fn whole(&self, word: &[u8]) -> Option<u32> {
        if !self.whole_words {
            return None;
        }
        let signs = word.iter().map(|byte| BYTES_CHAR_LOOKUP[*byte as usize]);
        self.vocabulary.id(&signs.collect::<String>())
    }

    fn byte(&self, byte: u8) -> u32 {
        self.bytes[byte as usize]
    }

    fn byte_pair(&self, left: u8, right: u8) -> Option<(u32, u32)> {
        let found = self.byte_pairs[usize::from(left) << 8 | usize::from(right)];
        (found.0 != NEVER).then_some(found)
    }

    fn pair(&self, _: &[u8], pair: Pair) -> Option<(u32, u32)> {
        self.find(pair.left, pair.right)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::base::Identity;
    use crate::prompt::encode_text;
    use crate::prompt::tokenizer::Tokenizer as _;
    use crate::prompt::tokenizer::json::{Engine, HuggingFace};

    /// A vocabulary of all bytes, `ab` (256), `bc` (257), `abc` (258) and what `changed` says.
    fn tokenizer(changed: Value) -> HuggingFace {
        let signs = tokenizers::utils::byte_level::BYTES_CHAR_LOOKUP.iter();
        let mut vocab: serde_json::Map<_, _> = (0..)
            .zip(signs)
            .map(|(id, sign)| (sign.to_string(), Value::from(id)))
            .collect();
        for (id, text) in (256..).zip(["ab", "bc", "abc"]) {
            vocab.insert(text.into(), Value::from(id));
        }
        let mut file = json!({
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
            "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": vocab, "merges": ["b c", "a b"]},
        });
        for (key, value) in changed.as_object().expect("an object") {
            file["model"][key] = value.clone();
        }
        let identity = Identity {
            name: "test".into(),
            sha256: String::new(),
        };
        HuggingFace::parse(identity, &file.to_string()).expect("reads")
    }

    fn ids(tokenizer: &HuggingFace, text: &str) -> Vec<u32> {
        assert!(matches!(tokenizer.engine, Engine::Bytes(_)));
        let mut ids = Vec::new();
        encode_text(tokenizer, text, &mut ids).expect("encodes");
        assert_eq!(tokenizer.decode(&ids).expect("decodes"), text);
        ids
    }

    #[test]
    fn the_merge_of_the_lowest_rank_comes_first() {
        let (a, b, c) = (u32::from(b'a'), u32::from(b'b'), u32::from(b'c'));
        let usual = tokenizer(json!({}));
        assert_eq!(ids(&usual, "abc"), [a, 257]);
        assert_eq!(ids(&usual, "abab"), [256, 256]);
        assert_eq!(ids(&usual, "cba"), [c, b, a]);
        // The last one of equal merges counts: `a b` now ranks before `b c`.
        let twice = tokenizer(json!({"merges": ["b c", "a b", "b c"]}));
        assert_eq!(ids(&twice, "abc"), [256, c]);
        let whole = tokenizer(json!({"ignore_merges": true}));
        assert_eq!(ids(&whole, "abc"), [258]);
        assert_eq!(ids(&whole, "abcc"), [a, 257, c]);
        // A word that several tokenizers know in turn has the ids of each.
        assert_eq!(ids(&usual, "abc"), [a, 257]);
    }

    #[test]
    fn much_text_goes_to_the_pipeline_and_keeps_its_ids() {
        let tokenizer = tokenizer(json!({}));
        let Engine::Bytes(bytes) = &tokenizer.engine else {
            panic!("another engine");
        };
        let text = "abc cab \u{e9}\u{4e2d} abab's 12\n".repeat(1_000);
        let expected = ids(&tokenizer, &text);
        assert!(bytes.pipeline.get().is_none());
        for _ in 0..60 {
            assert_eq!(ids(&tokenizer, &text), expected);
        }
        assert!(bytes.pipeline.get().is_some());
    }
}
