//! Which instance gets a request: routers, one a file.

mod central;
mod least_loaded;
mod mixed_pool;
mod prefix_aware;
mod queue;
mod random;
mod round_robin;
mod vidur;

use super::instance::{Instance, Role, State};
use crate::base::error::{Error, Result};
use crate::sim::in_flight::InFlightRequest;

pub use central::Central;
pub use least_loaded::LeastLoaded;
pub use mixed_pool::MixedPool;
pub use prefix_aware::PrefixAware;
pub use queue::{Load, ShortestQueue};
pub use random::Random;
pub use round_robin::RoundRobin;
pub use vidur::{VidurLor, VidurRandom};

/// What an instance is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A request that came: its prompt, or all of it.
    Prompt,
    /// The output of a request whose prompt is computed.
    Output,
}

/// The cluster as a router sees it.
#[derive(Debug)]
pub struct View<'a> {
    /// All instances, by number.
    pub instances: &'a [Instance],
    /// Those that take work of this stage and can hold the request.
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

/// Chooses instances. One is made per stage, so it may count and draw.
pub trait Router: Send + std::fmt::Debug {
    /// An instance for the request, or `None` to keep it in the cluster's queue until something changes. There is at least
    /// one candidate.
    fn choose(&mut self, request_state: &InFlightRequest, view: &View<'_>) -> Option<u32>;

    /// Whether instances that are there for outputs may be given prompts, too.
    fn borrows_decode(&self) -> bool {
        false
    }
}

/// Whether an instance takes work of a stage.
pub(super) fn serves(instance: &Instance, stage: Stage) -> bool {
    let role = match stage {
        Stage::Prompt => instance.role != Role::Decode,
        Stage::Output => matches!(instance.role, Role::Decode | Role::Mixed),
    };
    role && instance.state == State::Ready
}

/// Names that [`by_name`] knows.
pub const NAMES: &[&str] = &[
    "random",
    "round-robin",
    "jsq",
    "token-jsq",
    "least-loaded",
    "prefix-aware",
    "mixed-pool",
    "central",
    "vidur-lor",
    "vidur-random",
];

/// A router by its name, perhaps with a number behind a colon.
///
/// # Errors
/// [`Error::Usage`] for a name that is not known, or a number that cannot be read.
pub fn by_name(text: &str, seed: u64, stage: Stage) -> Result<Box<dyn Router>> {
    let (name, number) = match text.split_once(':') {
        Some((name, number)) => (name, Some(number)),
        None => (text, None),
    };
    let name = name.replace('_', "-");
    let refuse = |remedy: &str| Error::usage(format!("router `{text}`"), remedy);
    let number = match number {
        None => None,
        Some(number) => match number.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Some(number),
            _ => {
                return Err(refuse(
                    "give a number that is not negative behind the colon",
                ));
            }
        },
    };
    let takes_none = |router: Box<dyn Router>| match number {
        None => Ok(router),
        Some(_) => Err(refuse("it takes no number")),
    };
    match name.as_str() {
        "random" => takes_none(Box::new(Random::new(seed, stage))),
        "round-robin" => takes_none(Box::<RoundRobin>::default()),
        "jsq" => takes_none(Box::new(ShortestQueue(Load::Requests))),
        "token-jsq" => takes_none(Box::new(ShortestQueue(Load::Tokens))),
        "least-loaded" => takes_none(Box::new(LeastLoaded)),
        "prefix-aware" => Ok(Box::new(PrefixAware {
            load_weight: number.unwrap_or(1.0),
        })),
        "mixed-pool" => Ok(Box::new(MixedPool {
            most_pending_tokens: number.unwrap_or(8192.0) as u64,
        })),
        "central" => Ok(Box::new(Central {
            most_requests: number.unwrap_or(1.0).max(1.0) as u32,
        })),
        "vidur-lor" => takes_none(Box::new(VidurLor)),
        "vidur-random" => takes_none(Box::new(VidurRandom::new(seed))),
        _ => Err(Error::unknown_name("router", text, NAMES)),
    }
}
