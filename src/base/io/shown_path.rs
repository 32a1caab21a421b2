//! Paths in JSON and TOML. Bytes that are not UTF-8, which neither can hold, are replaced as on a terminal; serde's own way is
//! an error.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// A path as it is shown.
pub(crate) struct ShownPath<'a>(pub(crate) &'a Path);

impl Serialize for ShownPath<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.display())
    }
}

/// For `serialize_with` of a path.
pub(crate) fn shown_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    ShownPath(path).serialize(serializer)
}

/// For `serialize_with` of a path that may be absent.
#[expect(clippy::ref_option, reason = "serde passes the field")]
pub(crate) fn shown_optional_path<S: Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    path.as_deref().map(ShownPath).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use crate::base::io::shown_path::ShownPath;

    #[test]
    fn any_path_can_be_written_as_json() {
        use std::os::unix::ffi::OsStrExt;
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(b"a\xff,b"));
        let text = serde_json::to_string(&ShownPath(path)).expect("serializes");
        assert_eq!(text, "\"a\u{fffd},b\"");
    }
}
