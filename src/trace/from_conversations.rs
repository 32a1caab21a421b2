//! Builds a trace from conversation files: loads, renders, tokenizes and assigns times, on all cores, in the order of the
//! data.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde_json::json;

use super::arrival::ArrivalProcess;
use super::generate::{ArrangedTrace, GenerateOptions, GenerateReport, Generator, SessionTurns};
use super::spool::Spool;
use super::{Identity, Mode, Nanos, Trace, TraceMeta};
use crate::base::error::{Error, Location, Result};
use crate::dataset::sharegpt::{Dataset, LoadReport, TimeForms};
use crate::dataset::time::TimeForm;
use crate::prompt::template::ChatTemplate;
use crate::prompt::tokenizer::Tokenizer;
use crate::prompt::{EncodeError, Growth, PromptEncoder};

/// Which conversations are used.
#[derive(Debug, Clone, Copy, Default)]
pub struct TakeOptions {
    /// Largest number of conversations.
    pub max_conversations: Option<usize>,
    /// Fail at the first conversation that cannot be used.
    pub strict: bool,
}

/// Counts of building a trace.
#[derive(Debug, Clone, Default)]
pub struct BuildReport {
    /// Counts of loading the files.
    pub load: LoadReport,
    /// Conversations used.
    pub conversations: u64,
    /// Conversations that the template rejected or failed on: the message, and its number of occurrences.
    pub refused: BTreeMap<String, u64>,
    /// Counts of generating the requests.
    pub generate: GenerateReport,
    /// Form of the timestamps, if they give the arrivals.
    pub time_form: Option<TimeForm>,
}

/// Chats per batch: enough to keep all cores busy, few enough to stop early if only some are needed.
const BATCH: usize = 2048;

struct Encoded {
    sessions: Vec<(String, Option<Nanos>, SessionTurns)>,
    load: LoadReport,
    refused: Vec<(String, EncodeError)>,
}

impl Encoded {
    /// Line and problem of the template, if it must not be used further.
    fn unusable(&self) -> Option<(Option<u64>, &str)> {
        self.refused.iter().find_map(|(_, error)| match error {
            EncodeError::Unusable { line, problem } => Some((*line, &**problem)),
            _ => None,
        })
    }
}

/// Builds a trace from indexed conversation files.
///
/// `done` counts the chats that are read, for a progress bar.
///
/// # Errors
/// Errors of loading and generating; with `strict` the first conversation that cannot be used.
pub fn build_trace(
    dataset: &Dataset,
    template: &ChatTemplate,
    tokenizer: &dyn Tokenizer,
    options: &GenerateOptions,
    take: TakeOptions,
    done: &AtomicU64,
) -> Result<(Trace, BuildReport)> {
    let generator = Generator::new(options.clone(), Spool::in_memory())?;
    let (generator, mut report) = encode(dataset, template, tokenizer, generator, take, done)?;
    let (trace, generate) = generator.finish(meta(template, tokenizer, &report))?;
    report.generate = generate;
    Ok((trace, report))
}

/// Arranges the same trace without building it, so that it can be written. Memory is bounded by a batch of conversations, an
/// index of about 200 bytes for each conversation and 50 for each request, and 64 MiB of ids; other ids are in a temporary file
/// near `output`.
///
/// # Errors
/// As [`build_trace`], and a temporary file that cannot be written.
pub fn arrange_trace(
    dataset: &Dataset,
    template: &ChatTemplate,
    tokenizer: &dyn Tokenizer,
    options: &GenerateOptions,
    take: TakeOptions,
    output: &Path,
    done: &AtomicU64,
) -> Result<(ArrangedTrace, BuildReport)> {
    let generator = Generator::new(options.clone(), Spool::beside(output))?;
    let (generator, mut report) = encode(dataset, template, tokenizer, generator, take, done)?;
    let trace = generator.arrange(meta(template, tokenizer, &report))?;
    report.generate = trace.report().clone();
    Ok((trace, report))
}

/// Renders and tokenizes the conversations, in batches.
fn encode(
    dataset: &Dataset,
    template: &ChatTemplate,
    tokenizer: &dyn Tokenizer,
    mut generator: Generator,
    take: TakeOptions,
    done: &AtomicU64,
) -> Result<(Generator, BuildReport)> {
    let options = generator.options().clone();
    let growth = Growth::learn(template);
    let mut report = BuildReport {
        load: dataset.report().clone(),
        ..BuildReport::default()
    };
    let most = take.max_conversations.unwrap_or(usize::MAX);
    let mut taken = 0;
    let mut from = 0;
    while from < dataset.len() && taken < most {
        let upto = (from + BATCH).min(dataset.len());
        // An unusable template ends the batch; other problems are looked at in the order of the conversations.
        let batch: Result<Vec<Result<Encoded>>> = (from..upto)
            .into_par_iter()
            .map_init(
                || PromptEncoder::new(template, &growth, tokenizer),
                |encoder, chat| {
                    let encoded = encode_chat(dataset, chat, encoder, &options);
                    done.fetch_add(1, Ordering::Relaxed);
                    match encoded.as_ref().ok().and_then(Encoded::unusable) {
                        Some((line, problem)) => Err(template.unusable(line, problem)),
                        None => Ok(encoded),
                    }
                },
            )
            .collect();
        for encoded in batch? {
            if taken >= most {
                break;
            }
            let encoded = encoded?;
            report.load.add(encoded.load);
            if options.arrival == ArrivalProcess::Timestamps {
                report.time_form = one_form(dataset, &report.load.times)?;
            }
            for (id, error) in encoded.refused {
                refuse(dataset, tokenizer, &id, error, take.strict, &mut report)?;
            }
            for (id, timestamp, turns) in encoded.sessions {
                if taken < most {
                    taken += 1;
                    generator.push(&id, timestamp, &turns)?;
                }
            }
        }
        from = upto;
    }
    report.conversations = taken as u64;
    if generator.is_empty() {
        return Err(nothing_left(dataset, template, &report));
    }
    Ok((generator, report))
}

/// Why no conversation gave a request, by the first reason met.
fn nothing_left(dataset: &Dataset, template: &ChatTemplate, report: &BuildReport) -> Error {
    let file = || Location::file(dataset.paths().next().unwrap_or(std::path::Path::new("-")));
    if let Some((reason, _)) = report.refused.first_key_value() {
        return Error::input(
            file(),
            format!(
                "the chat template `{}` accepts none of the conversations: {reason}",
                template.name()
            ),
            "set `chat_template` to another one",
        );
    }
    if report.conversations == 0
        && let Some(skipped) = report.load.skipped.iter().min_by_key(|s| s.first.line)
    {
        return Error::input(
            skipped.first.clone(),
            format!(
                "none of {} records can be used: {}",
                report.load.records,
                skipped.reason.problem()
            ),
            "give conversations with `conversations` or `messages`",
        );
    }
    Error::input(
        file(),
        "no conversation gives a request",
        "raise `max_conversations` or `max_model_len`",
    )
}

/// The form of all timestamps so far.
///
/// # Errors
/// A timestamp that cannot be read, or the first one in a second form.
fn one_form(dataset: &Dataset, times: &TimeForms) -> Result<Option<TimeForm>> {
    if let Some((record, problem)) = &times.unreadable {
        return Err(Error::input(
            dataset.location(record),
            format!("the timestamp {problem}"),
            "give a date, a time since 1970 in s, ms, us or ns, or seconds of 0 or more since the start of the data",
        ));
    }
    if let [(first, _), (second, record), ..] = times.found.as_slice() {
        return Err(Error::input(
            dataset.location(record),
            format!(
                "the timestamp is in {}, and earlier ones are in {}",
                second.name(),
                first.name()
            ),
            "write all timestamps in one form",
        ));
    }
    Ok(times.found.first().map(|(form, _)| *form))
}

fn encode_chat(
    dataset: &Dataset,
    chat: usize,
    encoder: &mut PromptEncoder<'_>,
    options: &GenerateOptions,
) -> Result<Encoded> {
    let (conversations, load) = dataset.load(chat)?;
    let mut encoded = Encoded {
        sessions: Vec::new(),
        load,
        refused: Vec::new(),
    };
    for conversation in conversations {
        let mut turns = SessionTurns::default();
        let first_only = options.mode == Mode::Single;
        let result = encoder.encode(&conversation, first_only, |turn| {
            turns.push(turn.number, turn.prompt, turn.stable, turn.output, options);
        });
        turns.close();
        match result {
            Ok(()) => encoded
                .sessions
                .push((conversation.id, conversation.timestamp, turns)),
            Err(error) => encoded.refused.push((conversation.id, error)),
        }
    }
    Ok(encoded)
}

fn refuse(
    dataset: &Dataset,
    tokenizer: &dyn Tokenizer,
    id: &str,
    error: EncodeError,
    strict: bool,
    report: &mut BuildReport,
) -> Result<()> {
    let (words, remedy) = match error {
        EncodeError::Rejected(words) => (
            format!("the chat template rejects it: {words}"),
            "remove the conversation, leave `strict` out to skip it, or set another `chat_template`",
        ),
        EncodeError::Failed(words) | EncodeError::Unusable { problem: words, .. } => (
            format!("the chat template fails: {words}"),
            "repair the template, or set another `chat_template`",
        ),
        EncodeError::Tokenizer(words) => {
            return Err(Error::input(
                Location::file(&tokenizer.identity().name),
                format!("the tokenizer cannot encode conversation `{id}`: {words}"),
                "set another `tokenizer`",
            ));
        }
    };
    if strict {
        let path = dataset
            .paths()
            .next()
            .unwrap_or(std::path::Path::new("-"))
            .to_path_buf();
        return Err(Error::input(
            Location::file(path),
            format!("conversation `{id}`: {words}"),
            remedy,
        ));
    }
    *report.refused.entry(words).or_default() += 1;
    Ok(())
}

fn meta(template: &ChatTemplate, tokenizer: &dyn Tokenizer, report: &BuildReport) -> TraceMeta {
    let mut meta = TraceMeta {
        generator: format!("replay {}", crate::base::version::VERSION),
        tokenizer: Some(tokenizer.identity().clone()),
        template: Some(Identity {
            name: template.name().into(),
            sha256: template.sha256(),
        }),
        ..TraceMeta::default()
    };
    let load = &report.load;
    for (name, count) in [
        ("records", load.records),
        ("records_skipped", load.skipped_records()),
        ("conversations", report.conversations),
        ("conversations_refused", report.refused.values().sum()),
        ("text_bytes", load.text_bytes),
    ] {
        meta.counts.insert(name.into(), json!(count));
    }
    meta
}
