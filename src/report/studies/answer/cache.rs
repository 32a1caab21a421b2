//! Answers about prefix caches: `analyze`, `curve`, `sweep` and `experiment`.

use super::{GIB, count, points, share};
use crate::metrics::Summary;
use crate::report::render::number::{bytes, thousands};

/// The figures of a cache that an answer states.
#[derive(Debug, Clone, PartialEq)]
pub struct Cached<'a> {
    /// Engine whose rules apply.
    pub engine: &'a str,
    /// Eviction policy.
    pub eviction: &'a str,
    /// Tokens per block.
    pub block_size: u32,
    /// Usable blocks; `None` for an unbounded cache.
    pub capacity_blocks: Option<u32>,
    /// Bytes of the capacity, if a model is known.
    pub capacity_bytes: Option<f64>,
    /// Number of distinct blocks of all prompts.
    pub distinct_blocks: u64,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the cache.
    pub cached_tokens: u64,
    /// Number of requests that did not fit.
    pub rejected: u64,
}

impl<'a> From<&'a Summary> for Cached<'a> {
    fn from(s: &'a Summary) -> Self {
        let settings = &s.settings;
        let of_a_block = match (s.savings.gib_held, s.resident_blocks) {
            (Some(held), resident) if resident > 0 => Some(held * GIB / resident as f64),
            _ => None,
        };
        let capacity_bytes = of_a_block
            .zip(settings.capacity_blocks)
            .map(|(bytes, blocks)| bytes * f64::from(blocks));
        Self {
            engine: &settings.engine,
            eviction: &settings.policy,
            block_size: settings.block_size,
            capacity_blocks: settings.capacity_blocks,
            capacity_bytes,
            distinct_blocks: s.distinct_blocks,
            prompt_tokens: s.prompt_tokens,
            cached_tokens: s.cached_tokens,
            rejected: s.rejected_requests,
        }
    }
}

impl Cached<'_> {
    /// A warning before figures that are counted differently from any real server.
    fn caution(&self) -> &'static str {
        match self.engine {
            "naive" => "By an accounting that no server follows: ",
            _ => "",
        }
    }

    /// Cached tokens divided by all prompt tokens; 0 for a trace without any.
    fn ratio(&self) -> f64 {
        self.cached_tokens as f64 / self.prompt_tokens.max(1) as f64
    }
}

/// The answer of `analyze`: what the cache saves at its capacity.
pub fn analysis(s: &Cached<'_>) -> String {
    if s.prompt_tokens == 0 {
        return "The trace has no prompt tokens, so there is nothing to cache.".into();
    }
    let cache = match s.capacity_blocks {
        None => "A cache without a limit".to_owned(),
        Some(blocks) => {
            let mut beside = Vec::new();
            if s.distinct_blocks > 0 {
                let part = f64::from(blocks) / s.distinct_blocks as f64;
                beside.push(format!("{:.1} % of the distinct blocks", 100.0 * part));
            }
            beside.extend(s.capacity_bytes.map(bytes));
            let beside = match beside.is_empty() {
                true => String::new(),
                false => format!(" ({})", beside.join(", ")),
            };
            let blocks = count(u64::from(blocks), "block", "blocks");
            format!("A cache of {blocks}{beside}")
        }
    };
    let rules = format!(
        "engine {}, eviction {}, {} tokens a block",
        s.engine, s.eviction, s.block_size
    );
    let mut text = if s.cached_tokens == 0 {
        format!("{cache} saves nothing: no prompt token is found in it ({rules})")
    } else {
        format!(
            "{cache} saves the prefill of {} of prompt tokens ({rules})",
            share(s.ratio())
        )
    };
    text += &match s.rejected {
        0 => String::new(),
        1 => "; 1 request did not fit and was rejected".into(),
        some => format!(
            "; {} requests did not fit and were rejected",
            thousands(some)
        ),
    };
    format!("{}{text}.", s.caution())
}

/// The figures of one block size's curve that an answer states.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Tokens per block.
    pub block_size: u32,
    /// Whether ratios are of block look-ups and estimated from a sample; otherwise they are exact and of prompt tokens.
    pub sampled: bool,
    /// Number of capacities that were replayed; `None` if every capacity is known.
    pub replayed: Option<usize>,
    /// Hit ratio, blocks and bytes of the smallest capacity that reaches 95 % of the best hit ratio.
    pub enough: (f64, u32, Option<f64>),
    /// The best hit ratio, and the smallest capacity that reaches it.
    pub best: (f64, u32),
}

/// The answer of `curve`: the cache size that saves nearly as much as any cache can, at the block size that saves most.
pub fn curve(curves: &[Curve], engine: &str) -> String {
    let mut chosen: Option<&Curve> = None;
    for curve in curves {
        if chosen.is_none_or(|chosen| curve.best.0 > chosen.best.0) {
            chosen = Some(curve);
        }
    }
    let Some(curve) = chosen else {
        return "The curve has no points.".into();
    };
    let sizes = match curves.len() {
        0 | 1 => String::new(),
        several => format!(", the best of {several} block sizes"),
    };
    let rules = format!(
        "engine {engine}, eviction lru, {} tokens a block{sizes}",
        curve.block_size
    );
    if curve.best.0 == 0.0 {
        return format!(
            "No cache size saves anything: no prompt shares a full block with an earlier one ({rules})."
        );
    }
    let of = match curve.sampled {
        true => "block look-ups (estimated from a sample)",
        false => "prompt tokens",
    };
    let (ratio, blocks, size) = curve.enough;
    let size = size.map_or(String::new(), |size| format!(", {}", bytes(size)));
    let tokens = u64::from(blocks) * u64::from(curve.block_size);
    let replays = curve.replayed.map_or(String::new(), |sizes| {
        format!(", the smallest of {sizes} sizes replayed that does")
    });
    format!(
        "{} ({} tokens{size}{replays}) save {} of {of}, at least 95 % of the {} that {} save ({rules}).",
        count(u64::from(blocks), "block", "blocks"),
        thousands(tokens),
        share(ratio),
        share(curve.best.0),
        count(u64::from(curve.best.1), "block", "blocks"),
    )
}

/// The figures of one combination of a sweep that an answer states.
#[derive(Debug, Clone, PartialEq)]
pub struct Swept<'a> {
    /// Tokens per block.
    pub block_size: u32,
    /// Eviction policy.
    pub policy: &'a str,
    /// Whether the policy uses knowledge of the future, which no server has.
    pub offline: bool,
    /// Capacity as given in the command.
    pub capacity: &'a str,
    /// Capacity in blocks; `None` for an unbounded cache.
    pub capacity_blocks: Option<u32>,
    /// Cached tokens divided by all prompt tokens.
    pub ratio: f64,
}

impl Swept<'_> {
    fn place(&self) -> String {
        match self.capacity_blocks {
            Some(blocks) => format!(
                "at capacity {} ({} blocks of {} tokens)",
                self.capacity,
                thousands(u64::from(blocks)),
                self.block_size
            ),
            None => format!("without a limit at {} tokens a block", self.block_size),
        }
    }

    fn beside(&self, other: &Self) -> bool {
        self.block_size == other.block_size && self.capacity == other.capacity
    }
}

/// The range of hit ratios, in words.
fn range(cells: &[&Swept<'_>]) -> Option<String> {
    let by_ratio = |a: &&&Swept<'_>, b: &&&Swept<'_>| a.ratio.total_cmp(&b.ratio);
    let (least, most) = (
        cells.iter().min_by(by_ratio)?,
        cells.iter().max_by(by_ratio)?,
    );
    Some(if least.ratio == most.ratio {
        format!("{} of prompt tokens everywhere", share(most.ratio))
    } else {
        format!(
            "from {} of prompt tokens {} to {} {}",
            share(least.ratio),
            least.place(),
            share(most.ratio),
            most.place()
        )
    })
}

/// The answer of `sweep`: the best eviction policy at the capacity where policies differ most, and its distance from the bound.
pub fn sweep(cells: &[Swept<'_>], engine: &str) -> String {
    let online: Vec<&Swept<'_>> = cells.iter().filter(|cell| !cell.offline).collect();
    let mut policies: Vec<&str> = online.iter().map(|cell| cell.policy).collect();
    policies.sort_unstable();
    policies.dedup();
    let Some(range) = range(&online) else {
        return "No policy was tried that could run in a server.".into();
    };
    if let [only] = policies.as_slice() {
        return format!(
            "Eviction policy {only}, the only one tried, saves {range} (engine {engine})."
        );
    }
    let best_beside = |cell: &Swept<'_>| {
        let mut best = None;
        for other in online.iter().filter(|other| other.beside(cell)) {
            if best.is_none_or(|best: &&Swept<'_>| other.ratio > best.ratio) {
                best = Some(other);
            }
        }
        best.copied()
    };
    // The cell that is furthest below the best one at its capacity and block size.
    let mut widest: Option<(&Swept<'_>, f64)> = None;
    for cell in &online {
        let Some(best) = best_beside(cell) else {
            continue;
        };
        let gap = best.ratio - cell.ratio;
        if gap > widest.map_or(0.0, |widest| widest.1) {
            widest = Some((best, gap));
        }
    }
    let number = policies.len();
    let Some((best, _)) = widest else {
        return format!("All {number} eviction policies save the same: {range} (engine {engine}).");
    };
    let same = |policy: &str| {
        let mut there = cells.iter().filter(|cell| cell.beside(best));
        there
            .find(|cell| cell.policy == policy)
            .map(|cell| cell.ratio)
    };
    let mut text = format!(
        "The choice matters most {}: {} is the best of {number} eviction policies and saves {} of prompt tokens",
        best.place(),
        best.policy,
        share(best.ratio)
    );
    let mut beside = Vec::new();
    if let Some(lru) = same("lru").filter(|_| best.policy != "lru") {
        beside.push(match best.ratio - lru {
            0.0 => "as much as lru".into(),
            more => format!("{} more than lru", points(more)),
        });
    }
    if let Some(bound) = same("belady") {
        beside.push(match bound - best.ratio {
            0.0 => "as much as belady, which knows the future".into(),
            less if less > 0.0 => {
                format!("{} less than belady, which knows the future", points(less))
            }
            more => format!(
                "{} more than belady, which maximises block hits",
                points(more)
            ),
        });
    }
    if !beside.is_empty() {
        text += &format!(", {}", beside.join(" and "));
    }
    text + format!(" (engine {engine}).").as_str()
}

/// The answer of `experiment`: what the history of chats adds, at the block size that saves most. Pairs are single-turn and
/// multi-turn.
pub fn experiment(sizes: &[(Cached<'_>, Cached<'_>)]) -> String {
    let mut best: Option<&(Cached<'_>, Cached<'_>)> = None;
    for pair in sizes {
        if best.is_none_or(|best| pair.1.ratio() > best.1.ratio()) {
            best = Some(pair);
        }
    }
    let Some((single, multi)) = best else {
        return "Nothing was measured.".into();
    };
    let rules = format!(
        "engine {}, {} tokens a block{}{}",
        multi.engine,
        multi.block_size,
        match sizes.len() {
            0 | 1 => String::new(),
            several => format!(", the best of {several} block sizes"),
        },
        multi
            .capacity_blocks
            .map_or(String::new(), |blocks| format!(
                ", capacity {} blocks",
                thousands(u64::from(blocks))
            ))
    );
    if multi.cached_tokens == 0 && single.cached_tokens == 0 {
        return format!(
            "A prefix cache saves nothing, neither of single-turn nor of multi-turn traffic ({rules})."
        );
    }
    let gain = multi.ratio() - single.ratio();
    let reading = if gain > 0.0 {
        format!("{} come from the history of the chats", points(gain))
    } else {
        "the history of the chats adds nothing".into()
    };
    format!(
        "{}A prefix cache saves the prefill of {} of prompt tokens of multi-turn traffic and {} of single-turn traffic: {reading} ({rules}).",
        multi.caution(),
        share(multi.ratio()),
        share(single.ratio())
    )
}
