//! Cards of latency models, and their choice by the configuration.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{LatencyModel, MODELS};
use crate::base::error::{Error, Result};
use crate::base::parameters::{Chosen, Family, Parameters, PartOf};
use crate::base::registry::{Card, Named, Registry};
use crate::cache::capacity::ModelConfig;

/// A latency model that a configuration chooses, with its parameters: `{ kind = "linear", base_ms = 5 }`.
pub type LatencyConfig = Chosen<LatencyCard>;

/// Properties of the pool whose steps a latency model times.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LatencyContext<'a> {
    /// The language model, if its sizes are known.
    pub model: Option<&'a ModelConfig>,
    /// Name of the pool's GPU.
    pub gpu: &'a str,
    /// Seed of the run.
    pub seed: u64,
}

impl<'a> LatencyContext<'a> {
    /// A pool of instances of a language model (if its sizes are known) on a named GPU, in a run with this seed.
    pub fn new(model: Option<&'a ModelConfig>, gpu: &'a str, seed: u64) -> Self {
        Self { model, gpu, seed }
    }

    /// The language model.
    ///
    /// # Errors
    /// [`Error::Usage`] if its sizes are not known.
    pub fn model(&self, latency: &str) -> Result<&'a ModelConfig> {
        self.model.ok_or_else(|| {
            Error::usage(
                format!("latency model `{latency}` needs the sizes of the language model"),
                "name a built-in model under [model], or give its config.json there",
            )
        })
    }
}

/// Builds the latency model of each instance of a pool; files are read once.
#[derive(Clone)]
pub struct LatencyFactory(Arc<dyn Fn(u32) -> Box<dyn LatencyModel> + Send + Sync>);

impl LatencyFactory {
    /// Builds a model for an instance number.
    pub fn new(build: impl Fn(u32) -> Box<dyn LatencyModel> + Send + Sync + 'static) -> Self {
        Self(Arc::new(build))
    }

    /// Gives each instance a copy of the same model.
    pub fn copies_of<M: LatencyModel + Clone + Sync + 'static>(model: M) -> Self {
        Self::new(move |_| Box::new(model.clone()))
    }

    /// The model of one instance.
    pub fn build(&self, instance: u32) -> Box<dyn LatencyModel> {
        (self.0)(instance)
    }
}

impl fmt::Debug for LatencyFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LatencyFactory").finish_non_exhaustive()
    }
}

/// Parameters of a latency model, from which it is built.
pub trait LatencyParameters: Serialize + DeserializeOwned + 'static {
    /// Name and summary.
    const CARD: Card;
    /// Whether it needs the sizes of the language model.
    const NEEDS_MODEL: bool = false;

    /// Checks the parameters and reads the files that they name.
    ///
    /// # Errors
    /// [`Error::Usage`] for a parameter that is out of range; [`Error::Input`] for a file that cannot be understood.
    fn prepare(&self, context: &LatencyContext<'_>) -> Result<LatencyFactory>;
}

impl<C: LatencyParameters> PartOf<LatencyCard> for C {
    const NAME: &'static str = C::CARD.name;
}

/// A registered latency model, with its parameters' type erased.
#[derive(Debug, Clone, Copy)]
pub struct LatencyCard {
    card: Card,
    needs_model: bool,
    complete: fn(&Parameters) -> Result<Parameters, String>,
    prepare: fn(&Parameters, &LatencyContext<'_>) -> Result<LatencyFactory>,
}

impl LatencyCard {
    /// The model of these parameters.
    pub(super) const fn of<C: LatencyParameters>() -> Self {
        Self {
            card: C::CARD,
            needs_model: C::NEEDS_MODEL,
            complete: Parameters::complete::<C>,
            prepare: |parameters, context| {
                let parameters: C = parameters.read().map_err(|message| {
                    Error::usage(
                        format!("latency model `{}`: {message}", C::CARD.name),
                        "docs/latency-models.md describes the keys",
                    )
                })?;
                parameters.prepare(context)
            },
        }
    }
}

impl Named for LatencyCard {
    fn card(&self) -> &Card {
        &self.card
    }
}

impl Family for LatencyCard {
    const DEFAULT: &'static str = "roofline";

    fn registry() -> &'static Registry<Self> {
        &MODELS
    }

    fn complete(&self, given: &Parameters) -> Result<Parameters, String> {
        (self.complete)(given)
    }
}

impl LatencyConfig {
    /// Whether the model needs the sizes of the language model.
    pub fn needs_model(&self) -> bool {
        self.part().needs_model
    }

    /// Checks the parameters and reads the files that they name.
    ///
    /// # Errors
    /// As [`LatencyParameters::prepare`].
    pub fn prepare(&self, context: &LatencyContext<'_>) -> Result<LatencyFactory> {
        (self.part().prepare)(self.table(), context)
    }
}
