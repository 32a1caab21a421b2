//! Temporary files and unfinished folders of this process: their names, their removal when the process is stopped, and the
//! removal of those that a killed process left.
//!
//! A temporary file lies beside the file that it becomes and is named `.NAME.replay-PID-NUMBER.tmp`. Its process holds a lock on
//! it, which ends with the process, so a temporary file without a lock was left by a process that has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const MARK: &str = ".replay-";
const ENDING: &str = ".tmp";

/// Longest part of the final name in the temporary one, in bytes; file systems allow 255 for all of it.
const LONGEST_NAME: usize = 150;

struct Unfinished {
    /// Files that are removed if the process is stopped.
    files: BTreeSet<PathBuf>,
    /// Folders that are removed with their content, and then the new folders above them that are empty.
    folders: BTreeMap<PathBuf, Folder>,
    /// Folders in which files of ended processes were looked for.
    swept: BTreeSet<PathBuf>,
}

struct Folder {
    /// Its final path, as the user named it.
    target: PathBuf,
    /// The new folders above it, the nearest first.
    above: Vec<PathBuf>,
}

static UNFINISHED: Mutex<Unfinished> = Mutex::new(Unfinished {
    files: BTreeSet::new(),
    folders: BTreeMap::new(),
    swept: BTreeSet::new(),
});

fn unfinished() -> MutexGuard<'static, Unfinished> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new temporary file, removed when this value is dropped before [`Temporary::becomes`].
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    /// Keeps the lock.
    _file: File,
}

impl Temporary {
    /// Creates a temporary file beside `target`, and removes those that ended processes left in that folder.
    pub(super) fn beside(target: &Path) -> io::Result<(Self, File)> {
        let mut unfinished = unfinished();
        unfinished.sweep_around(target);
        loop {
            let path = sibling(target);
            let file = match File::create_new(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            // A file system without locks leaves files of killed processes; nothing else depends on the lock.
            let _ = file.try_lock();
            if !path.exists() {
                // Another process took it for abandoned before it was locked.
                continue;
            }
            unfinished.files.insert(path.clone());
            let copy = file.try_clone().inspect_err(|_| {
                unfinished.files.remove(&path);
                let _ = std::fs::remove_file(&path);
            })?;
            return Ok((Self { path, _file: file }, copy));
        }
    }

    /// Gives the file its final name.
    pub(super) fn becomes(self, target: &Path) -> io::Result<()> {
        let mut unfinished = unfinished();
        std::fs::rename(&self.path, target)?;
        unfinished.files.remove(&self.path);
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if unfinished().files.remove(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A temporary name beside `target` for a folder; removes what ended processes left there.
pub(super) fn beside(target: &Path) -> PathBuf {
    unfinished().sweep_around(target);
    sibling(target)
}

fn sibling(target: &Path) -> PathBuf {
    target.with_file_name(name(target.file_name().unwrap_or_default()))
}

impl Unfinished {
    /// Looks once in the folder of `target` for what ended processes left.
    fn sweep_around(&mut self, target: &Path) {
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if self.swept.insert(folder.to_path_buf()) {
            sweep(folder);
        }
    }
}

/// A file in the folder for temporary files that has no name and ends with the process.
pub(crate) fn nameless_file() -> io::Result<File> {
    tempfile::tempfile()
}

/// A name that no other process and no other thread uses, also if the process number is used again.
fn name(of: &OsStr) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let of = of.to_string_lossy();
    let of = &of[..of.floor_char_boundary(LONGEST_NAME)];
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos() as u64);
    let number = nanos.wrapping_add(NUMBER.fetch_add(1, Ordering::Relaxed));
    format!(".{of}{MARK}{}-{number:016x}{ENDING}", std::process::id())
}

/// Whether a file has a name that [`name`] makes.
fn is_temporary(name: &str) -> bool {
    let number = name
        .strip_suffix(ENDING)
        .filter(|name| name.starts_with('.'))
        .and_then(|name| name.rsplit_once(MARK))
        .and_then(|(_, number)| number.split_once('-'));
    number.is_some_and(|(process, number)| {
        process.parse::<u32>().is_ok() && u64::from_str_radix(number, 16).is_ok()
    })
}

/// Removes the temporary files in a folder whose processes have ended.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if !is_temporary(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // Locks of NFS need a file that is open for writing; a folder can be opened only for reading.
        let opened = match is_folder {
            true => File::open(&path),
            false => File::options().write(true).open(&path),
        };
        if opened.is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = match is_folder {
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
        }
    }
}

/// Records a folder that this process is about to make, its final path, and the missing folders above it, the nearest first.
pub(super) fn begin_folder(folder: &Path, target: &Path, above: Vec<PathBuf>) {
    let target = target.to_path_buf();
    let new = Folder { target, above };
    unfinished().folders.insert(folder.to_path_buf(), new);
}

/// The path that a file in an unfinished folder will have.
pub(crate) fn final_path(path: &Path) -> PathBuf {
    let unfinished = unfinished();
    let mut path = path.to_path_buf();
    // One folder may be in another.
    for (folder, known) in unfinished.folders.iter().rev() {
        if let Ok(relative) = path.strip_prefix(folder) {
            path = match relative.as_os_str().is_empty() {
                true => known.target.clone(),
                false => known.target.join(relative),
            };
        }
    }
    path
}

/// The folder is finished and stays.
pub(super) fn end_folder(folder: &Path) {
    unfinished().folders.remove(folder);
}

/// Removes an unfinished folder with its content.
pub(super) fn remove_folder(folder: &Path) {
    let mut unfinished = unfinished();
    if let Some(known) = unfinished.folders.remove(folder) {
        remove_tree(folder, &known.above);
    }
}

fn remove_tree(folder: &Path, above: &[PathBuf]) {
    let _ = std::fs::remove_dir_all(folder);
    for empty in above {
        if std::fs::remove_dir(empty).is_err() {
            break;
        }
    }
}

#[cfg(feature = "cli")]
impl Unfinished {
    fn remove_all(&self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
        for (folder, known) in self.folders.iter().rev() {
            remove_tree(folder, &known.above);
        }
    }
}

/// Removes everything unfinished. Other threads cannot create or finish a file afterwards; the process must end now.
#[cfg(feature = "cli")]
pub(crate) fn remove_all_and_stop() {
    let unfinished = unfinished();
    unfinished.remove_all();
    std::mem::forget(unfinished);
}

/// Like [`remove_all_and_stop`], but does nothing while a thread creates or finishes a file, which may be the caller's own.
#[cfg(feature = "cli")]
pub(crate) fn try_remove_all_and_stop() {
    if let Ok(unfinished) = UNFINISHED.try_lock() {
        unfinished.remove_all();
        std::mem::forget(unfinished);
    }
}

/// Removes everything unfinished if no thread creates or finishes a file. The process may go on.
#[cfg(feature = "cli")]
pub(crate) fn try_remove_unfinished() {
    if let Ok(unfinished) = UNFINISHED.try_lock() {
        unfinished.remove_all();
    }
}

#[cfg(test)]
mod tests {
    use crate::base::io::temporary::*;

    #[test]
    fn names_are_unique_and_recognised_and_short() {
        let long = "é".repeat(120);
        let first = name(OsStr::new(&long));
        assert!(first.len() < 255 && is_temporary(&first), "{first}");
        assert_ne!(first, name(OsStr::new(&long)));
        for other in [
            "a.tmp",
            ".a.tmp",
            ".a.replay-x-1.tmp",
            ".a.replay-1-1",
            "a.replay-1-1.tmp",
            ".a.12.tmp",
        ] {
            assert!(!is_temporary(other), "{other}");
        }
    }

    #[test]
    fn only_files_without_a_process_are_swept() {
        let folder = tempfile::tempdir().expect("folder");
        let stale = folder.path().join(".x.replay-1-00ff.tmp");
        std::fs::write(&stale, "left").expect("writes");
        let (live, _) = Temporary::beside(&folder.path().join("y")).expect("creates");
        assert!(!stale.exists());
        // A second look, as another process would do it.
        sweep(folder.path());
        assert!(live.path.exists());
        drop(live);
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 0);
    }
}
