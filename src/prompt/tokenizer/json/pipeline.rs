//! The pipeline of the `tokenizers` crate (1.0), for the kinds of BPE whose ids have been compared with the reference.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokenizers::decoders::DecoderRuntime;
use tokenizers::models::bpe::{BpeConfig, PipelineBPE, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NFC, NFKC, Prepend, Replace};
use tokenizers::pipeline::{
    EncodeOptions, NormalizerChain, Override, PipelineModel, PipelineNormalizer,
    PipelinePostProcessor, PipelinePreTokenizer, PipelineToken, PipelineTokenizer,
};
use tokenizers::pre_tokenizers::sequence::PipelineSequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior as Behavior;
use tokenizers::utils::byte_level::BYTES_CHAR_LOOKUP;
use tokenizers::utils::{is_deepseek, recognize};
use tokenizers::vocab::bucket_added_vocabulary::{AddedToken, AddedVocabulary};

use super::document::{Bpe, Document, kind, members};
use crate::prompt::tokenizer::patterns::GPT2;

/// Tokenizer of the pipeline.
pub(super) struct Pipeline {
    inner: PipelineTokenizer,
    options: EncodeOptions,
}

/// The steps before the model, if the pipeline takes them.
pub(super) struct Steps {
    pub(super) normalizers: Vec<PipelineNormalizer>,
    pub(super) pre_tokenizer: PipelinePreTokenizer,
    pub(super) byte_level: bool,
    /// Tokens `<0xNN>` that the vocabulary lacks and that no text needs.
    unneeded: Vec<String>,
}

impl Document<'_> {
    /// The steps for the pipeline; `None` if a part of this tokenizer is of a kind that has not been compared.
    pub(super) fn pipeline_steps(&self) -> Option<Steps> {
        let bpe = self.bpe.as_ref()?;
        if bpe.has_affixes || !self.gives_ids_in_order(bpe) {
            return None;
        }
        let normalizers = members(&self.normalizer, "normalizers");
        let normalizers = normalizers.iter().map(normalizer).collect::<Option<_>>()?;
        let (splits, byte_level) = splits(&self.pre_tokenizer)?;
        let unneeded = match byte_level {
            true => bpe.has_all_bytes().then(Vec::new),
            false => bpe.unneeded_bytes(),
        }?;
        Some(Steps {
            normalizers,
            pre_tokenizer: match splits.len() {
                0 => PipelinePreTokenizer::None,
                _ => PipelinePreTokenizer::Sequence(PipelineSequence::new(splits)),
            },
            byte_level,
            unneeded,
        })
    }

    /// Whether the added tokens that the vocabulary lacks follow it without a gap, in the file's order, and the others have
    /// the vocabulary's ids: then every implementation gives them the same ids.
    fn gives_ids_in_order(&self, bpe: &Bpe<'_>) -> bool {
        let size = bpe.vocabulary.len();
        let mut next = size;
        self.added_tokens.iter().all(|token| {
            let known = bpe.vocabulary.id(&token.text);
            let expected = known.map_or(next, |id| id as usize);
            next += usize::from(known.is_none());
            token.id as usize == expected
        }) && (next == size || bpe.vocabulary.largest() as usize == size - 1)
    }
}

impl Bpe<'_> {
    /// Whether each byte that occurs in text has a token of its own.
    fn has_all_bytes(&self) -> bool {
        (0..=0xBF).chain(0xC2..=0xF4_u8).all(|byte| {
            let token = BYTES_CHAR_LOOKUP[byte as usize];
            self.vocabulary.id(token.encode_utf8(&mut [0; 4])).is_some()
        })
    }

    /// The missing tokens of the byte fallback, if none of them is ever needed: a byte below 0x80 is a character of its own,
    /// and needs no fallback if the vocabulary has that character.
    fn unneeded_bytes(&self) -> Option<Vec<String>> {
        let known = |token: &str| self.vocabulary.id(token).is_some();
        if !self.byte_fallback
            || self
                .unk_token
                .as_deref()
                .is_some_and(|unknown| !known(unknown))
        {
            return None;
        }
        let mut missing = Vec::new();
        for byte in 0..=0xFF_u8 {
            let token = format!("<0x{byte:02X}>");
            if known(&token) {
                continue;
            }
            let itself = char::from(byte);
            // With `ignore_merges`, text that reads `<0x09>` would become the token.
            let needed =
                !byte.is_ascii() || self.ignore_merges || !known(itself.encode_utf8(&mut [0; 4]));
            if needed {
                return None;
            }
            missing.push(token);
        }
        Some(missing)
    }
}

fn normalizer(component: &Value) -> Option<PipelineNormalizer> {
    let text = |pointer: &str| {
        let text = component.pointer(pointer)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    Some(match kind(component)? {
        "NFC" => PipelineNormalizer::NFC(NFC),
        "NFKC" => PipelineNormalizer::NFKC(NFKC),
        "Prepend" => PipelineNormalizer::Prepend(Prepend::new(text("/prepend")?)),
        "Replace" => {
            let pattern = ReplacePattern::String(text("/pattern/String")?);
            let content = component.get("content")?.as_str()?;
            PipelineNormalizer::Replace(Replace::new(pattern, content).ok()?)
        }
        _ => return None,
    })
}

/// The splits of the pre-tokenizer, and whether the vocabulary is one of bytes.
fn splits(pre_tokenizer: &Value) -> Option<(Vec<PipelinePreTokenizer>, bool)> {
    let mut members = members(pre_tokenizer, "pretokenizers");
    // Whether the byte level, if there is one, applies its own pattern.
    let mut last = None;
    if let Some((byte_level, before)) = members.split_last()
        && kind(byte_level) == Some("ByteLevel")
    {
        let flag = |key: &str| byte_level.get(key).map_or(Some(true), Value::as_bool);
        if flag("add_prefix_space")? {
            return None;
        }
        last = Some(flag("use_regex")?);
        members = before;
    }
    let patterns: Vec<&str> = members
        .iter()
        .filter_map(|member| member.pointer("/pattern/Regex")?.as_str())
        .collect();
    let deepseek = matches!(patterns[..], [a, b, c] if is_deepseek(a, b, c)) && members.len() == 3;
    let mut splits = Vec::new();
    for member in members {
        splits.push(split(member, deepseek)?);
    }
    if last == Some(true) {
        let pattern = SplitPattern::Regex(GPT2.to_owned());
        splits.push(PipelinePreTokenizer::Split(
            Split::native(pattern, Behavior::Isolated, false).ok()?,
        ));
    }
    Some((splits, last.is_some()))
}

fn split(member: &Value, deepseek: bool) -> Option<PipelinePreTokenizer> {
    if kind(member) != Some("Split") {
        return None;
    }
    let behavior = match member.get("behavior")?.as_str()? {
        "Removed" => Behavior::Removed,
        "Isolated" => Behavior::Isolated,
        "MergedWithPrevious" => Behavior::MergedWithPrevious,
        "MergedWithNext" => Behavior::MergedWithNext,
        _ => return None,
    };
    let invert = member.get("invert")?.as_bool()?;
    let pattern = member.get("pattern")?;
    let pattern = match (pattern.get("Regex"), pattern.get("String")) {
        (Some(regex), None) => {
            let regex = regex.as_str()?;
            let isolated = (behavior == Behavior::Isolated && !invert)
                || (behavior == Behavior::Removed && invert && !deepseek);
            if !isolated || !(deepseek || recognize(regex).is_some()) {
                return None;
            }
            SplitPattern::Regex(regex.to_owned())
        }
        (None, Some(text)) if !invert => {
            let text = text.as_str().filter(|text| !text.is_empty())?;
            SplitPattern::String(text.to_owned())
        }
        _ => return None,
    };
    let split = Split::native(pattern, behavior, invert).ok()?;
    Some(PipelinePreTokenizer::Split(
        split.canonicalized_for_pipeline().ok()?,
    ))
}

impl Pipeline {
    /// Builds the tables.
    ///
    /// # Errors
    /// The message of the library.
    pub(super) fn build(document: Document<'_>, steps: Steps) -> Result<Self, String> {
        let words = |error: tokenizers::Error| error.to_string();
        let Some(bpe) = document.bpe else {
            return Err("not a BPE".into());
        };
        let mut added = AddedVocabulary::new();
        let tokens = document.added_tokens.iter().map(|token| AddedToken {
            content: token.text.clone(),
            single_word: token.single_word,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            normalized: token.normalized,
            special: token.special,
        });
        added
            .add_tokens(
                tokens,
                bpe.vocabulary.len(),
                |token| bpe.vocabulary.id(token),
                Some(&NormalizerChain(&steps.normalizers)),
            )
            .map_err(words)?;
        let tokens = bpe.vocabulary.iter();
        let mut vocab: Vocab = tokens.map(|(token, id)| (token.to_owned(), id)).collect();
        let first_free = bpe.vocabulary.largest() as usize + document.added_tokens.len() + 1;
        for (id, token) in (first_free as u32..).zip(steps.unneeded) {
            vocab.insert(token, id);
        }
        let text = |id: u32| bpe.vocabulary.text(id).unwrap_or_default().to_owned();
        let merges = bpe.merges.iter();
        let merges = merges.map(|merge| (text(merge.left), text(merge.right)));
        let model = PipelineBPE::from_config(BpeConfig {
            vocab,
            merges: merges.collect(),
            byte_level: steps.byte_level,
            unk_token: bpe.unk_token.map(Into::into),
            fuse_unk: bpe.fuse_unk,
            byte_fallback: bpe.byte_fallback,
            ignore_merges: bpe.ignore_merges,
            ..BpeConfig::default()
        })
        .map_err(words)?;
        Ok(Self {
            inner: PipelineTokenizer::from_parts(
                added,
                steps.normalizers,
                steps.pre_tokenizer,
                PipelineModel::BPE(model),
                PipelinePostProcessor::default(),
                decoder(&document.decoder)?,
                BTreeMap::new(),
                None,
                None,
            ),
            options: EncodeOptions {
                add_special_tokens: false,
                encode_special_tokens: false,
                padding: Override::Off,
                truncation: Override::Off,
            },
        })
    }

    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        thread_local! {
            static BUFFER: std::cell::RefCell<Vec<PipelineToken>> = const { std::cell::RefCell::new(Vec::new()) };
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            self.inner
                .encode_into(text, &self.options, buffer)
                .map_err(|error| error.to_string())?;
            ids.extend_from_slice(PipelineToken::cast_slice(buffer));
            Ok(())
        })
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.inner
            .decode(ids, false)
            .map_err(|error| error.to_string())
    }
}

/// The decoder, read by the library with a model of one token.
fn decoder(component: &Value) -> Result<Option<DecoderRuntime>, String> {
    let mut document = json!({
        "decoder": component,
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
    });
    tokenizers::canonicalize_value(&mut document).map_err(|error| error.to_string())?;
    let read = tokenizers::from_json(&document.to_string()).map_err(|error| error.to_string())?;
    Ok(read.get_decoder().cloned())
}
