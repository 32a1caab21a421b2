//! Who changes a cluster's size while it runs: what it may see, and what it may order.

use std::collections::VecDeque;

use super::cluster::Pool;
use super::instance::Instance;
use crate::sim::in_flight::{LiveId, Lives};
use crate::autoscale::ScalingLog;
use crate::trace::Nanos;

/// What happened at the cluster's edge since the last look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
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

impl Window {
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
pub struct Sight<'s, 'a> {
    /// When.
    pub now: Nanos,
    /// Kinds of instances.
    pub pools: &'s [Pool<'a>],
    /// All instances there ever were, by number.
    pub instances: &'s [Instance],
    /// Requests in the cluster.
    pub lives: &'s Lives,
    /// What happened since the last tick.
    pub window: &'s Window,
    /// Requests that no instance has taken yet, from the front.
    pub unrouted: &'s VecDeque<LiveId>,
    /// How many requests whose prompt is computed no instance has taken yet.
    pub homeless: usize,
}

/// A change that a controller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
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

/// Looks at the cluster every so often, and orders changes.
pub trait Controller: Send + std::fmt::Debug {
    /// Time between looks; the first is after one of them.
    fn interval(&self) -> Nanos;

    /// A look.
    fn tick(&mut self, sight: &Sight<'_, '_>) -> Vec<Order>;

    /// An instance has started.
    fn ready(&mut self, sight: &Sight<'_, '_>, instance: u32) -> Vec<Order>;

    /// What it saw and decided.
    fn finish(self: Box<Self>) -> ScalingLog;
}
