//! Joins chunks of split chats.
//!
//! The common "split" file splits chats near 2,048 tokens: ids are `<chat>_<index of the first message>`, and the last
//! message of a chunk is repeated as the first of the next. Without joining, each chunk looks like a separate conversation,
//! which hides most of the sharing.

use std::collections::HashMap;

use super::index::{Index, RecordRef};
use super::record::{Parsed, RawMessage};
use super::report::{LoadReport, Reason};
use crate::dataset::time::Timestamp;
use crate::dataset::{Conversation, Message, Role};

/// Whether chunks are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Join {
    /// If all ids have the form of chunk ids and the overlapping messages agree.
    #[default]
    Auto,
    /// Wherever an id has the form of a chunk id.
    Always,
    /// Never: every record is a conversation.
    Never,
}

/// A record as a chunk of a chat.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) record: RecordRef,
    /// Index of the chunk's first message in the chat.
    start: u64,
    id: String,
}

/// Records of one chat, by index of their first message.
#[derive(Debug)]
pub(super) struct Chat {
    id: String,
    pub(super) parts: Vec<Part>,
}

/// The chats of an index, in order of first occurrence.
#[derive(Debug)]
pub(super) enum Chats {
    /// Every record is a chat.
    Records,
    /// Records are chunks of chats.
    Joined {
        /// Records by chat and index of their first message.
        records: Vec<usize>,
        /// Where the records of each chat end.
        ends: Vec<usize>,
    },
}

/// Splits `abc_17` into (`abc`, 17).
fn chunk_id(id: &str) -> Option<(&str, u64)> {
    let (chat, start) = id.rsplit_once('_')?;
    let digits = !start.is_empty() && start.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !chat.is_empty()).then(|| start.parse().ok().map(|start| (chat, start)))?
}

impl Chats {
    /// Groups records into chats.
    pub(super) fn group(index: &Index, join: Join) -> Self {
        let has_form = |record| chunk_id(index.id(record)).is_some();
        let join = match join {
            Join::Auto if (0..index.len()).all(has_form) => true,
            Join::Always => true,
            _ => false,
        };
        if !join {
            return Self::Records;
        }
        let mut chats: HashMap<&str, usize> = HashMap::new();
        let mut count = 0;
        // The chat and the first message of each record; records whose ids are not those of chunks are chats of their own.
        let mut records: Vec<(usize, u64, usize)> = (0..index.len())
            .map(|record| {
                let mut new = || {
                    count += 1;
                    count - 1
                };
                match chunk_id(index.id(record)) {
                    Some((chat, start)) => (*chats.entry(chat).or_insert_with(new), start, record),
                    None => (new(), 0, record),
                }
            })
            .collect();
        records.sort_unstable();
        let chats = records.chunk_by(|a, b| a.0 == b.0);
        let ends = chats.scan(0, |end, chat| {
            *end += chat.len();
            Some(*end)
        });
        Self::Joined {
            ends: ends.collect(),
            records: records.iter().map(|(_, _, record)| *record).collect(),
        }
    }

    /// Number of chats of the index.
    pub(super) fn len(&self, index: &Index) -> usize {
        match self {
            Self::Records => index.len(),
            Self::Joined { ends, .. } => ends.len(),
        }
    }

    /// One chat of the index.
    pub(super) fn chat(&self, index: &Index, number: usize) -> Chat {
        let part = |record: usize, start: u64| Part {
            record: index.record(record),
            start,
            id: index.id(record).to_owned(),
        };
        match self {
            Self::Records => Chat {
                id: index.id(number).to_owned(),
                parts: vec![part(number, 0)],
            },
            Self::Joined { records, ends } => {
                let from = number.checked_sub(1).map_or(0, |before| ends[before]);
                let records = &records[from..ends[number]];
                let id = index.id(records[0]);
                Chat {
                    id: chunk_id(id).map_or(id, |(chat, _)| chat).to_owned(),
                    parts: records
                        .iter()
                        .map(|record| {
                            let start = chunk_id(index.id(*record)).map_or(0, |(_, start)| start);
                            part(*record, start)
                        })
                        .collect(),
                }
            }
        }
    }
}

/// A conversation while it is assembled from raw messages.
#[derive(Debug)]
pub(super) struct Joined<'a> {
    id: String,
    record: RecordRef,
    messages: Vec<RawMessage<'a>>,
    timestamp: Option<Result<Timestamp, String>>,
}

/// Joins the chunks of a chat. Under [`Join::Auto`], chunks that contradict each other stay separate conversations: their
/// ids only look like chunk ids.
pub(super) fn join<'a>(
    chat: &Chat,
    parts: Vec<(&Part, Parsed<'a>)>,
    join: Join,
    report: &mut LoadReport,
) -> (Vec<Joined<'a>>, Vec<RecordRef>) {
    let mut behind_gap = Vec::new();
    let mut done: Vec<Joined<'a>> = Vec::new();
    let mut origin = 0;
    let mut gap = false;
    let begin = |part: &Part, id: &str, parsed: Parsed<'a>| Joined {
        id: id.to_owned(),
        record: part.record,
        messages: parsed.messages,
        timestamp: parsed.timestamp,
    };
    if join == Join::Auto && contradict(&parts) {
        let apart = parts
            .into_iter()
            .map(|(part, parsed)| begin(part, &part.id, parsed));
        return (apart.collect(), behind_gap);
    }
    if parts.len() > 1 {
        report.joined_chats += 1;
        report.joined_parts += parts.len() as u64;
    }
    for (part, parsed) in parts {
        let Some(chat_so_far) = done.first_mut() else {
            origin = part.start;
            done.push(begin(part, &chat.id, parsed));
            continue;
        };
        let known = chat_so_far.messages.len() as u64;
        let Some(overlap) = known.checked_sub(part.start - origin) else {
            report.gaps += u64::from(!gap);
            gap = true;
            behind_gap.push(part.record);
            continue;
        };
        let overlap = overlap as usize;
        chat_so_far
            .messages
            .extend(parsed.messages.into_iter().skip(overlap));
    }
    (done, behind_gap)
}

/// Whether a chunk's overlapping message differs from the message at its index. If it does, the ids are not chunk ids, and
/// agreement of other chunks is a coincidence.
fn contradict(parts: &[(&Part, Parsed<'_>)]) -> bool {
    let Some(((first, parsed), rest)) = parts.split_first() else {
        return false;
    };
    let mut said: Vec<&RawMessage<'_>> = parsed.messages.iter().collect();
    for (part, parsed) in rest {
        let from = (part.start - first.start) as usize;
        // Behind a gap nothing can be compared.
        let Some(known) = said.get(from..) else { break };
        let overlap = known.len();
        if known
            .iter()
            .zip(&parsed.messages)
            .any(|(known, repeated)| *known != repeated)
        {
            return true;
        }
        said.extend(parsed.messages.iter().skip(overlap));
    }
    false
}

impl Joined<'_> {
    /// Drops unusable messages, and those before the first user message.
    pub(super) fn finish(
        self,
        report: &mut LoadReport,
    ) -> Result<Conversation, (RecordRef, Reason)> {
        let mut messages = Vec::with_capacity(self.messages.len());
        let mut user_seen = false;
        for raw in self.messages {
            let content = match raw.content {
                Some(content) if !content.is_empty() => content,
                _ => {
                    report.dropped_messages += 1;
                    continue;
                }
            };
            let Some(role) = raw.role else {
                return Err((self.record, Reason::UnknownRole));
            };
            user_seen |= role == Role::User;
            if !user_seen && role != Role::System {
                report.leading_messages += 1;
                continue;
            }
            messages.push(Message {
                role,
                content: content.into_owned(),
            });
        }
        let said = messages.len();
        let messages = alternate(messages);
        report.unpaired_messages += (said - messages.len()) as u64;
        let answered = messages
            .windows(2)
            .any(|pair| pair[0].role == Role::User && pair[1].role == Role::Assistant);
        if !answered {
            return Err((self.record, Reason::NoExchange));
        }
        let timestamp = report.times.note(self.record, self.timestamp);
        let conversation = Conversation {
            id: self.id,
            messages,
            timestamp,
        };
        report.text_bytes += conversation.text_bytes() as u64;
        Ok(conversation)
    }
}

/// Makes the roles alternate: of consecutive user messages the last is kept, of consecutive assistant messages the first.
fn alternate(messages: Vec<Message>) -> Vec<Message> {
    let mut kept: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        match (kept.last().map(|last| last.role), message.role) {
            (Some(Role::User), Role::User) => {
                kept.pop();
            }
            (Some(Role::Assistant), Role::Assistant) => continue,
            _ => {}
        }
        kept.push(message);
    }
    kept
}

#[cfg(test)]
mod tests {
    use crate::dataset::sharegpt::join::*;

    #[test]
    fn chunk_ids() {
        assert_eq!(chunk_id("QWJhYvA_0"), Some(("QWJhYvA", 0)));
        assert_eq!(chunk_id("a_b_17"), Some(("a_b", 17)));
        for id in ["abc", "abc_", "_3", "abc_x1", "abc_-1"] {
            assert_eq!(chunk_id(id), None, "{id}");
        }
    }

    #[test]
    fn speakers_take_turns() {
        let say = |roles: &str| -> Vec<Message> {
            let role = |c| match c {
                'u' => Role::User,
                'a' => Role::Assistant,
                't' => Role::Tool,
                _ => Role::System,
            };
            roles
                .chars()
                .enumerate()
                .map(|(i, c)| Message {
                    role: role(c),
                    content: i.to_string(),
                })
                .collect()
        };
        let left = |roles: &str| -> String {
            alternate(say(roles))
                .into_iter()
                .map(|m| m.content)
                .collect()
        };
        assert_eq!(left("suaua"), "01234");
        assert_eq!(left("uaaua"), "0134");
        assert_eq!(left("uuauua"), "1245");
        assert_eq!(left("uatau"), "01234");
    }
}
