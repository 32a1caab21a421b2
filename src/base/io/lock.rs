//! Locks of folders, which several processes may write at the same time.

use std::fs::File;
use std::path::Path;

/// A lock of a folder, held until it is dropped. The lock is advisory: it excludes only other holders of such locks.
///
/// The folder itself is locked, so that no file of the lock remains in it. File systems without locks grant every lock.
#[derive(Debug)]
#[must_use = "the lock ends when it is dropped"]
pub struct FolderLock {
    _folder: Option<File>,
}

impl FolderLock {
    /// Waits until no other process reads or writes the folder.
    pub fn to_write(folder: &Path) -> Self {
        Self::with(folder, File::lock)
    }

    /// Waits until no other process writes the folder.
    pub fn to_read(folder: &Path) -> Self {
        Self::with(folder, File::lock_shared)
    }

    fn with(folder: &Path, lock: fn(&File) -> std::io::Result<()>) -> Self {
        let opened = File::open(folder).ok();
        Self {
            _folder: opened.filter(|file| lock(file).is_ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use crate::base::io::FolderLock;

    #[test]
    fn a_writer_waits_for_the_reader() {
        let folder = tempfile::tempdir().expect("folder");
        let written = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reads = FolderLock::to_read(folder.path());
            let also_reads = FolderLock::to_read(folder.path());
            scope.spawn(|| {
                let _writes = FolderLock::to_write(folder.path());
                written.store(true, Ordering::SeqCst);
            });
            std::thread::sleep(Duration::from_millis(50));
            assert!(!written.load(Ordering::SeqCst));
            drop((reads, also_reads));
        });
        assert!(written.load(Ordering::SeqCst));
    }
}
