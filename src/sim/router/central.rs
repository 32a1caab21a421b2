//! One queue for the whole cluster: an instance gets a request only when it has room.

use super::{Router, View};
use crate::sim::in_flight::InFlightRequest;

/// The first instance with few enough requests.
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
