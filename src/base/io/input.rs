//! Input streams: plain, `.gz`, `.zst` or standard input, read as bytes or line by line.

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use super::line_limit::{self, LineLimit};
use super::{open, packing};
use crate::base::error::{Error, Location, Result};

/// Size of the read buffer in bytes.
pub(super) const BUFFER: usize = 1 << 20;

/// Most bytes of a configuration: a cluster, a script, a template, a price list.
const LARGEST_CONFIGURATION: u64 = 16 << 20;

/// Most bytes of any other file that is read as a whole: vocabularies, tables of results.
const LARGEST_WHOLE: u64 = 1 << 30;

/// An input file or stream. Compression is detected from the first bytes, so a file with another ending can still be read.
pub struct Input {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    /// The file, if its bytes are the content.
    file: Option<File>,
    /// Bytes of the file before the content: its byte order mark.
    skipped: u64,
}

impl Input {
    /// Opens `path`; `-` means standard input.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened; [`Error::Input`] if it is a folder or a device, or packed in another way.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let opened = open::open(path)?;
        Self::new(path, opened.reader, opened.file)
    }

    /// Creates an input from bytes in memory, with a name for messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(
        path: impl AsRef<Path>,
        bytes: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<Self> {
        Self::from_reader(path, Box::new(std::io::Cursor::new(bytes)))
    }

    /// Creates an input from another stream, with a name for messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_reader(path: impl AsRef<Path>, raw: Box<dyn Read + Send>) -> Result<Self> {
        Self::new(path.as_ref(), raw, None)
    }

    fn new(path: &Path, raw: Box<dyn Read + Send>, file: Option<File>) -> Result<Self> {
        let (reader, packed) = packing::unpacked(path, raw)?;
        let mut input = Self {
            path: path.to_path_buf(),
            reader,
            file: file.filter(|_| !packed),
            skipped: 0,
        };
        if input.peek()?.starts_with(b"\xef\xbb\xbf") {
            input.reader.consume(3);
            input.skipped = 3;
        }
        Ok(input)
    }

    /// The path, as printed in errors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the buffered bytes without consuming them; they are enough to detect a format.
    ///
    /// # Errors
    /// [`Error::Io`] if reading fails.
    pub fn peek(&mut self) -> Result<&[u8]> {
        self.reader
            .fill_buf()
            .map_err(|source| Error::read(&self.path, source))
    }

    /// Reads the rest of the content, at most 1 GiB.
    ///
    /// # Errors
    /// [`Error::Io`] if reading or decompressing fails; [`Error::Input`] if there is more.
    pub fn read_to_end(self) -> Result<Vec<u8>> {
        read_at_most(&self.path, self.reader, LARGEST_WHOLE)
    }

    /// Returns a reader of lines.
    pub fn lines(self) -> LineReader {
        LineReader {
            input: self,
            number: 0,
            buffer: Vec::new(),
        }
    }

    /// Returns the stream, for parsers that do not work line by line. A line that is too long is an error of reading.
    pub fn into_reader(self) -> Box<dyn BufRead + Send> {
        Box::new(LineLimit::new(self.reader))
    }

    /// Returns the stream, the file if its bytes are the content, and the position of the content in it.
    pub(crate) fn into_parts(self) -> (Box<dyn BufRead + Send>, Option<File>, u64) {
        (self.reader, self.file, self.skipped)
    }
}

/// Reads a configuration: a file of at most 16 MiB, so that another file given by mistake does not fill the memory.
///
/// # Errors
/// As [`Input::open`], and a larger file.
pub fn read_configuration(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let input = Input::open(path)?;
    read_at_most(&input.path, input.reader, LARGEST_CONFIGURATION)
}

fn read_at_most(path: &Path, reader: impl Read, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::read(path, source))?;
    if bytes.len() as u64 > most {
        return Err(Error::input(
            Location::file(path),
            format!("has more than {} MiB, the most for such a file", most >> 20),
            "check that it is the file that you meant",
        ));
    }
    Ok(bytes)
}

/// Reads an archive, which its own reader unpacks; at most 1 GiB.
///
/// # Errors
/// As [`Input::open`], and a larger file.
pub(crate) fn read_packed(path: &Path) -> Result<Vec<u8>> {
    let raw = open::open(path)?.reader;
    read_at_most(path, raw, LARGEST_WHOLE)
}

/// Like [`read_configuration`], as text.
///
/// # Errors
/// As [`read_configuration`], and bytes that are not UTF-8.
pub fn read_configuration_text(path: impl AsRef<Path>) -> Result<String> {
    String::from_utf8(read_configuration(&path)?).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = memchr::memchr_iter(b'\n', before).count() as u64 + 1;
        Error::input(
            Location::line(path, line),
            "has bytes that are not UTF-8",
            "convert the file to UTF-8",
        )
    })
}

/// Lines of an [`Input`], each with its one-based number and without its line break (LF or CRLF).
pub struct LineReader {
    input: Input,
    number: u64,
    buffer: Vec<u8>,
}

impl LineReader {
    /// Reads the next line; `None` at the end. This is not an iterator, because the line borrows the reader.
    ///
    /// # Errors
    /// [`Error::Io`] if reading or decompressing fails; [`Error::Input`] if the line is longer than 256 MiB.
    pub fn next_line(&mut self) -> Result<Option<(u64, &[u8])>> {
        self.buffer.clear();
        let read = self
            .input
            .reader
            .by_ref()
            .take(line_limit::LONGEST as u64 + 1)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|source| Error::read(&self.input.path, source))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read > line_limit::LONGEST {
            return Err(line_limit::too_long(self.location()));
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            if self.buffer.last() == Some(&b'\r') {
                self.buffer.pop();
            }
        }
        Ok(Some((self.number, &self.buffer)))
    }

    /// The path, as printed in errors.
    pub fn path(&self) -> &Path {
        self.input.path()
    }

    /// Location of the line that was read last.
    pub fn location(&self) -> Location {
        Location::line(self.input.path(), self.number)
    }
}

#[cfg(test)]
mod tests;
