//! What loading met: records read, joined and skipped, by reason and with the first places.

use crate::base::error::Location;

/// Why a record gives no conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Not JSON, or cut off.
    NotJson,
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// JSON, but no object.
    NotAnObject,
    /// An object without a list of messages.
    NoMessages,
    /// A list of messages with something else in it.
    WrongType,
    /// A speaker that is not known.
    UnknownRole,
    /// No user message that an assistant answers.
    NoExchange,
    /// Behind a gap in the chat of which it is a part.
    BehindGap,
}

impl Reason {
    /// For counts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not JSON",
            Self::NotUtf8 => "not UTF-8",
            Self::NotAnObject => "not an object",
            Self::NoMessages => "no list of messages",
            Self::WrongType => "wrong type",
            Self::UnknownRole => "unknown role",
            Self::NoExchange => "no user message with a reply",
            Self::BehindGap => "behind a gap in its chat",
        }
    }

    /// As the problem part of a message.
    pub fn problem(self) -> String {
        match self {
            Self::NotJson => "the record is not valid JSON".into(),
            Self::NotUtf8 => "the record is not valid UTF-8".into(),
            Self::NotAnObject => "the record is not a JSON object".into(),
            Self::NoMessages => "the record has no list under `conversations`, `messages`, `items` or `conversation`".into(),
            Self::WrongType => "the record has a value of the wrong type where a message or its parts should be".into(),
            Self::UnknownRole => "a message has an unknown role; known are human, user, gpt, assistant, chatgpt, bing, bard, model, system, tool, function".into(),
            Self::NoExchange => "the record has no user message that is followed by an assistant message".into(),
            Self::BehindGap => "the record continues a chat of which a part is missing".into(),
        }
    }
}

/// Records skipped for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Why.
    pub reason: Reason,
    /// How many.
    pub count: u64,
    /// Where the first one stands.
    pub first: Location,
}

/// Counts of a load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Records found.
    pub records: u64,
    /// Chats that were put together from more than one record.
    pub joined_chats: u64,
    /// Records in them.
    pub joined_parts: u64,
    /// Chats that end early because a part is missing.
    pub gaps: u64,
    /// Messages dropped because they are empty or no text.
    pub dropped_messages: u64,
    /// Messages dropped because they stand before the first user message.
    pub leading_messages: u64,
    /// Messages dropped because two of the same speaker follow each other.
    pub unpaired_messages: u64,
    /// Bytes of text in the conversations.
    pub text_bytes: u64,
    /// By reason, in order of reason.
    pub skipped: Vec<Skipped>,
    /// What the user should know, one line each.
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

    /// Adds the counts of what was loaded later.
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
        self.warnings.extend(other.warnings);
    }

    /// Records skipped for any reason.
    pub fn skipped_records(&self) -> u64 {
        self.skipped.iter().map(|skipped| skipped.count).sum()
    }
}
