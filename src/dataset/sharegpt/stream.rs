//! Splits a stream into lines and JSON values, and counts bytes and lines.

use std::io::{BufRead, Cursor, Read};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Location, Result};
use crate::base::io::{LONGEST_LINE, too_long};

/// A stream of text.
pub(super) struct Stream {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    /// Position of the next byte.
    pub(super) at: u64,
    /// Line of the next byte; the first is 1.
    pub(super) line: u64,
}

impl Stream {
    pub(super) fn new(path: &Path, reader: Box<dyn BufRead + Send>, at: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            reader,
            at,
            line: 1,
        }
    }

    /// Location of the next byte.
    pub(super) fn location(&self) -> Location {
        Location::line(&self.path, self.line)
    }

    fn ready(&mut self) -> Result<&[u8]> {
        self.reader
            .fill_buf()
            .map_err(|source| Error::read(&self.path, source))
    }

    /// Skips blanks; returns the byte after them, which is not taken.
    pub(super) fn next_byte(&mut self) -> Result<Option<u8>> {
        loop {
            let ready = self.ready()?;
            if ready.is_empty() {
                return Ok(None);
            }
            let found = ready.iter().position(|byte| !byte.is_ascii_whitespace());
            let byte = found.map(|place| ready[place]);
            let blanks = found.unwrap_or(ready.len());
            self.take(blanks)?;
            if byte.is_some() {
                return Ok(byte);
            }
        }
    }

    /// Takes bytes that are ready.
    fn take(&mut self, count: usize) -> Result<()> {
        let ready = self.ready()?;
        let lines = memchr::memchr_iter(b'\n', &ready[..count]).count();
        self.reader.consume(count);
        self.at += count as u64;
        self.line += lines as u64;
        Ok(())
    }

    /// Takes the byte that [`Self::next_byte`] returned.
    pub(super) fn take_byte(&mut self) -> Result<()> {
        self.take(1)
    }

    /// Reads a line without its end; `false` at the end of the stream.
    pub(super) fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool> {
        line.clear();
        let read = self
            .reader
            .by_ref()
            .take(LONGEST_LINE as u64 + 1)
            .read_until(b'\n', line)
            .map_err(|source| Error::read(&self.path, source))?;
        if read > LONGEST_LINE {
            return Err(too_long(self.location()));
        }
        self.at += read as u64;
        if line.last() == Some(&b'\n') {
            self.line += 1;
            line.pop();
        }
        Ok(read > 0)
    }

    /// Reads one JSON value from its first byte to its last; `false` if the stream ends in it. What is in the value is not
    /// checked.
    pub(super) fn read_value(&mut self, value: &mut Vec<u8>) -> Result<bool> {
        value.clear();
        let start = self.location();
        let mut scan = Scan::default();
        loop {
            let ready = self.ready()?;
            if ready.is_empty() {
                // A number has no last byte.
                return Ok(!value.is_empty() && scan.depth == 0 && !scan.in_string);
            }
            let end = scan.end(ready);
            let count = end.unwrap_or(ready.len());
            if value.len() + count > LONGEST_LINE {
                return Err(too_long(start));
            }
            value.extend_from_slice(&ready[..count]);
            self.take(count)?;
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// Puts bytes back that began at a position and a line.
    pub(super) fn put_back(self, bytes: Vec<u8>, at: u64, line: u64) -> Self {
        Self {
            path: self.path,
            reader: Box::new(Cursor::new(bytes).chain(self.reader)),
            at,
            line,
        }
    }
}

/// How deep in a JSON value a position is.
#[derive(Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// The number of bytes up to the end of the value, if it is among them.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.escaped {
                self.escaped = false;
                at += 1;
            } else if self.in_string {
                at += memchr::memchr2(b'"', b'\\', &bytes[at..])?;
                if bytes[at] == b'\\' {
                    self.escaped = true;
                } else {
                    self.in_string = false;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                at += 1;
            } else {
                match bytes[at] {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' if self.depth <= 1 => {
                        // At depth 0, the byte ends what the value is in.
                        return Some(at + self.depth as usize);
                    }
                    b'}' | b']' => self.depth -= 1,
                    b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' if self.depth == 0 => {
                        // A separator where a value should be is taken as one, which is not valid.
                        return Some(at);
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::dataset::sharegpt::stream::*;

    /// All values of a text, with the line on which each begins, however the text arrives.
    fn values(text: &str, piece: usize) -> Vec<(u64, String)> {
        let reader = std::io::BufReader::with_capacity(piece, Cursor::new(text.to_owned()));
        let mut stream = Stream::new(Path::new("t"), Box::new(reader), 0);
        let mut value = Vec::new();
        let mut found = Vec::new();
        while stream.next_byte().expect("reads").is_some() {
            let line = stream.line;
            if !stream.read_value(&mut value).expect("reads") {
                break;
            }
            found.push((line, String::from_utf8_lossy(&value).into_owned()));
        }
        assert_eq!(stream.at, text.len() as u64);
        found
    }

    #[test]
    fn values_are_split_wherever_the_stream_is() {
        let text = "{\"a\": \"}\\\\\\\"]\",\n \"b\": [1, {}]}  [2]\n\"x\\\"y\" 17\n{}\n{\"cut\": [";
        let expected = [
            (1, "{\"a\": \"}\\\\\\\"]\",\n \"b\": [1, {}]}"),
            (2, "[2]"),
            (3, "\"x\\\"y\""),
            (3, "17"),
            (4, "{}"),
        ]
        .map(|(line, text)| (line, text.to_owned()));
        for piece in [1, 2, 7, 1000] {
            assert_eq!(values(text, piece), expected, "{piece}");
        }
    }
}
