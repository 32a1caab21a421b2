//! Output files, compressed according to their ending, which have a temporary name until they are complete.

use std::fs::{File, Metadata};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::same_file::{self, Replaced};
use super::temporary::Temporary;
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
        match path.extension() {
            Some(ending) if ending == "gz" => Self::Gzip,
            Some(ending) if ending == "zst" => Self::Zstd,
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
/// A symbolic link stays, and the file to which it leads is written. An existing file keeps its permissions. `-` means standard
/// output, where written bytes remain. Devices and pipes are written directly.
pub struct OutputFile {
    path: PathBuf,
    /// The temporary file, and the place where it goes, after symbolic links.
    temporary: Option<(Temporary, PathBuf)>,
    sink: Option<Sink>,
    _replaced: Replaced,
}

impl OutputFile {
    /// Creates the file for `path`; missing folders are created.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder or the temporary file cannot be created, or an existing file may not be written;
    /// [`Error::Input`] if the file is also an input, or another output, of the command line.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let fail = |source| Error::write(&path, source);
        let mut replaced = Replaced::default();
        let mut temporary = None;
        let target = if path.as_os_str() == "-" {
            if let Some(meta) = standard_output() {
                same_file::overwrites(&path, &meta)?;
            }
            Target::Stdout(std::io::stdout())
        } else {
            match path.metadata() {
                Ok(meta) if meta.is_dir() => {
                    return Err(fail(std::io::ErrorKind::IsADirectory.into()));
                }
                Ok(meta) if !meta.is_file() || is_descriptor(&path) => {
                    same_file::overwrites(&path, &meta)?;
                    Target::File(File::options().write(true).open(&path).map_err(fail)?)
                }
                existing => {
                    let target = behind_links(&path).map_err(fail)?;
                    let existing = match existing {
                        Ok(meta) => Some(meta),
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                        Err(error) => return Err(fail(error)),
                    };
                    replaced = same_file::writes(&path, &target, existing.as_ref())?;
                    let (begun, file) = begin(&path, &target, existing).map_err(fail)?;
                    temporary = Some((begun, target));
                    Target::File(file)
                }
            }
        };
        let buffered = BufWriter::with_capacity(1 << 20, target);
        let sink = match Compression::of(&path) {
            Compression::None => Sink::Plain(buffered),
            Compression::Gzip => Sink::Gzip(flate2::write::GzEncoder::new(
                buffered,
                flate2::Compression::new(6),
            )),
            Compression::Zstd => Sink::Zstd(zstd_encoder(buffered).map_err(fail)?),
        };
        Ok(Self {
            path,
            temporary,
            sink: Some(sink),
            _replaced: replaced,
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
        if let Some((temporary, target)) = self.temporary.take() {
            temporary
                .becomes(&target)
                .map_err(|source| Error::write(&self.path, source))?;
        }
        Ok(())
    }
}

/// Compresses with a checksum, so that damage is noticed when the file is read. Gzip always has one.
fn zstd_encoder<W: Write>(to: W) -> std::io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(to, ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

/// Creates the temporary file, with the permissions of the existing one.
fn begin(
    path: &Path,
    target: &Path,
    existing: Option<Metadata>,
) -> std::io::Result<(Temporary, File)> {
    match &existing {
        // A file that may not be written is not replaced either.
        Some(_) => drop(File::options().append(true).open(target)?),
        // The folder that a link leads to is not created.
        None if path == target => {
            if let Some(folder) = target.parent().filter(|path| !path.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)?;
            }
        }
        None => {}
    }
    let (temporary, file) = Temporary::beside(target)?;
    if let Some(existing) = existing {
        file.set_permissions(existing.permissions())?;
    }
    Ok((temporary, file))
}

/// Whether a path names an open file of this process, such as /dev/stdout; it is written directly.
fn is_descriptor(path: &Path) -> bool {
    ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"]
        .iter()
        .any(|known| path.starts_with(known))
}

/// Most links that are followed, as in Linux.
const MOST_LINKS: u32 = 40;

/// The path to which symbolic links lead; nothing needs to exist there.
fn behind_links(path: &Path) -> std::io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match target.read_link() {
            // A relative link starts at its own folder; an absolute one replaces the path.
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(std::io::Error::other(
        "too many symbolic links that lead to each other",
    ))
}

/// What standard output is.
fn standard_output() -> Option<Metadata> {
    use std::os::fd::AsFd;
    let copy = std::io::stdout().as_fd().try_clone_to_owned().ok()?;
    File::from(copy).metadata().ok()
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

/// Opens a journal, to which lines are appended; it is created if it does not exist.
///
/// # Errors
/// [`Error::Io`] if it cannot be opened; [`Error::Input`] if it is an input of the command line.
pub fn open_journal(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    if let Ok(meta) = path.metadata() {
        same_file::overwrites(path, &meta)?;
    }
    let mut options = File::options();
    let opened = options.create(true).append(true).open(path);
    opened.map_err(|source| Error::write(path, source))
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

    #[test]
    fn damage_to_a_compressed_file_is_noticed() {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["a.gz", "a.zst"] {
            let path = folder.path().join(name);
            // Bytes without repetition are stored as they are, so that only the checksum protects them.
            let content: Vec<u8> = (0..=255).collect();
            write_file(&path, &content).expect("writes");
            let mut bytes = std::fs::read(&path).expect("reads");
            let at = bytes.windows(3).position(|part| part == [100, 101, 102]);
            bytes[at.expect("is stored")] ^= 1;
            std::fs::write(&path, bytes).expect("writes");
            let error = crate::base::io::Input::open(&path).and_then(|input| input.read_to_end());
            let told = error.expect_err("is damaged").to_string();
            assert!(told.contains(name), "{told}");
        }
    }

    #[test]
    fn a_link_stays_a_link_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("far")).expect("creates");
        std::fs::write(path("far/file"), "old").expect("writes");
        let mode = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(path("far/file"), mode).expect("sets");
        symlink("far/file", path("second")).expect("links");
        symlink("second", path("first")).expect("links");
        write_file(path("first"), b"new").expect("writes");
        assert_eq!(std::fs::read(path("far/file")).expect("reads"), b"new");
        assert!(path("first").is_symlink() && path("second").is_symlink());
        let meta = std::fs::metadata(path("far/file")).expect("is there");
        assert_eq!(meta.permissions().mode() & 0o777, 0o640);

        symlink("far/later", path("dangling")).expect("links");
        write_file(path("dangling"), b"new").expect("writes");
        assert_eq!(std::fs::read(path("far/later")).expect("reads"), b"new");
        symlink("nowhere/file", path("astray")).expect("links");
        assert!(write_file(path("astray"), b"new").is_err());
        assert!(!path("nowhere").exists());
        symlink("b", path("a")).expect("links");
        symlink("a", path("b")).expect("links");
        let error = write_file(path("a"), b"new").expect_err("a loop");
        assert!(error.to_string().contains("symbolic links"), "{error}");
        assert!(path("a").is_symlink() && path("b").is_symlink());
    }
}
