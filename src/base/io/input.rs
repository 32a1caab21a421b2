//! Input streams: plain, `.gz`, `.zst` or standard input, read as bytes or line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Location, Result};

/// Size of the read buffer in bytes.
const BUFFER: usize = 1 << 20;

/// An input file or stream. Compression is detected from the first bytes, so a file with another ending can still be read.
pub struct Input {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
}

impl Input {
    /// Opens `path`; `-` means standard input.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or is a folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let raw: Box<dyn Read + Send> = if path.as_os_str() == "-" {
            Box::new(std::io::stdin())
        } else {
            let file = File::open(&path).map_err(|source| Error::read(&path, source))?;
            let meta = file
                .metadata()
                .map_err(|source| Error::read(&path, source))?;
            if meta.is_dir() {
                return Err(Error::input(
                    Location::file(&path),
                    "is a folder, expected a file",
                    "name a file in it",
                ));
            }
            Box::new(file)
        };
        Self::from_reader(path, raw)
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
        let path = path.as_ref().to_path_buf();
        let mut buffered = BufReader::with_capacity(BUFFER, raw);
        let head = buffered
            .fill_buf()
            .map_err(|source| Error::read(&path, source))?;
        let reader: Box<dyn BufRead + Send> = if head.starts_with(&[0x1f, 0x8b]) {
            let decoder = flate2::bufread::MultiGzDecoder::new(buffered);
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let decoder = zstd::stream::read::Decoder::with_buffer(buffered)
                .map_err(|source| Error::read(&path, source))?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            return Err(Error::input(
                Location::file(&path),
                "is xz-compressed, which is not supported",
                "unpack it with `xz -dk`, or compress it as .zst or .gz",
            ));
        } else {
            Box::new(buffered)
        };
        let mut input = Self { path, reader };
        input.skip_byte_order_mark()?;
        Ok(input)
    }

    fn skip_byte_order_mark(&mut self) -> Result<()> {
        let head = self
            .reader
            .fill_buf()
            .map_err(|source| Error::read(&self.path, source))?;
        if head.starts_with(b"\xef\xbb\xbf") {
            self.reader.consume(3);
        }
        Ok(())
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

    /// Reads the rest of the content.
    ///
    /// # Errors
    /// [`Error::Io`] if reading or decompressing fails.
    pub fn read_to_end(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader
            .read_to_end(&mut bytes)
            .map_err(|source| Error::read(&self.path, source))?;
        Ok(bytes)
    }

    /// Returns a reader of lines.
    pub fn lines(self) -> LineReader {
        LineReader {
            input: self,
            number: 0,
            buffer: Vec::new(),
        }
    }

    /// Returns the stream, for parsers that do not work line by line.
    pub fn into_reader(self) -> Box<dyn BufRead + Send> {
        self.reader
    }
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
    /// [`Error::Io`] if reading or decompressing fails.
    pub fn next_line(&mut self) -> Result<Option<(u64, &[u8])>> {
        self.buffer.clear();
        let read = self
            .input
            .reader
            .read_until(b'\n', &mut self.buffer)
            .map_err(|source| Error::read(&self.input.path, source))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
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
mod tests {
    use crate::base::io::input::*;
    use std::io::Write;

    fn read(bytes: Vec<u8>) -> Vec<String> {
        let input = Input::from_reader("t", Box::new(std::io::Cursor::new(bytes))).expect("opens");
        let mut lines = input.lines();
        let mut out = Vec::new();
        while let Some((number, line)) = lines.next_line().expect("reads") {
            out.push(format!("{number}:{}", String::from_utf8_lossy(line)));
        }
        out
    }

    #[test]
    fn compression_is_told_by_content_and_line_ends_are_cut() {
        let plain = b"\xef\xbb\xbfone\r\ntwo\n\nfour".to_vec();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&plain).expect("writes");
        let zst = zstd::encode_all(&plain[..], 1).expect("packs");
        for bytes in [plain, gz.finish().expect("ends"), zst] {
            assert_eq!(read(bytes), ["1:one", "2:two", "3:", "4:four"]);
        }
    }

    #[test]
    fn xz_is_refused_with_the_remedy() {
        let Err(error) = Input::from_reader(
            "a.xz",
            Box::new(std::io::Cursor::new(b"\xfd7zXZ\0rest".to_vec())),
        ) else {
            panic!("xz was accepted");
        };
        assert!(error.to_string().contains("xz -dk"), "{error}");
    }
}
