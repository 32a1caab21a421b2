//! Splitwise's mixed pool: prompts go to the prefill pool until its queues are long, then to mixed instances, and last to
//! an instance of the decode pool (Patel et al., Splitwise, ISCA 2024, section 4.1).

use super::{Router, RouterCard, View};
use crate::sim::in_flight::InFlightRequest;
use crate::sim::instance::Role;

/// Name and summary.
pub(super) const CARD: RouterCard = RouterCard::new("mixed-pool", "Splitwise's: the prefill pool until its queues hold N tokens, then mixed instances, then the decode pool", |context| {
    Box::new(MixedPool {
        most_pending_tokens: context.number.unwrap_or(8192.0) as u64,
    })
})
.with_parameter("N, the prompt tokens that may wait at an instance, as mixed-pool:8192")
.for_prompts();

/// The router `mixed-pool`, for prompts.
#[derive(Debug)]
pub struct MixedPool {
    /// Prompt tokens that may wait at an instance before the next pool is used.
    pub most_pending_tokens: u64,
}

impl Router for MixedPool {
    fn choose(&mut self, request_state: &InFlightRequest, view: &View<'_>) -> Option<u32> {
        let shortest = |role: Role| {
            let mut best: Option<(u32, u64)> = None;
            for candidate in view.candidates {
                let instance = &view.instances[*candidate as usize];
                if instance.role == role && best.is_none_or(|(_, least)| instance.backlog < least) {
                    best = Some((*candidate, instance.backlog));
                }
            }
            best
        };
        let limit = self.most_pending_tokens;
        let fits = |(_, backlog): &(u32, u64)| {
            *backlog == 0 || *backlog + u64::from(request_state.prompt) <= limit
        };
        let prefill = shortest(Role::Prefill);
        let choice = prefill
            .filter(fits)
            .or_else(|| shortest(Role::Mixed).filter(fits))
            .or_else(|| shortest(Role::Decode).filter(fits))
            .or(prefill);
        choice
            .map(|(candidate, _)| candidate)
            .or_else(|| view.cheapest(|instance| instance.backlog))
    }

    fn borrows_decode(&self) -> bool {
        true
    }
}
