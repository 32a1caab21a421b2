//! Digests of the content of files and folders.

use std::io::Read;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::error::{Error, Result};

/// Digest of a text, e.g. `xxh3-128:` and 32 digits.
pub fn digest_of_text(text: &str) -> String {
    let mut digest = Xxh3::new();
    digest.update(text.as_bytes());
    hex(&digest)
}

/// Digest of a file's bytes, or of the names, sizes and bytes of all files in a folder.
///
/// # Errors
/// A file or folder that cannot be read.
pub fn digest_of(path: &Path) -> Result<String> {
    let mut digest = Xxh3::new();
    add(path, &mut digest)?;
    Ok(hex(&digest))
}

/// Digest of the names and bytes of files.
///
/// # Errors
/// A file that cannot be read.
pub fn digest_of_files(files: &[PathBuf]) -> Result<String> {
    let mut digest = Xxh3::new();
    for file in files {
        digest.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        digest.update(b"\0");
        add(file, &mut digest)?;
    }
    Ok(hex(&digest))
}

fn add(path: &Path, digest: &mut Xxh3) -> Result<()> {
    let fail = |source| Error::read(path, source);
    if path.is_dir() {
        let mut below: Vec<PathBuf> = std::fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(fail)?;
        below.sort();
        digest.update(&(below.len() as u64).to_le_bytes());
        for path in below {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            digest.update(name);
            digest.update(b"\0");
            add(&path, digest)?;
        }
        return Ok(());
    }
    let mut file = std::fs::File::open(path).map_err(fail)?;
    let most = 1 << 20;
    let size = file.metadata().map_err(fail)?.len().min(most);
    // Not filled with zeros first, which would cost more than the digest of a small file.
    let mut buffer = Vec::with_capacity(size as usize + 1);
    let mut bytes: u64 = 0;
    loop {
        buffer.clear();
        let part = file.by_ref().take(most).read_to_end(&mut buffer);
        if part.map_err(fail)? == 0 {
            break;
        }
        digest.update(&buffer);
        bytes += buffer.len() as u64;
    }
    // The size after the bytes separates a file from the next file of a folder.
    digest.update(&bytes.to_le_bytes());
    Ok(())
}

fn hex(digest: &Xxh3) -> String {
    format!("xxh3-128:{:032x}", digest.digest128())
}

#[cfg(test)]
mod tests {
    use crate::base::digest::*;

    #[test]
    fn bytes_and_names_count_and_times_do_not() {
        let folder = tempfile::tempdir().expect("folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("writes");
        };
        let digest = || digest_of(folder.path()).expect("reads");
        write("a", "one");
        write("b", "two");
        let first = digest();
        // The same bytes, written anew.
        write("a", "one");
        assert_eq!(digest(), first);
        write("a", "onf");
        assert_ne!(digest(), first);
        // The same bytes, divided differently between the files.
        write("a", "onet");
        write("b", "wo");
        assert_ne!(digest(), first);
        write("a", "one");
        write("b", "two");
        assert_eq!(digest(), first);
        std::fs::rename(folder.path().join("b"), folder.path().join("c")).expect("renames");
        assert_ne!(digest(), first);
    }
}
