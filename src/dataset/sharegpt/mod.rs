//! ShareGPT and OpenAI-style conversation files: a JSON array, JSON lines, or consecutive JSON objects.
//!
//! A file is indexed first; its records are parsed on demand. Memory holds the text of one batch of conversations at a
//! time, and parsing can use all cores.

mod index;
mod join;
mod record;
mod report;
mod store;
mod stream;

use std::path::{Path, PathBuf};

pub use index::RecordRef;
pub use join::Join;
pub use report::{LoadReport, Reason, Skipped, TimeForms};

use index::{Index, Source};
use join::Chats;
use rayon::prelude::*;

use super::Conversation;
use crate::base::error::{Error, Location, Result};

/// Options of the loader.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// Whether chunks of a chat are joined.
    pub join: Join,
    /// Fail at the first record that would be skipped.
    pub strict: bool,
}

/// Indexed conversation files.
#[derive(Debug)]
pub struct Dataset {
    sources: Vec<Source>,
    index: Index,
    chats: Chats,
    options: LoadOptions,
    report: LoadReport,
}

impl Dataset {
    /// Opens and indexes files; `-` is standard input.
    ///
    /// # Errors
    /// A file that cannot be read, is empty, or is not JSON of a known form.
    pub fn open(paths: &[PathBuf], options: LoadOptions) -> Result<Self> {
        let mut report = LoadReport::default();
        let mut sources = Vec::new();
        let mut index = Index::default();
        for path in paths {
            let number = sources.len();
            let (source, found) =
                Source::open(path, number, index.len(), options.strict, &mut report)?;
            if found.is_empty() {
                return Err(Error::input(
                    Location::file(path),
                    "the file has no conversations",
                    "give a ShareGPT file: a JSON array or JSON lines of objects with `conversations` or `messages`",
                ));
            }
            index.append(found);
            sources.push(source);
        }
        report.records += index.len() as u64;
        let chats = Chats::group(&index, options.join);
        Ok(Self {
            sources,
            index,
            chats,
            options,
            report,
        })
    }

    /// Number of chats: groups of records. Each gives one conversation or, if it is broken, none or several.
    pub fn len(&self) -> usize {
        self.chats.len(&self.index)
    }

    /// Whether there are no chats.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// File and line of a record.
    pub fn location(&self, record: &RecordRef) -> Location {
        self.sources[record.source()].location(record)
    }

    /// Counts of indexing; the counts of loading are returned with each chat.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// Reads the conversations of one chat.
    ///
    /// # Errors
    /// With `strict`, the first unusable record.
    pub fn load(&self, chat: usize) -> Result<(Vec<Conversation>, LoadReport)> {
        let mut report = LoadReport::default();
        let chat = self.chats.chat(&self.index, chat);
        let texts = chat
            .parts
            .iter()
            .map(|part| self.sources[part.record.source()].bytes(&part.record))
            .collect::<Result<Vec<_>>>()?;
        let mut parts = Vec::with_capacity(chat.parts.len());
        for (part, text) in chat.parts.iter().zip(&texts) {
            match record::parse(text) {
                Ok(parsed) => parts.push((part, parsed)),
                Err(reason) => self.skip(part.record, reason, &mut report)?,
            }
        }
        let mut conversations = Vec::new();
        let (joined, behind_gap) = join::join(&chat, parts, self.options.join, &mut report);
        for record in behind_gap {
            self.skip(record, Reason::BehindGap, &mut report)?;
        }
        for joined in joined {
            match joined.finish(&mut report) {
                Ok(conversation) => conversations.push(conversation),
                Err((record, reason)) => self.skip(record, reason, &mut report)?,
            }
        }
        Ok((conversations, report))
    }

    fn skip(&self, record: RecordRef, reason: Reason, report: &mut LoadReport) -> Result<()> {
        let at = self.location(&record);
        if self.options.strict {
            return Err(Error::input(
                at,
                reason.problem(),
                "repair or remove the record, or leave `strict` out to skip such records",
            ));
        }
        report.skip(reason, at);
        Ok(())
    }

    /// Reads all conversations; for small data and tests.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_all(&self) -> Result<(Vec<Conversation>, LoadReport)> {
        let mut report = self.report.clone();
        let mut conversations = Vec::new();
        let loaded: Vec<_> = (0..self.len())
            .into_par_iter()
            .map(|chat| self.load(chat))
            .collect();
        for result in loaded {
            let (mut some, more) = result?;
            conversations.append(&mut some);
            report.add(more);
        }
        Ok((conversations, report))
    }

    /// Names of the files, for messages.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(Source::path)
    }
}
