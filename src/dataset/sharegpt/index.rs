//! Indexes a file: start, end and id of each record.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::report::{LoadReport, Reason};
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;

/// Content of a file: memory-mapped if it is uncompressed, in memory if it was decompressed or read from a pipe.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    content: Content,
    /// Number of line ends before each chunk.
    lines_before: OnceLock<Vec<u64>>,
}

/// Bytes per chunk for which line ends are counted.
const CHUNK: usize = 1 << 16;

#[derive(Debug)]
enum Content {
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
}

impl Deref for Content {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// One record of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordRef {
    pub(super) source: usize,
    pub(super) start: usize,
    end: usize,
}

/// The records of files, in order, each with the id that assigns it to a chat: 32 bytes and the id for each.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Each record, and where its id ends in `ids`.
    records: Vec<(RecordRef, usize)>,
    ids: String,
    /// Number of records before those of this index.
    before: usize,
}

impl Index {
    /// No records yet, behind `before` others.
    fn behind(before: usize) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    /// Adds a record; one without an id gets its number.
    fn push(&mut self, record: RecordRef, id: Option<String>) {
        match id {
            Some(id) => self.ids.push_str(&id),
            None => self
                .ids
                .push_str(&(self.before + self.records.len()).to_string()),
        }
        self.records.push((record, self.ids.len()));
    }

    /// Adds the records of another index, which is behind this one.
    pub(super) fn append(&mut self, other: Self) {
        if self.records.is_empty() {
            *self = other;
            return;
        }
        let length = self.ids.len();
        self.ids.push_str(&other.ids);
        let moved = other.records.into_iter();
        self.records
            .extend(moved.map(|(record, end)| (record, length + end)));
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn record(&self, number: usize) -> RecordRef {
        self.records[number].0
    }

    pub(super) fn id(&self, number: usize) -> &str {
        let from = match number.checked_sub(1) {
            Some(before) => self.records[before].1,
            None => 0,
        };
        &self.ids[from..self.records[number].1]
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut input = Input::open(path)?;
        let head = input.peek()?;
        if head.is_empty() {
            return Err(Error::input(
                Location::file(path),
                "the file is empty",
                "give a ShareGPT file: a JSON array or JSON lines of conversations",
            ));
        }
        let plain = path.as_os_str() != "-" && matches!(first_byte(head), Some(b'[' | b'{'));
        let mapped = if plain && path.is_file() {
            map(path)
        } else {
            None
        };
        let content = match mapped {
            Some(map) if first_byte(&map) == first_byte(head) => Content::Mapped(map),
            _ => Content::Owned(input.read_to_end()?),
        };
        Ok(Self {
            path: path.to_path_buf(),
            content,
            lines_before: OnceLock::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self, record: &RecordRef) -> &[u8] {
        &self.content[record.start..record.end]
    }

    /// Line number of a byte offset. Line ends are counted once, and only when a message needs them.
    pub(super) fn location(&self, offset: usize) -> Location {
        let count = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
        let before = self.lines_before.get_or_init(|| {
            let mut total = 0;
            let starts = self.content.chunks(CHUNK).map(|chunk| {
                let start = total;
                total += count(chunk);
                start
            });
            starts.collect()
        });
        let offset = offset.min(self.content.len());
        let chunk = offset / CHUNK;
        let known = before.get(chunk).copied().unwrap_or_default();
        let line = known + count(&self.content[chunk * CHUNK..offset]) + 1;
        Location::line(&self.path, line)
    }

    pub(super) fn index(
        &self,
        source: usize,
        before: usize,
        strict: bool,
        report: &mut LoadReport,
    ) -> Result<Index> {
        let bytes: &[u8] = &self.content;
        let start = bytes.iter().position(|byte| {
            !byte.is_ascii_whitespace() && *byte != 0xef && *byte != 0xbb && *byte != 0xbf
        });
        let Some(start) = start else {
            return Ok(Index::default());
        };
        let found = Index::behind(before);
        match bytes[start] {
            b'[' => self.index_array(source, start, found, strict, report),
            b'{' => self.index_lines(source, start, found, strict, report),
            _ => Err(Error::input(
                self.location(start),
                format!(
                    "starts with {:?}, expected `[` or `{{`",
                    char::from(bytes[start])
                ),
                "give a ShareGPT file: a JSON array or JSON lines of conversations",
            )),
        }
    }

    fn index_array(
        &self,
        source: usize,
        start: usize,
        mut found: Index,
        strict: bool,
        report: &mut LoadReport,
    ) -> Result<Index> {
        let text = std::str::from_utf8(&self.content[start..]).map_err(|error| {
            Error::input(
                self.location(start + error.valid_up_to()),
                "bytes that are not UTF-8",
                "convert the file to UTF-8",
            )
        })?;
        let base = self.content.as_ptr() as usize;
        let mut keep = |raw: &RawValue| {
            let from = raw.get().as_ptr() as usize - base;
            let record = RecordRef {
                source,
                start: from,
                end: from + raw.get().len(),
            };
            found.push(record, id_of(raw.get().as_bytes()));
        };
        let mut parser = serde_json::Deserializer::from_str(text);
        let result = Elements(&mut keep)
            .deserialize(&mut parser)
            .and_then(|()| parser.end());
        let Err(error) = result else { return Ok(found) };
        let line = self.location(start).line.unwrap_or(1) + error.line() as u64 - 1;
        let at = Location::line(&self.path, line);
        if !error.is_eof() || strict || found.is_empty() {
            let problem = if error.is_eof() {
                "the array is cut off before its end".to_owned()
            } else {
                format!("not valid JSON: {error}")
            };
            let remedy = if found.is_empty() || strict {
                "download the file again, or repair it"
            } else {
                "repair the record on that line"
            };
            return Err(Error::input(at, problem, remedy));
        }
        report.warnings.push(format!(
            "{at}: the array is cut off; read up to its last whole record, number {}",
            found.len()
        ));
        Ok(found)
    }

    fn index_lines(
        &self,
        source: usize,
        start: usize,
        mut found: Index,
        strict: bool,
        report: &mut LoadReport,
    ) -> Result<Index> {
        let bytes: &[u8] = &self.content;
        let mut from = start;
        while from < bytes.len() {
            let length = memchr_newline(&bytes[from..]);
            let end = from + length;
            let line = bytes[from..end].trim_ascii();
            if !line.is_empty() {
                if found.is_empty() && !is_json(line) && report.skipped.is_empty() {
                    // Perhaps objects over several lines, one after the other.
                    if let Some(all) = self.index_objects(source, from, found.before) {
                        return Ok(all);
                    }
                }
                let record = RecordRef {
                    source,
                    start: from,
                    end,
                };
                if line[0] == b'{' && id_is_cheap(line) {
                    found.push(record, id_of(line));
                } else {
                    let reason = if std::str::from_utf8(line).is_err() {
                        Reason::NotUtf8
                    } else if is_json(line) {
                        Reason::NotAnObject
                    } else {
                        Reason::NotJson
                    };
                    let at = self.location(from);
                    if strict {
                        return Err(Error::input(
                            at,
                            reason.problem(),
                            "repair or remove the line, or leave `strict` out to skip such records",
                        ));
                    }
                    report.records += 1;
                    report.skip(reason, at);
                }
            }
            from = end + 1;
        }
        if found.is_empty()
            && let Some(skipped) = report.skipped.first()
        {
            return Err(Error::input(
                skipped.first.clone(),
                skipped.reason.problem(),
                "no line of the file can be used; give JSON lines of conversations",
            ));
        }
        Ok(found)
    }

    fn index_objects(&self, source: usize, start: usize, before: usize) -> Option<Index> {
        let text = std::str::from_utf8(&self.content[start..]).ok()?;
        let base = self.content.as_ptr() as usize;
        let mut found = Index::behind(before);
        for raw in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
            let raw = raw.ok()?;
            let from = raw.get().as_ptr() as usize - base;
            let record = RecordRef {
                source,
                start: from,
                end: from + raw.get().len(),
            };
            found.push(record, id_of(raw.get().as_bytes()));
        }
        Some(found)
    }
}

#[expect(
    unsafe_code,
    reason = "mapping a file is the only way to read it without a copy"
)]
fn map(path: &Path) -> Option<memmap2::Mmap> {
    let file = File::open(path).ok()?;
    // SAFETY: the map is read only. Another process that cuts the file short while we read could end this one, as with
    // every reader of mapped files; it cannot make it compute something wrong from memory that is not its own.
    unsafe { memmap2::Mmap::map(&file) }.ok()
}

fn first_byte(bytes: &[u8]) -> Option<u8> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes
        .iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace())
}

fn memchr_newline(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Whether a line can be a record; faults inside it are reported when it is loaded.
fn id_is_cheap(line: &[u8]) -> bool {
    line.last() == Some(&b'}')
}

/// Id of the record as text, if it has one.
fn id_of(record: &[u8]) -> Option<String> {
    let head: Head<'_> = serde_json::from_slice(record).ok()?;
    let raw = head.id?.get();
    if raw == "null" {
        return None;
    }
    match serde_json::from_str::<Cow<'_, str>>(raw) {
        Ok(text) => Some(text.into_owned()),
        Err(_) => Some(raw.to_owned()),
    }
}

/// Passes the text of each element of an array to a closure.
struct Elements<'f, F>(&'f mut F);

impl<'de, F: FnMut(&'de RawValue)> DeserializeSeed<'de> for Elements<'_, F> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<'_, F> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of conversations")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            (self.0)(raw);
        }
        Ok(())
    }
}
