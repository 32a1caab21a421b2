//! Vocabularies that ship with the program, by way of the `tiktoken` crate; ids equal those of the Hugging Face tokenizer
//! of the same model.

use std::borrow::Cow;

use tiktoken::CoreBpe;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::Tokenizer;
use crate::base::Identity;
use crate::prompt::cuts::{AddedToken, Cuts};

/// A built-in vocabulary.
struct Known {
    name: &'static str,
    /// The crate's own name for it.
    encoding: &'static str,
    /// Added tokens that the crate does not know or that it would not find, with their ids.
    further: &'static [(&'static str, u32)],
    specials: &'static [&'static str],
    /// Qwen composes characters (NFC) before anything else.
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

const KNOWN: &[Known] = &[
    Known {
        name: "qwen2",
        encoding: "qwen2",
        further: &[],
        specials: QWEN_TAGS,
        nfc: true,
    },
    Known {
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
    Known {
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
    Known {
        name: "gpt2",
        encoding: "r50k_base",
        further: &[],
        specials: &["<|endoftext|>"],
        nfc: false,
    },
    Known {
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
    Known {
        name: "o200k",
        encoding: "o200k_base",
        further: &[],
        specials: &["<|endoftext|>", "<|endofprompt|>"],
        nfc: false,
    },
];

/// Names, in the order in which help lists them.
pub(super) const NAMES: &[&str] = &["qwen2", "qwen3", "llama3", "gpt2", "cl100k", "o200k"];

/// One of them, ready.
pub(super) struct Builtin {
    identity: Identity,
    bpe: &'static CoreBpe,
    cuts: Cuts,
    nfc: bool,
}

impl Builtin {
    pub(super) fn new(name: &str) -> Option<Self> {
        let known = KNOWN.iter().find(|known| known.name == name)?;
        let bpe = tiktoken::get_encoding(known.encoding)?;
        let mut added: Vec<AddedToken> = Vec::new();
        for text in known.specials {
            if let [id] = bpe.encode_with_special_tokens(text)[..] {
                added.push(AddedToken::plain(text, id));
            }
        }
        added.extend(
            known
                .further
                .iter()
                .map(|(text, id)| AddedToken::plain(text, *id)),
        );
        let mut digest = Vec::new();
        for token in &added {
            digest.extend_from_slice(token.text.as_bytes());
            digest.extend_from_slice(&token.id.to_le_bytes());
        }
        digest.extend_from_slice(known.encoding.as_bytes());
        digest.extend_from_slice(&(bpe.vocab_size() as u64).to_le_bytes());
        Some(Self {
            identity: Identity {
                name: name.into(),
                sha256: super::super::sha256_hex(&digest),
            },
            bpe,
            cuts: Cuts::new(added, true),
            nfc: known.nfc,
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
