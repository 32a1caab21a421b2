//! A uniformly random instance.

use rand::RngExt;
use rand_pcg::Pcg64;

use super::{Router, RouterCard, Stage, View};
use crate::base::random::stream;
use crate::sim::in_flight::InFlightRequest;

/// Name and summary.
pub(super) const CARD: RouterCard = RouterCard::new("random", "a random instance", |context| {
    Box::new(Random::new(context.seed, context.stage))
});

/// The router `random`, with its own random stream.
#[derive(Debug)]
pub struct Random(Pcg64);

impl Random {
    /// One stream per stage, derived from the seed.
    pub fn new(seed: u64, stage: Stage) -> Self {
        Self(stream(seed, "router", stage as u64))
    }
}

impl Router for Random {
    fn choose(&mut self, _: &InFlightRequest, view: &View<'_>) -> Option<u32> {
        let index = self.0.random_range(0..view.candidates.len());
        Some(view.candidates[index])
    }
}
