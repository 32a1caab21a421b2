//! Trace formats: files that hold a trace. One format is one file with its card; the list in this file registers it.

use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::registry::{Card, Named, Registry};
use crate::base::shell::quoted;
use crate::prompt::tokenizer::Tokenizer;
use crate::trace::{Content, Trace};

mod answers;
mod azure;
mod bailian;
mod blocks;
mod burstgpt;
mod bytes;
mod csv_rows;
mod lines;
mod llmservingsim;
mod mooncake;
mod native;
mod oracle_general;
mod scan;
mod sharegpt;
mod splitwise;
mod token_ids;
mod vidur;
mod vllm_custom;
mod vllm_sim;
mod vllm_sim_request;
mod vllm_sim_text;

/// Name of the count, among those of a trace, of the requests that failed on the traced system and were left out by its reader.
pub const FAILURES: &str = "failures_left_out";

/// Options for reading a trace.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Tokens per block of a file with hash ids that does not state it; `None` means the format's default.
    pub block_size: Option<u32>,
    /// The format's name; `None` means that the format is detected from the content.
    pub format: Option<String>,
    /// Whether malformed lines are counted; otherwise the first one is an error.
    pub tolerate: bool,
    /// Tokenizer for formats that hold text.
    pub tokenizer: Option<Text>,
}

/// A tokenizer for formats that hold text.
#[derive(Clone)]
pub struct Text(pub Arc<dyn Tokenizer>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Text").field(self.0.identity()).finish()
    }
}

impl ReadOptions {
    fn text(&self, format: &str) -> Result<&dyn Tokenizer> {
        match &self.tokenizer {
            Some(Text(tokenizer)) => Ok(tokenizer.as_ref()),
            None => Err(Error::usage(
                format!("format `{format}` holds text, and a trace holds token ids"),
                "set `tokenizer` to the model's tokenizer",
            )),
        }
    }
}

/// Counts of a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ReadReport {
    /// Requests read.
    pub records: u64,
    /// Requests that failed on the traced system, which are left out; only formats that show failures have any.
    pub failures: u64,
    /// Malformed lines; 0 unless they are tolerated.
    pub broken: u64,
    /// One-based line numbers of the first few of them.
    pub broken_lines: Vec<u64>,
    /// Problem of the first malformed line.
    pub first_problem: Option<String>,
}

/// A trace, with the format and the counts of its reader.
#[derive(Debug, Clone)]
pub struct ReadTrace {
    /// The trace.
    pub trace: Trace,
    /// Name of the format.
    pub format: &'static str,
    /// Counts of the reader.
    pub report: ReadReport,
}

/// Function that converts token ids to text.
pub type Detokenize<'a> = dyn Fn(&[u32]) -> Result<String> + 'a;

/// Options for writing a trace.
#[derive(Default)]
pub struct WriteOptions<'a> {
    /// Tokens per block, for formats of blocks; `None` means the format's default.
    pub block_size: Option<u32>,
    /// Converts ids to text, for formats that hold text.
    pub detokenize: Option<&'a Detokenize<'a>>,
}

impl<'a> WriteOptions<'a> {
    fn text(&self, format: &str) -> Result<&'a Detokenize<'a>> {
        self.detokenize.ok_or_else(|| {
            Error::usage(
                format!("format `{format}` holds text, and a trace holds token ids"),
                "set `tokenizer` to the one that made them",
            )
        })
    }
}

/// Result of a writer.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct WriteReport {
    /// Records written: requests, or the format's counterpart.
    pub records: u64,
    /// Notes for the user of the file, each one line.
    pub notes: Vec<String>,
}

/// The start of a file, parsed once for all formats.
pub struct Head<'a> {
    first_line: &'a [u8],
    bytes: &'a [u8],
    keys: Vec<String>,
}

impl<'a> Head<'a> {
    /// Parses the first bytes of a file; they may be incomplete at the end.
    pub fn new(bytes: &'a [u8]) -> Self {
        let bytes = bytes.trim_ascii_start();
        let first_line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        let first_line = first_line.trim_ascii_end();
        let mut keys = Vec::new();
        // The buffer may end within a line or within a character; only the keys before that point are known.
        let whole = match std::str::from_utf8(first_line) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        if let Ok(mut scanner) = scan::Scanner::new(&first_line[..whole]) {
            let _ = scanner.object(|key, scanner| {
                keys.push(key.to_owned());
                scanner.skip()
            });
        }
        Self {
            first_line,
            bytes,
            keys,
        }
    }

    fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|known| known == key)
    }

    fn columns(&self, names: &[&str]) -> bool {
        let line = String::from_utf8_lossy(self.first_line);
        names.iter().all(|name| {
            line.split(',')
                .any(|column| column.trim().trim_matches('"').eq_ignore_ascii_case(name))
        })
    }

    fn looks_like_conversations(&self) -> bool {
        let start = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(1 << 14)]);
        start.starts_with(['[', '{'])
            && ["conversations", "conversation", "messages", "items"]
                .iter()
                .any(|key| start.contains(&format!("\"{key}\"")))
    }
}

/// A trace format.
pub trait TraceFormat: Sync {
    /// Name and summary.
    fn card(&self) -> &'static Card;

    /// Name in commands.
    fn name(&self) -> &'static str {
        self.card().name
    }

    /// One line for help.
    fn summary(&self) -> &'static str {
        self.card().summary
    }

    /// Whether the content looks like this format.
    fn sniff(&self, _head: &Head<'_>) -> bool {
        false
    }

    /// Whether [`Self::read`] is implemented.
    fn readable(&self) -> bool {
        true
    }

    /// Whether [`Self::write`] is implemented.
    fn writable(&self) -> bool {
        true
    }

    /// Whether [`Self::write`] needs [`WriteOptions::detokenize`].
    fn needs_text(&self) -> bool {
        false
    }

    /// Reads a trace.
    ///
    /// # Errors
    /// [`Error::Input`] with file and line; [`Error::Usage`] for write-only formats.
    fn read(&self, _input: Input, _options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        Err(Error::usage(
            format!("format `{}` can be written but not read", self.name()),
            format!("readable formats: {}", names(|f| f.readable()).join(", ")),
        ))
    }

    /// Writes a trace.
    ///
    /// # Errors
    /// [`Error::Usage`] if the trace lacks content that the format needs, or the format is read-only; [`Error::Io`].
    fn write(
        &self,
        _trace: &Trace,
        _options: &WriteOptions<'_>,
        _path: &Path,
    ) -> Result<WriteReport> {
        Err(Error::usage(
            format!("format `{}` can be read but not written", self.name()),
            format!("writable formats: {}", names(|f| f.writable()).join(", ")),
        ))
    }
}

impl Named for &'static dyn TraceFormat {
    fn card(&self) -> &Card {
        TraceFormat::card(*self)
    }
}

/// Every format; the first one that recognises a file is used.
pub static FORMATS: Registry<&'static dyn TraceFormat> =
    Registry::new("trace format", "formats.md", LIST);

const LIST: &[&dyn TraceFormat] = &[
    &native::Native,
    &vllm_sim::VllmSim,
    &vllm_sim_request::VllmSimRequest,
    &vllm_sim_text::VllmSimText,
    &token_ids::TokenIds,
    &bailian::Bailian,
    &mooncake::Mooncake,
    &azure::Azure,
    &burstgpt::BurstGpt,
    &burstgpt::BurstGptAll,
    &splitwise::Splitwise,
    &vidur::Vidur,
    &llmservingsim::LlmServingSim,
    &sharegpt::ShareGpt,
    &vllm_custom::VllmCustom,
    &oracle_general::OracleGeneral,
];

/// Names of the formats that match `choose`.
pub fn names(choose: impl Fn(&dyn TraceFormat) -> bool) -> Vec<&'static str> {
    FORMATS
        .iter()
        .filter(|format| choose(**format))
        .map(|format| TraceFormat::name(*format))
        .collect()
}

/// Writes a trace that is not in memory in the format `native`. `done` counts the requests, for a progress bar.
///
/// # Errors
/// A file that cannot be written, or a temporary file that cannot be read.
pub fn write_arranged(
    trace: &crate::trace::ArrangedTrace,
    path: &Path,
    done: &std::sync::atomic::AtomicU64,
) -> Result<()> {
    native::write_arranged(trace, path, done)
}

/// Returns the format of a name.
///
/// # Errors
/// [`Error::Usage`] that names the closest format and lists all.
pub fn format(name: &str) -> Result<&'static dyn TraceFormat> {
    FORMATS.find(name).copied()
}

/// Reads a trace of any format; `-` means standard input.
///
/// # Errors
/// [`Error::Io`], or [`Error::Input`] with file, line and remedy.
pub fn read_trace(path: impl AsRef<Path>, options: &ReadOptions) -> Result<ReadTrace> {
    read_input(Input::open(path)?, options)
}

/// Like [`read_trace`], from an opened input.
///
/// # Errors
/// As [`read_trace`].
pub fn read_input(mut input: Input, options: &ReadOptions) -> Result<ReadTrace> {
    if options.block_size == Some(0) {
        return Err(Error::usage(
            "the block size is 0",
            "give the tokens per block, at least 1",
        ));
    }
    let format = match &options.format {
        Some(name) => self::format(name)?,
        None => recognise(&mut input)?,
    };
    let (trace, report) = format.read(input, options)?;
    Ok(ReadTrace {
        trace,
        format: format.name(),
        report,
    })
}

fn recognise(input: &mut Input) -> Result<&'static dyn TraceFormat> {
    let path = input.path().to_path_buf();
    let head = Head::new(input.peek()?);
    if head.bytes.is_empty() {
        return Err(lines::empty(&path));
    }
    let found = FORMATS.iter().find(|format| format.sniff(&head)).copied();
    match found {
        Some(format) if format.readable() => Ok(format),
        None if head.looks_like_conversations() => Err(Error::input(
            Location::file(&path),
            "contains conversations, not a trace",
            format!(
                "make a trace of it with `replay gen-trace {}`",
                path.display()
            ),
        )),
        Some(format) => Err(Error::input(
            Location::file(&path),
            format!(
                "looks like `{}`, which lacks data that a trace needs",
                format.name()
            ),
            "give the trace from which it was exported",
        )),
        None => Err(Error::input(
            Location::file(&path),
            "is not a trace of a known format",
            format!(
                "give a trace in one of the formats {}, or set `format`",
                names(|f| f.readable()).join(", ")
            ),
        )),
    }
}

/// Rejects a trace without token ids.
fn require_tokens(trace: &Trace, format: &str) -> Result<()> {
    if trace.content() == Content::Tokens {
        return Ok(());
    }
    Err(Error::usage(
        format!("format `{format}` needs token ids, but this trace has none"),
        "export a trace that `replay gen-trace` made",
    ))
}

/// Returns the server command that replays a file of one of vLLM's simulator formats; `None` for other formats.
///
/// Flags and environment variables are those of the simulator's variants.
pub fn server_command(format: &str, path: &Path) -> Option<String> {
    let file = quoted(&path.to_string_lossy());
    Some(match format {
        "vllm-sim" => format!(
            "vllm serve MODEL --distributed-executor-backend sim --sim-trace-path {file} --sim-prefill-ms-per-tok 0.7 \
             --sim-decode-ms-base 1.0 --sim-decode-ms-per-seq 0.5 --enable-prefix-caching --skip-tokenizer-init"
        ),
        "vllm-sim-request" => {
            format!(
                "VLLM_USE_SIMULATOR=1 VLLM_SIMULATOR_TRACE_PATH={file} vllm serve MODEL --enable-prefix-caching"
            )
        }
        "vllm-sim-text" => format!("vllm serve MODEL --use-simulator --sim-trace-path {file}"),
        _ => return None,
    })
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
