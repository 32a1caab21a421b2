//! Python's string methods, where minijinja-contrib lacks them or differs.

use minijinja::value::{Kwargs, Rest, Tuple, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::python::{self, is_space};
use super::{formats, limits};

/// minijinja's callback for methods of values.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        if name == "count" {
            // It compares the argument with all items.
            limits::size(state, value)?;
        }
        return unknown_method_callback(state, value, name, args);
    };
    charge(state, text, args)?;
    match name {
        "replace" => {
            let (old, new, kwargs): (&str, &str, Rest<Value>) = from_args(args)?;
            drop(kwargs);
            if new.len() > old.len() {
                let times = match old {
                    "" => text.chars().count() + 1,
                    _ => text.matches(old).count(),
                };
                limits::charge(state, text.len() + times.saturating_mul(new.len()))?;
            }
            unknown_method_callback(state, value, name, args)
        }
        "format" => {
            formats::charge_braces(state, text, args)?;
            unknown_method_callback(state, value, name, args)
        }
        "join" => {
            let (items,): (&Value,) = from_args(args)?;
            join(state, text, items)
        }
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&Value>,) = from_args(args)?;
            strip(state, value, chars, name != "rstrip", name != "lstrip")
        }
        "split" | "rsplit" => {
            let (separator, most, kwargs): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
            let most = match most {
                Some(most) => Some(most),
                None => kwargs.get("maxsplit")?,
            };
            let separator = match separator {
                Some(separator) => Some(separator),
                None => kwargs.get("sep")?,
            };
            kwargs.assert_all_used()?;
            let most = most
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(usize::MAX);
            let separator = separator.filter(|value| !value.is_none());
            match &separator {
                None => {
                    limits::charge(state, 32 * text.split(is_space).count())?;
                    Ok(split_blank(text, most, name == "rsplit"))
                }
                Some(separator) => {
                    let separator = argument(separator)?;
                    if !separator.is_empty() {
                        limits::charge(state, 32 * text.matches(separator).count())?;
                    }
                    split(text, separator, most, name == "rsplit")
                }
            }
        }
        "splitlines" => {
            let (keep,): (Option<bool>,) = from_args(args)?;
            limits::charge(state, 32 * text.matches(ends_line).count())?;
            Ok(split_lines(text, keep.unwrap_or(false)))
        }
        "isspace" => {
            let () = from_args(args)?;
            Ok(Value::from(!text.is_empty() && text.chars().all(is_space)))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            let found = match name {
                "partition" => text.split_once(separator),
                _ => text.rsplit_once(separator),
            };
            let parts = match found {
                Some((before, after)) => [before, separator, after],
                None if name == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            Ok(Value::from(Tuple::from(parts.map(Value::from))))
        }
        "index" | "rindex" => {
            let found = unknown_method_callback(
                state,
                value,
                if name == "index" { "find" } else { "rfind" },
                args,
            )?;
            if found.as_i64() == Some(-1) {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "substring not found",
                ));
            }
            Ok(found)
        }
        "capitalize" => {
            let () = from_args(args)?;
            let mut chars = text.chars();
            let first = chars.next().map(|c| c.to_uppercase().collect::<String>());
            Ok(Value::from(
                first.unwrap_or_default() + chars.as_str().to_lowercase().as_str(),
            ))
        }
        _ => unknown_method_callback(state, value, name, args),
    }
}

/// Charges a method for reading its string and its arguments, and for a result that is three times as long: upper case can be.
fn charge(state: &State, text: &str, args: &[Value]) -> Result<(), Error> {
    let mut bytes = text.len().saturating_mul(3);
    for arg in args {
        bytes = bytes.saturating_add(match arg.as_str() {
            Some(text) => text.len(),
            None if arg.as_object().is_some() => limits::size(state, arg)?,
            None => 0,
        });
    }
    limits::charge(state, bytes)
}

fn join(state: &State, separator: &str, items: &Value) -> Result<Value, Error> {
    let mut out = String::new();
    for (at, item) in items.try_iter()?.enumerate() {
        limits::charge(state, separator.len())?;
        if at > 0 {
            out.push_str(separator);
        }
        match item.as_str() {
            Some(text) => {
                limits::charge(state, text.len())?;
                out.push_str(text);
            }
            None => out.push_str(&python::str(state, &item)?),
        }
    }
    Ok(Value::from(out))
}

fn argument(value: &Value) -> Result<&str, Error> {
    value
        .as_str()
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the argument must be a string"))
}

/// `strip` at a string's start, end or both; returns the value itself if nothing is removed.
pub(super) fn strip(
    state: &State,
    value: &Value,
    chars: Option<&Value>,
    start: bool,
    end: bool,
) -> Result<Value, Error> {
    let text = argument(value)?;
    let set = match chars.filter(|chars| !chars.is_none()) {
        Some(chars) => Some(argument(chars)?),
        None => None,
    };
    if let Some(set) = set.filter(|set| set.len() > 8) {
        limits::charge(state, text.len().saturating_mul(set.len()))?;
    }
    let goes = |c: char| set.map_or_else(|| is_space(c), |set| set.contains(c));
    let mut kept = text;
    if start {
        kept = kept.trim_start_matches(goes);
    }
    if end {
        kept = kept.trim_end_matches(goes);
    }
    Ok(if kept.len() == text.len() {
        value.clone()
    } else {
        Value::from(kept)
    })
}

fn split(text: &str, separator: &str, most: usize, from_right: bool) -> Result<Value, Error> {
    if separator.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
    }
    let parts = most.saturating_add(1);
    Ok(if from_right {
        let mut found: Vec<&str> = text.rsplitn(parts, separator).collect();
        found.reverse();
        Value::from_iter(found)
    } else {
        Value::from_iter(text.splitn(parts, separator))
    })
}

/// `split()` without a separator: a run of white space counts once, and none at the ends. With a limit, the rest after the
/// last split keeps its trailing white space, as in CPython.
fn split_blank(text: &str, most: usize, from_right: bool) -> Value {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = if from_right {
            rest.trim_end_matches(is_space)
        } else {
            rest.trim_start_matches(is_space)
        };
        if rest.is_empty() {
            break;
        }
        let at = if from_right {
            rest.rfind(is_space)
        } else {
            rest.find(is_space)
        };
        let Some(at) = at.filter(|_| found.len() < most) else {
            found.push(rest);
            break;
        };
        if from_right {
            let word = rest[at..].trim_start_matches(is_space);
            found.push(word);
            rest = &rest[..rest.len() - word.len()];
        } else {
            found.push(&rest[..at]);
            rest = &rest[at..];
        }
    }
    if from_right {
        found.reverse();
    }
    Value::from_iter(found)
}

fn ends_line(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// `splitlines`, which recognises more line ends than Rust's `lines`.
fn split_lines(text: &str, keep: bool) -> Value {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends_line) {
        let end = rest[at..].chars().next().map_or(0, char::len_utf8);
        let end = if rest[at..].starts_with("\r\n") {
            2
        } else {
            end
        };
        found.push(if keep { &rest[..at + end] } else { &rest[..at] });
        rest = &rest[at + end..];
    }
    if !rest.is_empty() {
        found.push(rest);
    }
    Value::from_iter(found)
}
