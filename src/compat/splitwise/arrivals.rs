//! SplitwiseSim's trace files, with exactly the doubles that the reference reads from them.
//!
//! `replay`'s own traces hold nanoseconds; rounding an arrival to a nanosecond would change the order of simultaneous
//! events.

use super::request::Arrival;
use crate::base::Result;
use crate::base::io::{Input, parse_pandas_float};
use crate::base::table::TableReader;

/// A trace as the reference reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrivals {
    /// Requests in the order of the file.
    pub requests: Vec<Arrival>,
    /// Whether every number of the file is written as an integer. pandas then keeps integers, which affects only the
    /// format of the result files.
    pub integral: bool,
}

/// Columns of the file; the first three are required.
const COLUMNS: [&str; 7] = [
    "arrival_timestamp",
    "prompt_size",
    "token_size",
    "batch_size",
    "request_id",
    "request_type",
    "application_id",
];
/// Generation: the only request type that the reference simulates.
const GENERATIVE: u64 = 2;

/// Reads a trace of `application`. The columns `request_id`, `request_type`, `application_id` and `batch_size` are
/// optional.
///
/// # Errors
/// [`crate::Error::Io`] if it cannot be read, [`crate::Error::Input`] for a missing column, a value that is not a
/// number, or a request of another application or type.
pub fn read_arrivals(input: Input, application: u64) -> Result<Arrivals> {
    let table = TableReader::open(input, &COLUMNS, 3)?
        .with_full_rows()
        .with_remedy("give a trace as SplitwiseSim's generate_trace.py writes it");
    let has: [bool; COLUMNS.len()] = std::array::from_fn(|column| table.has(column));
    let mut trace = Arrivals {
        requests: Vec::new(),
        integral: true,
    };
    table.each_row(|row| {
        for (column, there) in has.iter().enumerate() {
            trace.integral &= !there || row.text(column)?.parse::<i64>().is_ok();
        }
        let whole = |column: usize, default: u64| match has[column] {
            false => Ok(default),
            true => row.parse(column, "a whole number", |text| {
                text.parse().ok().or_else(|| whole_float(text))
            }),
        };
        let count = |column: usize, default: u64| {
            u32::try_from(whole(column, default)?)
                .map_err(|_| row.unexpected(column, "less than 2^32"))
        };
        if whole(5, GENERATIVE)? != GENERATIVE {
            return Err(row.unexpected(5, "2, which is generation"));
        }
        if whole(6, application)? != application {
            return Err(row.unexpected(6, &application.to_string()));
        }
        let finite = |text| parse_pandas_float(text).filter(|arrival| arrival.is_finite());
        let arrival = row.parse(0, "seconds", finite)?;
        trace.requests.push(Arrival {
            id: whole(4, trace.requests.len() as u64)?,
            arrival,
            batch: count(3, 1)?,
            prompt: count(1, 0)?,
            output: count(2, 0)?,
        });
        Ok(())
    })?;
    Ok(trace)
}

/// Parses an integer, which may be written with a fraction of 0.
fn whole_float(text: &str) -> Option<u64> {
    let number = parse_pandas_float(text)?;
    (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use crate::compat::splitwise::arrivals::*;

    fn read(text: &str) -> Result<Arrivals> {
        read_arrivals(Input::from_bytes("t", text.to_owned())?, 0)
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
        assert!(error.to_string().contains("has no column `token_size`"));
    }
}
