//! Mistral's `tekken.json`, with the ids of `mistral-common`: special tokens first, then the ranks.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Tokenizer;
use super::ranks::{Description, Ranked};
use crate::base::Identity;
use crate::prompt::cuts::AddedToken;

/// Special tokens of files that name none, which are those up to version 7; their ids are their positions.
const DEFAULT_SPECIALS: [&str; 20] = [
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
];

/// Most special tokens that a file may have; the known ones have 1,000.
const MOST_SPECIALS: u32 = 100_000;

/// The parts of a `tekken.json`.
#[derive(Deserialize)]
pub(super) struct Tekken<'a> {
    config: Settings,
    #[serde(borrow)]
    vocab: Vec<Entry<'a>>,
    special_tokens: Option<Vec<Special>>,
}

#[derive(Deserialize)]
struct Settings {
    pattern: String,
    default_vocab_size: u32,
    default_num_special_tokens: u32,
}

#[derive(Deserialize)]
struct Entry<'a> {
    rank: u64,
    #[serde(borrow)]
    token_bytes: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Special {
    rank: u32,
    token_str: String,
}

/// Reads a `tekken.json`; `None` if the JSON is none.
pub(super) fn parse(text: &str) -> Option<Result<Tekken<'_>, String>> {
    #[derive(Deserialize)]
    struct Keys<'a> {
        #[serde(borrow)]
        config: Option<&'a RawValue>,
        #[serde(borrow)]
        vocab: Option<&'a RawValue>,
        #[serde(borrow)]
        model: Option<&'a RawValue>,
    }
    // Looks for a name that every such file has: much faster than to parse a file of another kind.
    memchr::memmem::find(text.as_bytes(), b"\"default_vocab_size\"")?;
    let keys: Keys<'_> = serde_json::from_str(text).ok()?;
    (keys.config.is_some() && keys.vocab.is_some() && keys.model.is_none())
        .then(|| serde_json::from_str(text).map_err(|error| format!("not a tekken.json: {error}")))
}

/// Builds the tokenizer, with the checks of mistral-common.
pub(super) fn load(identity: Identity, file: Tekken<'_>) -> Result<Box<dyn Tokenizer>, String> {
    let specials = file.config.default_num_special_tokens;
    let size = file.config.default_vocab_size;
    let inner = size.checked_sub(specials).map(|inner| inner as usize);
    let inner = inner.filter(|inner| *inner <= file.vocab.len() && specials <= MOST_SPECIALS);
    let Some(inner) = inner else {
        return Err(format!(
            "`config` has {size} tokens, {specials} of them special, but `vocab` has {} entries",
            file.vocab.len()
        ));
    };
    let mut tokens = Vec::with_capacity(inner);
    for (number, entry) in file.vocab.iter().take(inner).enumerate() {
        if entry.rank != number as u64 {
            return Err(format!(
                "`vocab`, entry {number}: the rank is {}",
                entry.rank
            ));
        }
        let bytes = BASE64_STANDARD
            .decode(entry.token_bytes.as_bytes())
            .map_err(|error| format!("`vocab`, entry {number}: {error}"))?;
        if number < 256 && bytes != [number as u8] {
            return Err(format!(
                "`vocab`, entry {number}: the token is not the byte 0x{number:02X}"
            ));
        }
        tokens.push(bytes);
    }
    let described = Description {
        tokens,
        pattern: &file.config.pattern,
        first_id: specials,
        nfc: false,
        added: special_tokens(file.special_tokens, specials)?,
    };
    Ok(Box::new(Ranked::new(identity, described)?))
}

/// The named special tokens and, for the ids that are left, `<SPECIAL_id>`.
fn special_tokens(named: Option<Vec<Special>>, count: u32) -> Result<Vec<AddedToken>, String> {
    let named = named.unwrap_or_else(|| {
        let names = (0..).zip(DEFAULT_SPECIALS);
        names
            .map(|(rank, text)| Special {
                rank,
                token_str: text.to_owned(),
            })
            .collect()
    });
    if named.len() > count as usize {
        return Err(format!(
            "`special_tokens` has {} entries, but `config` {count}",
            named.len()
        ));
    }
    let fillers = named.len() as u32..count;
    let mut added = Vec::with_capacity(count as usize);
    for special in named {
        if special.rank >= count {
            return Err(format!(
                "`special_tokens`: `{}` has the rank {}, but there are {count}",
                special.token_str, special.rank
            ));
        }
        added.push(AddedToken::plain(&special.token_str, special.rank));
    }
    added.extend(fillers.map(|id| AddedToken::plain(&format!("<SPECIAL_{id}>"), id)));
    Ok(added)
}
