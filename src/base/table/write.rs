//! Writes CSV files, with floats in Python's format.

use std::io::Write;
use std::path::Path;

use crate::base::io::{OutputFile, PythonFloat};
use crate::base::{Error, Result};

/// Formats a float like Python's `repr`: the shortest text that parses back to it, `1.0` for whole numbers.
pub(crate) fn float(value: f64) -> String {
    PythonFloat(value).to_string()
}

/// A CSV file that gets its final name when it is complete.
pub(crate) struct CsvFile {
    writer: csv::Writer<Vec<u8>>,
    file: OutputFile,
}

impl CsvFile {
    pub(crate) fn create(path: &Path, header: &[&str]) -> Result<Self> {
        let mut csv = Self {
            writer: csv::Writer::from_writer(Vec::with_capacity(1 << 16)),
            file: OutputFile::create(path)?,
        };
        csv.row(header)?;
        Ok(csv)
    }

    pub(crate) fn row<T: AsRef<[u8]>>(
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

    pub(crate) fn finish(mut self) -> Result<()> {
        self.drain()?;
        self.file.finish()
    }
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
