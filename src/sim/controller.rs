//! The interface of a controller, which changes a cluster's size during a run: what it observes, and its actions.

use std::collections::VecDeque;

use super::cluster::Pool;
use super::instance::Instance;
use crate::sim::in_flight::{InFlightId, InFlightRequests};
use crate::trace::Nanos;

/// Arrivals and completions since the last control interval.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ControlWindow {
    /// Requests that arrived.
    pub arrived: u64,
    /// Their prompt tokens.
    pub arrived_prompt_tokens: u64,
    /// Requests that finished.
    pub completed: u64,
    /// Their prompt tokens.
    pub completed_prompt_tokens: u64,
    /// Their output tokens.
    pub completed_output_tokens: u64,
    /// Times to first token of the requests that got it, in seconds.
    pub ttft: Vec<f64>,
    /// Mean times between tokens of requests that finished, in seconds.
    pub tbt: Vec<f64>,
    /// End-to-end times of requests that finished, in seconds.
    pub e2e: Vec<f64>,
    /// Number of gaps between consecutive output tokens (ITL).
    pub gaps: u64,
    /// Their sum in nanoseconds.
    pub gap_nanos: u64,
}

impl ControlWindow {
    /// Clears all values and keeps the allocations.
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

/// The state of the cluster that a controller observes.
#[derive(Debug)]
pub struct ClusterView<'s, 'a> {
    /// Current time.
    pub now: Nanos,
    /// Pools.
    pub pools: &'s [Pool<'a>],
    /// All instances that ever existed, by number.
    pub instances: &'s [Instance],
    /// Requests in flight.
    pub in_flight: &'s InFlightRequests,
    /// Arrivals and completions since the last control interval.
    pub window: &'s ControlWindow,
    /// Requests that are not assigned to an instance for prefill yet, in order.
    pub pending_prefill: &'s VecDeque<InFlightId>,
    /// Number of requests whose prompt is computed and that are not assigned to an instance for decode yet.
    pub pending_decode: usize,
}

/// A change of the cluster's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalingAction {
    /// Starts a new instance of a pool, at a site of the topology.
    Start {
        /// Index of the pool.
        pool: u32,
        /// Index of the site.
        site: u32,
    },
    /// Drains an instance: it accepts no new requests and terminates when it has finished those it has; a starting instance
    /// terminates at once.
    Drain(u32),
    /// Parks an instance: it accepts no new requests, and is kept.
    Park(u32),
    /// Returns a parked instance to routing.
    Reinstate(u32),
}

/// A controller acts at most this often in a run: more ticks would neither end nor fit into memory.
pub const MOST_TICKS: u64 = 1_000_000;

/// Observes the cluster at fixed intervals and returns actions.
pub trait Controller: Send + std::fmt::Debug {
    /// The control interval; the first tick is at its end.
    fn interval(&self) -> Nanos;

    /// Called at the end of each control interval.
    fn tick(&mut self, view: &ClusterView<'_, '_>) -> Vec<ScalingAction>;

    /// Called when an instance has become ready.
    fn ready(&mut self, view: &ClusterView<'_, '_>, instance: u32) -> Vec<ScalingAction>;

    /// Whether the run must end at once because the controller cannot go on; its records are then incomplete.
    fn has_failed(&self) -> bool {
        false
    }
}
