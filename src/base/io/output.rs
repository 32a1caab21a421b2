//! Output files, compressed according to their ending, which have a temporary name until they are complete.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};

/// Compression of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed.
    None,
    /// `.gz`.
    Gzip,
    /// `.zst`.
    Zstd,
}

impl Compression {
    /// Chooses the compression by the file ending.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Level of zstd. Token ids as text become smaller at level 1 than at 2 or 3, in two thirds of the time.
const ZSTD_LEVEL: i32 = 1;

enum Sink {
    Plain(BufWriter<Target>),
    Gzip(flate2::write::GzEncoder<BufWriter<Target>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<Target>>),
}

enum Target {
    File(File),
    Stdout(std::io::Stdout),
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout(stdout) => stdout.flush(),
        }
    }
}

/// A file that gets its final name in [`OutputFile::finish`]. A file dropped before that is removed.
///
/// `-` means standard output, where written bytes remain. Devices and pipes are written directly.
pub struct OutputFile {
    path: PathBuf,
    temporary: Option<PathBuf>,
    sink: Option<Sink>,
}

impl OutputFile {
    /// Creates the file for `path`; missing folders are created.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder or the temporary file cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let fail = |source| Error::write(&path, source);
        let mut temporary = None;
        let target = if path.as_os_str() == "-" {
            Target::Stdout(std::io::stdout())
        } else if path
            .metadata()
            .is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
        {
            Target::File(File::options().write(true).open(&path).map_err(fail)?)
        } else {
            if path.is_dir() {
                return Err(fail(std::io::ErrorKind::IsADirectory.into()));
            }
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder {
                std::fs::create_dir_all(folder).map_err(fail)?;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let hidden = format!(".{name}.{}.tmp", std::process::id());
            let beside = path.with_file_name(hidden);
            let file = File::create(&beside).map_err(fail)?;
            temporary = Some(beside);
            Target::File(file)
        };
        let buffered = BufWriter::with_capacity(1 << 20, target);
        let sink = match Compression::of(&path) {
            Compression::None => Sink::Plain(buffered),
            Compression::Gzip => Sink::Gzip(flate2::write::GzEncoder::new(
                buffered,
                flate2::Compression::new(6),
            )),
            Compression::Zstd => {
                Sink::Zstd(zstd::stream::write::Encoder::new(buffered, ZSTD_LEVEL).map_err(fail)?)
            }
        };
        Ok(Self {
            path,
            temporary,
            sink: Some(sink),
        })
    }

    /// The path of the finished file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Completes the compression and renames the file to its final name.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full or the rename fails; the temporary file is then removed.
    pub fn finish(mut self) -> Result<()> {
        let closed = match self.sink.take() {
            Some(sink) => close(sink),
            None => Ok(()),
        };
        closed.map_err(|source| Error::write(&self.path, source))?;
        if let Some(temporary) = &self.temporary {
            std::fs::rename(temporary, &self.path)
                .map_err(|source| Error::write(&self.path, source))?;
            self.temporary = None;
            super::written::add(&self.path);
        }
        Ok(())
    }
}

fn close(sink: Sink) -> std::io::Result<()> {
    let mut plain = match sink {
        Sink::Plain(plain) => plain,
        Sink::Gzip(encoder) => encoder.finish()?,
        Sink::Zstd(encoder) => encoder.finish()?,
    };
    plain.flush()
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.sink.as_mut() {
            Some(Sink::Plain(sink)) => sink.write(bytes),
            Some(Sink::Gzip(sink)) => sink.write(bytes),
            Some(Sink::Zstd(sink)) => sink.write(bytes),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.sink.as_mut() {
            Some(Sink::Plain(sink)) => sink.flush(),
            Some(Sink::Gzip(sink)) => sink.flush(),
            Some(Sink::Zstd(sink)) => sink.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        self.sink = None;
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// Writes a small file in one call. If that fails, an earlier file of the same name remains unchanged.
///
/// # Errors
/// As [`OutputFile::create`] and [`OutputFile::finish`].
pub fn write_file(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let mut file = OutputFile::create(&path)?;
    file.write_all(bytes)
        .map_err(|source| Error::write(&path, source))?;
    file.finish()
}

/// Writes JSON, indented by two spaces and with a final line break, like [`write_file`].
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_json(path: impl AsRef<Path>, value: &serde_json::Value) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    write_file(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use crate::base::io::output::*;

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("deep/er/out.jsonl.zst");
        let mut file = OutputFile::create(&path).expect("creates");
        file.write_all(b"half").expect("writes");
        drop(file);
        assert_eq!(
            std::fs::read_dir(path.parent().expect("folder"))
                .expect("lists")
                .count(),
            0
        );
    }

    #[test]
    fn endings_choose_the_compression() {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["a.txt", "a.gz", "a.zst"] {
            let path = folder.path().join(name);
            write_file(&path, b"hello").expect("writes");
            let back = crate::base::io::Input::open(&path)
                .expect("opens")
                .read_to_end()
                .expect("reads");
            assert_eq!(back, b"hello", "{name}");
        }
    }
}
