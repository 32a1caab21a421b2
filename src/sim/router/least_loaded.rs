//! The instance with the least memory in use; of equals, the one with the fewest requests.

use super::{Router, View};
use crate::sim::in_flight::InFlightRequest;

/// Looks at KV usage, what is on its way included.
#[derive(Debug)]
pub struct LeastLoaded;

impl Router for LeastLoaded {
    fn choose(&mut self, _: &InFlightRequest, view: &View<'_>) -> Option<u32> {
        view.cheapest(|instance| (instance.kv.usage(), instance.requests))
    }
}
