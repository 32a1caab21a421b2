//! Routers: which instance gets a request. One router is one file with its card; the list at the end of this file registers
//! it.

mod card;
mod central;
mod least_loaded;
mod mixed_pool;
mod prefix_aware;
mod queue;
mod random;
mod round_robin;
mod vidur;

use super::instance::{Instance, Role, State};
use crate::base::registry::Registry;
use crate::sim::in_flight::InFlightRequest;

pub use card::{RouterCard, RouterContext, by_name, names};
pub use central::Central;
pub use least_loaded::LeastLoaded;
pub use mixed_pool::MixedPool;
pub use prefix_aware::PrefixAware;
pub use queue::{Load, ShortestQueue};
pub use random::Random;
pub use round_robin::RoundRobin;
pub use vidur::{VidurLor, VidurRandom};

/// Phase of a request that needs an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Prefill of a new request, or all of it if instances serve whole requests.
    Prompt,
    /// Decode of a request whose prompt is computed.
    Output,
}

/// The state of the cluster that a router uses.
#[derive(Debug)]
pub struct View<'a> {
    /// All instances, by number.
    pub instances: &'a [Instance],
    /// Instances that accept requests of this stage and have memory for this one.
    pub candidates: &'a [u32],
}

impl View<'_> {
    /// The candidate with the smallest cost, the first of equals.
    pub fn cheapest<C: PartialOrd>(&self, cost: impl Fn(&Instance) -> C) -> Option<u32> {
        let mut best: Option<(u32, C)> = None;
        for candidate in self.candidates {
            let cost = cost(&self.instances[*candidate as usize]);
            if best.as_ref().is_none_or(|(_, least)| cost < *least) {
                best = Some((*candidate, cost));
            }
        }
        best.map(|(candidate, _)| candidate)
    }
}

/// Chooses instances. One is built per run and stage, so it may keep state and draw random numbers.
pub trait Router: Send + std::fmt::Debug {
    /// Chooses an instance for the request; `None` keeps it in the cluster's queue until something changes. There is at
    /// least one candidate.
    fn choose(&mut self, request_state: &InFlightRequest, view: &View<'_>) -> Option<u32>;

    /// Whether decode instances may also run prefill.
    fn borrows_decode(&self) -> bool {
        false
    }
}

/// Whether an instance accepts requests of a stage.
pub(super) fn serves(instance: &Instance, stage: Stage) -> bool {
    let role = match stage {
        Stage::Prompt => instance.role != Role::Decode,
        Stage::Output => matches!(instance.role, Role::Decode | Role::Mixed),
    };
    role && instance.state == State::Ready
}

/// Every router.
pub static ROUTERS: Registry<RouterCard> = Registry::new("router", "simulation.md", LIST);

const LIST: &[RouterCard] = &[
    random::CARD,
    round_robin::CARD,
    queue::JSQ,
    queue::TOKEN_JSQ,
    least_loaded::CARD,
    prefix_aware::CARD,
    mixed_pool::CARD,
    central::CARD,
    vidur::LOR,
    vidur::RANDOM,
];
