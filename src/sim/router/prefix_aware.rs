//! Weighs the longest cached prefix against load, like the KV-aware routers of Dynamo and llm-d.

use super::{Router, RouterCard, View};
use crate::sim::in_flight::InFlightRequest;

/// Name and summary.
pub(super) const CARD: RouterCard = RouterCard::new(
    "prefix-aware",
    "the fewest tokens to compute, after the cached prefix, plus W times those already waiting",
    |context| {
        Box::new(PrefixAware {
            load_weight: context.number.unwrap_or(1.0),
        })
    },
)
.with_parameter("W, the weight of waiting tokens, as prefix-aware:0.5");

/// The router `prefix-aware`. The cost of an instance is the request's uncached prompt tokens plus the weighted backlog.
#[derive(Debug)]
pub struct PrefixAware {
    /// Weight of a backlog token relative to one of the request's own; 0 considers the cache only.
    pub load_weight: f64,
}

impl Router for PrefixAware {
    fn choose(&mut self, request_state: &InFlightRequest, view: &View<'_>) -> Option<u32> {
        view.cheapest(|instance| {
            let own = request_state.tokens() - instance.kv.lookup(request_state);
            let cost = f64::from(own) + self.load_weight * instance.backlog as f64;
            (cost, instance.requests)
        })
    }
}
