//! Cards of routers, and look-up by name.

use super::{ROUTERS, Router, Stage};
use crate::base::error::{Error, Result};
use crate::base::limits::FACTOR;
use crate::base::registry::{Card, Named};

/// Parameters and context from which a router is built.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RouterContext {
    /// Seed of the run.
    pub seed: u64,
    /// Which requests it routes.
    pub stage: Stage,
    /// The number behind the colon of `NAME:NUMBER`; finite and not negative.
    pub number: Option<f64>,
}

type Build = fn(&RouterContext) -> Box<dyn Router>;

/// A registered router.
#[derive(Debug, Clone, Copy)]
pub struct RouterCard {
    card: Card,
    for_prompts_only: bool,
    build: Build,
}

impl Named for RouterCard {
    fn card(&self) -> &Card {
        &self.card
    }
}

impl RouterCard {
    /// A router for both stages.
    pub const fn new(name: &'static str, summary: &'static str, build: Build) -> Self {
        Self {
            card: Card::new(name, summary),
            for_prompts_only: false,
            build,
        }
    }

    /// The same router with a number behind a colon.
    #[must_use]
    pub const fn with_parameter(self, parameter: &'static str) -> Self {
        Self {
            card: self.card.with_parameter(parameter),
            ..self
        }
    }

    /// The same router, which cannot choose decode instances.
    #[must_use]
    pub const fn for_prompts(self) -> Self {
        Self {
            for_prompts_only: true,
            ..self
        }
    }

    /// Whether it can route requests of a stage.
    pub fn supports(&self, stage: Stage) -> bool {
        stage == Stage::Prompt || !self.for_prompts_only
    }
}

/// Names of the routers that support a stage.
pub fn names(stage: Stage) -> Vec<&'static str> {
    let routers = ROUTERS.iter().filter(|router| router.supports(stage));
    routers.map(Named::name).collect()
}

/// The router of a text `NAME` or `NAME:NUMBER`.
///
/// # Errors
/// [`Error::Usage`] for an unknown name, a number that cannot be read, or a router that does not support the stage.
pub fn by_name(text: &str, seed: u64, stage: Stage) -> Result<Box<dyn Router>> {
    let (router, number) = ROUTERS.select(text)?;
    if !router.supports(stage) {
        return Err(Error::usage(
            format!("router `{text}` routes prompts only, not outputs"),
            format!("use one of {}", names(stage).join(", ")),
        ));
    }
    let number = match number {
        None => None,
        Some(number) => match FACTOR.parse(number) {
            Ok(number) => Some(number),
            Err(_) => return Err(ROUTERS.refuse(router, text)),
        },
    };
    Ok((router.build)(&RouterContext {
        seed,
        stage,
        number,
    }))
}

#[cfg(test)]
mod tests {
    use crate::sim::router::card::*;

    #[test]
    fn names_numbers_and_stages() {
        for good in ["jsq", "prefix_aware:0.5", "central:8", "mixed-pool"] {
            assert!(by_name(good, 0, Stage::Prompt).is_ok(), "{good}");
        }
        for bad in ["jsq:1", "prefix-aware:-1", "central:x", "nearest"] {
            assert!(by_name(bad, 0, Stage::Prompt).is_err(), "{bad}");
        }
        let error = by_name("mixed-pool", 0, Stage::Output).err();
        let message = error.map(|error| error.to_string()).unwrap_or_default();
        let offered = message.contains("least-loaded, ") && !message.contains("mixed-pool, ");
        assert!(offered, "{message}");
    }
}
