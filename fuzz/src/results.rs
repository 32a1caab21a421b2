//! Folders that hold results.

use std::hint::black_box;
use std::sync::atomic::AtomicU64;

use kvreplay::report::studies::compare::{FoundRuns, Reading, RunSelection};
use kvreplay::report::studies::result_folder::ResultKind;
use kvreplay::tune::select::{SelectOptions, read_runs, select};

use crate::folder;

/// Reads a folder of runs as `compare` does, and as a folder of one command's results as `report` does.
pub fn results_folder(data: &[u8]) {
    let Some((folder, _)) = folder::unpack(data) else {
        return;
    };
    let selection = RunSelection::default();
    for quick in [false, true] {
        let reading = Reading {
            quick,
            ..Reading::default()
        };
        if let Ok(found) = FoundRuns::find(folder.path(), &selection) {
            let read = found.with_distributions().read(reading, &AtomicU64::new(0));
            black_box(read.is_ok());
        }
    }
    let kind = ResultKind::of(folder.path());
    black_box(kind.page(folder.path(), "replay report").is_ok());
}

/// Reads a folder of runs by threshold as `tune select` does.
pub fn threshold_folder(data: &[u8]) {
    let Some((folder, _)) = folder::unpack(data) else {
        return;
    };
    if let Ok(runs) = read_runs(folder.path()) {
        black_box(select(&runs, &SelectOptions::default()).is_ok());
    }
}
