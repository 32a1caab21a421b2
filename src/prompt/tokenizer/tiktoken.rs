//! `tiktoken` vocabularies: a line of base64 and rank for each token. Kimi (`tiktoken.model`), Llama 3's original
//! (`tokenizer.model`), Qwen 1 (`qwen.tiktoken`) and OpenAI's ship their tokenizers in this form.
//!
//! The file says neither by which pattern text is split nor which special tokens there are; both are known for the published
//! files, by their SHA-256.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::patterns::{CL100K, GPT2, KIMI, O200K, QWEN};
use super::ranks::{Description, Ranked};
use super::{Config, Tokenizer};
use crate::base::Identity;
use crate::prompt::cuts::AddedToken;

/// A published vocabulary.
struct Published {
    name: &'static str,
    sha256: &'static str,
    pattern: &'static str,
    /// Whether the model's tokenizer normalizes text to NFC.
    nfc: bool,
    /// Special tokens, used unless a `tokenizer_config.json` lists them.
    specials: &'static [(&'static str, u32)],
}

const PUBLISHED: [Published; 7] = [
    Published {
        name: "Llama 3",
        sha256: "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55",
        pattern: CL100K,
        nfc: false,
        specials: &[
            ("<|begin_of_text|>", 128_000),
            ("<|end_of_text|>", 128_001),
            ("<|start_header_id|>", 128_006),
            ("<|end_header_id|>", 128_007),
            ("<|eot_id|>", 128_009),
        ],
    },
    Published {
        name: "Llama 4",
        sha256: "d0bdbaf59b0762c8c807617e2d8ea51420eb1b1de266df2495be755c8e0ed6ed",
        pattern: O200K,
        nfc: false,
        specials: &[
            ("<|begin_of_text|>", 200_000),
            ("<|end_of_text|>", 200_001),
            ("<|fim_prefix|>", 200_002),
            ("<|fim_middle|>", 200_003),
            ("<|fim_suffix|>", 200_004),
            ("<|header_start|>", 200_005),
            ("<|header_end|>", 200_006),
            ("<|eom|>", 200_007),
            ("<|eot|>", 200_008),
            ("<|step|>", 200_009),
            ("<|python_start|>", 200_016),
            ("<|python_end|>", 200_017),
            ("<|finetune_right_pad|>", 200_018),
            ("<|image_start|>", 200_080),
            ("<|image_end|>", 200_081),
            ("<|tile_x_separator|>", 200_084),
            ("<|tile_y_separator|>", 200_085),
            ("<|image|>", 200_090),
            ("<|patch|>", 200_092),
            ("<|reasoning_thinking_start|>", 201_142),
            ("<|reasoning_thinking_end|>", 201_143),
        ],
    },
    Published {
        name: "Qwen",
        sha256: "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186",
        pattern: QWEN,
        nfc: true,
        specials: &[
            ("<|endoftext|>", 151_643),
            ("<|im_start|>", 151_644),
            ("<|im_end|>", 151_645),
        ],
    },
    Published {
        name: "Kimi K2",
        sha256: "b6c497a7469b33ced9c38afb1ad6e47f03f5e5dc05f15930799210ec050c5103",
        pattern: KIMI,
        nfc: false,
        specials: &[
            ("[BOS]", 163_584),
            ("[EOS]", 163_585),
            ("<|im_end|>", 163_586),
            ("<|im_user|>", 163_587),
            ("<|im_assistant|>", 163_588),
            ("<|start_header_id|>", 163_590),
            ("<|end_header_id|>", 163_591),
            ("[EOT]", 163_593),
            ("<|im_system|>", 163_594),
            ("<|tool_calls_section_begin|>", 163_595),
            ("<|tool_calls_section_end|>", 163_596),
            ("<|tool_call_begin|>", 163_597),
            ("<|tool_call_argument_begin|>", 163_598),
            ("<|tool_call_end|>", 163_599),
            ("<|im_middle|>", 163_601),
            ("[UNK]", 163_838),
            ("[PAD]", 163_839),
        ],
    },
    Published {
        name: "o200k",
        sha256: "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        pattern: O200K,
        nfc: false,
        specials: &[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)],
    },
    Published {
        name: "cl100k",
        sha256: "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        pattern: CL100K,
        nfc: false,
        specials: &[
            ("<|endoftext|>", 100_257),
            ("<|fim_prefix|>", 100_258),
            ("<|fim_middle|>", 100_259),
            ("<|fim_suffix|>", 100_260),
            ("<|endofprompt|>", 100_276),
        ],
    },
    Published {
        name: "r50k",
        sha256: "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
        pattern: GPT2,
        nfc: false,
        specials: &[("<|endoftext|>", 50_256)],
    },
];

/// Whether the first line is base64, a space and a number.
pub(super) fn is_ranks(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next();
    line.is_some_and(|line| line.len() < 4096 && entry(line).is_ok())
}

/// A token and its rank.
fn entry(line: &[u8]) -> Result<(Vec<u8>, u32), ()> {
    let text = std::str::from_utf8(line).map_err(drop)?;
    let (token, rank) = text.trim_ascii_end().split_once(' ').ok_or(())?;
    Ok((
        BASE64_STANDARD.decode(token).map_err(drop)?,
        rank.parse().map_err(drop)?,
    ))
}

/// Reads the bytes of the file.
pub(super) fn load(
    identity: Identity,
    bytes: &[u8],
    config: Config,
) -> Result<Box<dyn Tokenizer>, String> {
    let mut tokens = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (token, rank) = entry(line)
            .map_err(|()| format!("line {}: expected base64, a space and a rank", number + 1))?;
        if rank as usize != tokens.len() {
            return Err(format!(
                "line {}: the rank is {rank}, expected {}",
                number + 1,
                tokens.len()
            ));
        }
        tokens.push(token);
    }
    let known = PUBLISHED
        .iter()
        .find(|published| published.sha256 == identity.sha256);
    let Some(published) = known else {
        let names = PUBLISHED.map(|published| published.name).join(", ");
        return Err(format!(
            "a tiktoken vocabulary of {} tokens that is none of {names}; it does not say by which pattern text is split",
            tokens.len()
        ));
    };
    let added = match config.added.is_empty() {
        false => config.added,
        true => published
            .specials
            .iter()
            .map(|(text, id)| AddedToken::plain(text, *id))
            .collect(),
    };
    let described = Description {
        tokens,
        pattern: published.pattern,
        first_id: 0,
        nfc: published.nfc,
        added,
    };
    Ok(Box::new(Ranked::new(identity, described)?))
}
