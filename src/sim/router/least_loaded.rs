//! The instance with the least memory in use; of equals, the one with the fewest requests.

use super::{Router, RouterCard, View};
use crate::sim::in_flight::InFlightRequest;

/// Name and summary.
pub(super) const CARD: RouterCard = RouterCard::new(
    "least-loaded",
    "the lowest KV cache usage, then the fewest requests",
    |_| Box::new(LeastLoaded),
);

/// The router `least-loaded`: compares KV usage, including KV in transfer.
#[derive(Debug)]
pub struct LeastLoaded;

impl Router for LeastLoaded {
    fn choose(&mut self, _: &InFlightRequest, view: &View<'_>) -> Option<u32> {
        view.cheapest(|instance| (instance.kv.usage(), instance.requests))
    }
}
