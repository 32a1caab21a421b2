//! SplitwiseSim's trace files, with the very doubles that the reference reads from them.
//!
//! `replay`'s own traces hold nanoseconds; rounding an arrival to one would change the order of events at ties.

use super::request::Arrival;
use crate::base::error::{Error, Location, Result};
use crate::base::io::{Input, parse_pandas_float};

/// A trace as the reference sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrivals {
    /// Requests in the order of the file.
    pub requests: Vec<Arrival>,
    /// Whether every number of the file is written as a whole one. pandas then keeps integers, which shows in the files
    /// of results, and nowhere else.
    pub integral: bool,
}

const COLUMNS: [&str; 7] = [
    "request_id",
    "request_type",
    "application_id",
    "arrival_timestamp",
    "batch_size",
    "prompt_size",
    "token_size",
];
/// Generation: the only type of request that the reference simulates.
const GENERATIVE: u64 = 2;

/// Reads a trace of `application`; `request_id`, `request_type`, `application_id` and `batch_size` may be missing.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, [`Error::Input`] for a missing column, a number that is none, or a request of
/// another application or type.
pub fn read_arrivals(input: Input, application: u64) -> Result<Arrivals> {
    let path = input.path().to_path_buf();
    let fault = |line: u64, problem: String| {
        Error::input(
            Location::line(&path, line),
            problem,
            "give a trace as SplitwiseSim's generate_trace.py writes it",
        )
    };
    let mut reader = csv::Reader::from_reader(input.into_reader());
    let of_csv = |error: csv::Error| {
        fault(
            error.position().map_or(1, csv::Position::line),
            error.to_string(),
        )
    };
    let header = reader.headers().map_err(of_csv)?.clone();
    let places = COLUMNS.map(|name| header.iter().position(|column| column.trim() == name));
    for column in [3, 5, 6] {
        if places[column].is_none() {
            let name = COLUMNS[column];
            return Err(fault(1, format!("column `{name}` is missing")));
        }
    }
    let mut trace = Arrivals {
        requests: Vec::new(),
        integral: true,
    };
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(of_csv)? {
        let line = row.position().map_or(0, csv::Position::line);
        let text = |column: usize| {
            places[column]
                .and_then(|place| row.get(place))
                .map(str::trim)
        };
        let bad = |column: usize, expected: &str| {
            let (name, found) = (COLUMNS[column], text(column).unwrap_or_default());
            fault(
                line,
                format!("`{name}`: expected {expected}, found `{found}`"),
            )
        };
        trace.integral &= (0..COLUMNS.len())
            .filter_map(text)
            .all(|text| text.parse::<i64>().is_ok());
        let whole = |column: usize, default: u64| match text(column) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .or_else(|| whole_float(text))
                .ok_or_else(|| bad(column, "a whole number")),
        };
        let count = |column: usize, default: u64| {
            u32::try_from(whole(column, default)?).map_err(|_| bad(column, "less than 2^32"))
        };
        if whole(1, GENERATIVE)? != GENERATIVE {
            return Err(bad(1, "2, which is generation"));
        }
        if whole(2, application)? != application {
            return Err(bad(2, &application.to_string()));
        }
        let arrival = text(3)
            .and_then(parse_pandas_float)
            .filter(|arrival| arrival.is_finite())
            .ok_or_else(|| bad(3, "seconds"))?;
        trace.requests.push(Arrival {
            id: whole(0, trace.requests.len() as u64)?,
            arrival,
            batch: count(4, 1)?,
            prompt: count(5, 0)?,
            output: count(6, 0)?,
        });
    }
    Ok(trace)
}

/// A whole number that is written with a fraction of 0.
fn whole_float(text: &str) -> Option<u64> {
    let number = parse_pandas_float(text)?;
    (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use crate::compat::splitwise::arrivals::*;

    fn read(text: &str) -> Result<Arrivals> {
        let bytes = std::io::Cursor::new(text.to_owned().into_bytes());
        read_arrivals(Input::from_reader("t", Box::new(bytes))?, 0)
    }

    #[test]
    fn columns_by_name_and_doubles_as_pandas() {
        let text = "token_size,arrival_timestamp,prompt_size,batch_size\n7,12.338125765011373,100,2\n8,3,5.0,1\n";
        let trace = read(text).expect("reads");
        assert!(!trace.integral);
        let first = trace.requests[0];
        assert_eq!(first.arrival, 12.338_125_765_011_371);
        assert_eq!(
            (first.id, first.prompt, first.output, first.batch),
            (0, 100, 7, 2)
        );
        assert_eq!((trace.requests[1].id, trace.requests[1].prompt), (1, 5));
        assert!(
            read("arrival_timestamp,prompt_size,token_size\n1,2,3\n")
                .expect("reads")
                .integral
        );
    }

    #[test]
    fn bad_rows() {
        let head = "request_type,application_id,arrival_timestamp,prompt_size,token_size";
        for (row, expected) in [
            ("1,0,0,1,1", "t:2: `request_type`: expected 2"),
            ("2,3,0,1,1", "`application_id`: expected 0, found `3`"),
            (
                "2,0,x,1,1",
                "`arrival_timestamp`: expected seconds, found `x`",
            ),
            ("2,0,1,-1,1", "`prompt_size`: expected a whole number"),
            ("2,0,1,1,1.5", "`token_size`: expected a whole number"),
            ("2,0,1,1,5000000000", "less than 2^32"),
        ] {
            let error = read(&format!("{head}\n{row}\n")).expect_err(row);
            assert!(error.to_string().contains(expected), "{error}");
        }
        let error = read("arrival_timestamp,prompt_size\n1,2\n").expect_err("no column");
        assert!(error.to_string().contains("column `token_size` is missing"));
    }
}
