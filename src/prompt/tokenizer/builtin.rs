//! Built-in vocabularies: tokenizers that need no file.
//!
//! The `tiktoken` crate embeds them compressed (2 MB for all) and decodes one when it is first used. Ids equal those of
//! the Hugging Face tokenizer of the same model. `NOTICE` in this folder names the owners and the licences.

use std::borrow::Cow;

use tiktoken::CoreBpe;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::Tokenizer;
use crate::base::Identity;
use crate::prompt::cuts::{AddedToken, Cuts};

/// Description of a built-in vocabulary.
struct Vocabulary {
    /// Name by which it is chosen.
    name: &'static str,
    /// Name of the encoding in the `tiktoken` crate.
    encoding: &'static str,
    /// Added tokens that the crate lacks, with their ids.
    further: &'static [(&'static str, u32)],
    /// Added tokens whose ids the crate knows.
    specials: &'static [&'static str],
    /// Whether text is normalized to NFC before it is encoded, as Qwen's tokenizers do.
    nfc: bool,
}

const QWEN_TAGS: &[&str] = &[
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
];

/// Built-in vocabularies, in the order in which help lists them.
const VOCABULARIES: &[Vocabulary] = &[
    Vocabulary {
        name: "qwen2",
        encoding: "qwen2",
        further: &[],
        specials: QWEN_TAGS,
        nfc: true,
    },
    Vocabulary {
        name: "qwen3",
        encoding: "qwen2",
        further: &[
            ("<tool_response>", 151_665),
            ("</tool_response>", 151_666),
            ("<think>", 151_667),
            ("</think>", 151_668),
        ],
        specials: QWEN_TAGS,
        nfc: true,
    },
    Vocabulary {
        name: "llama3",
        encoding: "llama3",
        further: &[],
        specials: &[
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
            "<|eom_id|>",
            "<|python_tag|>",
            "<|finetune_right_pad_id|>",
        ],
        nfc: false,
    },
    Vocabulary {
        name: "gpt2",
        encoding: "r50k_base",
        further: &[],
        specials: &["<|endoftext|>"],
        nfc: false,
    },
    Vocabulary {
        name: "cl100k",
        encoding: "cl100k_base",
        further: &[],
        specials: &[
            "<|endoftext|>",
            "<|fim_prefix|>",
            "<|fim_middle|>",
            "<|fim_suffix|>",
            "<|endofprompt|>",
        ],
        nfc: false,
    },
    Vocabulary {
        name: "o200k",
        encoding: "o200k_base",
        further: &[],
        specials: &["<|endoftext|>", "<|endofprompt|>"],
        nfc: false,
    },
];

/// Names of all built-in vocabularies, in the order in which help lists them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    VOCABULARIES.iter().map(|vocabulary| vocabulary.name)
}

/// Tokenizer with a built-in vocabulary.
pub(super) struct Builtin {
    identity: Identity,
    bpe: &'static CoreBpe,
    cuts: Cuts,
    nfc: bool,
}

impl Builtin {
    /// Decodes the vocabulary of this name; `None` if there is none.
    pub(super) fn new(name: &str) -> Option<Self> {
        let vocabulary = VOCABULARIES
            .iter()
            .find(|vocabulary| vocabulary.name == name)?;
        let bpe = tiktoken::get_encoding(vocabulary.encoding)?;
        let mut added: Vec<AddedToken> = Vec::new();
        for text in vocabulary.specials {
            if let [id] = bpe.encode_with_special_tokens(text)[..] {
                added.push(AddedToken::plain(text, id));
            }
        }
        added.extend(
            vocabulary
                .further
                .iter()
                .map(|(text, id)| AddedToken::plain(text, *id)),
        );
        let mut digest = Vec::new();
        for token in &added {
            digest.extend_from_slice(token.text.as_bytes());
            digest.extend_from_slice(&token.id.to_le_bytes());
        }
        digest.extend_from_slice(vocabulary.encoding.as_bytes());
        digest.extend_from_slice(&(bpe.vocab_size() as u64).to_le_bytes());
        Some(Self {
            identity: Identity {
                name: name.into(),
                sha256: super::super::sha256_hex(&digest),
            },
            bpe,
            cuts: Cuts::new(added, true),
            nfc: vocabulary.nfc,
        })
    }
}

impl Tokenizer for Builtin {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        let text = match self.nfc && is_nfc_quick(text.chars()) != IsNormalized::Yes {
            true => Cow::Owned(text.nfc().collect::<String>()),
            false => Cow::Borrowed(text),
        };
        ids.append(&mut self.bpe.encode(&text));
        Ok(())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        let mut bytes = Vec::new();
        for id in ids {
            match self.cuts.text_of(*id) {
                Some(text) => bytes.extend_from_slice(text.as_bytes()),
                None => bytes.append(&mut self.bpe.decode(&[*id])),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;
    use sha2::{Digest, Sha256};

    use super::*;

    /// The text of every message of the conversations that ship.
    fn shipped_messages() -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sharegpt-synthetic.jsonl.zst");
        let bytes = crate::base::io::Input::open(&path)
            .and_then(crate::base::io::Input::read_to_end)
            .expect("reads");
        let mut messages = Vec::new();
        for line in bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let record: Value = serde_json::from_slice(line).expect("JSON");
            let turns = record["conversations"].as_array().expect("turns");
            messages.extend(
                turns
                    .iter()
                    .map(|turn| turn["value"].as_str().expect("text").to_owned()),
            );
        }
        messages
    }

    /// For each vocabulary, the number of ids of the shipped data and the SHA-256 of all of them as little-endian 32-bit
    /// integers. Hugging Face's `tokenizers` 0.23 gives the same two figures for `qwen3` and `gpt2` from the models' own
    /// `tokenizer.json`. If one changes, the results of every trace generated with that vocabulary change.
    #[test]
    fn ids_of_the_shipped_data_stay_the_same() {
        let expected = [
            (
                "qwen2",
                2_528_961,
                "afcd0713125e222706852983531afbc3280ed4be3c22bc75d9de12e7f2a133bc",
            ),
            (
                "qwen3",
                2_528_961,
                "afcd0713125e222706852983531afbc3280ed4be3c22bc75d9de12e7f2a133bc",
            ),
            (
                "llama3",
                2_472_154,
                "9f7b5a6eddbf188491321d80c9ffe970f2947324ca468c62e3f11c512f8869b6",
            ),
            (
                "gpt2",
                2_870_643,
                "510fe0024dfc64da1f98f0daa23761ace96dd2559282486bbceaba47505e2f30",
            ),
            (
                "cl100k",
                2_491_830,
                "fb158aaa54bdb82e99b9eee204894752ba2b0c5464f133c0b3b72c164e225591",
            ),
            (
                "o200k",
                2_457_478,
                "ed7cb19d528381677dce870b0c326ac1c8b92797bd409be431a37889c29821a7",
            ),
        ];
        let messages = shipped_messages();
        let mut found = Vec::new();
        for name in names() {
            let tokenizer = Builtin::new(name).expect("built in");
            let (mut ids, mut count, mut digest) = (Vec::new(), 0, Sha256::new());
            for message in &messages {
                ids.clear();
                tokenizer.encode(message, &mut ids).expect("encodes");
                count += ids.len();
                for id in &ids {
                    digest.update(id.to_le_bytes());
                }
            }
            let digest = digest
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>();
            found.push((name, count, digest));
        }
        let found: Vec<_> = found
            .iter()
            .map(|(name, count, digest)| (*name, *count, digest.as_str()))
            .collect();
        assert_eq!(found, expected);
    }
}
