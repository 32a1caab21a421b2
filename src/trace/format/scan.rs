//! A small JSON reader for one line. Integer arrays, which take most of the time, are parsed directly into a reused buffer.
//!
//! Only the values of a trace line are parsed by hand; strings with escapes and values without a known key use `serde_json`.

use std::borrow::Cow;

use super::lines::Fault;
use crate::trace::Nanos;

/// A cursor over one line.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Creates a cursor at the start of `line`.
    pub(super) fn new(line: &'a [u8]) -> Result<Self, Fault> {
        match std::str::from_utf8(line) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(error) => Err(Fault::new(format!(
                "invalid UTF-8 at byte {}",
                error.valid_up_to() + 1
            ))),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.bytes().get(self.at) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.bytes().get(self.at).copied()
    }

    fn expected(&self, what: &str) -> Fault {
        match self.text[self.at..].chars().next() {
            Some(found) => Fault::new(format!(
                "expected {what} at column {}, found `{}`",
                self.at + 1,
                found.escape_default()
            )),
            None => Fault::new(format!(
                "expected {what}, but the line ends at column {} (truncated JSON)",
                self.at + 1
            )),
        }
    }

    fn take(&mut self, byte: u8, what: &str) -> Result<(), Fault> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.expected(what))
    }

    /// Parses the whole line as an object; `field` gets every key and must parse its value.
    pub(super) fn object(
        &mut self,
        mut field: impl FnMut(&str, &mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.take(b'{', "a JSON object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                let key = self.string("a key in quotes")?;
                self.take(b':', "`:`")?;
                field(&key, self).map_err(|fault| fault.of_key(&key))?;
                if self.peek() == Some(b',') {
                    self.at += 1;
                    continue;
                }
                self.take(b'}', "`,` or `}`")?;
                break;
            }
        }
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the line")),
        }
    }

    /// Parses a string.
    pub(super) fn string(&mut self, what: &str) -> Result<Cow<'a, str>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.expected(what));
        }
        let start = self.at + 1;
        let rest = &self.bytes()[start..];
        match rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
        {
            Some(end) if rest[end] == b'"' => {
                self.at = start + end + 1;
                Ok(Cow::Borrowed(&self.text[start..start + end]))
            }
            _ => self.value::<String>(what).map(Cow::Owned),
        }
    }

    /// Parses a string, or the text of a number: ids occur as both.
    pub(super) fn name(&mut self) -> Result<Cow<'a, str>, Fault> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number().map(Cow::Borrowed),
            _ => self.string("a string or a number"),
        }
    }

    /// Like [`Self::name`], with `null` as `None`.
    pub(super) fn optional_name(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        Ok(if self.null() {
            None
        } else {
            Some(self.name()?)
        })
    }

    /// Consumes `null` if it is the next value, and returns whether it was.
    pub(super) fn null(&mut self) -> bool {
        self.space();
        let found = self.text[self.at..].starts_with("null");
        if found {
            self.at += 4;
        }
        found
    }

    /// Parses any value with `serde_json`.
    pub(super) fn value<T: serde::de::DeserializeOwned>(&mut self, what: &str) -> Result<T, Fault> {
        self.space();
        if self.at == self.text.len() {
            return Err(self.expected(what));
        }
        let mut stream = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<T>();
        match stream.next() {
            Some(Ok(value)) => {
                self.at += stream.byte_offset();
                Ok(value)
            }
            Some(Err(error)) if error.is_eof() => {
                self.at = self.text.len();
                Err(self.expected(what))
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Skips a value.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        self.value::<serde::de::IgnoredAny>("a JSON value")
            .map(|_| ())
    }

    /// Returns the text of a number, so that no digit is lost.
    pub(super) fn number(&mut self) -> Result<&'a str, Fault> {
        self.space();
        let rest = &self.bytes()[self.at..];
        let len = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        if len == 0 {
            return Err(self.expected("a number"));
        }
        let text = &self.text[self.at..self.at + len];
        if text.parse::<f64>().is_err() {
            return Err(self.expected("a number"));
        }
        self.at += len;
        Ok(text)
    }

    /// Parses a time in seconds, 0 or more.
    pub(super) fn seconds(&mut self) -> Result<Nanos, Fault> {
        let text = self.number()?;
        Nanos::parse_secs(text).ok_or_else(|| {
            Fault::new(format!(
                "expected seconds from 0 to 18446744073, found {text}"
            ))
        })
    }

    /// Parses a whole number that fits 32 bits.
    pub(super) fn count(&mut self) -> Result<u32, Fault> {
        self.space();
        let start = self.at;
        let number = self.number()?;
        super::lines::count(number).ok_or_else(|| {
            self.at = start;
            self.expected("a whole number from 0 to 4294967295")
        })
    }

    /// Parses an array of whole numbers and appends them to `into`.
    pub(super) fn integers<T: TryFrom<u64>>(&mut self, into: &mut Vec<T>) -> Result<(), Fault> {
        self.take(b'[', "an array of whole numbers")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        let bytes = self.bytes();
        loop {
            self.space();
            let start = self.at;
            let mut at = start;
            let mut value = 0u64;
            while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
                at += 1;
            }
            // A number of fewer than 20 digits cannot have overflowed.
            let value = match at - start {
                0 => None,
                1..=19 => Some(value),
                _ => self.text[start..at].parse().ok(),
            };
            match value.and_then(|value| T::try_from(value).ok()) {
                Some(value) => into.push(value),
                None => return Err(self.expected("a whole number in range")),
            }
            self.at = at;
            match bytes.get(at) {
                Some(b',') => self.at += 1,
                _ if self.peek() == Some(b',') => self.at += 1,
                _ => return self.take(b']', "`,` or `]`"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::scan::*;

    fn array(text: &str) -> Result<Vec<u32>, String> {
        let mut out = Vec::new();
        Scanner::new(text.as_bytes())
            .and_then(|mut s| s.integers(&mut out))
            .map_err(|fault| fault.problem)?;
        Ok(out)
    }

    #[test]
    fn arrays() {
        assert_eq!(array("[]"), Ok(vec![]));
        assert_eq!(array(" [ 1 , 22,4294967295 ]"), Ok(vec![1, 22, u32::MAX]));
        for bad in [
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[-1]",
            "[1.5]",
            "[4294967296]",
            "[99999999999999999999999]",
            "[\"1\"]",
            "[null]",
            "7",
            "",
        ] {
            assert!(array(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn objects_skip_keys_that_are_not_asked_for() {
        let line = br#" {"a": {"x": [1, "}"]}, "b\u0041": 7, "n": null, "s": "q\"r"} "#;
        let mut seen = Vec::new();
        Scanner::new(line)
            .and_then(|mut s| {
                s.object(|key, s| {
                    match key {
                        "bA" => seen.push(s.number()?.to_owned()),
                        "s" => seen.push(s.name()?.into_owned()),
                        "n" => assert!(s.null()),
                        _ => s.skip()?,
                    }
                    Ok(())
                })
            })
            .map_err(|fault| fault.problem)
            .expect("reads");
        assert_eq!(seen, ["7", "q\"r"]);
    }
}
