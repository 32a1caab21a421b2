//! The error type of the library. Every message is one line with the place, the problem and the remedy.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// The result type of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A place in an input: a file and, if known, the line or record in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as the user named it; `-` means standard input.
    pub path: PathBuf,
    /// One-based line, where the format has lines.
    pub line: Option<u64>,
}

impl Location {
    /// A location that names a file as a whole.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_path_buf(),
            line: None,
        }
    }

    /// A location that names a line of a file; the first line is 1.
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

/// A problem with one line of an input. The reader of the file adds the place.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What was found, and what was expected.
    pub(crate) problem: String,
    /// How to fix it.
    pub(crate) remedy: Cow<'static, str>,
}

impl Fault {
    /// The remedy of faults for which no better one is set.
    pub(crate) const REMEDY: &'static str = "repair or remove the line";

    /// Creates a fault with the default remedy.
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            remedy: Cow::Borrowed(Self::REMEDY),
        }
    }

    /// Returns the same fault with another remedy.
    pub(crate) fn remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = Cow::Borrowed(remedy);
        self
    }

    /// Creates the fault of a missing required key.
    pub(crate) fn missing(key: &str) -> Self {
        Self::new(format!("has no `{key}`"))
    }

    /// Returns the same fault, attributed to the value of a key.
    pub(crate) fn of_key(mut self, key: &str) -> Self {
        self.problem = format!("`{key}`: {}", self.problem);
        self
    }

    /// Turns the fault into an error at a location.
    pub(crate) fn at(self, at: Location) -> Error {
        Error::input(at, self.problem, self.remedy)
    }
}

impl From<String> for Fault {
    fn from(problem: String) -> Self {
        Self::new(problem)
    }
}

/// A failure with a cause outside the program: an input file, the operating system, or the arguments.
///
/// Every message is one line: the place, what was found and what was expected, and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input file has invalid content.
    #[error("{at}: {problem}; {remedy}")]
    Input {
        /// The place.
        at: Location,
        /// What was found, and what was expected.
        problem: String,
        /// How to fix it.
        remedy: String,
    },
    /// The operating system failed to read or write.
    #[error("{at}: {action}: {source}; {remedy}")]
    Io {
        /// The file.
        at: Location,
        /// The operation that failed, e.g. "cannot read".
        action: &'static str,
        /// How to fix it.
        remedy: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Arguments are invalid or contradict each other, or a name is unknown.
    #[error("{problem}; {remedy}")]
    Usage {
        /// The problem.
        problem: String,
        /// How to fix it.
        remedy: String,
    },
}

impl Error {
    /// Creates an [`Error::Input`] at `at`.
    pub fn input(at: Location, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Input {
            at,
            problem: one_line(problem.into()),
            remedy: one_line(remedy.into()),
        }
    }

    /// Creates an [`Error::Usage`].
    pub fn usage(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Usage {
            problem: one_line(problem.into()),
            remedy: one_line(remedy.into()),
        }
    }

    /// Creates an [`Error::Io`] for reading `path`, with the remedy for its cause.
    pub fn read(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let remedy = match source.kind() {
            _ if is_lack_of_memory(&source) => FREE_MEMORY,
            _ if is_lack_of_descriptors(&source) => RAISE_DESCRIPTORS,
            Kind::NotFound => "check that the file exists",
            Kind::PermissionDenied => "check that you may read it",
            Kind::UnexpectedEof => "the file is cut off: copy or download it again",
            Kind::FileTooLarge => "give a file with a record on each line",
            // Decoders report damage in all of these ways; the operating system reports none of them for a file.
            Kind::InvalidData | Kind::InvalidInput => DAMAGED,
            Kind::Other if source.raw_os_error().is_none() => DAMAGED,
            _ => "check that the file exists and that you may read it",
        };
        Self::Io {
            at: Location::file(path),
            action: "cannot read",
            remedy,
            source,
        }
    }

    /// Creates an [`Error::Io`] for writing `path`, with the remedy for its cause.
    pub fn write(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let remedy = match source.kind() {
            _ if is_lack_of_memory(&source) => FREE_MEMORY,
            _ if is_lack_of_descriptors(&source) => RAISE_DESCRIPTORS,
            Kind::StorageFull => "free some space or choose another place",
            Kind::QuotaExceeded => "free some of your quota or choose another place",
            Kind::FileTooLarge => {
                "raise the limit of file sizes (`ulimit -f`) or choose another place"
            }
            Kind::ReadOnlyFilesystem | Kind::PermissionDenied => {
                "choose a place where you may write, or change its permissions"
            }
            Kind::IsADirectory => "name a file in it",
            Kind::NotADirectory | Kind::AlreadyExists => {
                "a file has the name of the folder: remove it or choose another place"
            }
            Kind::InvalidFilename => "choose a shorter name",
            Kind::NotFound => "check that the folder exists",
            _ => "check that the folder exists, has room and that you may write there",
        };
        // In a location, `-` is standard input; in a write error it is standard output.
        let path = match path.as_ref() {
            path if path.as_os_str() == "-" => PathBuf::from("<stdout>"),
            path => super::io::final_path(path),
        };
        Self::Io {
            at: Location::file(path),
            action: "cannot write",
            remedy,
            source,
        }
    }

    /// Whether the reader of standard output closed it, which is not a failure for a command-line tool.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Creates the error for an unknown name: suggests the closest known name and lists all of them.
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

const FREE_MEMORY: &str = "free memory, or raise its limit (`ulimit -v`)";

const RAISE_DESCRIPTORS: &str = "raise the limit of open files (`ulimit -n`)";

const DAMAGED: &str = "the file is damaged: copy or download it again";

/// Whether an operation failed for lack of memory; zstd reports that as text.
fn is_lack_of_memory(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::OutOfMemory
        || error.raw_os_error().is_none() && error.to_string().contains("memory")
}

/// Whether too many files are open in the process (EMFILE) or in the system (ENFILE).
fn is_lack_of_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// Maximum length of one section of a message, in bytes; parsers may quote megabytes of input.
const LONGEST: usize = 1000;

/// Removes line breaks, which messages of parsers and of the template engine may contain, and shortens long texts.
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
