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

    /// A number of requests that arrive when `arrival` says, which must not go back: those of this workload, and from its
    /// beginning again, each time in sessions of their own. `blocks` are this workload's, from
    /// [`BlockTrace::repeated`] with the same number.
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
