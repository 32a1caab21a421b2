//! A trace with what a cache did with it: what pages, tables and files of prefix sharing are made of.

use crate::cache::BlockHash;
use crate::metrics::{Analysis, Summary};
use crate::trace::Trace;

/// A trace that was replayed against a cache, with its figures.
pub struct AnalyzedTrace<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// What was measured, per request and per block.
    pub analysis: &'a Analysis,
    /// The same in figures.
    pub summary: &'a Summary,
    /// vLLM's own hash of each block, by block id, if asked for.
    pub hashes: Option<&'a [BlockHash]>,
}
