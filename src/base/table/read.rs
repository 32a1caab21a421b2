//! Reads a CSV file row by row; columns are found by their names.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::cells::{Cells, Rows};
use crate::base::error::{Error, Fault, Location, Result};
use crate::base::io::Input;

/// The names that a column may have in a file, in order of preference. A `&str` is a column with a single name.
pub(crate) trait ColumnNames {
    /// All names. Errors state the first name if the file has none of them.
    fn names(&self) -> &[&str];
}

impl ColumnNames for &str {
    fn names(&self) -> &[&str] {
        std::slice::from_ref(self)
    }
}

impl ColumnNames for &[&str] {
    fn names(&self) -> &[&str] {
        self
    }
}

/// A reader of a CSV file with a header. Column names are compared without regard to case and surrounding blanks; empty lines
/// are skipped.
pub(crate) struct TableReader {
    rows: Rows,
    cells: Cells,
    layout: Layout,
    /// Whether every row must have as many cells as the header.
    full_rows: bool,
}

/// The columns of the file, shared by all rows.
struct Layout {
    path: PathBuf,
    header: Vec<String>,
    /// Position in the file of each requested column.
    places: Vec<Option<usize>>,
    /// The first name of each requested column.
    names: Vec<String>,
    remedy: &'static str,
}

impl TableReader {
    /// Reads the header. The first `required` of the requested columns must exist.
    ///
    /// # Errors
    /// A file that cannot be read, is empty, or lacks a required column.
    pub(crate) fn open<N: ColumnNames>(
        input: Input,
        wanted: &[N],
        required: usize,
    ) -> Result<Self> {
        let path = input.path().to_path_buf();
        let mut rows = Rows::new(input.into_reader());
        let mut cells = Cells::default();
        rows.next(&mut cells)
            .map_err(|source| Error::read(&path, source))?;
        let header: Vec<String> = (0..cells.len())
            .filter_map(|place| cells.get(place))
            .map(|name| String::from_utf8_lossy(name.trim_ascii()).into_owned())
            .collect();
        let first = |column: &N| {
            column
                .names()
                .first()
                .copied()
                .unwrap_or_default()
                .to_owned()
        };
        let names: Vec<String> = wanted.iter().map(first).collect();
        let place = |column: &N| {
            let same = |name: &&str| header.iter().position(|own| own.eq_ignore_ascii_case(name));
            column.names().iter().find_map(same)
        };
        let places: Vec<Option<usize>> = wanted.iter().map(place).collect();
        let required: Vec<usize> = (0..required).collect();
        let table = Self {
            rows,
            cells,
            layout: Layout {
                path,
                header,
                places,
                names,
                remedy: Fault::REMEDY,
            },
            full_rows: false,
        };
        table.require(&required)?;
        Ok(table)
    }

    /// Checks that the file has the given requested columns.
    ///
    /// # Errors
    /// A missing column, or a file without a header.
    pub(crate) fn require(&self, columns: &[usize]) -> Result<()> {
        let Layout {
            path,
            header,
            places,
            names,
            ..
        } = &self.layout;
        let Some(missing) = columns.iter().find(|column| places[**column].is_none()) else {
            return Ok(());
        };
        let all: Vec<&str> = columns
            .iter()
            .map(|column| names[*column].as_str())
            .collect();
        let expected = format!("expected the columns {}", all.join(","));
        if header.iter().all(String::is_empty) {
            return Err(Error::input(Location::file(path), "is empty", expected));
        }
        let problem = format!("has no column `{}`", names[*missing]);
        Err(Error::input(Location::line(path, 1), problem, expected))
    }

    /// Rejects rows that have more or fewer cells than the header.
    #[must_use]
    pub(crate) fn with_full_rows(mut self) -> Self {
        self.full_rows = true;
        self
    }

    /// Sets the remedy of errors in rows; the default remedy is to repair the line.
    #[must_use]
    pub(crate) fn with_remedy(mut self, remedy: &'static str) -> Self {
        self.layout.remedy = remedy;
        self
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.layout.path
    }

    /// Names of all columns of the file.
    pub(crate) fn header(&self) -> &[String] {
        &self.layout.header
    }

    /// Whether the file has the given requested column.
    pub(crate) fn has(&self, column: usize) -> bool {
        self.layout.places[column].is_some()
    }

    /// Reads the next row; `None` at the end.
    ///
    /// # Errors
    /// A file that cannot be read, or a row of another length after [`Self::with_full_rows`].
    pub(crate) fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        let more = self
            .rows
            .next(&mut self.cells)
            .map_err(|source| Error::read(&self.layout.path, source))?;
        let row = Row {
            cells: &self.cells,
            layout: &self.layout,
        };
        if more && self.full_rows && self.cells.len() != self.layout.header.len() {
            let problem = format!(
                "has {} cells, and the header has {}",
                self.cells.len(),
                self.layout.header.len()
            );
            return Err(row.error(row.fault(problem)));
        }
        Ok(more.then_some(row))
    }

    /// Calls `take` with every row. Faults that `take` returns become errors with file and line.
    ///
    /// # Errors
    /// As [`Self::next_row`], and the first fault of `take`.
    pub(crate) fn each_row(
        mut self,
        mut take: impl FnMut(&Row<'_>) -> Result<(), Fault>,
    ) -> Result<()> {
        while let Some(row) = self.next_row()? {
            take(&row).map_err(|fault| row.error(fault))?;
        }
        Ok(())
    }
}

/// A row of a [`TableReader`]. `column` is always the index of a requested column, `place` a position in the file.
pub(crate) struct Row<'a> {
    cells: &'a Cells,
    layout: &'a Layout,
}

impl<'a> Row<'a> {
    /// Line of the file on which the row starts; the first line is 1.
    pub(crate) fn line(&self) -> u64 {
        self.cells.line()
    }

    /// Number of cells.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The cell at a position, exactly as in the file; `None` beyond the last cell.
    pub(crate) fn cell(&self, place: usize) -> Option<Cow<'a, str>> {
        self.cells.get(place).map(String::from_utf8_lossy)
    }

    /// The cell of a requested column without surrounding blanks; empty if the file lacks the column.
    pub(crate) fn text(&self, column: usize) -> Result<&'a str, Fault> {
        match self.layout.places[column] {
            Some(place) => self.text_at(place),
            None => Ok(""),
        }
    }

    /// Like [`Self::text`], by position.
    pub(crate) fn text_at(&self, place: usize) -> Result<&'a str, Fault> {
        let Some(cell) = self.cells.get(place) else {
            return Err(self.fault(format!(
                "has {} columns, `{}` is missing (truncated line)",
                self.cells.len(),
                self.name_at(place)
            )));
        };
        std::str::from_utf8(cell.trim_ascii())
            .map_err(|_| self.fault(format!("`{}`: invalid UTF-8", self.name_at(place))))
    }

    /// Parses the cell of a requested column; `expected` describes valid values in the fault.
    pub(crate) fn parse<T>(
        &self,
        column: usize,
        expected: &str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, Fault> {
        let text = self.text(column)?;
        read(text).ok_or_else(|| self.unexpected(column, expected))
    }

    /// Parses a number that is finite and not negative.
    pub(crate) fn number(&self, column: usize) -> Result<f64, Fault> {
        self.parse(column, "a number", non_negative)
    }

    /// The finite number in a cell; `None` if the cell has none.
    pub(crate) fn finite(&self, column: usize) -> Option<f64> {
        let cell = self.layout.places[column].and_then(|place| self.cells.get(place))?;
        let number = match decimal(cell) {
            Some(number) => number,
            None => self.text(column).ok()?.parse().ok()?,
        };
        number.is_finite().then_some(number)
    }

    /// Like [`Self::number`], by position.
    pub(crate) fn number_at(&self, place: usize) -> Result<f64, Fault> {
        let text = self.text_at(place)?;
        non_negative(text).ok_or_else(|| unexpected(self, self.name_at(place), "a number", text))
    }

    /// The fault of a cell that does not have the expected value.
    pub(crate) fn unexpected(&self, column: usize, expected: &str) -> Fault {
        unexpected(
            self,
            self.name(column),
            expected,
            self.text(column).unwrap_or_default(),
        )
    }

    /// A fault of this row.
    pub(crate) fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault::new(problem).remedy(self.layout.remedy)
    }

    /// Turns a fault of this row into an error with file and line.
    pub(crate) fn error(&self, fault: Fault) -> Error {
        fault.at(Location::line(&self.layout.path, self.line()))
    }

    /// The name of a requested column in the file's spelling.
    pub(crate) fn name(&self, column: usize) -> &'a str {
        match self.layout.places[column] {
            Some(place) => self.name_at(place),
            None => &self.layout.names[column],
        }
    }

    fn name_at(&self, place: usize) -> &'a str {
        self.layout.header.get(place).map_or("", String::as_str)
    }
}

/// Parses digits with at most one point, without a sign and an exponent; `None` for other text, and if the result might not be the
/// nearest float. An integer up to 2^53 and a power of ten up to 10^22 are floats, so their quotient is rounded once
/// (Clinger, How to read floating point numbers accurately, 1990).
fn decimal(cell: &[u8]) -> Option<f64> {
    const MOST_DIGITS: usize = 19;
    let (mut digits, mut after) = (0u64, None);
    if cell.is_empty() || cell.len() > MOST_DIGITS + 1 {
        return None;
    }
    for byte in cell {
        match byte {
            b'0'..=b'9' => {
                digits = digits.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                after = after.map(|after: usize| after + 1);
            }
            b'.' if after.is_none() && cell.len() > 1 => after = Some(0),
            _ => return None,
        }
    }
    let is_exact = digits <= 1 << 53 && (after.is_some() || cell.len() <= MOST_DIGITS);
    let scale = *POWERS_OF_TEN.get(after.unwrap_or(0))?;
    is_exact.then(|| digits as f64 / scale)
}

const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

fn unexpected(row: &Row<'_>, name: &str, expected: &str, found: &str) -> Fault {
    let found = found.escape_debug();
    row.fault(format!("`{name}`: expected {expected}, found `{found}`"))
}

fn non_negative(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use crate::base::table::read::*;

    fn table(text: &str, wanted: &[&[&str]], required: usize) -> Result<TableReader> {
        TableReader::open(
            Input::from_bytes("t.csv", text.to_owned())?,
            wanted,
            required,
        )
    }

    fn refused(text: &str, wanted: &[&[&str]], required: usize) -> String {
        match table(text, wanted, required) {
            Ok(_) => panic!("{text:?} was read"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn columns_go_by_any_of_their_names_in_any_order() {
        let wanted: [&[&str]; 3] = [&["ms", "time_ms"], &["tokens"], &["context"]];
        let mut table = table("Tokens, TIME_MS \n 8 ,1.5\n\n9,2\n", &wanted, 2).expect("reads");
        assert_eq!(table.header(), ["Tokens", "TIME_MS"]);
        assert!(table.has(0) && table.has(1) && !table.has(2));
        let row = table.next_row().expect("reads").expect("a row");
        assert_eq!((row.number(0).expect("a number"), row.line()), (1.5, 2));
        assert_eq!(row.text(1).expect("text"), "8");
        assert_eq!(row.text(2).expect("no such column"), "");
        assert_eq!(row.cell(0).as_deref(), Some(" 8 "));
        let row = table.next_row().expect("reads").expect("a row");
        assert_eq!(row.number_at(0).expect("a number"), 9.0);
        assert!(table.next_row().expect("the end").is_none());
    }

    #[test]
    fn what_is_missing_is_named() {
        let wanted: [&[&str]; 2] = [&["a", "b"], &["c"]];
        assert_eq!(
            refused("x,c\n1,2\n", &wanted, 2),
            "t.csv:1: has no column `a`; expected the columns a,c"
        );
        assert_eq!(
            refused("", &wanted, 2),
            "t.csv: is empty; expected the columns a,c"
        );
    }

    #[test]
    fn cells_that_are_no_numbers_are_told_with_their_line() {
        for (row, expected) in [
            (
                "x,1",
                "t.csv:2: `b`: expected a number, found `x`; repair or remove the line",
            ),
            (
                "-1,1",
                "t.csv:2: `b`: expected a number, found `-1`; repair or remove the line",
            ),
            (
                "inf,1",
                "t.csv:2: `b`: expected a number, found `inf`; repair or remove the line",
            ),
            (
                "",
                "t.csv:2: has 1 columns, `c` is missing (truncated line); repair or remove the line",
            ),
        ] {
            let text = if row.is_empty() {
                "b,c\n1\n".to_owned()
            } else {
                format!("b,c\n{row}\n")
            };
            let wanted: [&[&str]; 2] = [&["a", "b"], &["c"]];
            let found = table(&text, &wanted, 2).expect("a header").each_row(|row| {
                row.number(0)?;
                row.number(1).map(|_| ())
            });
            assert_eq!(found.expect_err(row).to_string(), expected);
        }
    }

    proptest::proptest! {
        /// Parsed to the last bit as the standard library parses them, if they are parsed at all.
        #[test]
        fn decimals_are_the_nearest_floats(text in "[0-9]{0,20}(\\.[0-9]{0,20})?|[0-9.e+-]{0,6}") {
            if let Some(found) = decimal(text.as_bytes()) {
                let expected: f64 = text.parse().expect("a number");
                proptest::prop_assert_eq!(found.to_bits(), expected.to_bits());
            }
        }
    }

    #[test]
    fn decimals_of_results_are_parsed_at_once() {
        for (text, expected) in [
            ("0", Some(0.0)),
            ("0.0", Some(0.0)),
            ("0.006346885370370371", Some(0.006_346_885_370_370_371)),
            ("177.97046", Some(177.97046)),
            ("9007199254740993", None),
            ("00000000000000000001", None),
            (".", None),
            ("", None),
            ("-1", None),
            ("1e3", None),
            (" 1", None),
            ("1.2.3", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn rows_must_be_full_where_that_was_asked_for() {
        let wanted: [&[&str]; 1] = [&["a"]];
        let table = table("a,b\n1,2\n3\n", &wanted, 1).expect("a header");
        let read = table
            .with_full_rows()
            .with_remedy("write it again")
            .each_row(|_| Ok(()));
        assert_eq!(
            read.expect_err("a short row").to_string(),
            "t.csv:3: has 1 cells, and the header has 2; write it again"
        );
    }
}
