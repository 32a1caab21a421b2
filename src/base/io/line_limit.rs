//! A bound on the length of lines, without which an endless or hostile stream would fill the memory.

use std::io::{BufRead, Read};

use crate::base::error::{Error, Location};

/// Longest line or record in bytes. The longest records of agents are some 10 MB: a context of a million tokens as text.
pub(crate) const LONGEST: usize = 256 << 20;

/// The error of a line that is too long.
pub(crate) fn too_long(at: Location) -> Error {
    Error::input(
        at,
        format!("is longer than {} MiB", LONGEST >> 20),
        "give a file with a record on each line",
    )
}

/// A stream that fails after [`LONGEST`] bytes without a line end.
pub(super) struct LineLimit<R> {
    reader: R,
    /// Bytes since the last line end.
    length: usize,
}

impl<R: BufRead> LineLimit<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, length: 0 }
    }
}

impl<R: BufRead> Read for LineLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for LineLimit<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.length > LONGEST {
            return Err(std::io::Error::new(
                std::io::ErrorKind::FileTooLarge,
                format!("a line is longer than {} MiB", LONGEST >> 20),
            ));
        }
        self.reader.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if let Ok(ready) = self.reader.fill_buf() {
            let taken = &ready[..count.min(ready.len())];
            self.length = match memchr::memrchr(b'\n', taken) {
                Some(at) => taken.len() - at - 1,
                None => self.length + taken.len(),
            };
        }
        self.reader.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use crate::base::io::line_limit::*;

    #[test]
    fn only_endless_lines_fail() {
        let mut short = LineLimit::new(std::io::BufReader::new(
            std::io::repeat(b'\n').take(LONGEST as u64 + 10),
        ));
        let copied = std::io::copy(&mut short, &mut std::io::sink());
        assert_eq!(copied.expect("reads"), LONGEST as u64 + 10);
        let mut endless = LineLimit::new(std::io::BufReader::with_capacity(
            1 << 20,
            std::io::repeat(b'x'),
        ));
        let error = std::io::copy(&mut endless, &mut std::io::sink()).expect_err("fails");
        assert_eq!(error.to_string(), "a line is longer than 256 MiB");
    }
}
