//! Token ids of many conversations: in memory up to a limit, and beyond it in a temporary file without a name.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::base::error::{Error, Result};

/// Ids in memory before a file is made: 64 MiB.
const IN_MEMORY: usize = 1 << 24;

/// Bytes of an id.
const WIDTH: u64 = 4;

/// A gap between two ranges that is read along with them, in ids, because a second read would take longer.
const GAP: u64 = 1 << 12;

/// Appends ids, and reads ranges of them. Memory is bounded if it was made by [`Spool::beside`].
#[derive(Debug)]
pub struct Spool {
    /// Where the temporary file is made; `None` if all ids stay in memory.
    folder: Option<PathBuf>,
    /// Ids that are not in the file.
    memory: Vec<u32>,
    /// Number of ids in the file, which come before those in memory.
    written: u64,
    /// The file has no name and is gone when the process ends, however it ends.
    file: Option<Mutex<File>>,
}

impl Spool {
    /// Keeps all ids in memory.
    pub fn in_memory() -> Self {
        Self {
            folder: None,
            memory: Vec::new(),
            written: 0,
            file: None,
        }
    }

    /// Keeps up to 64 MiB of ids in memory and the others in a temporary file: in the folder of `output`, or in the system's
    /// folder for temporary files if `output` is `-` or its folder does not exist.
    pub fn beside(output: &Path) -> Self {
        let folder = output.parent().filter(|_| output.as_os_str() != "-");
        let here = Path::new(".");
        let folder = folder.map(|folder| match folder.as_os_str().is_empty() {
            true => here,
            false => folder,
        });
        let folder = folder.filter(|folder| folder.is_dir());
        Self {
            folder: Some(folder.map_or_else(std::env::temp_dir, Path::to_path_buf)),
            ..Self::in_memory()
        }
    }

    /// Number of ids.
    pub fn len(&self) -> u64 {
        self.written + self.memory.len() as u64
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends ids.
    ///
    /// # Errors
    /// A temporary file that cannot be made or written.
    pub fn extend(&mut self, ids: &[u32]) -> Result<()> {
        self.memory.extend_from_slice(ids);
        if self.folder.is_some() && self.memory.len() >= IN_MEMORY {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let fail = |source| Error::write(folder, source);
        if self.file.is_none() {
            self.file = Some(Mutex::new(tempfile::tempfile_in(folder).map_err(fail)?));
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let file = file.get_mut().unwrap_or_else(|broken| broken.into_inner());
        file.seek(SeekFrom::End(0)).map_err(fail)?;
        let mut bytes = Vec::with_capacity(1 << 18);
        for ids in self.memory.chunks(1 << 16) {
            bytes.clear();
            bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
            file.write_all(&bytes).map_err(fail)?;
        }
        self.written += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// Reads a range of ids.
    ///
    /// # Errors
    /// A temporary file that cannot be read.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity((range.end - range.start) as usize);
        let from_file = range.start..range.end.min(self.written);
        if from_file.start < from_file.end {
            let mut bytes = vec![0; ((from_file.end - from_file.start) * WIDTH) as usize];
            self.read_file(from_file.start * WIDTH, &mut bytes)?;
            let (words, _) = bytes.as_chunks::<{ WIDTH as usize }>();
            ids.extend(words.iter().map(|word| u32::from_le_bytes(*word)));
        }
        let in_memory = |id: u64| id.saturating_sub(self.written) as usize;
        ids.extend_from_slice(&self.memory[in_memory(range.start)..in_memory(range.end)]);
        Ok(ids)
    }

    fn read_file(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut file = file.lock().unwrap_or_else(|broken| broken.into_inner());
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(bytes))
            .map_err(|source| Error::read(self.folder.as_deref().unwrap_or(Path::new("-")), source))
    }

    /// Reads several ranges of ids, neighbours together.
    ///
    /// # Errors
    /// A temporary file that cannot be read.
    pub(super) fn read_all(&self, ranges: impl Iterator<Item = Range<u64>>) -> Result<SpooledIds> {
        let mut ranges: Vec<Range<u64>> = ranges.collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start <= last.end + GAP => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        let read = merged.into_iter().map(|range| {
            let ids = self.read(range.clone())?;
            Ok((range.start, ids))
        });
        Ok(SpooledIds(read.collect::<Result<_>>()?))
    }
}

/// Ids that were read from a [`Spool`].
#[derive(Debug, Default)]
pub(super) struct SpooledIds(Vec<(u64, Vec<u32>)>);

impl SpooledIds {
    /// The ids of a range within one of those that were read.
    pub(super) fn range(&self, range: &Range<u64>) -> &[u32] {
        let place = self.0.partition_point(|(start, _)| *start <= range.start);
        let Some((start, ids)) = place.checked_sub(1).map(|place| &self.0[place]) else {
            return &[];
        };
        &ids[(range.start - start) as usize..(range.end - start) as usize]
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::spool::*;

    #[test]
    fn ids_in_the_file_are_those_in_memory() {
        let folder = tempfile::tempdir().expect("folder");
        let mut disk = Spool::beside(&folder.path().join("trace.jsonl"));
        let mut memory = Spool::in_memory();
        let ids: Vec<u32> = (0..IN_MEMORY as u32 / 2 + 77)
            .map(|n| n.wrapping_mul(2_654_435_761))
            .collect();
        for _ in 0..5 {
            disk.extend(&ids).expect("writes");
            memory.extend(&ids).expect("keeps");
        }
        assert_eq!(disk.len(), 5 * ids.len() as u64);
        assert!(disk.written > 0 && !disk.memory.is_empty());
        assert_eq!(memory.written, 0);
        // The file has no name.
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            0
        );
        let end = disk.len();
        let edge = disk.written;
        let ranges = [
            0..10,
            edge - 3..edge + 5,
            end - 9..end,
            7..7,
            100_000..100_020,
        ];
        for range in ranges.clone() {
            let found = disk.read(range.clone()).expect("reads");
            assert_eq!(found, memory.read(range).expect("reads"));
        }
        let read = disk.read_all(ranges.clone().into_iter()).expect("reads");
        for range in ranges {
            assert_eq!(
                read.range(&range),
                memory.read(range.clone()).expect("reads")
            );
        }
    }
}
