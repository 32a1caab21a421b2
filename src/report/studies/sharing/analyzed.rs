//! A trace with the results of its replay against a cache: the input of pages, tables and files of prefix sharing.

use crate::cache::BlockHash;
use crate::metrics::{Analysis, Summary};
use crate::trace::Trace;

/// A trace that was replayed against a cache, with its figures.
pub struct AnalyzedTrace<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// Results per request and per block.
    pub analysis: &'a Analysis,
    /// Summary of the results.
    pub summary: &'a Summary,
    /// vLLM's hash of each block, by block id, if requested.
    pub hashes: Option<&'a [BlockHash]>,
}
