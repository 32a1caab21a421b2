//! Who changes a cluster's size while it runs: what it may see, and what it may order.

use std::collections::VecDeque;

use super::cluster::Pool;
use super::instance::Instance;
use crate::sim::in_flight::{InFlightId, InFlightRequests};
use crate::trace::Nanos;

/// What happened at the cluster's edge since the last look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ControlWindow {
    /// Requests that came.
    pub arrived: u64,
    /// Their prompt tokens.
    pub arrived_prompt_tokens: u64,
    /// Requests that got their last token.
    pub completed: u64,
    /// Their prompt tokens.
    pub completed_prompt_tokens: u64,
    /// Their output tokens.
    pub completed_output_tokens: u64,
    /// Times to first token of those that got it, in seconds.
    pub ttft: Vec<f64>,
    /// Mean times between tokens of requests that ended, in seconds.
    pub tbt: Vec<f64>,
    /// Whole times of requests that ended, in seconds.
    pub e2e: Vec<f64>,
    /// Gaps between consecutive output tokens (ITL).
    pub gaps: u64,
    /// Their sum in nanoseconds.
    pub gap_nanos: u64,
}

impl ControlWindow {
    /// Empties it, and keeps its memory.
    pub(super) fn clear(&mut self) {
        let (mut ttft, mut tbt, mut e2e) = (
            std::mem::take(&mut self.ttft),
            std::mem::take(&mut self.tbt),
            std::mem::take(&mut self.e2e),
        );
        ttft.clear();
        tbt.clear();
        e2e.clear();
        *self = Self {
            ttft,
            tbt,
            e2e,
            ..Self::default()
        };
    }
}

/// The cluster as its controller sees it.
#[derive(Debug)]
pub struct ClusterView<'s, 'a> {
    /// When.
    pub now: Nanos,
    /// Kinds of instances.
    pub pools: &'s [Pool<'a>],
    /// All instances there ever were, by number.
    pub instances: &'s [Instance],
    /// Requests in the cluster.
    pub in_flight: &'s InFlightRequests,
    /// What happened since the last tick.
    pub window: &'s ControlWindow,
    /// Requests that no instance has taken yet, from the front.
    pub pending_prefill: &'s VecDeque<InFlightId>,
    /// How many requests whose prompt is computed no instance has taken yet.
    pub pending_decode: usize,
}

/// A change that a controller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalingAction {
    /// A new instance of a pool, at a site of the topology.
    Start {
        /// Index of the pool.
        pool: u32,
        /// Index of the site.
        site: u32,
    },
    /// An instance takes no new work and is given back when it has done what it has; one that starts is given back at once.
    Drain(u32),
    /// An instance takes no new work, and is kept.
    Park(u32),
    /// A parked instance takes work again.
    Reinstate(u32),
}

/// Looks at the cluster every so often, and actions changes.
pub trait Controller: Send + std::fmt::Debug {
    /// Time between looks; the first is after one of them.
    fn interval(&self) -> Nanos;

    /// A look.
    fn tick(&mut self, view: &ClusterView<'_, '_>) -> Vec<ScalingAction>;

    /// An instance has started.
    fn ready(&mut self, view: &ClusterView<'_, '_>, instance: u32) -> Vec<ScalingAction>;
}
