//! Refuses an output that is also an input, or that is written twice, of one command.
//!
//! The records are kept only after [`refuse_overwriting`], which the command line calls: a program that uses the library may
//! read a file, change it and write it again.

use std::collections::{BTreeSet, HashMap};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::temporary::final_path;
use crate::base::error::{Error, Location, Result};

/// Device and inode, which hard links, symbolic links and other spellings of a path share.
type FileId = (u64, u64);

#[derive(Default)]
struct Records {
    /// Files opened for reading.
    read: HashMap<FileId, PathBuf>,
    /// Existing files that an unfinished output will replace.
    replaced: HashMap<FileId, PathBuf>,
    /// Final paths of all outputs so far.
    written: BTreeSet<PathBuf>,
}

impl Records {
    /// The input of this identity. An input that another process has replaced has another identity now, and its former one may
    /// be that of any new file.
    fn input(&self, id: FileId) -> Option<&Path> {
        let path = self.read.get(&id)?;
        let is_there = path
            .metadata()
            .is_ok_and(|meta| self::id(&meta) == Some(id));
        (path.as_os_str() == "-" || is_there).then_some(path)
    }
}

static RECORDS: OnceLock<Mutex<Records>> = OnceLock::new();

/// From now on, no file is written that this process has read or written before.
#[cfg(feature = "cli")]
pub(crate) fn refuse_overwriting() {
    RECORDS.get_or_init(Mutex::default);
}

fn records() -> Option<MutexGuard<'static, Records>> {
    let records = RECORDS.get()?.lock();
    Some(records.unwrap_or_else(PoisonError::into_inner))
}

/// The identity of a regular file; `None` for anything else, which is not replaced but written to.
fn id(meta: &Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    meta.is_file().then(|| (meta.dev(), meta.ino()))
}

/// Records a file that was opened for reading.
///
/// # Errors
/// A file that an unfinished output will replace.
pub(super) fn reads(path: &Path, meta: &Metadata) -> Result<()> {
    let (Some(mut records), Some(id)) = (records(), id(meta)) else {
        return Ok(());
    };
    if let Some(output) = records.replaced.get(&id) {
        return Err(refused(output, path));
    }
    records.read.entry(id).or_insert_with(|| path.to_path_buf());
    Ok(())
}

/// Refuses an existing file as an output if it was opened for reading.
///
/// # Errors
/// A file that is an input.
pub(super) fn overwrites(path: &Path, meta: &Metadata) -> Result<()> {
    let (Some(records), Some(id)) = (records(), id(meta)) else {
        return Ok(());
    };
    match records.input(id) {
        Some(input) => Err(refused(path, input)),
        None => Ok(()),
    }
}

/// The absolute path of a file in a folder that may not exist yet, without links in the part that exists.
fn without_links(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let real = path.ancestors().skip(1).find_map(|folder| {
        let rest = path.strip_prefix(folder).ok()?;
        Some(folder.canonicalize().ok()?.join(rest))
    });
    real.unwrap_or(path)
}

fn refused(output: &Path, input: &Path) -> Error {
    let output = match output.as_os_str() == "-" {
        true => Path::new("<stdout>"),
        false => output,
    };
    let problem = if output == input {
        "is an input of this command and its output, which would replace it".to_owned()
    } else {
        format!(
            "is the same file as the input {}, which this output would replace",
            Location::file(input)
        )
    };
    Error::input(
        Location::file(output),
        problem,
        "give the output another name",
    )
}

/// An output from its creation to its end; until then, the file that it replaces cannot be read.
#[derive(Debug, Default)]
pub(super) struct Replaced(Option<FileId>);

/// Records an output: `named` by the user, `target` after links, and the file that exists there.
///
/// # Errors
/// A file that is an input, or that this process has written already.
pub(super) fn writes(named: &Path, target: &Path, existing: Option<&Metadata>) -> Result<Replaced> {
    let Some(mut records) = records() else {
        return Ok(Replaced(None));
    };
    // A file in an unfinished folder replaces the one at its final place later.
    let place = final_path(target);
    let target = place.as_path();
    let later = target.metadata().ok();
    let id = existing.or(later.as_ref()).and_then(id);
    if let Some(input) = id.and_then(|id| records.input(id)) {
        return Err(refused(&final_path(named), input));
    }
    if !records.written.insert(without_links(target)) {
        return Err(Error::input(
            Location::file(final_path(named)),
            "two outputs of this command are the same file",
            "give one of them another name",
        ));
    }
    if let Some(id) = id {
        records.replaced.insert(id, named.to_path_buf());
    }
    Ok(Replaced(id))
}

impl Drop for Replaced {
    fn drop(&mut self) {
        if let (Some(id), Some(mut records)) = (self.0, records()) {
            records.replaced.remove(&id);
        }
    }
}
