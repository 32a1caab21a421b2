//! One after another.

use super::{Router, View};
use crate::sim::in_flight::InFlightRequest;

/// Counts requests.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: usize,
}

impl Router for RoundRobin {
    fn choose(&mut self, _: &InFlightRequest, view: &View<'_>) -> Option<u32> {
        let index = self.next % view.candidates.len();
        self.next = index + 1;
        Some(view.candidates[index])
    }
}
