//! Files for programs: CSV and JSON, floats as Python writes them.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use super::sharing::Run;
use crate::error::{Error, Result};
use crate::io::{OutputFile, PythonFloat, write_file};

/// Writes JSON, indented by two.
///
/// # Errors
/// A file that cannot be written.
pub fn json(path: &Path, value: &Value) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    write_file(path, text.as_bytes())
}

/// A float as Python's `repr` has it: the shortest text that gives it back, `0.0` for whole ones.
pub fn float(value: f64) -> String {
    PythonFloat(value).to_string()
}

/// A CSV file that appears only when whole.
pub(super) struct CsvFile {
    writer: csv::Writer<Vec<u8>>,
    file: OutputFile,
}

impl CsvFile {
    pub(super) fn create(path: &Path, header: &[&str]) -> Result<Self> {
        let mut csv = Self {
            writer: csv::Writer::from_writer(Vec::with_capacity(1 << 16)),
            file: OutputFile::create(path)?,
        };
        csv.row(header)?;
        Ok(csv)
    }

    pub(super) fn row<T: AsRef<[u8]>>(
        &mut self,
        fields: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        let fail = |error: csv::Error| Error::write(self.file.path(), error.into());
        self.writer.write_record(fields).map_err(fail)?;
        if self.writer.get_ref().len() >= 1 << 15 {
            self.drain()?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        let path = self.file.path().to_path_buf();
        let fail = |error| Error::write(&path, error);
        self.writer.flush().map_err(fail)?;
        let full = std::mem::replace(
            &mut self.writer,
            csv::Writer::from_writer(Vec::with_capacity(1 << 16)),
        );
        let bytes = full
            .into_inner()
            .map_err(|error| Error::write(&path, error.into_error()))?;
        self.file.write_all(&bytes).map_err(fail)
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.drain()?;
        self.file.finish()
    }
}

/// A request a line.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn requests(run: &Run<'_>, path: &Path) -> Result<()> {
    let mut csv = CsvFile::create(
        path,
        &[
            "request_id",
            "total_tokens",
            "shared_tokens",
            "sharing_fraction",
            "blocks_accessed",
            "blocks_reused",
            "session_id",
            "turn",
            "arrival_time",
            "output_tokens",
            "new_blocks",
            "evicted_blocks",
            "rejected",
            "waited",
            "preempted",
        ],
    )?;
    for (request, metrics) in run.trace.requests().iter().zip(&run.analysis.requests) {
        csv.row([
            request.id.to_string(),
            metrics.prompt_tokens.to_string(),
            metrics.cached_tokens.to_string(),
            float(metrics.sharing_fraction()),
            metrics.lookups.to_string(),
            metrics.hits.to_string(),
            run.trace.sessions()[request.session as usize].to_string(),
            request.turn.to_string(),
            request.arrival.to_string(),
            request.output_length.to_string(),
            metrics.new_blocks.to_string(),
            metrics.evicted.to_string(),
            metrics.rejected.to_string(),
            metrics.waited.unwrap_or_default().to_string(),
            metrics.preempted.to_string(),
        ])?;
    }
    csv.finish()
}

/// A block a line, in order of first use; only those that prompts looked up.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn blocks(run: &Run<'_>, path: &Path) -> Result<()> {
    let mut columns = vec![
        "block_id",
        "hit_count",
        "first_access_time",
        "last_access_time",
        "avg_reuse_gap",
    ];
    if run.hashes.is_some() {
        columns.extend(["block_hash", "block_hash_int64"]);
    }
    let mut csv = CsvFile::create(path, &columns)?;
    for (id, block) in run.analysis.blocks.iter().enumerate() {
        let Some((first, last)) = run.analysis.access_times(block) else {
            continue;
        };
        let gaps = f64::from(block.accesses - 1);
        let average = if block.accesses > 1 {
            (last - first).as_secs_f64() / gaps
        } else {
            0.0
        };
        let mut row = vec![
            id.to_string(),
            block.accesses.to_string(),
            first.to_string(),
            last.to_string(),
            float(average),
        ];
        if let Some(hashes) = run.hashes {
            let hash = hashes[id];
            row.extend([hash.hex(), hash.low_64().to_string()]);
        }
        csv.row(row)?;
    }
    csv.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.121_495_327_102_803_74, "0.12149532710280374"),
            (1e-5, "1e-05"),
            (1.5e16, "1.5e+16"),
            (123_456.789, "123456.789"),
        ] {
            assert_eq!(float(value), text);
        }
    }
}
