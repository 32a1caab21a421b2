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

    /// Whether the target exists and has the same files, with the same bytes, and no others.
    ///
    /// # Errors
    /// [`Error::Io`] if a file or folder cannot be read.
    pub fn equals_target(&self) -> Result<bool> {
        let folder = std::path::absolute(&self.target).unwrap_or_default();
        if !folder.is_dir() {
            return Ok(false);
        }
        let fail = |source| Error::read(&self.target, source);
        let mut existing = Vec::new();
        list(&folder, &mut existing).map_err(fail)?;
        existing.retain(|file| !file.starts_with(&self.path));
        let files = self.files()?;
        let equal = |file: &PathBuf| -> std::io::Result<bool> {
            let place = folder.join(file.strip_prefix(&self.path).unwrap_or(file));
            Ok(place.is_file() && std::fs::read(file)? == std::fs::read(place)?)
        };
        for file in &files {
            if !equal(file).map_err(fail)? {
                return Ok(false);
            }
        }
        Ok(existing.len() == files.len())
    }

    /// Moves everything to its place; files of the names `last` come last, in that order.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be moved.
    pub fn finish(self, last: &[&str]) -> Result<()> {
        self.finish_without(last, &[], || false).map(drop)
    }

    /// As [`StagedFolder::finish`]. Of the files in the target, those of the names `gone`, which an earlier result had and this
    /// one has not, are removed. Names that lead out of the folder are left alone. If the target exists and `is_done` says, while
    /// no other process writes it, that it is as wanted, nothing is moved, and the result is false.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be moved or removed.
    pub fn finish_without(
        self,
        last: &[&str],
        gone: &[String],
        is_done: impl FnOnce() -> bool,
    ) -> Result<bool> {
        let fail = |source| Error::write(&self.target, source);
        // Fails if a folder with files has the name.
        if std::fs::rename(&self.path, &self.target).is_err() {
            let folder = std::path::absolute(&self.target).map_err(fail)?;
            // Two processes do not mix their files.
            let _lock = FolderLock::to_write(&folder);
            if is_done() {
                return Ok(false);
            }
            let gone = gone.iter().map(String::as_str);
            for name in last
                .iter()
                .copied()
                .chain(gone.filter(|name| is_below(name)))
            {
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
        Ok(true)
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        temporary::remove_folder(&self.path);
    }
}

/// Whether a relative path stays in its folder.
fn is_below(name: &str) -> bool {
    let plain = |part| matches!(part, std::path::Component::Normal(_));
    !name.is_empty() && Path::new(name).components().all(plain)
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
    fn only_files_of_the_earlier_result_go() {
        let root = tempfile::tempdir().expect("folder");
        let target = root.path().join("run");
        write_file(root.path().join("beside"), b"mine").expect("writes");
        for name in ["notes", "in/old", "kept"] {
            write_file(target.join(name), b"old").expect("writes");
        }
        let begun = StagedFolder::begin(&target).expect("begins");
        write_file(begun.path().join("kept"), b"new").expect("writes");
        assert!(!begun.equals_target().expect("reads"));
        let gone = ["in/old", "../beside", "/", "", "never"].map(str::to_owned);
        assert!(
            begun
                .finish_without(&["kept"], &gone, || false)
                .expect("moves")
        );
        let there = |name: &str| root.path().join(name).exists();
        assert!(there("run/notes") && there("beside") && !there("run/in/old"));
        assert_eq!(std::fs::read(target.join("kept")).expect("reads"), b"new");
    }

    #[test]
    fn equal_folders_are_recognised() {
        let root = tempfile::tempdir().expect("folder");
        let target = root.path().join("run");
        let begin = |files: &[(&str, &str)]| {
            let begun = StagedFolder::begin(&target).expect("begins");
            for (name, text) in files {
                write_file(begun.path().join(name), text.as_bytes()).expect("writes");
            }
            begun
        };
        let files = [("a", "1"), ("in/b", "2")];
        let begun = begin(&files);
        assert!(!begun.equals_target().expect("reads"));
        begun.finish(&[]).expect("moves");
        let equal = |files: &[(&str, &str)]| begin(files).equals_target().expect("reads");
        assert!(equal(&files));
        assert!(!equal(&files[..1]));
        assert!(!equal(&[("a", "1"), ("in/b", "3")]));
        assert!(!equal(&[("a", "1"), ("in/b", "2"), ("c", "")]));
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
