//! Where the text of records is while only their places are in memory: in the file itself, or, of a packed file or a pipe, in
//! memory and beyond a limit in a temporary file.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use crate::base::io::became_shorter;

/// Most bytes of unpacked records in memory.
const IN_MEMORY: usize = 512 << 20;

/// The text of records.
#[derive(Debug)]
pub(super) struct Store {
    /// The file whose bytes the records are.
    file: Option<File>,
    memory: Vec<u8>,
    /// Records that do not fit in memory: a file without a name, and its length.
    spilled: Option<(File, u64)>,
}

impl Store {
    /// A store over a file that has the records, or for records that are kept.
    pub(super) fn new(file: Option<File>) -> Self {
        Self {
            file,
            memory: Vec::new(),
            spilled: None,
        }
    }

    /// Keeps a record that begins at `start` of the content; returns the place under which [`Self::read`] finds it.
    pub(super) fn keep(&mut self, start: u64, record: &[u8]) -> std::io::Result<u64> {
        if self.file.is_some() {
            return Ok(start);
        }
        if self.spilled.is_none() && self.memory.len() + record.len() <= IN_MEMORY {
            self.memory.extend_from_slice(record);
            return Ok((self.memory.len() - record.len()) as u64);
        }
        if self.spilled.is_none() {
            self.spilled = Some((crate::base::io::nameless_file()?, 0));
        }
        let (mut file, length) = match &mut self.spilled {
            Some((file, length)) => (&*file, length),
            None => return Ok(0),
        };
        file.write_all(record)?;
        let place = self.memory.len() as u64 + *length;
        *length += record.len() as u64;
        Ok(place)
    }

    /// The record at a place.
    pub(super) fn read(&self, place: u64, length: usize) -> std::io::Result<Cow<'_, [u8]>> {
        let kept = self.memory.len() as u64;
        let (file, at) = match (&self.file, &self.spilled) {
            (Some(file), _) => (file, place),
            (None, Some((file, _))) if place >= kept => (file, place - kept),
            _ => {
                let start = place as usize;
                return Ok(Cow::Borrowed(&self.memory[start..start + length]));
            }
        };
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => became_shorter(),
                _ => error,
            })?;
        Ok(Cow::Owned(bytes))
    }
}
