//! Opens inputs of every kind: files, pipes, standard input. Devices and folders are refused.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::same_file;
use crate::base::error::{Error, Location, Result};

/// How long a named pipe may be without a writer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An opened input.
pub(super) struct Opened {
    pub(super) reader: Box<dyn Read + Send>,
    /// The file, if it is a regular one.
    pub(super) file: Option<File>,
}

/// Opens `path`; `-` means standard input.
///
/// # Errors
/// A path that cannot be opened, a folder, a device other than a terminal or /dev/null, a named pipe that no process opens for writing,
/// a file that is an output of the same command line.
pub(super) fn open(path: &Path) -> Result<Opened> {
    let fail = |source| Error::read(path, source);
    if path.as_os_str() == "-" {
        let copy = std::io::stdin().as_fd().try_clone_to_owned();
        if let Ok(meta) = copy.and_then(|copy| File::from(copy).metadata()) {
            same_file::reads(path, &meta)?;
            if meta.is_dir() {
                return Err(is_folder(path));
            }
        }
        return Ok(Opened {
            reader: Box::new(std::io::stdin()),
            file: None,
        });
    }
    let meta = path.metadata().map_err(fail)?;
    if meta.is_dir() {
        return Err(is_folder(path));
    }
    let file = match meta.file_type().is_fifo() {
        true => open_pipe(path)?,
        false => File::open(path).map_err(fail)?,
    };
    let meta = file.metadata().map_err(fail)?;
    let kind = meta.file_type();
    if kind.is_block_device() || kind.is_char_device() && !is_harmless(&file) {
        return Err(Error::input(
            Location::file(path),
            "is a device, expected a file",
            "name a file, or - for standard input",
        ));
    }
    same_file::reads(path, &meta)?;
    if !meta.is_file() {
        return Ok(Opened {
            reader: Box::new(file),
            file: None,
        });
    }
    let copy = file.try_clone().map_err(fail)?;
    Ok(Opened {
        reader: Box::new(WholeFile::new(file, &meta)),
        file: Some(copy),
    })
}

fn is_folder(path: &Path) -> Error {
    Error::input(
        Location::file(path),
        "is a folder, expected a file",
        "name a file in it",
    )
}

/// Whether a device is a terminal or has no bytes, as /dev/null.
fn is_harmless(mut file: &File) -> bool {
    use std::io::IsTerminal;
    file.is_terminal() || matches!(file.read(&mut [0]), Ok(0))
}

/// Opens a named pipe, which waits for a writer.
fn open_pipe(path: &Path) -> Result<File> {
    let (send, opened) = mpsc::channel();
    let own = path.to_path_buf();
    let waits = move || send.send(File::open(own));
    let thread = std::thread::Builder::new().spawn(waits);
    thread.map_err(|source| Error::read(path, source))?;
    match opened.recv_timeout(PATIENCE) {
        Ok(file) => file.map_err(|source| Error::read(path, source)),
        Err(_) => Err(Error::input(
            Location::file(path),
            "is a pipe into which no program writes",
            "start the program that writes into it first, or name a file",
        )),
    }
}

/// A regular file from which nothing may disappear while it is read.
struct WholeFile {
    file: File,
    /// Bytes that the file had when it was opened and that have not been read.
    left: u64,
}

impl WholeFile {
    fn new(file: File, meta: &Metadata) -> Self {
        Self {
            file,
            left: meta.len(),
        }
    }
}

impl Read for WholeFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(became_shorter());
        }
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// The error of a file that another program truncated while it was read.
pub(crate) fn became_shorter() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::UnexpectedEof,
        "the file became shorter while it was read",
    )
}

#[cfg(test)]
mod tests {
    use crate::base::io::open::*;

    #[test]
    fn a_file_that_becomes_shorter_is_noticed() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x");
        std::fs::write(&path, [7; 100]).expect("writes");
        let mut opened = open(&path).expect("opens");
        opened.reader.read_exact(&mut [0; 60]).expect("reads");
        let writer = File::options().write(true).open(&path).expect("opens");
        writer.set_len(80).expect("truncates");
        let error = opened.reader.read_to_end(&mut Vec::new());
        assert_eq!(
            error.expect_err("an end").to_string(),
            "the file became shorter while it was read"
        );
        // A file that grows is read to its new end.
        let mut opened = open(&path).expect("opens");
        writer.set_len(90).expect("grows");
        assert_eq!(
            opened.reader.read_to_end(&mut Vec::new()).expect("reads"),
            90
        );
    }

    #[test]
    fn devices_are_refused() {
        let refused = |path: &str| open(Path::new(path)).err().map(|e| e.to_string());
        for path in ["/dev/zero", "/dev/urandom"] {
            let expected = format!(
                "{path}: is a device, expected a file; name a file, or - for standard input"
            );
            assert_eq!(refused(path), Some(expected));
        }
        assert_eq!(refused("/dev/null"), None);
    }
}
