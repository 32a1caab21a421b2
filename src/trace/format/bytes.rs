//! Writes numbers and strings into a byte buffer, and the buffer into a file.

use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::base::error::{Error, Result};
use crate::base::io::OutputFile;

/// Number of items that one core formats at a time.
const PIECE: usize = 64;
/// Number of items that are formatted before they are written.
const BATCH: usize = 2048;

/// A file with a buffer for hand-formatted token arrays.
pub(super) struct Sink {
    file: OutputFile,
    path: PathBuf,
    /// Bytes that are not written yet.
    pub(super) buffer: Vec<u8>,
}

impl Sink {
    pub(super) fn create(path: &Path) -> Result<Self> {
        Ok(Self {
            file: OutputFile::create(path)?,
            path: path.to_path_buf(),
            buffer: Vec::with_capacity(1 << 17),
        })
    }

    /// Writes the buffer to the file if it is large enough.
    pub(super) fn flush_full(&mut self) -> Result<()> {
        if self.buffer.len() >= 1 << 16 {
            self.flush()?;
        }
        Ok(())
    }

    /// Appends a line of JSON.
    pub(super) fn header(&mut self, header: &impl serde::Serialize, path: &Path) -> Result<()> {
        let header = serde_json::to_vec(header)
            .map_err(|error| Error::write(path, std::io::Error::other(error)))?;
        self.buffer.extend_from_slice(&header);
        self.buffer.push(b'\n');
        Ok(())
    }

    /// Formats items on all cores and writes them in order; the next batch is formatted while one is written.
    pub(super) fn all<T: Sync>(
        &mut self,
        items: &[T],
        format: impl Fn(&T, &mut Vec<u8>) + Sync,
    ) -> Result<()> {
        self.all_with(items, |_| Ok(()), |item, (), out| format(item, out))
    }

    /// As [`Self::all`], with data that `load` gets for each batch.
    pub(super) fn all_with<T: Sync, L: Sync + Send>(
        &mut self,
        items: &[T],
        load: impl Fn(&[T]) -> Result<L> + Sync,
        format: impl Fn(&T, &L, &mut Vec<u8>) + Sync,
    ) -> Result<()> {
        self.flush()?;
        let format_batch = |batch: &[T]| -> Result<Vec<Vec<u8>>> {
            let loaded = load(batch)?;
            let pieces = batch.par_chunks(PIECE).map(|piece| {
                let mut out = Vec::with_capacity(1 << 16);
                piece
                    .iter()
                    .for_each(|item| format(item, &loaded, &mut out));
                out
            });
            Ok(pieces.collect())
        };
        let mut ready = Vec::new();
        for batch in items.chunks(BATCH).chain([&[][..]]) {
            let write = || {
                ready
                    .iter()
                    .try_for_each(|bytes: &Vec<u8>| self.file.write_all(bytes))
            };
            let (written, next) = rayon::join(write, || format_batch(batch));
            written.map_err(|source| Error::write(&self.path, source))?;
            ready = next?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file
            .write_all(&self.buffer)
            .map_err(|source| Error::write(&self.path, source))?;
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.file.finish()
    }
}

/// Appends a decimal number.
pub(super) fn integer(buffer: &mut Vec<u8>, value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&digits[at..]);
}

/// Appends a 32-bit number; division by a constant is cheaper at this width.
fn id(buffer: &mut Vec<u8>, value: u32) {
    let mut digits = [0u8; 10];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&digits[at..]);
}

/// Appends `[1,2,3]`.
pub(super) fn ids(buffer: &mut Vec<u8>, ids: &[u32]) {
    buffer.push(b'[');
    for (index, value) in ids.iter().enumerate() {
        if index > 0 {
            buffer.push(b',');
        }
        id(buffer, *value);
    }
    buffer.push(b']');
}

/// Appends a JSON string.
pub(super) fn string(buffer: &mut Vec<u8>, text: &str) {
    let plain = text
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        buffer.push(b'"');
        buffer.extend_from_slice(text.as_bytes());
        buffer.push(b'"');
    } else {
        buffer.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// Appends `,"key":`, or `"key":` for the first key after the opening brace that the caller wrote.
pub(super) fn key(buffer: &mut Vec<u8>, key: &str) {
    if buffer.last() != Some(&b'{') {
        buffer.push(b',');
    }
    buffer.push(b'"');
    buffer.extend_from_slice(key.as_bytes());
    buffer.extend_from_slice(b"\":");
}

/// Appends `"key":number`.
pub(super) fn number(buffer: &mut Vec<u8>, name: &str, value: impl Into<u64>) {
    key(buffer, name);
    integer(buffer, value.into());
}
