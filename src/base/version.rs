//! The version of this package, and the identity of this build.

/// The package's version, e.g. `0.1.0`. Result files record it as `version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version with the commit it was built from, as `replay --version` prints it: `0.1.0 (abcdef123 2026-11-28)`.
///
/// `, modified` follows the date if the sources had uncommitted changes. A build from a package has no date, and a build
/// without git and without a package's record has the version only.
pub const VERSION_WITH_COMMIT: &str = env!("KVREPLAY_VERSION_WITH_COMMIT");

/// Identifier of the sources of this build, e.g. `0.1.0-1f0c5a9be2d37c44`: the version, and a 64-bit digest of all compiled
/// files and of the versions of the dependencies.
///
/// Two builds with the same identifier give the same results. Commits that change only documents or tests keep the identifier.
#[must_use]
pub fn build_id() -> &'static str {
    env!("KVREPLAY_BUILD_ID")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_id_is_the_version_and_sixteen_digits() {
        let (version, digest) = build_id().rsplit_once('-').expect("two parts");
        assert_eq!(version, VERSION);
        assert_eq!(digest.len(), 16);
        assert!(digest.bytes().all(|digit| digit.is_ascii_hexdigit()));
    }

    #[test]
    fn the_commit_follows_the_version_in_brackets() {
        let rest = VERSION_WITH_COMMIT
            .strip_prefix(VERSION)
            .expect("the version comes first");
        if rest.is_empty() {
            return; // Built without git.
        }
        let inside = rest
            .strip_prefix(" (")
            .and_then(|rest| rest.strip_suffix(')'))
            .expect("brackets");
        let commit: Vec<char> = inside
            .chars()
            .take_while(|c| c.is_ascii_hexdigit())
            .collect();
        assert!(commit.len() >= 9, "{inside}");
    }
}
