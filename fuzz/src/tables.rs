//! Measured times: the planner's profiles and tables of latencies.

use std::hint::black_box;
use std::sync::LazyLock;

use kvreplay::autoscale::planner::profile::Profile as PlannerProfile;
use kvreplay::cache::capacity::ModelConfig;
use kvreplay::sim::latency::{BatchingOverhead, ContextTable, Profile, SplitwiseTable, VidurTable};

use crate::folder;

/// Reads a profile of the planner: npz, JSON or CSV, by the names of the files in the input. An input without names is the npz
/// of both phases.
pub fn planner_profile(data: &[u8]) {
    let Some((folder, head)) = folder::unpack(data) else {
        return;
    };
    if !head.is_empty() {
        for phase in ["prefill", "decode"] {
            let name = format!("selected_{phase}_interpolation/raw_data.npz");
            let path = folder.path().join(name);
            if let Some(parent) = path.parent()
                && std::fs::create_dir_all(parent).is_ok()
            {
                let _ = std::fs::write(path, &head);
            }
        }
    }
    for max_kv_tokens in [None, Some(1e5)] {
        black_box(PlannerProfile::load(folder.path(), max_kv_tokens).is_ok());
    }
}

/// Reads tables of latencies: a profile of kernels, a table of steps, SplitwiseSim's and Vidur's, by the names of the files.
pub fn latency_table(data: &[u8]) {
    static MODEL: LazyLock<Option<ModelConfig>> =
        LazyLock::new(|| ModelConfig::builtin("llama-3.1-8b").ok());
    let Some((folder, _)) = folder::unpack(data) else {
        return;
    };
    let at = |name: &str| folder.path().join(name);
    if at("dense.csv").exists()
        && let Some(model) = &*MODEL
    {
        black_box(Profile::load(folder.path(), model, 0.5).is_ok());
    }
    if at("steps.csv").exists() {
        black_box(ContextTable::load(&at("steps.csv")).is_ok());
    }
    if at("perf_model.csv").exists()
        && let Ok(table) = SplitwiseTable::read(at("perf_model.csv"))
    {
        black_box(table.to_csv());
    }
    black_box(VidurTable::read(folder.path(), "t", BatchingOverhead::NONE).is_ok());
}
