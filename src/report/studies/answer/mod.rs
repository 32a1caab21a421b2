//! The answer of each command in one sentence: the same in the terminal, as `answer` in JSON, and at the top of the page.
//!
//! Each function is given figures and says what they come to, no more: nothing is rounded to a whole that it does not reach,
//! and what did not happen is said.

use crate::metrics::Summary;
use crate::metrics::statistics::p_text;
use crate::report::render::number::{bytes, seconds, thousands};

const GIB: f64 = 1_073_741_824.0;

/// A fraction (0..1) in percent with one digit, never rounded to none or to all.
pub fn share(fraction: f64) -> String {
    let text = format!("{:.1} %", 100.0 * fraction);
    match text.as_str() {
        "0.0 %" if fraction > 0.0 => "less than 0.1 %".into(),
        "100.0 %" if fraction < 1.0 => "more than 99.9 %".into(),
        _ => text,
    }
}

/// The difference of two fractions in percentage points, without its sign.
fn points(difference: f64) -> String {
    let points = (100.0 * difference).abs();
    if points < 0.05 {
        "less than 0.1 points".into()
    } else {
        format!("{points:.1} points")
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{} {many}", thousands(number)),
    }
}

/// What a cache saved, as far as the answer needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cached<'a> {
    /// Engine whose rules decide.
    pub engine: &'a str,
    /// Eviction policy.
    pub eviction: &'a str,
    /// Tokens per block.
    pub block_size: u32,
    /// Usable blocks; none is unbounded.
    pub capacity_blocks: Option<u32>,
    /// Bytes of the capacity, where a model is known.
    pub capacity_bytes: Option<f64>,
    /// Distinct blocks of all prompts.
    pub distinct_blocks: u64,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the cache.
    pub cached_tokens: u64,
    /// Requests that did not fit.
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
    /// A warning before figures of an accounting that no server follows.
    fn caution(&self) -> &'static str {
        match self.engine {
            "naive" => "By an accounting that no server follows: ",
            _ => "",
        }
    }

    /// Cached by all prompt tokens; 0 without any.
    fn ratio(&self) -> f64 {
        self.cached_tokens as f64 / self.prompt_tokens.max(1) as f64
    }
}

/// Of `analyze`: what the cache saves at its capacity.
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

/// The curve of one block size, as far as the answer needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Tokens per block.
    pub block_size: u32,
    /// Whether ratios are of block look-ups and estimated from a sample; otherwise they are exact and of prompt tokens.
    pub sampled: bool,
    /// Number of capacities that were replayed; none where every capacity is known.
    pub replayed: Option<usize>,
    /// Hit ratio, blocks and bytes of the least capacity that has 95 % of the best hit ratio.
    pub enough: (f64, u32, Option<f64>),
    /// The best hit ratio, and the least capacity that has it.
    pub best: (f64, u32),
}

/// Of `curve`: how large the cache must be to save nearly all that any cache can save, at the block size that saves most.
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

/// One combination of a sweep, as far as the answer needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Swept<'a> {
    /// Tokens per block.
    pub block_size: u32,
    /// Eviction policy.
    pub policy: &'a str,
    /// Whether the policy knows the future, so that no server can run it.
    pub offline: bool,
    /// Capacity as it was asked for.
    pub capacity: &'a str,
    /// Capacity in blocks; none is unbounded.
    pub capacity_blocks: Option<u32>,
    /// Cached by all prompt tokens.
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

/// Of `sweep`: which eviction policy is best where the choice matters most, and how far it is from the bound.
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
    // The cell that is furthest below the best at its capacity and block size.
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

/// Of `experiment`: what the history of chats adds, at the block size that saves most. Pairs are single-turn and multi-turn.
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

/// What a simulated cluster achieved, as far as the answer needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// Requests that arrived.
    pub arrived: u64,
    /// Requests that got all their tokens.
    pub finished: u64,
    /// Fraction (0..1) of the requests that arrived which met every objective; none where none arrived.
    pub attainment: Option<f64>,
    /// Requests per second that met every objective; none where no time passed.
    pub goodput: Option<f64>,
    /// The objectives in words, e.g. "TTFT <= 2 s, TBT <= 100 ms".
    pub objectives: String,
    /// GPU-hours, start-up times included; none where the GPUs of an instance are unknown.
    pub gpu_hours: Option<f64>,
    /// Dollars, where the price of every GPU is known.
    pub dollars: Option<f64>,
}

impl Served {
    /// What the cluster took, as a clause; empty where it is unknown.
    fn cost(&self) -> String {
        let Some(hours) = self.gpu_hours else {
            return String::new();
        };
        let dollars = self
            .dollars
            .map_or(String::new(), |d| format!(" (${d:.2})"));
        format!("; the cluster took {hours:.2} GPU-hours{dollars}")
    }
}

/// Of `simulate`: how many requests met the objectives, and what that cost.
pub fn simulation(s: &Served) -> String {
    let Some(attainment) = s.attainment.filter(|_| s.arrived > 0) else {
        return "No request arrived.".into();
    };
    if s.finished == 0 && s.arrived == 1 {
        return format!(
            "The only request did not finish and did not meet the SLO{}.",
            s.cost()
        );
    }
    if s.finished == 0 {
        return format!(
            "None of the {} finished, so none met the SLO{}.",
            count(s.arrived, "request", "requests"),
            s.cost()
        );
    }
    let goodput = s
        .goodput
        .map_or(String::new(), |rate| format!(", {rate:.2} a second"));
    let unfinished = match s.arrived - s.finished {
        0 => String::new(),
        missing => format!(", {} did not finish", thousands(missing)),
    };
    format!(
        "{} of the {} that arrived met the SLO ({}){goodput}{unfinished}{}.",
        share(attainment),
        count(s.arrived, "request", "requests"),
        s.objectives,
        s.cost()
    )
}

/// One policy of a comparison, as far as the answer needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<'a> {
    /// The policy.
    pub name: &'a str,
    /// Fraction (0..1) of the requests that arrived which met the SLO.
    pub attainment: Option<f64>,
    /// Dollars, where the price of every GPU is known.
    pub dollars: Option<f64>,
    /// GPU-hours.
    pub gpu_hours: Option<f64>,
}

/// Fraction of the requests that must meet the SLO for a policy to count as keeping it.
pub const KEPT: f64 = 0.99;

/// Of `compare`: the cheapest policy that keeps the SLO, and what it saves against the fixed fleet. `left_out` is the number of
/// policies that cannot be compared, because runs of them are missing.
pub fn comparison(candidates: &[Candidate<'_>], left_out: usize) -> String {
    if candidates.is_empty() {
        return "Runs of every policy are missing, so none can be chosen.".into();
    }
    let left = match left_out {
        0 => String::new(),
        1 => " 1 policy with missing runs is left out.".into(),
        several => format!(" {several} policies with missing runs are left out."),
    };
    cheapest(candidates) + left.as_str()
}

fn cheapest(candidates: &[Candidate<'_>]) -> String {
    let all_priced = candidates
        .iter()
        .all(|candidate| candidate.dollars.is_some());
    let cost = |candidate: &Candidate<'_>| match all_priced {
        true => candidate.dollars,
        false => candidate.gpu_hours,
    };
    let shown = |cost: f64| match all_priced {
        true => format!("${cost:.2}"),
        false => format!("{cost:.2} GPU-hours"),
    };
    let known: Vec<(&Candidate<'_>, f64)> = candidates
        .iter()
        .filter_map(|candidate| Some((candidate, candidate.attainment?)))
        .collect();
    if known.is_empty() {
        return "No run tells how many requests met the SLO.".into();
    }
    let kept: Vec<(&Candidate<'_>, f64)> = known
        .iter()
        .filter(|(_, attainment)| *attainment >= KEPT)
        .filter_map(|(candidate, _)| Some((*candidate, cost(candidate)?)))
        .collect();
    let cheapest = kept.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let Some((best, price)) = cheapest else {
        let mut nearest = &known[0];
        for one in &known {
            if one.1 > nearest.1 {
                nearest = one;
            }
        }
        if nearest.1 >= KEPT {
            return format!(
                "{} keeps the SLO for {} of the requests, and no run tells what that cost.",
                nearest.0.name,
                share(nearest.1)
            );
        }
        let price = cost(nearest.0).map_or(String::new(), |cost| format!(", at {}", shown(cost)));
        return format!(
            "No policy keeps the SLO for 99 % of the requests; {} comes nearest with {}{price}.",
            nearest.0.name,
            share(nearest.1)
        );
    };
    if known.len() == 1 {
        return format!(
            "{}, the only policy, keeps the SLO for {} of the requests, at {}.",
            best.name,
            share(best.attainment.unwrap_or_default()),
            shown(*price)
        );
    }
    // What reads the same is the same.
    let as_cheap: Vec<&str> = kept
        .iter()
        .filter(|(_, cost)| shown(*cost) == shown(*price))
        .map(|(candidate, _)| candidate.name)
        .collect();
    if as_cheap.len() == known.len() {
        return format!(
            "All {} policies keep the SLO for at least 99 % of the requests and cost the same, {}.",
            as_cheap.len(),
            shown(*price)
        );
    }
    let fixed = known
        .iter()
        .find(|(candidate, _)| candidate.name == "no_autoscaling");
    let against = match fixed {
        Some((fixed, _)) if !as_cheap.contains(&fixed.name) => cost(fixed)
            .filter(|cost| *cost > 0.0)
            .map_or(String::new(), |fixed_cost| {
                let saved = 1.0 - price / fixed_cost;
                let much = share(saved.abs());
                match saved {
                    0.0 => ", as much as the fixed fleet, which misses it".into(),
                    saved if saved > 0.0 => format!(", {much} less than the fixed fleet"),
                    _ => format!(", {much} more than the fixed fleet, which misses it"),
                }
            }),
        _ => String::new(),
    };
    let which = match kept.len() {
        1 => "The only policy that keeps".to_owned(),
        several => format!("The cheapest of the {several} policies that keep"),
    };
    format!(
        "{which} the SLO for at least 99 % of the requests: {}, {}{against}.",
        as_cheap.join(" and "),
        shown(*price)
    )
}

/// What a plan comes to, as far as the answer needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Length of an interval in seconds.
    pub interval_sec: f64,
    /// Prefill instances, decode instances and GPUs, decided for each interval.
    pub decided: Vec<(u32, u32, u64)>,
    /// TTFT objective in milliseconds.
    pub ttft_ms: f64,
    /// ITL objective in milliseconds.
    pub itl_ms: f64,
    /// Intervals with requests in which the performance model's TTFT or ITL is above its objective.
    pub missed: usize,
}

/// Of `plan`: how many instances, and how many GPU-hours.
pub fn plan(plan: &Planned) -> String {
    let range = |of: &dyn Fn(&(u32, u32, u64)) -> u32| {
        let values = || plan.decided.iter().map(of);
        let (low, high) = (values().min()?, values().max()?);
        Some(match low == high {
            true => low.to_string(),
            false => format!("{low} to {high}"),
        })
    };
    let (Some(prefill), Some(decode)) = (range(&|d| d.0), range(&|d| d.1)) else {
        return "No interval was planned.".into();
    };
    let hours: f64 = plan
        .decided
        .iter()
        .map(|decided| decided.2 as f64 * plan.interval_sec / 3600.0)
        .sum();
    let most = plan
        .decided
        .iter()
        .map(|decided| decided.2)
        .max()
        .unwrap_or_default();
    let kept = match plan.missed {
        0 => "by the performance model, every interval keeps both".to_owned(),
        missed => format!(
            "by the performance model, {} of {} miss one of them",
            thousands(missed as u64),
            count(plan.decided.len() as u64, "interval", "intervals")
        ),
    };
    format!(
        "For TTFT within {} and ITL within {}, the planner asks for {prefill} prefill and {decode} decode instances: {hours:.1} GPU-hours over {}, at most {} at once; {kept}.",
        seconds(plan.ttft_ms / 1e3),
        seconds(plan.itl_ms / 1e3),
        seconds(plan.decided.len() as f64 * plan.interval_sec),
        count(most, "GPU", "GPUs"),
    )
}

/// The best order of a sweep, as far as the answer needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered {
    /// The order on the front with the shortest TTFT.
    pub name: String,
    /// Which TTFT, e.g. "P90".
    pub percentile: String,
    /// Its TTFT in seconds.
    pub ttft: f64,
    /// TTFT of first come first served in seconds.
    pub fcfs_ttft: f64,
    /// Adjusted p-value of the difference; none with one seed.
    pub p: Option<f64>,
    /// Confidence level of the comparison.
    pub confidence: f64,
    /// What stands against TTFT.
    pub fairness: &'static str,
    /// The same of the order.
    pub fair: f64,
    /// The same of first come first served.
    pub fcfs_fair: f64,
}

/// Of `tune aging`: whether an order is better than first come first served.
pub fn aging(o: &Ordered) -> String {
    if o.name == "fcfs" {
        return format!(
            "No order has a shorter TTFT {} than first come first served ({}).",
            o.percentile,
            seconds(o.fcfs_ttft)
        );
    }
    let change = 1.0 - o.ttft / o.fcfs_ttft;
    let sure = match o.p {
        None => "which one seed cannot tell from chance".to_owned(),
        Some(p) if p < 1.0 - o.confidence => p_text(p),
        Some(p) => format!("which cannot be told from chance, {}", p_text(p)),
    };
    format!(
        "{} has the shortest TTFT {}, {}, {} {} than first come first served ({sure}), and {} {:.3} against {:.3}.",
        o.name,
        o.percentile,
        seconds(o.ttft),
        share(change.abs()),
        if change >= 0.0 { "less" } else { "more" },
        o.fairness,
        o.fair,
        o.fcfs_fair
    )
}

#[cfg(test)]
mod tests;
