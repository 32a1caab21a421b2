//! Cards of engines, and the typed choice of an engine.

use std::fmt;
use std::str::FromStr;

use super::super::{BlockTrace, HashScheme, eviction};
use super::{
    CacheEngine, ENGINES, EngineObserver, EngineOptions, Hold, ideal, naive, sglang, vllm,
};
use crate::base::error::{Error, Result};
use crate::base::registry::{Card, Named};

/// Builds an engine that serves one request after the other.
type Build = fn(&BlockTrace, &EngineOptions) -> Result<Box<dyn CacheEngine>>;

/// Replays a trace whose requests overlap and returns the number of cached blocks at the end.
type Replay = fn(&BlockTrace, &EngineOptions, &mut dyn EngineObserver) -> Result<u32>;

/// The part of a card that only serving systems have: they run requests, cache outputs and always compute the last
/// token of a prompt.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerCard {
    /// The engine's own eviction policies that `all` stands for.
    pub(super) policies: &'static [&'static str],
    /// Checks the name of an eviction policy.
    pub(super) check_policy: fn(&str) -> Result<()>,
    /// Whether in-flight requests can hold their blocks in this way.
    pub(super) holds: fn(Hold) -> bool,
    pub(super) replay: Replay,
}

/// Kind of engine.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Server(ServerCard),
    /// A cache of blocks under any registered eviction policy.
    BlockCache {
        anywhere: bool,
    },
    /// A count without evictions.
    Accounting,
}

/// A registered engine.
#[derive(Debug, Clone, Copy)]
pub struct EngineCard {
    card: Card,
    hash_scheme: HashScheme,
    kind: Kind,
    build: Build,
}

impl Named for EngineCard {
    fn card(&self) -> &Card {
        &self.card
    }
}

impl EngineCard {
    const fn new(
        name: &'static str,
        summary: &'static str,
        hash_scheme: HashScheme,
        kind: Kind,
        build: Build,
    ) -> Self {
        Self {
            card: Card::new(name, summary),
            hash_scheme,
            kind,
            build,
        }
    }

    /// Card of a serving system.
    pub(super) const fn server(
        name: &'static str,
        summary: &'static str,
        server: ServerCard,
        build: Build,
    ) -> Self {
        let kind = Kind::Server(server);
        Self::new(name, summary, HashScheme::Chained, kind, build)
    }

    /// Card of a cache of blocks under any registered eviction policy; with `anywhere`, a resident block is a hit at
    /// any position, not only in a prefix.
    pub(super) const fn block_cache(
        name: &'static str,
        summary: &'static str,
        anywhere: bool,
        build: Build,
    ) -> Self {
        let kind = Kind::BlockCache { anywhere };
        Self::new(name, summary, HashScheme::Chained, kind, build)
    }

    /// Card of a count without evictions, in which each block is hashed on its own.
    pub(super) const fn accounting(
        name: &'static str,
        summary: &'static str,
        build: Build,
    ) -> Self {
        Self::new(name, summary, HashScheme::Alone, Kind::Accounting, build)
    }

    /// Returns what a block's hash covers.
    pub fn hash_scheme(&self) -> HashScheme {
        self.hash_scheme
    }

    /// Whether it is a serving system, which runs requests, caches outputs and computes the last token of a prompt.
    pub fn is_server(&self) -> bool {
        matches!(self.kind, Kind::Server(_))
    }

    /// Whether it is a cache of blocks under any registered eviction policy and order of use, without running requests.
    pub fn is_block_cache(&self) -> bool {
        matches!(self.kind, Kind::BlockCache { .. })
    }

    /// Whether a resident block is a hit at any position, not only in a prefix.
    pub fn hits_anywhere(&self) -> bool {
        matches!(self.kind, Kind::BlockCache { anywhere: true })
    }

    /// Eviction policies that `all` stands for, without those that need a parameter.
    pub fn policies(&self) -> Vec<&'static str> {
        match self.kind {
            Kind::Server(server) => server.policies.to_vec(),
            Kind::BlockCache { .. } => {
                let all = eviction::POLICIES.iter();
                let plain = all.filter(|policy| !policy.needs_parameter());
                plain.map(Named::name).collect()
            }
            Kind::Accounting => vec!["lru"],
        }
    }

    /// Checks that the engine supports an eviction policy.
    ///
    /// # Errors
    /// [`Error::Usage`] if it does not.
    pub fn check_policy(&self, policy: &str) -> Result<()> {
        match self.kind {
            Kind::Server(server) => (server.check_policy)(policy),
            Kind::BlockCache { .. } => eviction::check(policy),
            Kind::Accounting => only_lru(self.name(), policy),
        }
    }

    /// Checks that in-flight requests can hold their blocks in this way.
    ///
    /// # Errors
    /// [`Error::Usage`] if they cannot.
    pub fn check_hold(&self, hold: Hold) -> Result<()> {
        match self.kind {
            _ if hold == Hold::None => Ok(()),
            Kind::Server(server) if (server.holds)(hold) => Ok(()),
            Kind::Server(_) => Err(Error::usage(
                format!("engine `{}` with hold `{hold}`", self.name()),
                "hold `linear:PREFILL_MS,DECODE_MS` or `trace`, or use engine `vllm`",
            )),
            _ => Err(Error::usage(
                format!(
                    "engine `{}` has no running requests to hold blocks",
                    self.name()
                ),
                format!("use engine {}, or hold `none`", servers()),
            )),
        }
    }

    /// Builds an empty engine that serves one request after the other.
    pub(super) fn build(
        &self,
        trace: &BlockTrace,
        options: &EngineOptions,
    ) -> Result<Box<dyn CacheEngine>> {
        (self.build)(trace, options)
    }

    /// Replays a trace whose requests overlap.
    pub(super) fn replay(
        &self,
        trace: &BlockTrace,
        options: &EngineOptions,
        watch: &mut dyn EngineObserver,
    ) -> Result<u32> {
        match self.kind {
            Kind::Server(server) => (server.replay)(trace, options, watch),
            _ => Err(Error::usage(
                format!("engine `{}` has no running requests", self.name()),
                format!("use engine {}", servers()),
            )),
        }
    }
}

/// Names of the serving systems, for error messages.
fn servers() -> String {
    let servers = ENGINES.iter().filter(|engine| engine.is_server());
    let names: Vec<String> = servers
        .map(|engine| format!("`{}`", engine.name()))
        .collect();
    names.join(" or ")
}

/// Checks the policy of an engine that evicts by LRU only.
pub(super) fn only_lru(engine: &str, policy: &str) -> Result<()> {
    if policy == "lru" {
        return Ok(());
    }
    // Names of other engines that support the policy, for the message.
    let able = ENGINES
        .iter()
        .filter(|other| other.policies().len() > 1 && other.check_policy(policy).is_ok());
    let able: Vec<String> = able.map(|other| format!("`{}`", other.name())).collect();
    if able.is_empty() {
        // An unknown name gets the error message that suggests a similar name.
        eviction::check(policy)?;
    }
    Err(Error::usage(
        format!("engine `{engine}` has its own eviction policy, lru, and not `{policy}`"),
        format!("use engine {} for it", able.join(" or ")),
    ))
}

/// A registered engine: the rules by which a serving system looks up, keeps and frees blocks.
#[derive(Clone, Copy)]
pub struct EngineKind(&'static EngineCard);

impl EngineKind {
    /// vLLM's KV cache manager.
    pub const VLLM: Self = Self(&vllm::CARD);
    /// SGLang's radix tree.
    pub const SGLANG: Self = Self(&sglang::CARD);
    /// The longest resident prefix, without the rules of any serving system.
    pub const IDEAL: Self = Self(&ideal::IDEAL);
    /// Every resident block, at any position.
    pub const BLOCK: Self = Self(&ideal::BLOCK);
    /// Blocks that are hashed on their own and never evicted.
    pub const NAIVE: Self = Self(&naive::CARD);

    /// The engine's card.
    pub fn card(self) -> &'static EngineCard {
        self.0
    }

    /// The name that users write.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

impl FromStr for EngineKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        ENGINES.find(name).map(Self)
    }
}

impl PartialEq for EngineKind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for EngineKind {}

impl fmt::Debug for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EngineKind").field(&self.name()).finish()
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::engine::card::*;
    use crate::cache::engine::{Capacity, UseOrder};

    #[test]
    fn engines_are_chosen_by_name_or_constant() {
        for engine in &ENGINES {
            let kind: EngineKind = engine.name().parse().expect("a registered name");
            assert_eq!(kind.name(), engine.name());
            assert!(kind.card().check_policy("lru").is_ok(), "{kind}");
        }
        let all = [
            EngineKind::VLLM,
            EngineKind::SGLANG,
            EngineKind::IDEAL,
            EngineKind::BLOCK,
            EngineKind::NAIVE,
        ];
        assert_eq!(all.map(EngineKind::name).to_vec(), ENGINES.names());
        let error = "vlm".parse::<EngineKind>().err().map(|e| e.to_string());
        assert_eq!(
            error.as_deref(),
            Some(
                "unknown engine `vlm`; did you mean `vllm`? known: vllm, sglang, ideal, block, naive"
            )
        );
    }

    #[test]
    fn defaults_follow_the_engine() {
        let options = |engine| EngineOptions {
            engine,
            capacity: Capacity::Blocks(8),
            ..EngineOptions::default()
        };
        let outputs = |engine| options(engine).caches_output();
        assert!(outputs(EngineKind::VLLM) && outputs(EngineKind::SGLANG));
        assert!(!outputs(EngineKind::IDEAL) && !outputs(EngineKind::NAIVE));
        assert_eq!(options(EngineKind::BLOCK).order(), UseOrder::HeadFirst);
        assert_eq!(options(EngineKind::IDEAL).order(), UseOrder::TailFirst);
    }
}
