//! Policies by name.

use super::{
    Arc, Belady, Cacheus, Clock, Eviction, Fifo, Leaves, Lecar, Lfu, Lirs, Lru, Random, Rank,
    Ranked, S3Fifo, Setup, Sieve, Slru, Ttl, TwoQ, WTinyLfu,
};
use crate::base::error::{Error, Result};
use crate::trace::Nanos;

/// What is known of a policy.
pub struct Entry {
    /// As users write it.
    pub name: &'static str,
    /// In a few words.
    pub summary: &'static str,
    /// What may or must follow the name and a colon, if anything.
    pub parameter: Option<&'static str>,
    /// Whether it knows the future, and so is a bound.
    pub looks_ahead: bool,
    make: Make,
}

/// Makes a policy; `None` where it cannot read its parameter.
type Make = fn(&Setup, Option<&str>) -> Option<Box<dyn Eviction>>;

const fn entry(name: &'static str, summary: &'static str, make: Make) -> Entry {
    Entry {
        name,
        summary,
        parameter: None,
        looks_ahead: false,
        make,
    }
}

/// All policies, the bounds last.
pub const POLICIES: &[Entry] = &[
    entry("lru", "least recently used", |s, _| {
        Some(Box::new(Lru::new(s)))
    }),
    entry("fifo", "first in, first out", |s, _| {
        Some(Box::new(Fifo::new(s)))
    }),
    Entry {
        parameter: Some("BITS of its counter, as clock:2"),
        ..entry("clock", "second chance", |s, bits| {
            let bits = bits.map_or(Some(1), |bits| bits.parse().ok())?;
            Some(Box::new(Clock::new(s, bits)))
        })
    },
    entry("sieve", "a hand that spares what was used", |s, _| {
        Some(Box::new(Sieve::new(s)))
    }),
    entry("s3-fifo", "small and main queue with a memory", |s, _| {
        Some(Box::new(S3Fifo::new(s)))
    }),
    entry("2q", "a queue before the LRU", |s, _| {
        Some(Box::new(TwoQ::new(s)))
    }),
    entry("slru", "four segments of LRU", |s, _| {
        Some(Box::new(Slru::new(s)))
    }),
    entry(
        "arc",
        "recency and frequency, balanced by what comes back",
        |s, _| Some(Box::new(Arc::new(s))),
    ),
    entry("lirs", "by the gap between the last two uses", |s, _| {
        Some(Box::new(Lirs::new(s)))
    }),
    entry("lfu", "least frequently used", |s, _| {
        Some(Box::new(Lfu::new(s, false)))
    }),
    entry("lfu-aging", "LFU in which old fame fades", |s, _| {
        Some(Box::new(Lfu::new(s, true)))
    }),
    entry("gdsf", "uses since it came, aging by what goes", |s, _| {
        Some(Box::new(Ranked::new(s, Rank::GreedyDual)))
    }),
    entry(
        "w-tinylfu",
        "a window, and a main part for the more used",
        |s, _| Some(Box::new(WTinyLfu::new(s))),
    ),
    entry("lecar", "LRU or LFU, whichever errs less", |s, _| {
        Some(Box::new(Lecar::new(s)))
    }),
    entry("cacheus", "LeCaR for scans and churn", |s, _| {
        Some(Box::new(Cacheus::new(s)))
    }),
    entry("random", "any, by --seed", |s, _| {
        Some(Box::new(Random::new(s)))
    }),
    Entry {
        parameter: Some("SECONDS since the last use, as ttl:300"),
        ..entry("ttl", "gone after a time, else LRU", |s, seconds| {
            let lifetime = Nanos::parse_secs(seconds?)?;
            Some(Box::new(Ttl::new(s, lifetime)))
        })
    },
    entry("priority", "lowest priority first, then LRU", |s, _| {
        Some(Box::new(Ranked::new(s, Rank::Priority)))
    }),
    entry(
        "leaf-lru",
        "LRU of blocks without resident successors",
        |s, _| Some(Box::new(Leaves::new(s, false))),
    ),
    entry(
        "session-aware",
        "sessions that are over first, then LRU",
        |s, _| Some(Box::new(Ranked::new(s, Rank::SessionAware))),
    ),
    entry(
        "cost-aware",
        "cheapest to compute again by use, aging",
        |s, _| Some(Box::new(Ranked::new(s, Rank::CostAware))),
    ),
    entry(
        "length-aware",
        "least used first, of those the deepest",
        |s, _| Some(Box::new(Ranked::new(s, Rank::LengthAware))),
    ),
    Entry {
        looks_ahead: true,
        ..entry(
            "belady",
            "bound: furthest next use, block by block",
            |s, _| Some(Box::new(Belady::new(s))),
        )
    },
    Entry {
        looks_ahead: true,
        ..entry(
            "belady-leaf",
            "bound: furthest next use among leaves",
            |s, _| Some(Box::new(Leaves::new(s, true))),
        )
    },
];

fn find(text: &str) -> Result<(&'static Entry, Option<&str>)> {
    let (name, parameter) = match text.split_once(':') {
        Some((name, parameter)) => (name, Some(parameter)),
        None => (text, None),
    };
    let Some(entry) = POLICIES.iter().find(|entry| entry.name == name) else {
        let names: Vec<_> = POLICIES.iter().map(|entry| entry.name).collect();
        return Err(Error::unknown_name("policy", name, &names));
    };
    Ok((entry, parameter))
}

/// Whether the policy is a bound that must be told when a block is used next.
pub fn looks_ahead(text: &str) -> bool {
    find(text).is_ok_and(|(entry, _)| entry.looks_ahead)
}

/// Whether there is such a policy, and its parameter can be read.
///
/// # Errors
/// As [`by_name`].
pub fn check(text: &str) -> Result<()> {
    let setup = Setup {
        blocks: 1,
        capacity: 1,
        block_size: 1,
        seed: 0,
    };
    by_name(text, &setup).map(drop)
}

/// A policy by its name, perhaps with a parameter behind a colon.
///
/// # Errors
/// [`Error::Usage`] for a name that is not known, or a parameter that it cannot read.
pub fn by_name(text: &str, setup: &Setup) -> Result<Box<dyn Eviction>> {
    let (entry, parameter) = find(text)?;
    let refuse = || {
        let remedy = match entry.parameter {
            Some(parameter) => format!("give {parameter}"),
            None => format!("give `{}` alone", entry.name),
        };
        Error::usage(format!("policy `{text}`"), remedy)
    };
    if parameter.is_some() && entry.parameter.is_none() {
        return Err(refuse());
    }
    (entry.make)(setup, parameter).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::registry::*;

    #[test]
    fn names_and_parameters() {
        for good in ["lru", "clock", "clock:3", "ttl:300", "ttl:0.5", "belady"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["ttl", "ttl:x", "clock:x", "lru:3", "s3fifo"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
