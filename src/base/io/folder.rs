//! Folders of results, which are whole or not there.

use std::path::{Path, PathBuf};

use super::{FolderLock, temporary};
use crate::base::error::{Error, Result};

/// A folder whose files are written under a temporary name and get their place when all are written.
///
/// A folder that does not exist before appears as a whole. In one that exists, files of the same names are replaced, and the
/// files by which others recognise a result are removed first and come last. Dropped before [`StagedFolder::finish`], it leaves
/// everything as it was.
#[derive(Debug)]
pub struct StagedFolder {
    target: PathBuf,
    /// The folder under its temporary name: beside the target, or in it if it exists.
    path: PathBuf,
    /// Tells other processes that this one is alive.
    _lock: FolderLock,
}

impl StagedFolder {
    /// Creates the folder under a temporary name, and missing folders above it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be created.
    pub fn begin(target: impl AsRef<Path>) -> Result<Self> {
        let target = target.as_ref();
        let fail = |source| Error::write(target, source);
        let place = match target.metadata() {
            Ok(meta) if meta.is_dir() => target.join("new"),
            Ok(_) => {
                let problem = "there is a file of that name";
                let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, problem);
                return Err(fail(source));
            }
            Err(_) => target.to_path_buf(),
        };
        let place = std::path::absolute(place).map_err(fail)?;
        loop {
            let path = temporary::beside(&place);
            create(&path, target).map_err(fail)?;
            let begun = Self {
                target: target.to_path_buf(),
                _lock: FolderLock::to_write(&path),
                path,
            };
            // Before the lock, another process may have taken the folder for abandoned.
            if begun.path.is_dir() {
                return Ok(begun);
            }
        }
    }

    /// Where the files are written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The paths of all files in it, in order.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        list(&self.path, &mut files).map_err(|source| Error::read(&self.target, source))?;
        files.sort();
        Ok(files)
    }

    /// Moves everything to its place; files of the names `last` come last, in that order.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be moved.
    pub fn finish(self, last: &[&str]) -> Result<()> {
        let fail = |source| Error::write(&self.target, source);
        // Fails if a folder with files has the name.
        if std::fs::rename(&self.path, &self.target).is_err() {
            let folder = std::path::absolute(&self.target).map_err(fail)?;
            // Two processes do not mix their files.
            let _lock = FolderLock::to_write(&folder);
            for name in last {
                match std::fs::remove_file(folder.join(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::write(self.target.join(name), error));
                    }
                    _ => {}
                }
            }
            let mut files = self.files()?;
            let place = |file: &Path| last.iter().position(|name| self.path.join(name) == *file);
            files.sort_by_cached_key(|file| (place(file), file.clone()));
            for file in files {
                let relative = file.strip_prefix(&self.path).unwrap_or(&file);
                let place = folder.join(relative);
                let shown = self.target.join(relative);
                move_file(&file, &place).map_err(|source| Error::write(shown, source))?;
            }
            let _ = std::fs::remove_dir_all(&self.path);
        }
        temporary::end_folder(&self.path);
        Ok(())
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        temporary::remove_folder(&self.path);
    }
}

/// All files below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Moves a file within a file system. The permissions of an existing one stay, and a link is written through.
fn move_file(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let Ok(existing) = to.symlink_metadata() else {
        return std::fs::rename(from, to);
    };
    if existing.is_symlink() {
        return std::fs::copy(from, to).and_then(|_| std::fs::remove_file(from));
    }
    std::fs::set_permissions(from, existing.permissions())?;
    std::fs::rename(from, to)
}

/// A folder in which a long study works for a while. If it is new, and the study fails or the process is stopped, it is removed.
#[derive(Debug)]
pub struct NewFolder(Option<PathBuf>);

impl NewFolder {
    /// Creates the folder unless it exists.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be created.
    pub fn begin(folder: &Path) -> Result<Self> {
        if folder.is_dir() {
            return Ok(Self(None));
        }
        let new = std::path::absolute(folder).and_then(|new| create(&new, folder).map(|()| new));
        let new = new.map_err(|source| Error::write(folder, source))?;
        Ok(Self(Some(new)))
    }

    /// The folder stays.
    pub fn finish(self) {
        if let Some(new) = &self.0 {
            temporary::end_folder(new);
        }
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if let Some(new) = &self.0 {
            temporary::remove_folder(new);
        }
    }
}

/// Creates a folder and those above it. Until it is finished it is removed when the process is stopped, and then also the new
/// folders above it, if they are empty.
fn create(new: &Path, target: &Path) -> std::io::Result<()> {
    let missing = |path: &&Path| path.symlink_metadata().is_err();
    let above = new.ancestors().skip(1).take_while(missing);
    let above = above.map(Path::to_path_buf).collect();
    temporary::begin_folder(new, target, above);
    let made = match new.parent() {
        Some(above) => std::fs::create_dir_all(above),
        None => Ok(()),
    };
    made.and_then(|()| std::fs::create_dir(new))
        .inspect_err(|_| temporary::remove_folder(new))
}

#[cfg(test)]
mod tests {
    use crate::base::io::folder::*;
    use crate::base::io::write_file;

    #[test]
    fn a_staged_folder_has_its_name_when_it_is_finished() {
        let root = tempfile::tempdir().expect("folder");
        let target = root.path().join("a/b");
        let begun = StagedFolder::begin(&target).expect("begins");
        std::fs::write(begun.path().join("x"), "half").expect("writes");
        assert!(!target.exists());
        drop(begun);
        assert_eq!(std::fs::read_dir(root.path()).expect("lists").count(), 0);
        let begun = StagedFolder::begin(&target).expect("begins");
        write_file(begun.path().join("in/x"), b"whole").expect("writes");
        begun.finish(&[]).expect("renames");
        assert!(target.join("in/x").is_file());
    }

    #[test]
    fn an_existing_folder_keeps_what_it_has_until_the_end() {
        let root = tempfile::tempdir().expect("folder");
        let read = |name: &str| std::fs::read_to_string(root.path().join(name)).expect("reads");
        for name in ["other", "summary"] {
            std::fs::write(root.path().join(name), "old").expect("writes");
        }
        let begun = StagedFolder::begin(root.path()).expect("begins");
        write_file(begun.path().join("summary"), b"new").expect("writes");
        write_file(begun.path().join("in/x"), b"new").expect("writes");
        assert_eq!(read("summary"), "old");
        begun.finish(&["summary"]).expect("moves");
        let all = [read("other"), read("summary"), read("in/x")];
        assert_eq!(all, ["old", "new", "new"]);
        assert_eq!(std::fs::read_dir(root.path()).expect("lists").count(), 3);
    }

    #[test]
    fn a_new_folder_goes_again_unless_it_is_finished() {
        let root = tempfile::tempdir().expect("folder");
        let folder = root.path().join("a/b");
        let begun = NewFolder::begin(&folder).expect("begins");
        std::fs::write(folder.join("x"), "half").expect("writes");
        drop(begun);
        assert_eq!(std::fs::read_dir(root.path()).expect("lists").count(), 0);
        let begun = NewFolder::begin(&folder).expect("begins");
        std::fs::write(folder.join("x"), "whole").expect("writes");
        begun.finish();
        drop(NewFolder::begin(&folder).expect("exists"));
        assert!(folder.join("x").is_file());
    }

    #[test]
    fn errors_name_the_final_place() {
        let root = tempfile::tempdir().expect("folder");
        let target = root.path().join("a");
        let begun = StagedFolder::begin(&target).expect("begins");
        let error = Error::write(
            begun.path().join("x"),
            std::io::ErrorKind::StorageFull.into(),
        );
        let expected = format!("{}/x: cannot write", target.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}
