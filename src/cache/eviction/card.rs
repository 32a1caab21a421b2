//! Cards of eviction policies, and look-up by name.

use super::{Eviction, EvictionContext, POLICIES};
use crate::base::error::Result;
use crate::base::registry::{Card, Named};

/// Builds a policy; `None` if its parameter is invalid.
type Build = fn(&EvictionContext, Option<&str>) -> Option<Box<dyn Eviction>>;

/// A registered eviction policy.
#[derive(Debug, Clone, Copy)]
pub struct EvictionCard {
    card: Card,
    looks_ahead: bool,
    expires: bool,
    build: Build,
}

impl Named for EvictionCard {
    fn card(&self) -> &Card {
        &self.card
    }
}

impl EvictionCard {
    /// Card of a policy that uses past accesses only.
    pub const fn new(name: &'static str, summary: &'static str, build: Build) -> Self {
        Self {
            card: Card::new(name, summary),
            looks_ahead: false,
            expires: false,
            build,
        }
    }

    /// Adds a parameter, given after a colon.
    #[must_use]
    pub const fn with_parameter(self, parameter: &'static str) -> Self {
        Self {
            card: self.card.with_parameter(parameter),
            ..self
        }
    }

    /// Marks the policy as one that needs the time of each block's next use.
    #[must_use]
    pub const fn that_looks_ahead(self) -> Self {
        Self {
            looks_ahead: true,
            ..self
        }
    }

    /// Marks the policy as one that also evicts by time alone.
    #[must_use]
    pub const fn that_expires(self) -> Self {
        Self {
            expires: true,
            ..self
        }
    }

    /// Whether it uses future accesses, and so is a bound.
    pub fn looks_ahead(&self) -> bool {
        self.looks_ahead
    }

    /// Whether it evicts blocks by time alone, at any capacity.
    pub fn expires(&self) -> bool {
        self.expires
    }

    /// Whether it needs a parameter.
    pub fn needs_parameter(&self) -> bool {
        (self.build)(&SMALLEST, None).is_none()
    }
}

/// A small cache on which a policy's parameter is validated.
const SMALLEST: EvictionContext = EvictionContext {
    blocks: 1,
    capacity: 1,
    block_size: 1,
    seed: 0,
};

fn holds(text: &str, property: fn(&EvictionCard) -> bool) -> bool {
    POLICIES
        .select(text)
        .is_ok_and(|(policy, _)| property(policy))
}

/// Whether the policy is a bound that needs the time of each block's next use.
pub fn looks_ahead(text: &str) -> bool {
    holds(text, EvictionCard::looks_ahead)
}

/// Whether the policy evicts blocks by time alone, at any capacity.
pub fn expires(text: &str) -> bool {
    holds(text, EvictionCard::expires)
}

/// Checks that the policy exists and that its parameter is valid.
///
/// # Errors
/// As [`by_name`].
pub fn check(text: &str) -> Result<()> {
    by_name(text, &SMALLEST).map(drop)
}

/// Builds the policy of a text `NAME` or `NAME:PARAMETER`.
///
/// # Errors
/// [`Error::Usage`](crate::Error::Usage) for an unknown name or an invalid parameter.
pub fn by_name(text: &str, context: &EvictionContext) -> Result<Box<dyn Eviction>> {
    let (policy, parameter) = POLICIES.select(text)?;
    (policy.build)(context, parameter).ok_or_else(|| POLICIES.refuse(policy, text))
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::card::*;

    #[test]
    fn names_and_parameters() {
        for good in [
            "lru",
            "clock",
            "clock:3",
            "ttl:300",
            "ttl:0.5",
            "belady",
            "lfu_aging",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["ttl", "ttl:x", "clock:x", "lru:3", "s3fifo"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cards_say_what_policies_need() {
        let all = POLICIES.iter();
        let needs: Vec<_> = all.filter(|policy| policy.needs_parameter()).collect();
        assert_eq!(needs.len(), 1);
        assert_eq!((needs[0].name(), needs[0].expires()), ("ttl", true));
        assert!(expires("ttl:300") && !expires("lru"));
        assert!(looks_ahead("belady-leaf") && !looks_ahead("leaf-lru"));
    }
}
