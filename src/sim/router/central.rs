//! One queue for the whole cluster: an instance gets a request only when it has room.

use super::{Router, RouterCard, View};
use crate::sim::in_flight::InFlightRequest;

/// Name and summary.
pub(super) const CARD: RouterCard = RouterCard::new(
    "central",
    "one queue for the cluster: the first instance with fewer than N requests",
    |context| {
        Box::new(Central {
            most_requests: context.number.unwrap_or(1.0).max(1.0) as u32,
        })
    },
)
.with_parameter("N, the requests that an instance may have at once, as central:8");

/// The router `central`: the first instance with few enough requests.
#[derive(Debug)]
pub struct Central {
    /// Requests that an instance may have at once.
    pub most_requests: u32,
}

impl Router for Central {
    fn choose(&mut self, _: &InFlightRequest, view: &View<'_>) -> Option<u32> {
        let free =
            |candidate: &&u32| view.instances[**candidate as usize].requests < self.most_requests;
        view.candidates.iter().find(free).copied()
    }
}
