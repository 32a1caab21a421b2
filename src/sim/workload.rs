//! What the cluster is to serve.

use crate::cache::BlockTrace;
use crate::trace::{Nanos, Trace};

/// One request, as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Since the start of the simulation.
    pub arrival: Nanos,
    /// Index of its session.
    pub session: u32,
    /// Prompt tokens; at least 1.
    pub prompt: u32,
    /// Output tokens; at least 1, as an engine samples one before it can stop.
    pub output: u32,
}

/// Requests in order of arrival, perhaps with the contents of their blocks.
#[derive(Debug)]
pub struct Workload<'a> {
    items: Vec<Item>,
    sessions: u32,
    blocks: Option<&'a BlockTrace>,
}

impl<'a> Workload<'a> {
    /// All of a trace; `blocks` is the same trace cut into blocks, where prefixes are to be found.
    pub fn new(trace: &Trace, blocks: Option<&'a BlockTrace>) -> Self {
        let items = trace.requests().iter().map(|request| Item {
            arrival: request.arrival,
            session: request.session,
            prompt: request.input_length.max(1),
            output: request.output_length.max(1),
        });
        Self {
            items: items.collect(),
            sessions: trace.sessions().len() as u32,
            blocks,
        }
    }

    /// Requests of which only lengths matter, in order of arrival.
    pub fn of_items(items: Vec<Item>) -> Self {
        let sessions = items.iter().map(|item| item.session + 1).max().unwrap_or(0);
        debug_assert!(items.is_sorted_by_key(|item| item.arrival));
        Self {
            items,
            sessions,
            blocks: None,
        }
    }

    /// The first requests, which come when `arrival` says; it must not go back.
    #[must_use]
    pub fn first(&self, count: usize, mut arrival: impl FnMut(&Item) -> Nanos) -> Self {
        let items = self.items.iter().take(count).map(|item| Item {
            arrival: arrival(item),
            ..*item
        });
        Self {
            items: items.collect(),
            sessions: self.sessions,
            blocks: self.blocks,
        }
    }

    /// Multiplies all arrival times, so that 0.5 doubles the rate.
    pub fn stretch(&mut self, factor: f64) {
        for item in &mut self.items {
            item.arrival = Nanos((item.arrival.0 as f64 * factor).round() as u64);
        }
    }

    /// In order of arrival.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    /// The contents of blocks, where known.
    pub fn blocks(&self) -> Option<&'a BlockTrace> {
        self.blocks
    }
}
