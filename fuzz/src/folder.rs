//! Several files in one input.

use std::path::{Component, Path};

use tempfile::TempDir;

/// Begins the line that names the file that follows.
const MARK: &str = "%%% ";

/// Writes the files of an input to a temporary folder. A line `%%% NAME` begins each file; bytes before the first such line are
/// returned and not written. Names that leave the folder are ignored.
pub(crate) fn unpack(data: &[u8]) -> Option<(TempDir, Vec<u8>)> {
    let folder = TempDir::new().ok()?;
    let mut head = Vec::new();
    let mut current: Option<(String, Vec<u8>)> = None;
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        let name = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.strip_prefix(MARK));
        match (name, &mut current) {
            (Some(name), _) => {
                save(folder.path(), current.take());
                current = Some((name.trim().to_owned(), Vec::new()));
            }
            (None, Some((_, bytes))) => bytes.extend_from_slice(line),
            (None, None) => head.extend_from_slice(line),
        }
    }
    save(folder.path(), current);
    Some((folder, head))
}

fn save(folder: &Path, file: Option<(String, Vec<u8>)>) {
    let Some((name, bytes)) = file else {
        return;
    };
    let name = Path::new(&name);
    let inside = name
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !inside || name.as_os_str().len() > 200 || name.components().count() > 12 {
        return;
    }
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        // A name that cannot be written is a file that is missing.
        let _ = std::fs::create_dir_all(parent);
    }
    let _ = std::fs::write(path, bytes);
}

/// Writes the bytes to a temporary file whose name ends in `ending`.
pub(crate) fn file(bytes: &[u8], ending: &str) -> Option<tempfile::NamedTempFile> {
    let file = tempfile::Builder::new().suffix(ending).tempfile().ok()?;
    std::fs::write(file.path(), bytes).ok()?;
    Some(file)
}
