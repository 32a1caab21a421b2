//! The finished combinations of a sweep, kept in its folder so that a stopped sweep can go on.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::base::digest::digest_of_text;
use crate::base::error::{Error, Result};
use crate::base::io::{FolderLock, open_journal, write_file};
use crate::base::version::build_id;
use crate::cache::sweep::Counts;

/// Name of the file in the sweep's folder.
const CELLS: &str = "cells.jsonl";

/// The file of finished combinations, to which a line is appended as each of them finishes.
///
/// A line is a list: the build of this program, the key of the combination, its counts, and a digest of these three. A line
/// whose digest does not match is not used.
pub struct Journal {
    known: BTreeMap<String, Counts>,
    unusable: u64,
    reused: AtomicU64,
    file: Option<Mutex<std::fs::File>>,
    path: PathBuf,
}

impl Journal {
    /// Opens the file in a sweep's folder, and creates both if they are missing; without a folder nothing is kept.
    ///
    /// # Errors
    /// A folder or file that cannot be created, or a file that cannot be read.
    pub fn open(folder: Option<&Path>) -> Result<Self> {
        let mut journal = Self {
            known: BTreeMap::new(),
            unusable: 0,
            reused: AtomicU64::new(0),
            file: None,
            path: folder.map_or_else(PathBuf::new, |folder| folder.join(CELLS)),
        };
        let Some(folder) = folder else {
            return Ok(journal);
        };
        let fail = |source| Error::write(&journal.path, source);
        std::fs::create_dir_all(folder).map_err(fail)?;
        let before = read(&journal.path)?;
        let mut file = open_journal(&journal.path)?;
        if !before.is_empty() && !before.ends_with('\n') {
            file.write_all(b"\n").map_err(fail)?;
        }
        for line in before.lines() {
            match parse(line) {
                Some((key, counts)) => drop(journal.known.insert(key, counts)),
                None => journal.unusable += u64::from(!line.is_empty()),
            }
        }
        journal.file = Some(Mutex::new(file));
        Ok(journal)
    }

    /// A note on lines that cannot be used; `None` if there are none.
    pub fn unusable(&self) -> Option<String> {
        (self.unusable > 0).then(|| {
            format!(
                "{}: {} lines are damaged or of another version; their combinations are run again",
                self.path.display(),
                self.unusable
            )
        })
    }

    /// The counts of a finished combination.
    pub fn find(&self, key: &str) -> Option<Counts> {
        let counts = self.known.get(key)?.clone();
        self.reused.fetch_add(1, Ordering::Relaxed);
        Some(counts)
    }

    /// Appends a finished combination.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(&self, key: &str, counts: &Counts) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let line = line(key, counts);
        // A worker that panicked ends the sweep in any case.
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes())
            .map_err(|source| Error::write(&self.path, source))
    }

    /// Replaces the file by its usable lines in the order of their keys, each once. The bytes then do not depend on the order
    /// in which combinations finished.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn tidy(&self) -> Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        let _lock = self.path.parent().map(FolderLock::to_write);
        // The file is read again, since another process may have appended lines.
        let present = read(&self.path)?;
        let cells: BTreeMap<String, Counts> = present.lines().filter_map(parse).collect();
        let text: String = cells
            .iter()
            .map(|(key, counts)| line(key, counts))
            .collect();
        write_file(&self.path, text.as_bytes())
    }

    /// Number of combinations that were found.
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }
}

/// Reads the file; a missing one is empty, and bytes that are not UTF-8 make unusable lines.
fn read(path: &Path) -> Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::read(path, error)),
    }
}

fn line(key: &str, counts: &Counts) -> String {
    let content = json!([build_id(), key, counts]);
    let digest = digest_of_text(&content.to_string());
    let mut line = content;
    if let Value::Array(items) = &mut line {
        items.push(Value::String(digest));
    }
    line.to_string() + "\n"
}

/// Parses a line that this build wrote; `None` for any other.
fn parse(text: &str) -> Option<(String, Counts)> {
    let (_, key, counts, _): (String, String, Counts, String) = serde_json::from_str(text).ok()?;
    (line(&key, &counts).trim_end() == text).then_some((key, counts))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::report::studies::sweep::journal::*;

    fn counts(evictions: u64) -> Counts {
        Counts {
            block_hit_ratio: 0.1 + 0.2,
            token_hit_ratio: 1.0 / 3.0,
            mean_request_hit_ratio: 0.0,
            evictions,
            rejected: 0,
            waiting: 0,
            preemptions: 0,
            hit_gap_seconds: None,
            steps: Some(7),
        }
    }

    #[test]
    fn damaged_lines_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CELLS);
        let first = Journal::open(Some(folder.path())).unwrap();
        for (key, evictions) in [("b", 12), ("a", 34), ("c", 56)] {
            first.add(key, &counts(evictions)).unwrap();
        }
        assert_eq!(first.unusable(), None);
        first.tidy().unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        let found = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            let journal = Journal::open(Some(folder.path())).unwrap();
            let known: Vec<u64> = journal.known.values().map(|own| own.evictions).collect();
            (known, journal.unusable)
        };
        assert_eq!(found(whole.as_bytes()), (vec![34, 12, 56], 0));
        let changed = whole.replace(":12,", ":13,");
        assert_ne!(changed, whole);
        assert_eq!(found(changed.as_bytes()), (vec![34, 56], 1));
        let older = whole.replace(build_id(), "0.0.0-0");
        assert_eq!(found(older.as_bytes()), (vec![], 3));
        assert_eq!(
            found(&whole.as_bytes()[..whole.len() - 9]),
            (vec![34, 12], 1)
        );
        assert_eq!(found(b""), (vec![], 0));
        assert_eq!(found(b"\xff\n"), (vec![], 1));
    }

    #[test]
    fn every_single_bit_counts() {
        let text = line("key", &counts(3));
        let text = text.trim_end().as_bytes();
        assert!(parse(std::str::from_utf8(text).unwrap()).is_some());
        for bit in 0..text.len() * 8 {
            let mut other = text.to_vec();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&String::from_utf8_lossy(&other)), None, "bit {bit}");
        }
    }
}
