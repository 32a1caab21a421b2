//! The requests that a cluster serves.

use crate::cache::BlockTrace;
use crate::trace::{Nanos, Trace};

/// One request of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Arrival, since the start of the simulation.
    pub arrival: Nanos,
    /// Index of its session.
    pub session: u32,
    /// Prompt tokens; at least 1.
    pub prompt: u32,
    /// Output tokens; at least 1, because an engine samples one before it can stop.
    pub output: u32,
}

/// Requests in order of arrival, optionally with the contents of their blocks.
#[derive(Debug)]
pub struct Workload<'a> {
    items: Vec<Item>,
    sessions: u32,
    blocks: Option<&'a BlockTrace>,
}

impl<'a> Workload<'a> {
    /// All requests of a trace; `blocks` is the same trace in blocks, for a prefix cache.
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

    /// Requests with lengths only, in order of arrival.
    pub fn of_items(items: Vec<Item>) -> Self {
        let sessions = items.iter().map(|item| item.session + 1).max().unwrap_or(0);
        debug_assert!(items.is_sorted_by_key(|item| item.arrival));
        Self {
            items,
            sessions,
            blocks: None,
        }
    }

    /// `requests` requests at the times given by `arrival`, which must not decrease: the requests of this workload,
    /// repeated from the beginning as often as needed, each time with new sessions. `blocks` are this workload's blocks,
    /// from [`BlockTrace::repeated`] with the same number.
    #[must_use]
    pub fn repeated<'b>(
        &self,
        count: usize,
        blocks: Option<&'b BlockTrace>,
        mut arrival: impl FnMut() -> Nanos,
    ) -> Workload<'b> {
        let rounds = count.div_ceil(self.items.len().max(1)) as u32;
        let items = (0..rounds).flat_map(|round| {
            self.items.iter().map(move |item| Item {
                session: item.session + round * self.sessions,
                ..*item
            })
        });
        let mut items: Vec<Item> = items.take(count).collect();
        for item in &mut items {
            item.arrival = arrival();
        }
        Workload {
            items,
            sessions: rounds * self.sessions,
            blocks,
        }
    }

    /// Multiplies all arrival times by a factor; 0.5 doubles the rate.
    pub fn stretch(&mut self, factor: f64) {
        for item in &mut self.items {
            item.arrival = Nanos((item.arrival.0 as f64 * factor).round() as u64);
        }
    }

    /// The requests, in order of arrival.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Number of sessions.
    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    /// The contents of blocks, if known.
    pub fn blocks(&self) -> Option<&'a BlockTrace> {
        self.blocks
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::workload::*;

    #[test]
    fn a_workload_is_repeated_in_new_sessions() {
        let item = |session, prompt| Item {
            arrival: Nanos::ZERO,
            session,
            prompt,
            output: 1,
        };
        let workload = Workload::of_items(vec![item(0, 10), item(1, 20), item(0, 30)]);
        let mut time = 0;
        let again = workload.repeated(5, None, || {
            time += 1;
            Nanos(time)
        });
        let found: Vec<(u64, u32, u32)> = again
            .items()
            .iter()
            .map(|item| (item.arrival.0, item.session, item.prompt))
            .collect();
        assert_eq!(
            found,
            [(1, 0, 10), (2, 1, 20), (3, 0, 30), (4, 2, 10), (5, 3, 20)]
        );
        assert_eq!(again.sessions(), 4);
    }
}
