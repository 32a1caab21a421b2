//! Whole prompts with conversations and times: JSONL `request_id, conversation_id, turn_index, arrival_time, prompt_token_ids,
//! response_token_ids`, and optionally `lora`, `cache_salt` and `service_time` (seconds).
//!
//! Scripts that drive a real engine's cache manager use this form. It is read but not written.

use hashbrown::HashMap;

use crate::base::error::Result;
use crate::base::io::Input;
use crate::base::registry::Card;
use crate::trace::{Content, ExtraKeys, Nanos, NewRequest, Trace, TraceBuilder};

use super::lines::{Fault, each_line, finish, foreign, plausible};
use super::scan::Scanner;
use super::{Head, ReadOptions, ReadReport, TraceFormat};

/// Reader of the trace format `token-ids`.
pub(super) struct TokenIds;

/// The last request of a conversation.
#[derive(Default)]
struct Last {
    joined: Vec<u32>,
    arrival: Nanos,
}

impl TraceFormat for TokenIds {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "token-ids",
            "JSONL of whole prompts as token ids, with conversations and times (read only)",
        );
        &CARD
    }

    fn sniff(&self, head: &Head<'_>) -> bool {
        (head.has("conversation_id") || head.has("arrival_time")) && head.has("prompt_token_ids")
    }

    fn writable(&self) -> bool {
        false
    }

    fn read(&self, input: Input, options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        let path = input.path().to_path_buf();
        let mut builder = TraceBuilder::new(Content::Tokens);
        let mut conversations: HashMap<String, Last, std::hash::RandomState> =
            HashMap::with_hasher(std::hash::RandomState::new());
        let (mut prompt, mut output) = (Vec::<u32>::new(), Vec::<u32>::new());
        let report = each_line(input, options, |line| {
            prompt.clear();
            output.clear();
            let (mut id, mut session, mut turn, mut arrival) = (None, None, 0, None);
            let mut has_prompt = false;
            let (mut extra, mut service) = (ExtraKeys::default(), None);
            Scanner::new(line)?.object(|key, value| {
                match key {
                    "request_id" => id = Some(value.name()?),
                    "conversation_id" => session = value.optional_name()?,
                    "turn_index" => turn = value.count()?,
                    "arrival_time" => arrival = Some(plausible(value.seconds()?, "seconds")?),
                    "service_time" => service = Some(value.seconds()?),
                    "prompt_token_ids" => {
                        has_prompt = true;
                        value.integers(&mut prompt)?;
                    }
                    "response_token_ids" => value.integers(&mut output)?,
                    "lora" => extra.lora = value.optional_name()?.map(Into::into),
                    "cache_salt" => extra.cache_salt = value.optional_name()?.map(Into::into),
                    _ => value.skip()?,
                }
                Ok(())
            })?;
            let id = id.ok_or_else(|| Fault::missing("request_id"))?;
            let arrival = arrival.ok_or_else(|| Fault::missing("arrival_time"))?;
            if !has_prompt {
                return Err(Fault::missing("prompt_token_ids"));
            }
            let session = session.unwrap_or_else(|| id.clone());
            let last = conversations
                .entry(session.clone().into_owned())
                .or_default();
            if arrival < last.arrival {
                return Err(
                    Fault::new("arrives before the previous turn of its conversation")
                        .remedy("sort the lines by arrival_time"),
                );
            }
            let shared = last
                .joined
                .iter()
                .zip(&prompt)
                .take_while(|(a, b)| a == b)
                .count();
            builder.push(NewRequest {
                id: &id,
                session: &session,
                turn,
                arrival,
                input_length: prompt.len() as u32,
                output_length: output.len() as u32,
                shared: shared as u32,
                fresh: &prompt[shared..],
                output: &output,
                extra: Some(&extra),
            })?;
            if let Some(time) = service {
                builder.service_time(time);
            }
            last.arrival = arrival;
            last.joined.truncate(shared);
            last.joined.extend_from_slice(&prompt[shared..]);
            last.joined.extend_from_slice(&output);
            Ok(())
        })?;
        Ok((finish(builder, foreign(self.name()), &path)?, report))
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::testing;
    use crate::trace::format::token_ids::*;

    #[test]
    fn sharing_is_found_again() {
        let text = br#"{"request_id":"a","conversation_id":"c","turn_index":0,"arrival_time":0.5,"prompt_token_ids":[1,2],"response_token_ids":[3]}
{"request_id":"b","conversation_id":"c","turn_index":1,"arrival_time":1.5,"prompt_token_ids":[1,2,3,4],"response_token_ids":[5],"service_time":0.25}
{"request_id":"d","conversation_id":"c","turn_index":2,"arrival_time":2.5,"prompt_token_ids":[1,9],"response_token_ids":[]}"#;
        let read = testing::read(text, &ReadOptions::default()).expect("reads");
        assert_eq!(read.format, "token-ids");
        let shared: Vec<u32> = read.trace.requests().iter().map(|r| r.shared).collect();
        assert_eq!(shared, [0, 3, 1]);
        let times: Vec<_> = read
            .trace
            .requests()
            .iter()
            .map(|r| r.service_time)
            .collect();
        assert_eq!(times, [None, Some(Nanos(250_000_000)), None]);
        assert_eq!(testing::prompts(&read.trace)[2].2, [1, 9]);
    }

    #[test]
    fn bad_lines() {
        testing::refuses(&[
            (
                r#"{"request_id":"a","arrival_time":"x","prompt_token_ids":[1]}"#,
                "t:1: `arrival_time`",
            ),
            (
                r#"{"conversation_id":"a","arrival_time":1,"prompt_token_ids":[1]}"#,
                "has no `request_id`",
            ),
        ]);
    }
}
