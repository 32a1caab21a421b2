//! Cards of replica schedulers, and the choice of a scheduler by the configuration.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ReplicaScheduler, SCHEDULERS};
use crate::base::error::{Error, Result};
use crate::base::parameters::{Chosen, Family, Parameters, PartOf};
use crate::base::registry::{Card, Named, Registry};

/// The replica scheduler that a configuration names, with its parameters: `{ kind = "sarathi", chunk_size = 512 }`.
pub type SchedulerConfig = Chosen<SchedulerCard>;

/// Parameters of a replica scheduler, which build it.
pub trait SchedulerParameters: Serialize + DeserializeOwned + 'static {
    /// Name and summary.
    const CARD: Card;
    /// Whether the scheduler looks up cached prefixes. The others compute every prompt from its beginning, as the original
    /// schedulers do.
    const FINDS_PREFIXES: bool = false;

    /// Builds the scheduler of one instance.
    ///
    /// # Errors
    /// [`Error::Usage`] for a parameter that is out of range.
    fn build(self) -> Result<Box<dyn ReplicaScheduler>>;
}

impl<C: SchedulerParameters> PartOf<SchedulerCard> for C {
    const NAME: &'static str = C::CARD.name;
}

/// A registered replica scheduler, with the type of its parameters erased.
#[derive(Debug, Clone, Copy)]
pub struct SchedulerCard {
    card: Card,
    finds_prefixes: bool,
    complete: fn(&Parameters) -> Result<Parameters, String>,
    build: fn(&Parameters) -> Result<Box<dyn ReplicaScheduler>>,
}

impl SchedulerCard {
    /// Builds the scheduler from these parameters.
    pub(super) const fn of<C: SchedulerParameters>() -> Self {
        Self {
            card: C::CARD,
            finds_prefixes: C::FINDS_PREFIXES,
            complete: Parameters::complete::<C>,
            build: |parameters| {
                let parameters: C = parameters.read().map_err(|message| {
                    Error::usage(
                        format!("scheduler `{}`: {message}", C::CARD.name),
                        "docs/simulation.md describes the keys",
                    )
                })?;
                parameters.build()
            },
        }
    }
}

impl Named for SchedulerCard {
    fn card(&self) -> &Card {
        &self.card
    }
}

impl Family for SchedulerCard {
    const DEFAULT: &'static str = "vllm-v1";

    fn registry() -> &'static Registry<Self> {
        &SCHEDULERS
    }

    fn complete(&self, given: &Parameters) -> Result<Parameters, String> {
        (self.complete)(given)
    }
}

impl SchedulerConfig {
    /// Whether the scheduler looks up cached prefixes. The others compute every prompt from its beginning.
    pub fn finds_prefixes(&self) -> bool {
        self.part().finds_prefixes
    }

    /// Builds the scheduler of one instance.
    ///
    /// # Errors
    /// As [`SchedulerParameters::build`].
    pub fn build(&self) -> Result<Box<dyn ReplicaScheduler>> {
        (self.part().build)(self.table())
    }
}
