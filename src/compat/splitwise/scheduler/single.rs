//! Both tasks on one instance.

use rand::RngExt as _;
use rand_pcg::Pcg64;

use super::super::instance::Instance;
use super::super::request::Request;
use super::{Placement, least};
use crate::base::random::stream;

/// Which instance.
#[derive(Debug)]
pub(super) enum Single {
    /// Drawn evenly. The reference draws without a seed, so its choices cannot be met; these repeat with the seed.
    Random(Box<Pcg64>),
    /// In turn.
    RoundRobin { next: usize },
    /// With the fewest requests.
    ShortestQueue,
    /// With the fewest pending tokens.
    FewestTokens,
}

impl Single {
    pub(super) fn random(seed: u64) -> Self {
        Self::Random(Box::new(stream(seed, "splitwise-random-scheduler", 0)))
    }

    pub(super) fn place(
        &mut self,
        request: &Request,
        instances: &mut [Instance],
    ) -> Option<Placement> {
        let all = 0..instances.len();
        let index = match self {
            _ if all.is_empty() => None,
            Self::Random(random) => Some(random.random_range(all)),
            Self::RoundRobin { next } => {
                let index = *next;
                *next = (index + 1) % instances.len();
                Some(index)
            }
            Self::ShortestQueue => least(all, instances, |instance| instance.requests.len()),
            Self::FewestTokens => {
                let index = least(all, instances, |instance| instance.sched_pending_tokens)?;
                instances[index].sched_pending_tokens += request.prompt + 1;
                Some(index)
            }
        }?;
        Some(Placement {
            prompt: index,
            token: index,
            ships: false,
        })
    }
}
