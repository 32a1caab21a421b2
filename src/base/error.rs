//! The library's error type: one line that says where, what and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of every fallible function of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A place in an input: a file, and where known the line or record in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as the user named it; `-` is standard input.
    pub path: PathBuf,
    /// One-based line, where the format has lines.
    pub line: Option<u64>,
}

impl Location {
    /// The file as a whole.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_path_buf(),
            line: None,
        }
    }

    /// A one-based line of the file.
    pub fn line(path: impl AsRef<Path>, line: u64) -> Self {
        Self {
            path: path.as_ref().to_path_buf(),
            line: Some(line),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.as_os_str() == "-" {
            f.write_str("<stdin>")?;
        } else {
            write!(f, "{}", self.path.display())?;
        }
        match self.line {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

/// What can go wrong for reasons that lie outside the program.
///
/// Every message is one line: the place, what was found against what was expected, and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content of an input is not what it should be.
    #[error("{at}: {problem}; {remedy}")]
    Input {
        /// Where.
        at: Location,
        /// What was found, and what was expected.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// The operating system refused to read or write.
    #[error("{at}: {action}: {source}; {remedy}")]
    Io {
        /// Which file.
        at: Location,
        /// What was being done, as a phrase: "cannot read".
        action: &'static str,
        /// What to do about it.
        remedy: &'static str,
        /// The system's own answer.
        source: std::io::Error,
    },
    /// Arguments that cannot be honoured together, or a name that nobody registered.
    #[error("{problem}; {remedy}")]
    Usage {
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
}

impl Error {
    /// An [`Error::Input`] at `at`.
    pub fn input(at: Location, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Input {
            at,
            problem: one_line(problem.into()),
            remedy: one_line(remedy.into()),
        }
    }

    /// An [`Error::Usage`].
    pub fn usage(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Usage {
            problem: one_line(problem.into()),
            remedy: one_line(remedy.into()),
        }
    }

    /// An [`Error::Io`] for reading `path`.
    pub fn read(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io {
            at: Location::file(path),
            action: "cannot read",
            remedy: "check that the file exists and that you may read it",
            source,
        }
    }

    /// An [`Error::Io`] for writing `path`.
    pub fn write(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        let remedy = match source.kind() {
            std::io::ErrorKind::StorageFull => "free some space or choose another place",
            _ => "check that the folder exists, has room and that you may write there",
        };
        // As a place, `-` is standard input; what is written there is standard output.
        let path = match path.as_ref() {
            path if path.as_os_str() == "-" => Path::new("<stdout>"),
            path => path,
        };
        Self::Io {
            at: Location::file(path),
            action: "cannot write",
            remedy,
            source,
        }
    }

    /// Whether the reader of our output went away, which is not an error for a command-line tool.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// An unknown name of a registry: names the closest known one and lists all.
    pub fn unknown_name(what: &str, given: &str, known: &[&str]) -> Self {
        let near = known
            .iter()
            .map(|name| {
                (
                    strsim::damerau_levenshtein(&given.to_lowercase(), name),
                    *name,
                )
            })
            .min()
            .filter(|(distance, name)| *distance <= 2.max(name.len() / 3));
        let guess = match near {
            Some((_, name)) => format!("did you mean `{name}`? known: {}", known.join(", ")),
            None => format!("known: {}", known.join(", ")),
        };
        Self::usage(format!("unknown {what} `{given}`"), guess)
    }
}

/// The most bytes of one part of a message: parsers may quote what they found, which can be megabytes.
const LONGEST: usize = 1000;

/// Messages of parsers and of the template engine may hold line ends; ours never do.
fn one_line(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = text.floor_char_boundary(LONGEST);
        text.truncate(end);
        text.push_str("...");
    }
    if text.contains(['\n', '\r']) {
        text.split(['\n', '\r'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use crate::base::error::*;

    #[test]
    fn messages_are_one_line_with_place_and_remedy() {
        let error = Error::input(
            Location::line("a.jsonl", 7),
            "not JSON\n at all",
            "repair it",
        );
        assert_eq!(error.to_string(), "a.jsonl:7: not JSON at all; repair it");
    }

    #[test]
    fn what_a_parser_quotes_is_cut() {
        let error = Error::usage("ä".repeat(1 << 20), "shorten it");
        let text = error.to_string();
        assert!(text.len() < 1100 && text.ends_with("...; shorten it"));
    }

    #[test]
    fn what_is_written_to_a_dash_goes_to_standard_output() {
        let error = Error::write("-", std::io::ErrorKind::StorageFull.into());
        assert!(error.to_string().starts_with("<stdout>: cannot write"));
    }

    #[test]
    fn unknown_names_come_with_a_guess() {
        let error = Error::unknown_name("policy", "lruu", &["fifo", "lru"]);
        assert_eq!(
            error.to_string(),
            "unknown policy `lruu`; did you mean `lru`? known: fifo, lru"
        );
        let error = Error::unknown_name("policy", "zzzzzzzz", &["fifo", "lru"]);
        assert_eq!(
            error.to_string(),
            "unknown policy `zzzzzzzz`; known: fifo, lru"
        );
    }
}
