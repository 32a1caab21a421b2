//! Join the shortest queue.

use super::{Router, RouterCard, View};
use crate::sim::in_flight::InFlightRequest;

/// Name and summary of `jsq`.
pub(super) const JSQ: RouterCard = RouterCard::new("jsq", "the fewest unfinished requests", |_| {
    Box::new(ShortestQueue(Load::Requests))
});

/// Name and summary of `token-jsq`.
pub(super) const TOKEN_JSQ: RouterCard =
    RouterCard::new("token-jsq", "the fewest waiting prompt tokens", |_| {
        Box::new(ShortestQueue(Load::Tokens))
    });

/// Measure of a queue's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Unfinished requests.
    Requests,
    /// Prompt tokens to compute, plus one per request.
    Tokens,
}

/// The routers `jsq` and `token-jsq`: the instance with the shortest queue, the first of equals.
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
