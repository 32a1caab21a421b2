//! Splits a CSV file into rows and cells. Lines without quotes, as programs write numbers, are split here; from the first line
//! with a quote on, the `csv` crate splits, as quoted cells may contain commas and line ends.

use std::io::{self, BufRead, Cursor, Read};

type Source = Box<dyn BufRead + Send>;

/// The cells of one row.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// The bytes of all cells.
    bytes: Vec<u8>,
    /// Start and end of each cell in `bytes`.
    places: Vec<(usize, usize)>,
    line: u64,
}

impl Cells {
    /// Number of cells.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The bytes of a cell; `None` beyond the last cell.
    pub(super) fn get(&self, place: usize) -> Option<&[u8]> {
        let (start, end) = *self.places.get(place)?;
        self.bytes.get(start..end)
    }

    /// Line of the file on which the row starts; the first line is 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Splits the bytes at commas.
    fn split(&mut self) {
        let mut start = 0;
        self.places.clear();
        for end in memchr::memchr_iter(b',', &self.bytes) {
            self.places.push((start, end));
            start = end + 1;
        }
        self.places.push((start, self.bytes.len()));
    }
}

/// The rows of a file; empty lines are no rows.
pub(super) struct Rows {
    reader: Reader,
    /// Lines before those of the reader.
    before: u64,
}

enum Reader {
    /// Lines so far had no quotes.
    Plain(Source),
    Quoted(Box<(csv::Reader<Source>, csv::ByteRecord)>),
}

impl Rows {
    pub(super) fn new(source: Source) -> Self {
        Self {
            reader: Reader::Plain(source),
            before: 0,
        }
    }

    /// Reads the next row; false at the end.
    ///
    /// # Errors
    /// A failure of the operating system, or a line that is too long.
    pub(super) fn next(&mut self, cells: &mut Cells) -> io::Result<bool> {
        let source = match &mut self.reader {
            Reader::Plain(source) => source,
            Reader::Quoted(quoted) => return next_quoted(quoted, self.before, cells),
        };
        loop {
            cells.bytes.clear();
            cells.places.clear();
            if source.read_until(b'\n', &mut cells.bytes)? == 0 {
                return Ok(false);
            }
            let line = cells.bytes.strip_suffix(b"\n").unwrap_or(&cells.bytes);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // A carriage return alone ends a line, too.
            if memchr::memchr2(b'"', b'\r', line).is_some() {
                break;
            }
            self.before += 1;
            if !line.is_empty() {
                let length = line.len();
                cells.bytes.truncate(length);
                cells.line = self.before;
                cells.split();
                return Ok(true);
            }
        }
        let first = Cursor::new(std::mem::take(&mut cells.bytes));
        let rest = std::mem::replace(source, Box::new(io::empty()));
        let reader = csv::ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .from_reader(Box::new(first.chain(rest)) as Source);
        self.reader = Reader::Quoted(Box::new((reader, csv::ByteRecord::new())));
        self.next(cells)
    }
}

fn next_quoted(
    quoted: &mut (csv::Reader<Source>, csv::ByteRecord),
    before: u64,
    cells: &mut Cells,
) -> io::Result<bool> {
    let (reader, record) = quoted;
    let more = reader
        .read_byte_record(record)
        // Rows of any length and any bytes are accepted, so no other error occurs.
        .map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(source) => source,
            other => io::Error::other(format!("{other:?}")),
        })?;
    cells.bytes.clear();
    cells.bytes.extend_from_slice(record.as_slice());
    cells.places.clear();
    let ranges = (0..record.len()).filter_map(|place| record.range(place));
    let places = ranges.map(|range| (range.start, range.end));
    cells.places.extend(places);
    cells.line = before + record.position().map_or(1, csv::Position::line);
    Ok(more)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::base::table::cells::*;
    use proptest::prelude::*;

    fn rows(mut next: impl FnMut(&mut Cells) -> bool) -> Vec<Vec<String>> {
        let mut cells = Cells::default();
        let mut rows = Vec::new();
        while next(&mut cells) {
            let row = (0..cells.len()).map(|place| cells.get(place).unwrap());
            let row = row.map(|cell| String::from_utf8_lossy(cell).into_owned());
            rows.push(row.collect());
        }
        rows
    }

    fn own(text: &str) -> Vec<Vec<String>> {
        let mut all = Rows::new(Box::new(Cursor::new(text.to_owned())));
        rows(|cells| all.next(cells).unwrap())
    }

    fn of_the_crate(text: &str) -> Vec<Vec<String>> {
        let source: Source = Box::new(Cursor::new(text.to_owned()));
        let builder = csv::ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .from_reader(source);
        let mut quoted = (builder, csv::ByteRecord::new());
        rows(|cells| next_quoted(&mut quoted, 0, cells).unwrap())
    }

    #[test]
    fn quotes_are_read_from_the_line_on_that_has_one() {
        let text = "a,b\n\n1,2\r\n\"x,\ny\",3\n4,\"\"\"\"\n5,6";
        let expected = [
            vec!["a", "b"],
            vec!["1", "2"],
            vec!["x,\ny", "3"],
            vec!["4", "\""],
            vec!["5", "6"],
        ];
        assert_eq!(own(text), expected);
        let mut all = Rows::new(Box::new(Cursor::new(text.to_owned())));
        let mut cells = Cells::default();
        let mut lines = Vec::new();
        while all.next(&mut cells).unwrap() {
            lines.push(cells.line());
        }
        assert_eq!(lines, [1, 3, 4, 6, 7]);
    }

    proptest! {
        /// Every text is split as the crate splits it.
        #[test]
        fn cells_are_those_of_the_csv_crate(text in "[ab,,\\n\\n\\r\" ]{0,40}") {
            prop_assert_eq!(own(&text), of_the_crate(&text));
        }

        #[test]
        fn cells_without_quotes_are_those_of_the_csv_crate(text in "[ab,,\\n ]{0,40}(\\r\\n)?") {
            prop_assert_eq!(own(&text), of_the_crate(&text));
        }
    }
}
