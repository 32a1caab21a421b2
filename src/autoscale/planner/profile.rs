//! Measurements of a prefill and a decode instance, between which a planner interpolates.
//!
//! File formats: CSV as written by `replay profile`, and the `.npz` and JSON files of Dynamo's profiler
//! (`planner/core/throughput/interpolation.py`), with the same names.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::npz::Npz;
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::table::TableReader;

/// A measurement of prefill: one prompt alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrefillPoint {
    /// Prompt tokens.
    pub isl: f64,
    /// Time to first token in milliseconds.
    pub ttft_ms: f64,
    /// Prompt tokens per second and GPU.
    pub throughput_per_gpu: f64,
}

/// A measurement of decode under a constant load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodePoint {
    /// Fraction of the KV cache in use.
    pub kv_usage: f64,
    /// Context of a request in tokens, mean over the output.
    pub context_length: f64,
    /// Time between two tokens of a request, in milliseconds.
    pub itl_ms: f64,
    /// Output tokens per second and GPU.
    pub throughput_per_gpu: f64,
}

/// All measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Prefill, in order of increasing prompt length.
    pub prefill: Vec<PrefillPoint>,
    /// Decode, in the order of the file.
    pub decode: Vec<DecodePoint>,
    /// Tokens of context that fit into the KV cache of a decode instance.
    pub max_kv_tokens: f64,
}

/// Columns of the two CSV files, and array names of the other formats.
const PREFILL_COLUMNS: [&str; 3] = ["prefill_isl", "prefill_ttft", "prefill_thpt_per_gpu"];
const DECODE_COLUMNS: [&str; 4] = ["x_kv_usage", "y_context_length", "z_itl", "z_thpt_per_gpu"];
const MAX_KV: &str = "max_kv_tokens";

/// Name of the prefill CSV file.
pub const PREFILL_CSV: &str = "prefill_profile.csv";
/// Name of the decode CSV file.
pub const DECODE_CSV: &str = "decode_profile.csv";

impl Profile {
    /// Reads a folder in any of the formats. `max_kv_tokens` is used if the files do not have it.
    ///
    /// # Errors
    /// [`Error::Input`] that names the file and the problem; [`Error::Io`] if it cannot be read.
    pub fn load(folder: &Path, max_kv_tokens: Option<f64>) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::input(
                Location::file(folder),
                "is not a folder",
                "give the folder that contains the profile's files",
            ));
        }
        let (prefill_path, prefill) = table(folder, "prefill", &PREFILL_COLUMNS, &[])?;
        let (decode_path, mut decode) = table(folder, "decode", &DECODE_COLUMNS, &[MAX_KV])?;
        let told = decode.pop().and_then(|column| column.first().copied());
        let max_kv_tokens = max_kv_tokens.or(told).ok_or_else(|| {
            Error::input(
                Location::file(&decode_path),
                format!("has no column {MAX_KV}"),
                format!("add it, or set {MAX_KV} in the planner's configuration"),
            )
        })?;
        let mut points: Vec<PrefillPoint> = (0..prefill[0].len())
            .map(|i| PrefillPoint {
                isl: prefill[0][i],
                ttft_ms: prefill[1][i],
                throughput_per_gpu: prefill[2][i],
            })
            .collect();
        points.sort_by(|a, b| a.isl.total_cmp(&b.isl));
        let profile = Self {
            prefill: points,
            decode: (0..decode[0].len())
                .map(|i| DecodePoint {
                    kv_usage: decode[0][i],
                    context_length: decode[1][i],
                    itl_ms: decode[2][i],
                    throughput_per_gpu: decode[3][i],
                })
                .collect(),
            max_kv_tokens,
        };
        profile.check_prefill(&prefill_path)?;
        profile.check_decode(&decode_path)?;
        Ok(profile)
    }

    fn check_prefill(&self, path: &Path) -> Result<()> {
        let refuse = |problem: String| {
            Err(Error::input(
                Location::file(path),
                problem,
                "give each prompt length, above 0, only once, with positive times and throughputs",
            ))
        };
        if self.prefill.is_empty() {
            return refuse("has no points".into());
        }
        for point in &self.prefill {
            let all = [point.isl, point.ttft_ms, point.throughput_per_gpu];
            if !all.iter().all(|value| value.is_finite() && *value > 0.0) {
                return refuse(format!("a point has the values {all:?}"));
            }
        }
        match self.prefill.windows(2).find(|w| w[0].isl == w[1].isl) {
            Some(twice) => refuse(format!("prompt length {} occurs twice", twice[0].isl)),
            None => Ok(()),
        }
    }

    fn check_decode(&self, path: &Path) -> Result<()> {
        let refuse = |problem: String| {
            Err(Error::input(
                Location::file(path),
                problem,
                "give each pair of KV usage (0 to 1) and context length (above 0) only once, with positive times and throughputs",
            ))
        };
        if !(self.max_kv_tokens.is_finite() && self.max_kv_tokens > 0.0) {
            return refuse(format!("{MAX_KV} is {}", self.max_kv_tokens));
        }
        if self.decode.is_empty() {
            return refuse("has no points".into());
        }
        for (i, point) in self.decode.iter().enumerate() {
            let positive = [point.context_length, point.itl_ms, point.throughput_per_gpu];
            let usage = point.kv_usage.is_finite() && point.kv_usage >= 0.0;
            if !usage || !positive.iter().all(|v| v.is_finite() && *v > 0.0) {
                return refuse(format!(
                    "a point has the KV usage {} and the values {positive:?}",
                    point.kv_usage
                ));
            }
            let same = |other: &&DecodePoint| {
                other.kv_usage == point.kv_usage && other.context_length == point.context_length
            };
            if let Some(twice) = self.decode[..i].iter().find(same) {
                return refuse(format!(
                    "KV usage {} at context length {} occurs twice",
                    twice.kv_usage, twice.context_length
                ));
            }
        }
        Ok(())
    }

    /// Contents of the two CSV files: prefill, then decode.
    pub fn to_csv(&self) -> (String, String) {
        let mut prefill = PREFILL_COLUMNS.join(",") + "\n";
        for point in &self.prefill {
            prefill += &format!(
                "{},{},{}\n",
                point.isl, point.ttft_ms, point.throughput_per_gpu
            );
        }
        let mut decode = format!("{},{MAX_KV}\n", DECODE_COLUMNS.join(","));
        for point in &self.decode {
            decode += &format!(
                "{},{},{},{},{}\n",
                point.kv_usage,
                point.context_length,
                point.itl_ms,
                point.throughput_per_gpu,
                self.max_kv_tokens
            );
        }
        (prefill, decode)
    }
}

/// Columns by name: required ones, then optional ones, which are empty if they are missing.
fn table(
    folder: &Path,
    what: &str,
    needed: &[&str],
    optional: &[&str],
) -> Result<(PathBuf, Vec<Vec<f64>>)> {
    let npz = folder
        .join(format!("selected_{what}_interpolation"))
        .join("raw_data.npz");
    let json = folder.join(format!("{what}_raw_data.json"));
    let (path, columns) = if npz.is_file() {
        let mut archive = Npz::open(&npz)?;
        let mut columns = Vec::new();
        for name in needed {
            columns.push(archive.numbers(name)?);
        }
        for name in optional {
            columns.push(archive.numbers(name).unwrap_or_default());
        }
        (npz, columns)
    } else if json.is_file() {
        let columns = from_json(&json, needed, optional)?;
        (json, columns)
    } else {
        let csv = csv_of(folder, what)?;
        let columns = from_csv(&csv, needed, optional)?;
        (csv, columns)
    };
    let count = columns[0].len();
    for (name, column) in needed.iter().zip(&columns) {
        if column.len() != count {
            return Err(Error::input(
                Location::file(&path),
                format!(
                    "{name} has {} values, {} has {count}",
                    column.len(),
                    needed[0]
                ),
                "give all values of every point",
            ));
        }
    }
    Ok((path, columns))
}

/// The only CSV file of a folder whose name contains a word.
fn csv_of(folder: &Path, what: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).map_err(|source| Error::read(folder, source))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.contains(what) && name.ends_with(".csv")
        })
        .collect();
    found.sort();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::input(
            Location::file(folder),
            format!("has no {what} profile"),
            format!(
                "add *{what}*.csv, {what}_raw_data.json or selected_{what}_interpolation/raw_data.npz, or measure a profile with `replay profile`"
            ),
        )),
        count => Err(Error::input(
            Location::file(folder),
            format!("has {count} files of the form *{what}*.csv"),
            "keep only one profile in a folder",
        )),
    }
}

fn from_csv(path: &Path, needed: &[&str], optional: &[&str]) -> Result<Vec<Vec<f64>>> {
    let wanted = [needed, optional].concat();
    let table = TableReader::open(Input::open(path)?, &wanted, needed.len())?.with_full_rows();
    let has: Vec<bool> = (0..wanted.len()).map(|column| table.has(column)).collect();
    let mut columns = vec![Vec::new(); wanted.len()];
    table.each_row(|row| {
        for (place, column) in columns.iter_mut().enumerate() {
            if has[place] {
                column.push(row.parse(place, "a number", |text| text.parse().ok())?);
            }
        }
        Ok(())
    })?;
    Ok(columns)
}

fn from_json(path: &Path, needed: &[&str], optional: &[&str]) -> Result<Vec<Vec<f64>>> {
    let bytes = Input::open(path)?.read_to_end()?;
    let refuse = |problem: String| {
        Error::input(
            Location::file(path),
            problem,
            "write it as Dynamo's profiler does: an object with one list of numbers per name",
        )
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| refuse(e.to_string()))?;
    let column = |name: &str| -> Option<Vec<f64>> {
        match value.get(name)? {
            Value::Array(list) => list.iter().map(Value::as_f64).collect(),
            other => Some(vec![other.as_f64()?]),
        }
    };
    let mut columns = Vec::new();
    for name in needed {
        let numbers = column(name).ok_or_else(|| refuse(format!("has no numbers `{name}`")))?;
        columns.push(numbers);
    }
    columns.extend(optional.iter().map(|name| column(name).unwrap_or_default()));
    Ok(columns)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::planner::profile::*;

    fn write(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).unwrap();
    }

    const PREFILL: &str = "prefill_isl,prefill_ttft,prefill_thpt_per_gpu\n200,9,20\n100,5,10\n";
    const DECODE: &str =
        "x_kv_usage,y_context_length,z_itl,z_thpt_per_gpu\n0.1,100,5,50\n0.2,100,6,60\n";

    #[test]
    fn csv_and_back() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "h_prefill_profile.csv", PREFILL);
        write(folder.path(), "h_decode_profile.csv", DECODE);
        let error = Profile::load(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains("max_kv_tokens"), "{error}");
        let profile = Profile::load(folder.path(), Some(1000.0)).unwrap();
        assert_eq!(profile.prefill[0].isl, 100.0);
        assert_eq!(profile.decode[1].itl_ms, 6.0);
        let again = tempfile::tempdir().unwrap();
        let (prefill, decode) = profile.to_csv();
        write(again.path(), PREFILL_CSV, &prefill);
        write(again.path(), DECODE_CSV, &decode);
        assert_eq!(Profile::load(again.path(), None).unwrap(), profile);
    }

    #[test]
    fn json_as_dynamo_mounts_it() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            "prefill_raw_data.json",
            r#"{"prefill_isl": [100, 200], "prefill_ttft": [5, 9], "prefill_thpt_per_gpu": [10.5, 20]}"#,
        );
        write(
            folder.path(),
            "decode_raw_data.json",
            r#"{"x_kv_usage": [0.1], "y_context_length": [100], "z_itl": [5], "z_thpt_per_gpu": [50], "max_kv_tokens": 7}"#,
        );
        let profile = Profile::load(folder.path(), None).unwrap();
        assert_eq!(
            (profile.max_kv_tokens, profile.prefill[0].throughput_per_gpu),
            (7.0, 10.5)
        );
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let fault = |prefill: &str, decode: &str| {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), "prefill.csv", prefill);
            write(folder.path(), "decode.csv", decode);
            Profile::load(folder.path(), Some(9.0))
                .unwrap_err()
                .to_string()
        };
        let head = "prefill_isl,prefill_ttft,prefill_thpt_per_gpu\n";
        for (prefill, told) in [
            (head.to_owned(), "has no points"),
            ("a,b,c\n".to_owned(), "has no column `prefill_isl`"),
            (
                format!("{head}1,x,3\n"),
                "prefill.csv:2: `prefill_ttft`: expected a number, found `x`",
            ),
            (format!("{head}1,2\n"), "prefill.csv:2"),
            (format!("{head}1,2,3\n1,2,3\n"), "twice"),
            (format!("{head}1,nan,3\n"), "NaN"),
            (format!("{head}1,-2,3\n"), "-2"),
        ] {
            let error = fault(&prefill, DECODE);
            assert!(error.contains(told), "{error}");
        }
        let twice = format!("{DECODE}0.2,100,6,60\n");
        assert!(fault(PREFILL, &twice).contains("twice"));
        let empty = tempfile::tempdir().unwrap();
        let error = Profile::load(empty.path(), None).unwrap_err().to_string();
        assert!(error.contains("has no prefill profile"), "{error}");
        let none = Profile::load(&empty.path().join("none"), None).unwrap_err();
        assert!(none.to_string().contains("is not a folder"));
    }

    #[test]
    fn a_broken_archive_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("selected_prefill_interpolation");
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("raw_data.npz"), b"no zip").unwrap();
        let error = Profile::load(folder.path(), None).unwrap_err().to_string();
        assert!(
            error.contains("raw_data.npz") && error.contains("zip"),
            "{error}"
        );
    }
}
