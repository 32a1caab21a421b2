//! Reads measured timings of requests on a real engine: JSONL or CSV.
//!
//! | key or column | or | what |
//! |---|---|---|
//! | `request_id` | `id` | which request of the trace; a trailing number as in `bench-17` is its place; without ids, line by line |
//! | `input_toks` | `input_tokens`, `prompt_tokens`, `input_length` | prompt tokens, checked against the trace where given |
//! | `output_toks` | `output_tokens`, `completion_tokens`, `output_length` | output tokens, likewise |
//! | `queued_ts` | | when the engine took it, on the clock of the tokens |
//! | `arrival_time` | `arrival`, `arrival_s` | when it came |
//! | `first_token_ts` | `first_token`, `first_token_s` | when its first output token was there |
//! | `last_token_ts` | `last_token`, `last_token_s` | when its last was |
//!
//! Times are in seconds. vLLM logs arrivals on the wall clock and all other times on a different clock, so they cannot be
//! subtracted from each other. Times therefore count from `queued_ts` if there is one, as in the figures of vLLM and
//! LLMServingSim.

use std::borrow::Cow;
use std::path::Path;

use hashbrown::HashMap;

use crate::base::error::{Error, Fault, Location, Result};
use crate::base::io::Input;
use crate::base::table::TableReader;
use crate::trace::Trace;

/// Key names of each kind of value.
const NAMES: [&[&str]; 7] = [
    &["request_id", "id"],
    &[
        "input_toks",
        "input_tokens",
        "prompt_tokens",
        "input_length",
    ],
    &[
        "output_toks",
        "output_tokens",
        "completion_tokens",
        "output_length",
    ],
    &["queued_ts"],
    &["arrival_time", "arrival", "arrival_s"],
    &["first_token_ts", "first_token", "first_token_s"],
    &["last_token_ts", "last_token", "last_token_s"],
];
const REMEDY: &str =
    "expected request_id, queued_ts or arrival_time, first_token_ts and last_token_ts";

/// Measured times of a request, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Time to first token.
    pub ttft: f64,
    /// Time per further token; `None` with one token.
    pub tpot: Option<f64>,
    /// End-to-end time.
    pub e2e: f64,
}

/// The values of one request as text, each with its key in the file.
type Fields<'a> = [Option<(&'a str, Cow<'a, str>)>; NAMES.len()];

/// Reads measured times by request of the trace; `None` for requests that the file does not contain, or contains without
/// times.
///
/// # Errors
/// A file that cannot be read, requests that are not in the trace or have other lengths there, times that run backwards.
pub fn read(path: &Path, trace: &Trace) -> Result<Vec<Option<Measured>>> {
    let mut input = Input::open(path)?;
    let json = input.peek()?.trim_ascii_start().starts_with(b"{");
    let mut measured = vec![None; trace.requests().len()];
    // The trace may have been sorted by arrival; numeric ids are positions in the original file.
    let places: HashMap<&str, usize, std::hash::RandomState> = trace
        .requests()
        .iter()
        .enumerate()
        .map(|(index, request)| (&*request.id, index))
        .collect();
    let mut count = 0;
    let mut record = |fields: &Fields<'_>| -> Result<(), Fault> {
        let index = match &fields[0] {
            Some((_, id)) => place(id, &places, measured.len()),
            None => Some(count).filter(|index| *index < measured.len()),
        };
        count += 1;
        let Some(index) = index else {
            let id = fields[0].as_ref().map_or("", |(_, id)| id);
            return Err(Fault::new(format!("request `{id}` is not in the trace")));
        };
        let request = &trace.requests()[index];
        for (field, there) in [(1, request.input_length), (2, request.output_length)] {
            if let (Some(length), Some((name, _))) = (number(fields, field)?, &fields[field])
                && length != f64::from(there)
            {
                return Err(Fault::new(format!(
                    "`{name}` is {length} here and {there} in the trace"
                )));
            }
        }
        let (queued, arrival) = (number(fields, 3)?, number(fields, 4)?);
        let (first, last) = (number(fields, 5)?, number(fields, 6)?);
        let (Some(start), Some(first), Some(last)) = (queued.or(arrival), first, last) else {
            return Ok(());
        };
        if first < start || last < first {
            return Err(Fault::new("the request's times run backwards"));
        }
        let more = request.output_length.saturating_sub(1);
        measured[index] = Some(Measured {
            ttft: first - start,
            tpot: (more > 0).then(|| (last - first) / f64::from(more)),
            e2e: last - start,
        });
        Ok(())
    };
    if json {
        let mut lines = input.lines();
        while let Some((number, line)) = lines.next_line()? {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let object: Result<serde_json::Map<String, serde_json::Value>, Fault> =
                serde_json::from_slice(line)
                    .map_err(|error| Fault::new(format!("not a JSON object: {error}")));
            let outcome = object.and_then(|object| {
                record(&NAMES.map(|names| {
                    let (name, value) = names
                        .iter()
                        .find_map(|name| object.get(*name).map(|value| (*name, value)))?;
                    match value {
                        serde_json::Value::Null => None,
                        serde_json::Value::String(text) => Some((name, text.clone().into())),
                        other => Some((name, other.to_string().into())),
                    }
                }))
            });
            let at = || Location::line(path, number);
            outcome.map_err(|fault| fault.remedy(REMEDY).at(at()))?;
        }
    } else {
        let table = TableReader::open(input, &NAMES, 0)?
            .with_full_rows()
            .with_remedy(REMEDY);
        table.each_row(|row| {
            let mut fields: Fields<'_> = Default::default();
            for (column, field) in fields.iter_mut().enumerate() {
                let text = row.text(column)?;
                *field = (!text.is_empty()).then(|| (row.name(column), text.into()));
            }
            record(&fields).map_err(|fault| fault.remedy(REMEDY))
        })?;
    }
    if measured.iter().all(Option::is_none) {
        return Err(Error::input(
            Location::file(path),
            "contains no request with times",
            REMEDY,
        ));
    }
    Ok(measured)
}

/// The request of an id: the one with that id, or the one whose id is its trailing number.
fn place(
    id: &str,
    places: &HashMap<&str, usize, std::hash::RandomState>,
    count: usize,
) -> Option<usize> {
    if let Some(index) = places.get(id) {
        return Some(*index);
    }
    let digits = id.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = &id[digits..];
    places
        .get(number)
        .copied()
        .or_else(|| number.parse().ok().filter(|index| *index < count))
}

/// The number of one kind; `None` if the file does not contain it.
fn number(fields: &Fields<'_>, index: usize) -> Result<Option<f64>, Fault> {
    let Some((name, text)) = &fields[index] else {
        return Ok(None);
    };
    let number: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite());
    number
        .map(Some)
        .ok_or_else(|| Fault::new(format!("`{name}`: expected a number, found `{text}`")))
}

#[cfg(test)]
mod tests {
    use crate::sim::calibrate::measured::*;
    use crate::trace::format::testing;

    fn load(text: &str) -> Result<Vec<Option<Measured>>> {
        let trace = b"{\"input_toks\": 5, \"output_toks\": 3, \"arrival_time_ns\": 7}\n\
            {\"input_toks\": 6, \"output_toks\": 1, \"arrival_time_ns\": 8}\n";
        let trace = testing::read(trace, &Default::default())
            .expect("reads")
            .trace;
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), text).expect("writes");
        read(file.path(), &trace)
    }

    #[test]
    fn two_forms_of_the_same() {
        // vLLM's arrival time is on another clock, so the time of queueing is used.
        let json = r#"{"request_id": "bench-1", "input_toks": 6, "output_toks": 1, "arrival_time": 1777.5, "queued_ts": 4.0, "scheduled_ts": 4.5, "first_token_ts": 5.0, "last_token_ts": 5.0}
{"request_id": "bench-0", "input_toks": 5, "output_toks": 3, "arrival_time": 1777.5, "queued_ts": 1.0, "first_token_ts": 2.0, "last_token_ts": 6.0}"#;
        let csv = "arrival,first_token,last_token\n1,2,6\n4,5,5\n";
        let first = Measured {
            ttft: 1.0,
            tpot: Some(2.0),
            e2e: 5.0,
        };
        let second = Measured {
            ttft: 1.0,
            tpot: None,
            e2e: 1.0,
        };
        for text in [json, csv] {
            assert_eq!(load(text).expect("reads"), [Some(first), Some(second)]);
        }
        let part = "id,arrival,first_token,last_token\n1,4,5,5\n0,1,,\n";
        assert_eq!(load(part).expect("reads"), [None, Some(second)]);
    }

    #[test]
    fn what_does_not_belong_together() {
        for (text, expected) in [
            (
                "{\"request_id\": \"x\"}\n",
                "request `x` is not in the trace",
            ),
            ("{\"request_id\": \"2\"}\n", "not in the trace"),
            (
                "id,input_tokens\n0,9\n",
                ":2: `input_tokens` is 9 here and 5 in the trace",
            ),
            (
                "id,arrival,first_token,last_token\n0,4,3,5\n",
                "run backwards",
            ),
            (
                "id,arrival,first_token,last_token\n0,x,3,5\n",
                "expected a number, found `x`",
            ),
            (
                "{\"request_id\": \"0\"}\n",
                "contains no request with times",
            ),
            ("{\n", "not a JSON object"),
        ] {
            let told = load(text).expect_err("refused").to_string();
            assert!(told.contains(expected), "{told}");
        }
    }
}
