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

/// How to read a trace.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Tokens per block of a file with hash ids that does not state it; `None` for the format's usual size.
    pub block_size: Option<u32>,
    /// The format's name; `None` to recognise it by content.
    pub format: Option<String>,
    /// Count malformed lines instead of failing at the first.
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
    /// Malformed lines; 0 unless they were tolerated.
    pub broken: u64,
    /// One-based line numbers of the first few of them.
    pub broken_lines: Vec<u64>,
    /// Problem of the first of them.
    pub first_problem: Option<String>,
}

/// A trace and how it was read.
#[derive(Debug, Clone)]
pub struct ReadTrace {
    /// The trace.
    pub trace: Trace,
    /// Name of the format.
    pub format: &'static str,
    /// Counts of the reader.
    pub report: ReadReport,
}

/// Turns token ids into text.
pub type Detokenize<'a> = dyn Fn(&[u32]) -> Result<String> + 'a;

/// How to write a trace.
#[derive(Default)]
pub struct WriteOptions<'a> {
    /// Tokens per block, for formats of blocks; `None` for the format's usual size.
    pub block_size: Option<u32>,
    /// Turns ids into text, for formats that hold text.
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
    /// Notes for the reader of the file, each one line.
    pub notes: Vec<String>,
}

/// The start of a file, parsed once for all formats.
pub struct Head<'a> {
    first_line: &'a [u8],
    bytes: &'a [u8],
    keys: Vec<String>,
}

impl<'a> Head<'a> {
    /// Parses the first bytes of a file, which may end anywhere.
    pub fn new(bytes: &'a [u8]) -> Self {
        let bytes = bytes.trim_ascii_start();
        let first_line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        let first_line = first_line.trim_ascii_end();
        let mut keys = Vec::new();
        // The buffer may end within the line, even within a character; only the keys before that are known.
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

    /// Name that users write.
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

    /// Whether [`Self::read`] can work.
    fn readable(&self) -> bool {
        true
    }

    /// Whether [`Self::write`] can work.
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
    /// [`Error::Input`] with file and line; [`Error::Usage`] for formats that are only written.
    fn read(&self, _input: Input, _options: &ReadOptions) -> Result<(Trace, ReadReport)> {
        Err(Error::usage(
            format!("format `{}` is written, never read", self.name()),
            format!("readable formats: {}", names(|f| f.readable()).join(", ")),
        ))
    }

    /// Writes a trace.
    ///
    /// # Errors
    /// [`Error::Usage`] where the trace does not hold what the format needs, or the format is only read;
    /// [`Error::Io`].
    fn write(
        &self,
        _trace: &Trace,
        _options: &WriteOptions<'_>,
        _path: &Path,
    ) -> Result<WriteReport> {
        Err(Error::usage(
            format!("format `{}` is read, never written", self.name()),
            format!("writable formats: {}", names(|f| f.writable()).join(", ")),
        ))
    }
}

impl Named for &'static dyn TraceFormat {
    fn card(&self) -> &Card {
        TraceFormat::card(*self)
    }
}

/// Every format; where two recognise a file, the first one gets it.
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
    &splitwise::Splitwise,
    &vidur::Vidur,
    &llmservingsim::LlmServingSim,
    &sharegpt::ShareGpt,
    &vllm_custom::VllmCustom,
    &oracle_general::OracleGeneral,
];

/// Names of the formats that `choose` takes.
pub fn names(choose: impl Fn(&dyn TraceFormat) -> bool) -> Vec<&'static str> {
    FORMATS
        .iter()
        .filter(|format| choose(**format))
        .map(|format| TraceFormat::name(*format))
        .collect()
}

/// The format of a name.
///
/// # Errors
/// [`Error::Usage`] that names the closest format and lists all.
pub fn format(name: &str) -> Result<&'static dyn TraceFormat> {
    FORMATS.find(name).copied()
}

/// Reads a trace of any format; `-` is standard input.
///
/// # Errors
/// [`Error::Io`], or [`Error::Input`] with file, line and remedy.
pub fn read_trace(path: impl AsRef<Path>, options: &ReadOptions) -> Result<ReadTrace> {
    read_input(Input::open(path)?, options)
}

/// As [`read_trace`], of an input that is open already.
///
/// # Errors
/// As [`read_trace`].
pub fn read_input(mut input: Input, options: &ReadOptions) -> Result<ReadTrace> {
    if options.block_size == Some(0) {
        return Err(Error::usage(
            "a block size of 0",
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
            "holds conversations, expected a trace",
            format!(
                "make a trace of it with `replay gen-trace {}`",
                path.display()
            ),
        )),
        Some(format) => Err(Error::input(
            Location::file(&path),
            format!(
                "looks like `{}`, which does not hold what a trace needs",
                format.name()
            ),
            "give the trace that it was exported from",
        )),
        None => Err(Error::input(
            Location::file(&path),
            "is no trace of a known format",
            format!(
                "expected one of {}, or set `format`",
                names(|f| f.readable()).join(", ")
            ),
        )),
    }
}

/// Refuses a trace without token ids.
fn require_tokens(trace: &Trace, format: &str) -> Result<()> {
    if trace.content() == Content::Tokens {
        return Ok(());
    }
    Err(Error::usage(
        format!("format `{format}` needs token ids, and this trace has none"),
        "export a trace that `replay gen-trace` made",
    ))
}

/// The server command that replays a file of one of vLLM's simulator formats; none for other formats.
///
/// Flags and environment as the simulator's own variants define them.
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
pub(crate) mod testing {
    use crate::trace::TraceBuilder;
    use crate::trace::format::*;

    /// Reads `bytes` as if they were the file `t`.
    pub(crate) fn read(bytes: &[u8], options: &ReadOptions) -> Result<ReadTrace> {
        let input = Input::from_reader("t", Box::new(std::io::Cursor::new(bytes.to_vec())))?;
        read_input(input, options)
    }

    /// Writes `trace` and returns the file's bytes.
    pub(crate) fn write(trace: &Trace, format: &str, options: &WriteOptions<'_>) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("out");
        self::format(format)
            .and_then(|f| f.write(trace, options, &path))
            .expect("writes");
        std::fs::read(path).expect("reads")
    }

    /// Two sessions that interleave; the second turn of `a` extends the first.
    pub(crate) fn sample() -> Trace {
        let mut builder = TraceBuilder::new(Content::Tokens);
        let mut push = |id, session, turn, arrival, shared: u32, fresh: &[u32], output: &[u32]| {
            builder
                .push(crate::trace::NewRequest {
                    id,
                    session,
                    turn,
                    arrival: crate::trace::Nanos(arrival),
                    input_length: shared + fresh.len() as u32,
                    output_length: output.len() as u32,
                    shared,
                    fresh,
                    output,
                    extra: None,
                })
                .expect("fits");
        };
        push("a_turn0", "a", 0, 0, 0, &[1, 2, 3], &[4, 5]);
        push("b_turn0", "b", 0, 1_500_000_001, 0, &[1, 2, 9, 9, 9], &[7]);
        push("a_turn1", "a", 1, 2_000_000_000, 5, &[6], &[8]);
        builder
            .finish(lines::foreign("sample"))
            .expect("is a trace")
    }

    /// What a reader of whole prompts sees.
    pub(crate) fn prompts(trace: &Trace) -> Vec<(String, u64, Vec<u32>, Vec<u32>)> {
        let mut replay = crate::trace::TokenReplay::new(trace);
        let mut out = Vec::new();
        while let Some(tokens) = replay.next_request() {
            let request = &trace.requests()[tokens.index];
            out.push((
                request.id.to_string(),
                request.arrival.0,
                tokens.prompt.to_vec(),
                tokens.output.to_vec(),
            ));
        }
        out
    }

    /// Arrival, input and output length of every request.
    pub(crate) fn loads(trace: &Trace) -> Vec<(u64, u32, u32)> {
        let load = |r: &crate::trace::Request| (r.arrival.0, r.input_length, r.output_length);
        trace.requests().iter().map(load).collect()
    }

    /// The sample must be written as `expected`, and read back with the same arrivals and lengths.
    pub(crate) fn round_trip_of_lengths(format: &str, expected: &str) {
        let written = write(&sample(), format, &WriteOptions::default());
        assert_eq!(String::from_utf8_lossy(&written), expected);
        let back = read(&written, &ReadOptions::default()).expect("reads");
        assert_eq!(back.format, format);
        assert_eq!(loads(&back.trace), loads(&sample()));
    }

    /// Of a CSV file with the columns `head` (arrival, prompt, output), rows that are no requests must be refused with their
    /// place; `arrival` is a valid one, and `expected` describes it.
    pub(crate) fn refuses_rows(head: &str, arrival: &str, expected: &str) {
        let names: Vec<&str> = head.split(',').collect();
        let (first, last) = (names[0], names[2]);
        for (row, problem) in [
            (
                "x,1,2".to_owned(),
                format!("t:2: `{first}`: expected {expected}, found `x`"),
            ),
            (
                format!("{arrival},1.5,2"),
                "expected a whole number of tokens".to_owned(),
            ),
            (format!("{arrival},1"), format!("`{last}` is missing")),
        ] {
            refuses(&[(&format!("{head}\n{row}\n"), &problem)]);
        }
    }

    /// Every case must fail with one line that holds the text beside it.
    pub(crate) fn refuses(cases: &[(&str, &str)]) {
        for (bytes, expected) in cases {
            let error = read(bytes.as_bytes(), &ReadOptions::default())
                .err()
                .unwrap_or_else(|| panic!("accepted {bytes}"))
                .to_string();
            assert!(error.contains(expected), "{bytes}: {error}");
            assert!(error.starts_with('t') && !error.contains('\n'), "{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::*;

    #[test]
    fn names_are_found_and_guessed() {
        for name in names(|_| true) {
            assert_eq!(format(name).expect("known").name(), name);
        }
        let error = format("mooncke").err().expect("unknown").to_string();
        assert!(error.contains("did you mean `mooncake`?"), "{error}");
    }

    #[test]
    fn what_is_no_trace_says_what_to_do() {
        testing::refuses(&[
            ("", "is empty"),
            ("[{\"id\": 1, \"conversations\": []}]", "replay gen-trace t"),
            ("{\"messages\": []}\n", "replay gen-trace t"),
            ("hello", "no trace of a known format"),
            (
                "{\"request_id\": \"a\", \"prompt\": 3}",
                "no trace of a known format",
            ),
        ]);
    }

    #[test]
    fn broken_lines_are_counted_where_tolerated() {
        let options = ReadOptions {
            tolerate: true,
            ..ReadOptions::default()
        };
        let text =
            b"arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,1,2\nx,1,2\n1.0,3\n2.0,5,6\n";
        let read = testing::read(text, &options).expect("reads");
        assert_eq!(read.format, "vidur");
        assert_eq!((read.report.records, read.report.broken), (2, 2));
        assert_eq!(read.report.broken_lines, [3, 4]);
    }

    #[test]
    fn a_first_line_longer_than_the_buffer_is_recognised() {
        let head = Head::new(br#"{"timestamp": 0, "input_length": 9, "hash_ids": [1, 2"#);
        assert!(head.has("hash_ids"));
        let head = Head::new(
            "{\"request_id\": \"é"
                .as_bytes()
                .split_last()
                .expect("bytes")
                .1,
        );
        assert!(head.has("request_id"));
    }

    #[test]
    fn lengths_alone_are_no_blocks() {
        let text = b"arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,1,2\n";
        let read = testing::read(text, &ReadOptions::default()).expect("reads");
        for name in ["mooncake", "bailian", "oracle-general"] {
            let error = format(name)
                .and_then(|f| f.write(&read.trace, &WriteOptions::default(), Path::new("x")))
                .expect_err("has no content");
            assert!(error.to_string().contains("simulate"), "{error}");
        }
    }

    proptest::proptest! {
        /// What the fuzz targets look for, in small: a damaged file gives an error or a trace, never a panic.
        #[test]
        fn damaged_files_do_not_panic(
            damage in proptest::collection::vec((proptest::prelude::any::<u16>(), proptest::prelude::any::<u8>()), 1..6),
            cut in proptest::prelude::any::<u16>(),
            tolerate: bool,
        ) {
            let chars = Text(crate::prompt::tokenizer::load("chars").expect("built in").into());
            for name in names(|f| f.readable()) {
                let mut bytes = match format(name).expect("known") {
                    f if f.needs_text() => br#"{"prompt":"a b","response":"c"}"#.to_vec(),
                    f if f.writable() => testing::write(&testing::sample(), name, &WriteOptions::default()),
                    _ => br#"{"request_id":"a","arrival_time":1,"prompt_token_ids":[1],"response_token_ids":[]}"#.to_vec(),
                };
                for (at, byte) in &damage {
                    let at = *at as usize % bytes.len();
                    bytes[at] = *byte;
                }
                bytes.truncate(cut as usize % bytes.len() + 1);
                let options = ReadOptions { format: Some(name.to_owned()), tolerate, block_size: None, tokenizer: Some(chars.clone()) };
                let _ = testing::read(&bytes, &options);
            }
        }
    }

    #[test]
    fn server_commands_quote_their_file() {
        let command = server_command("vllm-sim-text", Path::new("a b.jsonl"));
        assert_eq!(
            command.as_deref(),
            Some("vllm serve MODEL --use-simulator --sim-trace-path 'a b.jsonl'")
        );
        assert_eq!(server_command("azure", Path::new("a")), None);
    }
}
