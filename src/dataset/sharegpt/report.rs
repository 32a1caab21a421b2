//! Counts of a load: records read, joined and skipped, by reason and with the first location of each.

use super::index::RecordRef;
use crate::base::Nanos;
use crate::base::error::Location;
use crate::dataset::time::{TimeForm, Timestamp};

/// Reason why a record gives no conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Not JSON, or truncated.
    NotJson,
    /// Not UTF-8.
    NotUtf8,
    /// JSON, but not an object.
    NotAnObject,
    /// An object without a list of messages.
    NoMessages,
    /// A list of messages with another value in it.
    WrongType,
    /// An unknown role.
    UnknownRole,
    /// No user message with a reply.
    NoExchange,
    /// After a gap in the chat to which it belongs.
    BehindGap,
}

impl Reason {
    /// Short name, for counts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not JSON",
            Self::NotUtf8 => "not UTF-8",
            Self::NotAnObject => "not an object",
            Self::NoMessages => "no list of messages",
            Self::WrongType => "wrong type",
            Self::UnknownRole => "unknown role",
            Self::NoExchange => "no user message with a reply",
            Self::BehindGap => "after a gap in its chat",
        }
    }

    /// Description, as the problem part of a message.
    pub fn problem(self) -> String {
        match self {
            Self::NotJson => "the record is not valid JSON".into(),
            Self::NotUtf8 => "the record is not valid UTF-8".into(),
            Self::NotAnObject => "the record is not a JSON object".into(),
            Self::NoMessages => "the record has no list under `conversations`, `messages`, `items` or `conversation`".into(),
            Self::WrongType => "the record has a value of the wrong type where a message or its parts should be".into(),
            Self::UnknownRole => "a message has an unknown role; known are human, user, gpt, assistant, chatgpt, bing, bard, model, system, tool, function".into(),
            Self::NoExchange => "the record has no user message that is followed by an assistant message".into(),
            Self::BehindGap => "the record continues a chat with a missing chunk".into(),
        }
    }
}

/// Records skipped for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Reason.
    pub reason: Reason,
    /// Number of records.
    pub count: u64,
    /// Location of the first one.
    pub first: Location,
}

/// Forms of the timestamps in conversations that were loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeForms {
    /// Every form, with the first record that has it, in order of first occurrence.
    pub found: Vec<(TimeForm, RecordRef)>,
    /// The first record whose timestamp cannot be read, and the problem.
    pub unreadable: Option<(RecordRef, String)>,
}

impl TimeForms {
    /// Records the timestamp of a record and returns its time.
    pub(super) fn note(
        &mut self,
        record: RecordRef,
        timestamp: Option<Result<Timestamp, String>>,
    ) -> Option<Nanos> {
        match timestamp? {
            Ok(Timestamp { time, form }) => {
                self.add_form(form, record);
                Some(time)
            }
            Err(problem) => {
                self.unreadable.get_or_insert((record, problem));
                None
            }
        }
    }

    fn add_form(&mut self, form: TimeForm, record: RecordRef) {
        if !self.found.iter().any(|(known, _)| *known == form) {
            self.found.push((form, record));
        }
    }

    fn add(&mut self, other: Self) {
        for (form, record) in other.found {
            self.add_form(form, record);
        }
        if self.unreadable.is_none() {
            self.unreadable = other.unreadable;
        }
    }
}

/// Counts of one load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Records found.
    pub records: u64,
    /// Chats that were joined from more than one record.
    pub joined_chats: u64,
    /// Records in these chats.
    pub joined_parts: u64,
    /// Chats that end early because a chunk is missing.
    pub gaps: u64,
    /// Messages dropped because they are empty or not text.
    pub dropped_messages: u64,
    /// Messages dropped because they precede the first user message.
    pub leading_messages: u64,
    /// Messages dropped because two consecutive messages have the same role.
    pub unpaired_messages: u64,
    /// Bytes of text in the conversations.
    pub text_bytes: u64,
    /// Forms of the timestamps.
    pub times: TimeForms,
    /// Skipped records by reason, in order of the reasons.
    pub skipped: Vec<Skipped>,
    /// Notes for the user, one line each.
    pub warnings: Vec<String>,
}

impl LoadReport {
    pub(super) fn skip(&mut self, reason: Reason, at: Location) {
        self.add_skipped(Skipped {
            reason,
            count: 1,
            first: at,
        });
    }

    fn add_skipped(&mut self, new: Skipped) {
        match self
            .skipped
            .binary_search_by_key(&new.reason, |skipped| skipped.reason)
        {
            Ok(index) => self.skipped[index].count += new.count,
            Err(index) => self.skipped.insert(index, new),
        }
    }

    /// Adds the counts of a later part of the load.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.joined_chats += other.joined_chats;
        self.joined_parts += other.joined_parts;
        self.gaps += other.gaps;
        self.dropped_messages += other.dropped_messages;
        self.leading_messages += other.leading_messages;
        self.unpaired_messages += other.unpaired_messages;
        self.text_bytes += other.text_bytes;
        for skipped in other.skipped {
            self.add_skipped(skipped);
        }
        self.times.add(other.times);
        self.warnings.extend(other.warnings);
    }

    /// Number of records skipped for any reason.
    pub fn skipped_records(&self) -> u64 {
        self.skipped.iter().map(|skipped| skipped.count).sum()
    }
}
