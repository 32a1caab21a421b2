//! Join the shortest queue.

use super::{Router, View};
use crate::sim::in_flight::InFlightRequest;

/// How a queue is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Requests that are not done.
    Requests,
    /// Prompt tokens to compute, and one for each request.
    Tokens,
}

/// The instance with the shortest queue, the first of equals.
#[derive(Debug)]
pub struct ShortestQueue(pub Load);

impl Router for ShortestQueue {
    fn choose(&mut self, _: &InFlightRequest, view: &View<'_>) -> Option<u32> {
        view.cheapest(|instance| match self.0 {
            Load::Requests => u64::from(instance.requests),
            Load::Tokens => instance.backlog + u64::from(instance.requests),
        })
    }
}
