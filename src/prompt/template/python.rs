//! Python's text output: `str`, `repr`, `json.dumps`, `strftime`, and its definition of white space.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::limits;

/// `str.isspace` of one character; unlike Rust's, it is true for the separators U+001C to U+001F.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str(value)`.
pub(super) fn str(state: &State, value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => {
            limits::charge(state, text.len())?;
            Ok(text.to_owned())
        }
        None if value.is_undefined() => Ok(String::new()),
        None => {
            let mut out = String::new();
            repr(&mut out, state, value, 0)?;
            Ok(out)
        }
    }
}

/// Appends `repr(value)`; `depth` is the number of lists and dicts around it.
fn repr(out: &mut String, state: &State, value: &Value, depth: usize) -> Result<(), Error> {
    limits::charge(state, 0)?;
    limits::printable(depth)?;
    match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            limits::charge(state, text.len().saturating_mul(4))?;
            repr_text(out, text);
        }
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Number if !value.is_integer() => {
            out.push_str(&float(f64::try_from(value.clone()).unwrap_or(f64::NAN)));
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let is_tuple = value.is_tuple();
            let mut count = 0;
            out.push(if is_tuple { '(' } else { '[' });
            for item in value.try_iter().into_iter().flatten() {
                out.push_str(if count > 0 { ", " } else { "" });
                repr(out, state, &item, depth + 1)?;
                count += 1;
            }
            out.push_str(match (is_tuple, count) {
                (true, 1) => ",)",
                (true, _) => ")",
                (false, _) => "]",
            });
        }
        ValueKind::Map => {
            out.push('{');
            for (at, key) in value.try_iter().into_iter().flatten().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                repr(out, state, &key, depth + 1)?;
                out.push_str(": ");
                let value = value.get_item(&key).unwrap_or_default();
                repr(out, state, &value, depth + 1)?;
            }
            out.push('}');
        }
        _ => {
            // Writing to a string cannot fail.
            let _ = write!(out, "{value}");
        }
    }
    Ok(())
}

fn repr_text(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        let code = u32::from(c);
        let hidden = c.is_control()
            || (is_space(c) && c != ' ')
            || matches!(code, 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff | 0xe000..=0xf8ff);
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => out.extend(['\\', c]),
            _ if hidden => {
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
            _ => out.push(c),
        }
    }
    out.push(quote);
}

/// `repr` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let mut text = number.to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

/// The arguments of `json.dumps` that chat templates can pass.
pub(super) struct JsonStyle {
    pub(super) ascii: bool,
    pub(super) indent: Option<String>,
    pub(super) separators: (String, String),
    pub(super) sort_keys: bool,
}

/// Appends `json.dumps(value)`; values that JSON cannot represent are an error, as in Python.
pub(super) fn json(
    out: &mut String,
    state: &State,
    value: &Value,
    style: &JsonStyle,
    depth: usize,
) -> Result<(), Error> {
    limits::charge(state, 0)?;
    limits::printable(depth)?;
    let text = |out: &mut String, text: &str| -> Result<(), Error> {
        limits::charge(state, text.len().saturating_mul(6))?;
        json_text(out, text, style.ascii);
        Ok(())
    };
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if value.is_integer() => out.push_str(&value.to_string()),
        ValueKind::Number => match f64::try_from(value.clone())? {
            number if number.is_nan() => out.push_str("NaN"),
            number if number.is_infinite() => out.push_str(if number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            }),
            number => out.push_str(&float(number)),
        },
        ValueKind::String => text(out, value.as_str().unwrap_or_default())?,
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?;
            json_group(out, state, ('[', ']'), items, style, depth, |out, item| {
                json(out, state, &item, style, depth + 1)
            })?;
        }
        ValueKind::Map => {
            let mut keys = Vec::new();
            for key in value.try_iter()? {
                limits::charge(state, 32)?;
                keys.push(key);
            }
            if style.sort_keys {
                keys.sort();
            }
            json_group(out, state, ('{', '}'), keys, style, depth, |out, key| {
                match key.as_str() {
                    Some(key) => text(out, key)?,
                    None => {
                        let mut name = String::new();
                        json(&mut name, state, &key, style, depth + 1)?;
                        text(out, &name)?;
                    }
                }
                out.push_str(&style.separators.1);
                json(out, state, &value.get_item(&key)?, style, depth + 1)
            })?;
        }
        kind => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("a value of type {kind} is not JSON serializable"),
            ));
        }
    }
    Ok(())
}

fn json_group(
    out: &mut String,
    state: &State,
    (open, close): (char, char),
    items: impl IntoIterator<Item = Value>,
    style: &JsonStyle,
    depth: usize,
    mut item: impl FnMut(&mut String, Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let margin = style.indent.as_ref().map_or(0, String::len) * (depth + 1);
    let (comma, colon) = &style.separators;
    out.push(open);
    let mut is_empty = true;
    for value in items {
        limits::charge(state, margin + comma.len() + colon.len())?;
        if !is_empty {
            out.push_str(comma);
        }
        is_empty = false;
        if let Some(indent) = &style.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth + 1));
        }
        item(out, value)?;
    }
    if let Some(indent) = style.indent.as_ref().filter(|_| !is_empty) {
        out.push('\n');
        out.push_str(&indent.repeat(depth));
    }
    out.push(close);
    Ok(())
}

fn json_text(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ if c < ' ' || (ascii && c >= '\u{7f}') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// The date of `strftime_now`, always at midnight, so that runs are reproducible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) year: u32,
    pub(super) month: u32,
    pub(super) day: u32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl Day {
    /// `None` for an impossible date.
    pub(super) fn new(year: u32, month: u32, day: u32) -> Option<Self> {
        let this = Self { year, month, day };
        let ok = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && day >= 1
            && day <= this.month_days(month);
        ok.then_some(this)
    }

    fn month_days(self, month: u32) -> u32 {
        let leap = (self.year.is_multiple_of(4) && !self.year.is_multiple_of(100))
            || self.year.is_multiple_of(400);
        match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn year_day(self) -> u32 {
        (1..self.month)
            .map(|month| self.month_days(month))
            .sum::<u32>()
            + self.day
    }

    /// Days since Sunday.
    fn weekday(self) -> u32 {
        let before = self.year - 1;
        (before * 365 + before / 4 - before / 100 + before / 400 + self.year_day()) % 7
    }

    /// `datetime.strftime` in the C locale; an unknown directive is left unchanged, as in glibc.
    pub(super) fn strftime(self, format: &str) -> String {
        let mut out = String::with_capacity(format.len() + 8);
        let mut chars = format.chars();
        let month = MONTHS[self.month as usize - 1];
        let weekday = WEEKDAYS[self.weekday() as usize];
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut letter = chars.next();
            let bare = letter == Some('-');
            if bare {
                letter = chars.next();
            }
            let mut number = |value: u32, width: usize| {
                let width = if bare { 0 } else { width };
                let _ = write!(out, "{value:0width$}");
            };
            match letter {
                Some('d') => number(self.day, 2),
                Some('m') => number(self.month, 2),
                Some('y') => number(self.year % 100, 2),
                Some('Y') => number(self.year, 1),
                Some('j') => number(self.year_day(), 3),
                Some('H' | 'M' | 'S') => number(0, 2),
                Some('I') => number(12, 2),
                Some('w') => number(self.weekday(), 1),
                Some('u') => number((self.weekday() + 6) % 7 + 1, 1),
                Some('f') => number(0, 6),
                Some('e') => {
                    let _ = write!(out, "{:2}", self.day);
                }
                Some('B') => out.push_str(month),
                Some('b' | 'h') => out.push_str(&month[..3]),
                Some('A') => out.push_str(weekday),
                Some('a') => out.push_str(&weekday[..3]),
                Some('p') => out.push_str("AM"),
                Some('F') => out.push_str(&self.strftime("%Y-%m-%d")),
                Some('T' | 'X') => out.push_str("00:00:00"),
                Some('R') => out.push_str("00:00"),
                Some('D' | 'x') => out.push_str(&self.strftime("%m/%d/%y")),
                Some('c') => out.push_str(&self.strftime("%a %b %e %H:%M:%S %Y")),
                Some('Z' | 'z') => {}
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('%') => out.push('%'),
                Some(other) => out.extend(['%', other]),
                None => out.push('%'),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use crate::prompt::template::python::*;

    #[test]
    fn floats_are_printed_as_python_does() {
        let cases = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1.5e-7, "1.5e-07"),
            (-0.0, "-0.0"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
        ];
        for (number, text) in cases {
            assert_eq!(float(number), text);
        }
    }

    #[test]
    fn a_day_is_printed_as_strftime_does() {
        let Some(day) = Day::new(2024, 7, 26) else {
            panic!("a day of the calendar")
        };
        assert_eq!(
            day.strftime("%d %b %Y|%Y-%m-%d|%B %A %H:%M|%j %-d %e %a %%"),
            "26 Jul 2024|2024-07-26|July Friday 00:00|208 26 26 Fri %"
        );
        assert_eq!(Day::new(2023, 2, 29), None);
    }

    #[test]
    fn repr_chooses_quotes_as_python_does() {
        let text = |source: &str| {
            let mut out = String::new();
            repr_text(&mut out, source);
            out
        };
        assert_eq!(text("it's"), "\"it's\"");
        assert_eq!(text("a'b\"c\n\u{a0}\u{e9}"), "'a\\'b\"c\\n\\xa0\u{e9}'");
    }
}
