//! The list of files that a piece of work has written.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

thread_local! {
    static WRITTEN: RefCell<Option<Vec<PathBuf>>> = const { RefCell::new(None) };
}

/// Runs `work` and returns the paths of the files that this thread completed meanwhile.
pub fn with_written<T>(work: impl FnOnce() -> T) -> (T, Vec<PathBuf>) {
    let outer = WRITTEN.replace(Some(Vec::new()));
    let result = work();
    (result, WRITTEN.replace(outer).unwrap_or_default())
}

/// Adds a completed file to the list, if one is kept.
pub(super) fn add(path: &Path) {
    WRITTEN.with_borrow_mut(|written| {
        if let Some(written) = written {
            written.push(path.to_path_buf());
        }
    });
}
