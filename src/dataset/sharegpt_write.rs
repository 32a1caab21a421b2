//! Writes conversations in ShareGPT's form.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::{Conversation, Role};
use crate::base::error::{Error, Location, Result};
use crate::base::io::OutputFile;

/// Counts of [`write_sharegpt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WrittenConversations {
    /// Records written.
    pub conversations: u64,
    /// Messages in these records.
    pub messages: u64,
    /// Bytes of JSON, before compression.
    pub bytes: u64,
}

#[derive(Serialize)]
struct Record<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<f64>,
    conversations: Vec<Said<'a>>,
}

#[derive(Serialize)]
struct Said<'a> {
    from: &'static str,
    value: &'a str,
}

/// ShareGPT's name of a role.
fn word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "human",
        Role::Assistant => "gpt",
        Role::Tool => "tool",
    }
}

/// Writes `conversations` to `path` as `{"id": ..., "conversations": [{"from": ..., "value": ...}]}`, with `timestamp` in
/// seconds where known: as one JSON array if the name ends in `.json` (or `.json.gz`, `.json.zst`), otherwise one record
/// per line. The name's ending selects the compression. The file appears under its name only when it is complete.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_sharegpt(
    path: impl AsRef<Path>,
    conversations: impl IntoIterator<Item = Conversation>,
) -> Result<WrittenConversations> {
    let path = path.as_ref();
    let fail = |source| Error::write(path, source);
    let array = is_array(path);
    let mut file = OutputFile::create(path)?;
    let mut written = WrittenConversations::default();
    let mut buffer = Vec::new();
    for conversation in conversations {
        buffer.clear();
        if array {
            buffer.extend_from_slice(if written.conversations == 0 {
                b"[\n"
            } else {
                b",\n"
            });
        }
        push_record(&mut buffer, &conversation, path)?;
        if !array {
            buffer.push(b'\n');
        }
        file.write_all(&buffer).map_err(fail)?;
        written.conversations += 1;
        written.messages += conversation.messages.len() as u64;
        written.bytes += buffer.len() as u64;
    }
    if array {
        let end: &[u8] = if written.conversations == 0 {
            b"[]\n"
        } else {
            b"\n]\n"
        };
        file.write_all(end).map_err(fail)?;
        written.bytes += end.len() as u64;
    }
    file.finish()?;
    Ok(written)
}

fn push_record(buffer: &mut Vec<u8>, conversation: &Conversation, path: &Path) -> Result<()> {
    let record = Record {
        id: &conversation.id,
        timestamp: conversation.timestamp.map(|time| time.as_secs_f64()),
        conversations: conversation
            .messages
            .iter()
            .map(|message| Said {
                from: word(message.role),
                value: &message.content,
            })
            .collect(),
    };
    serde_json::to_writer(buffer, &record).map_err(|error| {
        Error::input(
            Location::file(path),
            format!("conversation `{}` has no JSON form: {error}", record.id),
            "leave it out",
        )
    })
}

/// Whether the name, without the extension of a compression, is that of a JSON array.
fn is_array(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.strip_suffix(".zst").unwrap_or(name).ends_with(".json")
}

#[cfg(test)]
mod tests {
    use crate::base::Nanos;
    use crate::dataset::Message;
    use crate::dataset::sharegpt_write::*;

    fn sample(id: &str, timestamp: Option<Nanos>) -> Conversation {
        let say = |role, content: &str| Message {
            role,
            content: content.to_owned(),
        };
        Conversation {
            id: id.to_owned(),
            messages: vec![
                say(Role::System, "s"),
                say(Role::User, "a \"b\"\n"),
                say(Role::Assistant, "é"),
            ],
            timestamp,
        }
    }

    fn written(name: &str, items: Vec<Conversation>) -> (String, WrittenConversations) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join(name);
        let counts = write_sharegpt(&path, items).expect("writes");
        let input = crate::base::io::Input::open(&path).expect("opens");
        let bytes = input.read_to_end().expect("reads");
        assert_eq!(bytes.len() as u64, counts.bytes);
        (String::from_utf8(bytes).expect("UTF-8"), counts)
    }

    const LINE: &str = r#"{"id":"x","conversations":[{"from":"system","value":"s"},{"from":"human","value":"a \"b\"\n"},{"from":"gpt","value":"é"}]}"#;

    #[test]
    fn lines_and_arrays() {
        for name in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"] {
            let (text, counts) = written(name, vec![sample("x", None), sample("x", None)]);
            assert_eq!(text, format!("{LINE}\n{LINE}\n"), "{name}");
            assert_eq!((counts.conversations, counts.messages), (2, 6));
        }
        for name in ["a.json", "a.json.gz"] {
            let (text, _) = written(name, vec![sample("x", None), sample("x", None)]);
            assert_eq!(text, format!("[\n{LINE},\n{LINE}\n]\n"), "{name}");
        }
        assert_eq!(written("a.json", Vec::new()).0, "[]\n");
    }

    #[test]
    fn timestamps_are_seconds() {
        let (text, _) = written("a.jsonl", vec![sample("x", Some(Nanos(1_500_000_000)))]);
        assert!(text.starts_with(r#"{"id":"x","timestamp":1.5,"#), "{text}");
    }
}
