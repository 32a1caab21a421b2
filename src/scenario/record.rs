//! The record of a run in its folder: what the run depends on, and the sizes and digests of its files once they are complete.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::inputs::RunInputs;
use super::layout::{SUMMARY, SUMMARY_CSV};
use crate::base::digest::digest_of;
use crate::base::error::{Error, Location, Result};
use crate::base::io::{FolderLock, StagedFolder, write_json};

/// Name of the record in a run's folder.
pub const INPUTS: &str = "inputs.json";

/// Content of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    inputs: RunInputs,
    /// The files of the run by their names; `None` in folders of earlier versions.
    results: Option<BTreeMap<String, FileFacts>>,
}

/// Size and digest of a result file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileFacts {
    bytes: u64,
    digest: String,
}

impl FileFacts {
    fn of(path: &Path) -> Result<Self> {
        let facts = std::fs::metadata(path).map_err(|source| Error::read(path, source))?;
        Ok(Self {
            bytes: facts.len(),
            digest: digest_of(path)?,
        })
    }
}

/// What a run's folder holds, compared with the inputs of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Present {
    /// The complete, undamaged results of these inputs.
    Complete,
    /// No results, or those of a run that was stopped.
    Nothing,
    /// Results that are not those of these inputs, for this reason.
    Other(String),
}

impl RunInputs {
    /// Writes a run: calls `write` with the folder in which all files are written, records these inputs with the files' sizes and
    /// digests, and moves everything to `folder` once it is complete. Files of an earlier run in `folder` that this one does not
    /// have are removed; its record lists them.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn record(&self, folder: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.record_unless(folder, write, || false).map(drop)
    }

    fn record_unless(
        &self,
        folder: &Path,
        write: impl FnOnce(&Path) -> Result<()>,
        is_done: impl FnOnce() -> bool,
    ) -> Result<bool> {
        let begun = StagedFolder::begin(folder)?;
        write(begun.path())?;
        let mut results = BTreeMap::new();
        for path in begun.files()? {
            let name = path.strip_prefix(begun.path()).unwrap_or(&path);
            results.insert(name.display().to_string(), FileFacts::of(&path)?);
        }
        // A record that cannot be read lists nothing.
        let earlier = Record::read(folder).ok().flatten();
        let earlier = earlier.and_then(|record| record.results);
        let mut gone: Vec<String> = earlier.unwrap_or_default().into_keys().collect();
        gone.retain(|name| !results.contains_key(name));
        let record = Record {
            inputs: self.clone(),
            results: Some(results),
        };
        record.write(begun.path())?;
        begun.finish_without(&[SUMMARY_CSV, SUMMARY, INPUTS], &gone, is_done)
    }

    /// As [`record`](Self::record), unless another process has written the same run since: then returns false.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn record_if_new(
        &self,
        folder: &Path,
        write: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<bool> {
        match self.present(folder) {
            Present::Complete => Ok(false),
            // Another process may complete it meanwhile; a complete run is not replaced by the same one.
            _ => self.record_unless(folder, write, || self.compare(folder) == Present::Complete),
        }
    }

    /// Compares the content of a folder with these inputs. Inputs without a digest never count as equal.
    pub fn present(&self, folder: &Path) -> Present {
        if !folder.join(INPUTS).exists() && !folder.join(SUMMARY).exists() {
            return Present::Nothing;
        }
        let _lock = FolderLock::to_read(folder);
        self.compare(folder)
    }

    fn compare(&self, folder: &Path) -> Present {
        let record = match Record::read(folder) {
            Ok(Some(record)) => record,
            Ok(None) if folder.join(SUMMARY).exists() => {
                return Present::Other(format!("{INPUTS} is missing"));
            }
            Ok(None) => return Present::Nothing,
            Err(error) => return Present::Other(error.to_string()),
        };
        if let Some(why) = self.difference(&record.inputs) {
            return Present::Other(why.to_owned());
        }
        match record.damage(folder, |_| true) {
            _ if record.results.is_none() => Present::Nothing,
            Some(damage) => Present::Other(damage),
            None => Present::Complete,
        }
    }
}

impl Record {
    fn write(&self, folder: &Path) -> Result<()> {
        let value = serde_json::to_value(self).unwrap_or_default();
        write_json(folder.join(INPUTS), &value)
    }

    /// Reads the record of a folder; `None` if it has none.
    fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(INPUTS);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::read(&path, error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            Error::input(
                Location::file(&path),
                "is damaged, or was written by another version of this program",
                REMEDY,
            )
        })
    }

    /// The first file that is missing, has another size, or is one of `digested` and has another content than recorded.
    fn damage(&self, folder: &Path, digested: impl Fn(&str) -> bool) -> Option<String> {
        let results = self.results.as_ref()?;
        if !results.contains_key(SUMMARY) {
            return Some(format!("{INPUTS} is damaged: it does not list {SUMMARY}"));
        }
        results.iter().find_map(|(name, facts)| {
            let path: PathBuf = folder.join(name);
            match std::fs::metadata(&path) {
                Err(_) => Some(format!("{name} is missing")),
                Ok(meta) if meta.len() != facts.bytes => Some(format!(
                    "{name} is damaged: it has {} bytes instead of {}",
                    meta.len(),
                    facts.bytes
                )),
                Ok(_) if !digested(name) => None,
                Ok(_) => match digest_of(&path) {
                    Ok(digest) if digest == facts.digest => None,
                    _ => Some(format!("{name} is damaged: its content has changed")),
                },
            }
        })
    }
}

const REMEDY: &str = "run it again, or remove the folder";

/// Checks that a folder with a record holds the recorded files in their sizes, and that those which the caller is about to read
/// have the recorded content. A folder without a record passes, and so does one
/// whose record lists no files, as earlier versions wrote it, if it has a summary.
///
/// # Errors
/// [`Error::Input`] with the file that is missing or damaged, or for a run that was not finished.
pub fn check_results(folder: &Path, read: &[&str]) -> Result<()> {
    let Some(record) = Record::read(folder)? else {
        return Ok(());
    };
    let problem = match &record.results {
        None if folder.join(SUMMARY).exists() => None,
        None => Some("was not finished".to_owned()),
        Some(_) => record.damage(folder, |name| read.contains(&name)),
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(Error::input(Location::file(folder), problem, REMEDY)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::base::io::write_file;
    use crate::scenario::ScenarioConfig;
    use crate::scenario::inputs::TraceInput;
    use crate::scenario::record::*;

    const FILES: [&str; 3] = ["request.csv", "deep/er.csv", SUMMARY];

    struct Place {
        folder: tempfile::TempDir,
        inputs: RunInputs,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let trace = folder.path().join("trace.csv");
            std::fs::write(&trace, "a").unwrap();
            let config = ScenarioConfig::preset("llama-8b-pd-4-4", &[]).unwrap();
            let input = TraceInput::new(&trace, None, None, None).unwrap();
            let inputs = RunInputs::new(&config, 1, input).unwrap();
            Self { folder, inputs }
        }

        fn run(&self) -> PathBuf {
            self.folder.path().join("run")
        }

        fn write(&self) {
            let files = |run: &Path| {
                write_file(run.join("request.csv"), b"id\n0\n1\n")?;
                write_file(run.join("deep/er.csv"), b"a\n")?;
                write_file(run.join(SUMMARY), b"{}")
            };
            self.inputs.record(&self.run(), files).unwrap();
        }
    }

    #[test]
    fn only_undamaged_files_count() {
        let place = Place::new();
        let (run, inputs) = (place.run(), &place.inputs);
        let damaged = |what: &str| {
            assert_eq!(inputs.present(&run), Present::Other(what.to_owned()));
            let told = check_results(&run, &FILES).unwrap_err().to_string();
            assert!(told.contains(what), "{told}");
            place.write();
            assert_eq!(inputs.present(&run), Present::Complete);
        };
        assert_eq!(inputs.present(&run), Present::Nothing);
        place.write();
        assert_eq!(inputs.present(&run), Present::Complete);
        check_results(&run, &FILES).unwrap();
        let request = run.join("request.csv");
        std::fs::write(&request, "id\n0\n").unwrap();
        damaged("request.csv is damaged: it has 5 bytes instead of 7");
        std::fs::write(&request, "id\n0\n2\n").unwrap();
        damaged("request.csv is damaged: its content has changed");
        std::fs::write(&request, "").unwrap();
        damaged("request.csv is damaged: it has 0 bytes instead of 7");
        std::fs::remove_file(run.join("deep/er.csv")).unwrap();
        damaged("deep/er.csv is missing");
        std::fs::remove_file(run.join(SUMMARY)).unwrap();
        damaged("summary.json is missing");
        let record = std::fs::read_to_string(run.join(INPUTS)).unwrap();
        std::fs::write(run.join(INPUTS), &record[..record.len() / 2]).unwrap();
        // A file that is not read is checked by its size alone.
        place.write();
        std::fs::write(&request, "id\n0\n2\n").unwrap();
        check_results(&run, &["deep/er.csv"]).unwrap();
        std::fs::write(&request, "id\n0\n").unwrap();
        check_results(&run, &["deep/er.csv"]).unwrap_err();
        std::fs::write(run.join(INPUTS), &record[..record.len() / 2]).unwrap();
        let what = "is damaged, or was written by another version of this program";
        assert!(matches!(inputs.present(&run), Present::Other(why) if why.contains(what)));
        assert!(
            check_results(&run, &FILES)
                .unwrap_err()
                .to_string()
                .contains(what)
        );
        place.write();
        std::fs::remove_file(run.join(INPUTS)).unwrap();
        let missing = Present::Other("inputs.json is missing".to_owned());
        assert_eq!(inputs.present(&run), missing);
    }

    #[test]
    fn a_newer_run_leaves_no_file_of_an_older_one() {
        let place = Place::new();
        place.write();
        let run = place.run();
        std::fs::write(run.join("notes.txt"), "mine").unwrap();
        let other = RunInputs {
            seed: 9,
            ..place.inputs.clone()
        };
        let files = |run: &Path| {
            write_file(run.join("request.csv"), b"id\n5\n")?;
            write_file(run.join(SUMMARY), b"{}")
        };
        other.record(&run, files).unwrap();
        assert_eq!(other.present(&run), Present::Complete);
        assert!(!run.join("deep/er.csv").exists());
        assert!(run.join("notes.txt").exists());
        assert_eq!(std::fs::read(run.join("request.csv")).unwrap(), b"id\n5\n");
    }

    #[test]
    fn a_stopped_run_is_no_run() {
        let place = Place::new();
        let run = place.run();
        let stop = |run: &Path| {
            write_file(run.join("request.csv"), b"id\n0\n2\n")?;
            Err(Error::usage("stopped", "go on"))
        };
        place.inputs.record(&run, stop).unwrap_err();
        assert_eq!(place.inputs.present(&run), Present::Nothing);
        assert!(!run.exists());
        // An earlier run stays.
        place.write();
        place.inputs.record(&run, stop).unwrap_err();
        assert_eq!(place.inputs.present(&run), Present::Complete);
    }

    #[test]
    fn another_runs_results_are_told_apart() {
        let place = Place::new();
        place.write();
        let other = RunInputs {
            seed: 9,
            ..place.inputs.clone()
        };
        let why = Present::Other("the seed has changed".to_owned());
        assert_eq!(other.present(&place.run()), why);
        let newer = RunInputs {
            build: "0.0.0-0".to_owned(),
            ..place.inputs.clone()
        };
        let why = Present::Other("another version of this program wrote it".to_owned());
        assert_eq!(newer.present(&place.run()), why);
        // Another process may have written the same run in the meantime.
        let write = |_: &Path| panic!("not written again");
        assert!(!place.inputs.record_if_new(&place.run(), write).unwrap());
        // Standard input has no digest.
        let mut unknown = place.inputs.clone();
        unknown.trace.digest = None;
        unknown
            .record(&place.run(), |run| write_file(run.join(SUMMARY), b"{}"))
            .unwrap();
        let why = Present::Other("the trace came from standard input".to_owned());
        assert_eq!(unknown.present(&place.run()), why);
    }
}
