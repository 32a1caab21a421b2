//! Indexes a file: place and id of each record. The file is read as a stream, so only one record is in memory.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::report::{LoadReport, Reason, Skipped};
use super::store::Store;
use super::stream::Stream;
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;

/// A file with its records' places.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    store: Store,
}

/// One record of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef {
    source: u32,
    length: u32,
    place: u64,
    /// The line on which it begins.
    line: u64,
}

impl RecordRef {
    /// Number of the source.
    pub(super) fn source(&self) -> usize {
        self.source as usize
    }
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

impl Head<'_> {
    /// The id as text.
    fn id(self) -> Option<String> {
        let raw = self.id?.get();
        if raw == "null" {
            return None;
        }
        match serde_json::from_str::<Cow<'_, str>>(raw) {
            Ok(text) => Some(text.into_owned()),
            Err(_) => Some(raw.to_owned()),
        }
    }
}

/// An index in progress.
struct Indexer<'a> {
    number: u32,
    strict: bool,
    store: Store,
    report: &'a mut LoadReport,
    found: Index,
}

impl Source {
    /// Reads a file and indexes it as the source of this number, behind `before` records of other sources.
    pub(super) fn open(
        path: &Path,
        number: usize,
        before: usize,
        strict: bool,
        report: &mut LoadReport,
    ) -> Result<(Self, Index)> {
        let mut input = Input::open(path)?;
        if input.peek()?.is_empty() {
            return Err(Error::input(
                Location::file(path),
                "the file is empty",
                "give a ShareGPT file: a JSON array or JSON lines of conversations",
            ));
        }
        let (reader, file, at) = input.into_parts();
        let mut stream = Stream::new(path, reader, at);
        let mut indexer = Indexer {
            number: number as u32,
            strict,
            store: Store::new(file),
            report,
            found: Index::behind(before),
        };
        match stream.next_byte()? {
            None => {}
            Some(b'[') => indexer.array(stream)?,
            Some(b'{') => indexer.lines(stream)?,
            Some(other) => {
                return Err(Error::input(
                    stream.location(),
                    format!("starts with {:?}, expected `[` or `{{`", char::from(other)),
                    "give a ShareGPT file: a JSON array or JSON lines of conversations",
                ));
            }
        }
        let Indexer {
            store,
            found,
            report,
            ..
        } = indexer;
        let mut skipped = report.skipped.iter();
        let here = |skipped: &&Skipped| skipped.first.path == path;
        if found.is_empty()
            && let Some(skipped) = skipped.find(here)
        {
            return Err(Error::input(
                skipped.first.clone(),
                skipped.reason.problem(),
                "no record of the file can be used; give JSON lines of conversations",
            ));
        }
        let path = path.to_path_buf();
        Ok((Self { path, store }, found))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The text of a record.
    ///
    /// # Errors
    /// A file that cannot be read any more, or became shorter.
    pub(super) fn bytes(&self, record: &RecordRef) -> Result<Cow<'_, [u8]>> {
        self.store
            .read(record.place, record.length as usize)
            .map_err(|source| Error::read(&self.path, source))
    }

    /// Where a record begins.
    pub(super) fn location(&self, record: &RecordRef) -> Location {
        Location::line(&self.path, record.line)
    }
}

impl Indexer<'_> {
    fn keep(&mut self, start: u64, at: &Location, bytes: &[u8], id: Option<String>) -> Result<()> {
        let place = self
            .store
            .keep(start, bytes)
            .map_err(|source| Error::write(std::env::temp_dir(), source))?;
        let record = RecordRef {
            source: self.number,
            // A record is at most 256 MiB long.
            length: bytes.len() as u32,
            place,
            line: at.line.unwrap_or(1),
        };
        self.found.push(record, id);
        Ok(())
    }

    fn skip(&mut self, reason: Reason, at: Location, remedy: &'static str) -> Result<()> {
        if self.strict {
            return Err(Error::input(at, reason.problem(), remedy));
        }
        self.report.records += 1;
        self.report.skip(reason, at);
        Ok(())
    }

    /// Records in one array.
    fn array(&mut self, mut stream: Stream) -> Result<()> {
        stream.take_byte()?;
        let mut value = Vec::new();
        let mut is_first = true;
        loop {
            match (stream.next_byte()?, is_first) {
                (None, _) => return self.cut_off(&stream),
                (Some(b']'), true) => break,
                (Some(_), true) => {}
                (Some(b']'), false) => break,
                (Some(b','), false) => {
                    stream.take_byte()?;
                    match stream.next_byte()? {
                        None => return self.cut_off(&stream),
                        Some(b']') => return Err(self.invalid(stream.location(), "trailing comma")),
                        Some(_) => {}
                    }
                }
                (Some(_), false) => {
                    return Err(self.invalid(stream.location(), "expected `,` or `]`"));
                }
            }
            is_first = false;
            if !self.value(&mut stream, &mut value)? {
                return self.cut_off(&stream);
            }
        }
        stream.take_byte()?;
        match stream.next_byte()? {
            None => Ok(()),
            Some(_) => Err(self.invalid(stream.location(), "trailing characters")),
        }
    }

    /// The next value as a record; `false` if the stream ends in it.
    fn value(&mut self, stream: &mut Stream, value: &mut Vec<u8>) -> Result<bool> {
        let (start, at) = (stream.at, stream.location());
        if !stream.read_value(value)? {
            return Ok(false);
        }
        let below = |line: usize| Location::line(&at.path, at.line.unwrap_or(1) + line as u64);
        let text = std::str::from_utf8(value).map_err(|error| {
            let before = &value[..error.valid_up_to()];
            Error::input(
                below(memchr::memchr_iter(b'\n', before).count()),
                "bytes that are not UTF-8",
                "convert the file to UTF-8",
            )
        })?;
        let is_object = value.first() == Some(&b'{');
        // Reading the id also checks the record; only a record with a fault is read once more, for its place.
        let head = serde_json::from_str::<Head<'_>>(text)
            .ok()
            .filter(|_| is_object);
        if head.is_none()
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text)
        {
            let told = error.to_string();
            let told = told.split(" at line ").next().unwrap_or_default();
            return Err(self.invalid(below(error.line().saturating_sub(1)), told));
        }
        if is_object {
            let id = head.and_then(Head::id);
            self.keep(start, &at, value, id)?;
        } else {
            self.skip(
                Reason::NotAnObject,
                at,
                "repair or remove the record, or leave `strict` out to skip such records",
            )?;
        }
        Ok(true)
    }

    fn invalid(&self, at: Location, problem: &str) -> Error {
        let remedy = if self.found.is_empty() || self.strict {
            "download the file again, or repair it"
        } else {
            "repair the record on that line"
        };
        Error::input(at, format!("not valid JSON: {problem}"), remedy)
    }

    /// The file ends before its last record does.
    fn cut_off(&mut self, stream: &Stream) -> Result<()> {
        let at = stream.location();
        if self.strict || self.found.is_empty() {
            return Err(Error::input(
                at,
                "the array is cut off before its end",
                "download the file again, or repair it",
            ));
        }
        self.report.warnings.push(format!(
            "{at}: the array is cut off; read up to its last whole record, number {}",
            self.found.len()
        ));
        Ok(())
    }

    /// A record on each line, or objects over several lines, one after the other.
    fn lines(&mut self, mut stream: Stream) -> Result<()> {
        let mut buffer = Vec::new();
        let mut is_first = true;
        loop {
            let (start, at) = (stream.at, stream.location());
            if !stream.read_line(&mut buffer)? {
                break;
            }
            let line = buffer.trim_ascii();
            if line.is_empty() {
                continue;
            }
            if std::mem::take(&mut is_first) && ends_early(line) {
                let line = at.line.unwrap_or(1);
                let mut bytes = std::mem::take(&mut buffer);
                if stream.line > line {
                    bytes.push(b'\n');
                }
                match self.objects(stream.put_back(bytes, start, line))? {
                    None => return Ok(()),
                    Some(again) => stream = again,
                }
                continue;
            }
            if line[0] == b'{' && line.last() == Some(&b'}') {
                // Faults inside it are reported when it is loaded.
                let blanks = buffer.len() - buffer.trim_ascii_start().len();
                self.keep(start + blanks as u64, &at, line, id_of(line))?;
                continue;
            }
            let reason = if std::str::from_utf8(line).is_err() {
                Reason::NotUtf8
            } else if is_json(line) {
                Reason::NotAnObject
            } else {
                Reason::NotJson
            };
            let remedy = "repair or remove the line, or leave `strict` out to skip such records";
            self.skip(reason, at, remedy)?;
        }
        Ok(())
    }

    /// Objects that follow each other. If the first one is no JSON, the stream is returned from its beginning.
    fn objects(&mut self, mut stream: Stream) -> Result<Option<Stream>> {
        let (start, line) = (stream.at, stream.line);
        let mut value = Vec::new();
        let is_whole = stream.read_value(&mut value)?;
        let is_good = is_whole && is_json(&value);
        stream = stream.put_back(value, start, line);
        if !is_good {
            return Ok(Some(stream));
        }
        let mut value = Vec::new();
        while stream.next_byte()?.is_some() {
            if !self.value(&mut stream, &mut value)? {
                self.cut_off(&stream)?;
                break;
            }
        }
        Ok(None)
    }
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Whether a line is the beginning of a JSON value that goes on.
fn ends_early(line: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

/// Id of the record, if it has one.
fn id_of(record: &[u8]) -> Option<String> {
    serde_json::from_slice::<Head<'_>>(record).ok()?.id()
}
