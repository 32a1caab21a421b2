//! Parses one record, whose fields have different names and forms in different data sets.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::report::Reason;
use crate::dataset::Role;
use crate::dataset::time::Timestamp;

/// A message of a record. Unusable messages are kept at first, because chunk ids count them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawMessage<'a> {
    /// Role; `None` if it is unknown.
    pub(super) role: Option<Role>,
    /// Text; `None` if the value is not text.
    pub(super) content: Option<Cow<'a, str>>,
}

#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) messages: Vec<RawMessage<'a>>,
    /// The time, or why it cannot be read; `None` if the record has none.
    pub(super) timestamp: Option<Result<Timestamp, String>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    conversations: Option<List<'a>>,
    #[serde(borrow, default)]
    conversation: Option<List<'a>>,
    #[serde(borrow, default)]
    messages: Option<List<'a>>,
    #[serde(borrow, default)]
    items: Option<List<'a>>,
    #[serde(borrow, default)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow, default)]
    created_at: Option<Text<'a>>,
    #[serde(borrow, default)]
    create_time: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    from: Option<Text<'a>>,
    #[serde(borrow, default)]
    role: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    markdown: Option<Text<'a>>,
}

/// Parses a record.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Reason> {
    let text = std::str::from_utf8(bytes).map_err(|_| Reason::NotUtf8)?;
    // Serde would take a list for an object whose fields come in order.
    if text.trim_start().starts_with('[') {
        let valid = serde_json::from_str::<IgnoredAny>(text).is_ok();
        return Err(if valid {
            Reason::NotAnObject
        } else {
            Reason::NotJson
        });
    }
    let record: Record<'_> = serde_json::from_str(text).map_err(|error| why(text, &error))?;
    let lists = [
        record.conversations,
        record.messages,
        record.items,
        record.conversation,
    ];
    let Some(list) = lists.into_iter().flatten().next() else {
        return Err(Reason::NoMessages);
    };
    let messages = match list {
        List::Messages(messages) => messages,
        List::Other => return Err(Reason::NoMessages),
    };
    let times = [record.timestamp, record.created_at, record.create_time];
    let timestamp = times.into_iter().flatten().find_map(Text::time);
    Ok(Parsed {
        messages,
        timestamp,
    })
}

fn why(text: &str, error: &serde_json::Error) -> Reason {
    match error.classify() {
        serde_json::error::Category::Data if text.trim_start().starts_with('{') => {
            Reason::WrongType
        }
        serde_json::error::Category::Data => Reason::NotAnObject,
        _ => Reason::NotJson,
    }
}

/// A list of messages, or another value where a list was expected.
enum List<'a> {
    Messages(Vec<RawMessage<'a>>),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = List<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of messages")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut messages = Vec::new();
                while let Some(entry) = seq.next_element::<Entry<'de>>()? {
                    messages.push(entry.message());
                }
                Ok(List::Messages(messages))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(List::Other)
            }
            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(List::Other)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(List::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(List::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(List::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(List::Other)
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(List::Other)
            }
        }
        deserializer.deserialize_any(ListVisitor)
    }
}

impl<'a> Entry<'a> {
    fn message(self) -> RawMessage<'a> {
        let speaker = [self.from, self.role].into_iter().flatten().next();
        let role = match &speaker {
            Some(Text::Is(word)) => Role::parse(word),
            _ => None,
        };
        let texts = [self.value, self.content, self.text, self.markdown];
        let content = texts.into_iter().flatten().find_map(|text| match text {
            Text::Is(text) => Some(text),
            _ => None,
        });
        RawMessage { role, content }
    }
}

/// A text, a number in place of a time, or any other value.
enum Text<'a> {
    Is(Cow<'a, str>),
    /// All digits of the number: nanoseconds since 1970 do not fit into an `f64`.
    Number(String),
    Other,
}

impl Text<'_> {
    /// Parses a time; `None` if there is no text and no number.
    fn time(self) -> Option<Result<Timestamp, String>> {
        match self {
            Self::Number(number) => Some(Timestamp::parse(&number)),
            Self::Is(text) if text.trim().is_empty() => None,
            Self::Is(text) => Some(Timestamp::parse(&text)),
            Self::Other => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text::Is(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text::Is(Cow::Owned(text.to_owned())))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Text::Other)
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Text::Number(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Text::Number(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Text::Number(number.to_string()))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text::Other)
            }
            /// OpenAI's content parts: their text parts, joined.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut joined = String::new();
                let mut any = false;
                while let Some(part) = seq.next_element::<Part<'de>>()? {
                    if let Some(Text::Is(text)) = part.text {
                        joined.push_str(&text);
                        any = true;
                    }
                }
                Ok(if any {
                    Text::Is(Cow::Owned(joined))
                } else {
                    Text::Other
                })
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
}

#[cfg(test)]
mod tests {
    use crate::base::Nanos;
    use crate::dataset::sharegpt::record::*;

    fn texts(json: &str) -> Result<Vec<String>, Reason> {
        let parsed = parse(json.as_bytes())?;
        let show =
            |m: RawMessage<'_>| format!("{:?}:{}", m.role, m.content.unwrap_or("<none>".into()));
        Ok(parsed.messages.into_iter().map(show).collect())
    }

    #[test]
    fn all_names_are_known() {
        for list in ["conversations", "items", "messages", "conversation"] {
            for who in ["from", "role"] {
                for what in ["value", "content", "text", "markdown"] {
                    let json = format!(
                        r#"{{"{list}":[{{"{who}":"human","{what}":"a\n"}},{{"{who}":"bard","{what}":"b"}}]}}"#
                    );
                    assert_eq!(
                        texts(&json).expect("parses"),
                        ["Some(User):a\n", "Some(Assistant):b"]
                    );
                }
            }
        }
    }

    #[test]
    fn odd_content_is_no_text_and_odd_records_have_reasons() {
        let json = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"},{"text":"b"}]},
            {"role":"alien","content":7},{"role":"assistant","content":null},{"role":"assistant"}]}"#;
        assert_eq!(
            texts(json).expect("parses"),
            [
                "Some(User):ab",
                "None:<none>",
                "Some(Assistant):<none>",
                "Some(Assistant):<none>"
            ]
        );
        for (json, reason) in [
            ("{\"id\":1}", Reason::NoMessages),
            ("{\"messages\":3}", Reason::NoMessages),
            ("{\"messages\":[3]}", Reason::WrongType),
            ("[]", Reason::NotAnObject),
            ("{\"messages\":", Reason::NotJson),
        ] {
            assert_eq!(texts(json), Err(reason), "{json}");
        }
        assert_eq!(parse(b"{\"id\":\"\xff\"}").err(), Some(Reason::NotUtf8));
    }

    #[test]
    fn times_in_several_forms() {
        for (json, nanos) in [
            (r#""2023-04-01T00:00:00Z""#, 1_680_307_200_000_000_000),
            ("1680307200", 1_680_307_200_000_000_000),
            ("1680307200000", 1_680_307_200_000_000_000),
            ("1680307200000001", 1_680_307_200_000_001_000),
            ("1680307200000000001", 1_680_307_200_000_000_001),
            (r#""1680307200.0""#, 1_680_307_200_000_000_000),
            ("0.25", 250_000_000),
        ] {
            let json = format!(r#"{{"timestamp":{json},"messages":[]}}"#);
            let time = parse(json.as_bytes()).expect("parses").timestamp;
            let time = time.map(|time| time.map(|time| time.time));
            assert_eq!(time, Some(Ok(Nanos(nanos))), "{json}");
        }
        let bad = parse(br#"{"timestamp":-5,"messages":[]}"#).expect("parses");
        assert_eq!(bad.timestamp, Some(Err("`-5` is negative".into())));
        for none in ["null", "true", r#""""#] {
            let json = format!(r#"{{"timestamp":{none},"messages":[]}}"#);
            assert_eq!(parse(json.as_bytes()).expect("parses").timestamp, None);
        }
    }
}
