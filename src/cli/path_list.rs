//! Lists of paths in one argument, separated by commas, which may also be part of a path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Splits arguments at commas. A path that exists is never split, alone or among others; the longest is taken.
pub(super) fn split<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for argument in arguments {
        let mut rest = argument.as_bytes();
        loop {
            let ends = memchr::memchr_iter(b',', rest).chain([rest.len()]);
            let ends: Vec<usize> = ends.collect();
            let exists = |end: &&usize| Path::new(OsStr::from_bytes(&rest[..**end])).exists();
            let end = ends.iter().rev().find(exists).unwrap_or(&ends[0]);
            paths.push(PathBuf::from(OsStr::from_bytes(&rest[..*end])));
            match rest.get(end + 1..) {
                Some(more) => rest = more,
                None => break,
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use crate::cli::path_list::split;
    use std::ffi::OsStr;
    use std::path::PathBuf;

    #[test]
    fn paths_that_exist_keep_their_commas() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["a,b.toml", "c.toml", "a"] {
            std::fs::write(path(name), "").expect("writes");
        }
        let mut list = path("a,b.toml").into_os_string();
        list.push(",");
        list.push(path("c.toml"));
        list.push(",missing,b");
        let expected = [
            path("a,b.toml"),
            path("c.toml"),
            "missing".into(),
            "b".into(),
        ];
        assert_eq!(split([list.as_os_str()]), expected);
        let plain: Vec<PathBuf> = vec!["x".into(), "y".into(), "z".into()];
        assert_eq!(split([OsStr::new("x,y"), OsStr::new("z")]), plain);
    }
}
