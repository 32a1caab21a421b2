//! Instances in turn.

use super::{Router, RouterCard, View};
use crate::sim::in_flight::InFlightRequest;

/// Name and summary.
pub(super) const CARD: RouterCard = RouterCard::new("round-robin", "each instance in turn", |_| {
    Box::<RoundRobin>::default()
});

/// The router `round-robin`: selects instances in turn.
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
