//! The curve of a sample of sessions, with an error bound.
//!
//! After SHARDS (Waldspurger et al., FAST 2015): distances in a random sample, scaled up. Sampling blocks would break
//! chains, and sampling by first block would find only a few roots if a system prompt is common. Therefore blocks used by a
//! single session are sampled by session, and blocks used by several sessions are all kept, which also keeps every chain
//! whole. A few long chats often have most of the blocks; all of their blocks are kept, too. The error bound comes from
//! independent parts of the sample, each of which estimates the curve.

use super::points::spread;
use super::stack::StackDistances;
use super::{Rules, UseOrder};
use crate::base::error::{Error, Result};
use crate::cache::BlockTrace;
use statrs::distribution::{ContinuousCDF, StudentsT};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Marks a block that was not used yet.
const NONE: u32 = u32::MAX;
/// Marks a block of several sessions, or of a session that is kept completely.
const SHARED: u32 = u32::MAX - 1;

/// Number of independent parts of the sample.
const PARTS: usize = 10;

/// Smallest effective number of equally weighted sessions in the sample.
const ENOUGH: f64 = 200.0;

/// Number of neighbouring points on each side whose spread is included.
const NEAR: usize = 10;

/// Confidence level of the bound at each point.
const CONFIDENCE: f64 = 0.999;

/// An estimate at one capacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampledPoint {
    /// Capacity in blocks.
    pub capacity: u32,
    /// Hits divided by look-ups.
    pub block_hit_ratio: f64,
    /// Largest difference from the exact ratio, at the confidence level.
    pub bound: f64,
}

/// A sampled curve.
#[derive(Debug, Clone)]
pub struct Sampled {
    /// Estimates, by increasing capacity.
    pub points: Vec<SampledPoint>,
    /// Sessions of the trace.
    pub sessions: u32,
    /// Sessions in the sample.
    pub sampled_sessions: u32,
    /// Look-ups of the trace.
    pub lookups: u64,
    /// Look-ups that were evaluated.
    pub followed: u64,
}

/// Estimates the curve at about `count` capacities from a fraction `rate` of the sessions.
///
/// # Errors
/// [`Error::Usage`] for a rate outside 0 to 1, or an order in which the smallest capacities do not increase along a prompt.
pub fn sampled(
    blocks: &BlockTrace,
    rules: &Rules,
    rate: f64,
    seed: u64,
    count: usize,
) -> Result<Sampled> {
    if !(rate > 0.0 && rate <= 1.0) {
        return Err(Error::usage(
            format!("the sampling rate is {rate}"),
            "give a fraction of the sessions above 0, up to 1, e.g. 0.1",
        ));
    }
    if rules.order != UseOrder::TailFirst {
        return Err(Error::usage(
            "a sampled curve is not possible if blocks are used head first",
            "leave `order` out, or compute the exact curve",
        ));
    }
    let mut owners = owners(blocks, rules);
    let capacities = spread(blocks.distinct(), count);
    let mut chosen = Choice::new(rate, seed);
    // Blocks of several sessions, and of very long ones, are all kept; the others are sampled.
    let giants = Uses::new(blocks, rules, &owners, &mut chosen).giants(rate);
    let mut giant = vec![false; chosen.seen as usize];
    for session in &giants {
        giant[*session as usize] = true;
    }
    for owner in &mut owners {
        if giant.get(*owner as usize) == Some(&true) {
            *owner = SHARED;
        }
    }
    let uses = Uses::new(blocks, rules, &owners, &mut chosen);
    let mut whole = Estimate::new(blocks, uses.by_part.iter().sum(), &capacities);
    let mut parts: Vec<Estimate> = uses
        .by_part
        .iter()
        .map(|seen| Estimate::new(blocks, *seen, &capacities))
        .collect();
    let mut last = vec![NONE; blocks.distinct() as usize];
    let mut shared = StackDistances::new(blocks.len());
    let (mut lookups, mut followed, mut private_lookups) = (0, 0, 0);
    let mut pieces = Vec::new();
    let mut heaviest: f64 = 0.0;
    let mut cursor = blocks.cursor();
    while let Some(run) = cursor.next_run() {
        let used = rules.used(&run);
        let countable = rules.countable(&run);
        let boundary = used.partition_point(|block| owners[*block as usize] == SHARED) as u32;
        lookups += run.prompt.len() as u64;
        private_lookups += u64::from((run.prompt.len() as u32).saturating_sub(boundary));
        let part = chosen.part(run.facts.session);
        let seen = if part.is_some() {
            used.len() as u32
        } else {
            boundary
        };
        followed += u64::from(seen.min(run.prompt.len() as u32));
        cut(
            &mut pieces,
            &used[..seen as usize],
            boundary,
            &mut last,
            run.index as u32,
        );
        for piece in &pieces {
            let weight = if piece.start >= boundary {
                1.0 / rate
            } else {
                1.0
            };
            heaviest = heaviest.max(f64::from(piece.length) * weight);
            let after = shared.after(piece.last);
            let counted = piece.length.min(countable.saturating_sub(piece.start));
            let own = part.filter(|_| piece.start >= boundary);
            // A session is not one of the others that it meets: its own uses say nothing about them.
            let itself = uses.by_session[run.facts.session as usize];
            let book = |estimate: &mut Estimate, within: bool| {
                let seen = estimate.seen - if within { itself } else { 0 };
                let scale = (uses.all - itself) as f64 / seen.max(1) as f64;
                estimate.book(after, scale, piece, counted, own.is_some());
            };
            book(&mut whole, part.is_some());
            for (number, estimate) in parts.iter_mut().enumerate() {
                if own.is_none_or(|own| own == number) {
                    book(estimate, part == Some(number));
                }
            }
            if own.is_none() {
                shared.remove(piece.last, piece.length);
            } else if let Some(part) = part {
                whole.private.remove(piece.last, piece.length);
                parts[part].private.remove(piece.last, piece.length);
            }
        }
        let now = run.index as u32;
        shared.add(now, boundary);
        if let Some(part) = part {
            let behind = seen - boundary;
            let asked = u64::from((run.prompt.len() as u32).saturating_sub(boundary));
            for estimate in [&mut whole, &mut parts[part]] {
                estimate.private.add(now, behind);
                estimate.lookups += asked;
            }
        }
    }
    // The resolution is limited to one piece of a prompt, which counts as a hit or not.
    let grain = heaviest / lookups.max(1) as f64 * (1.0 - rate);
    let estimates: Vec<(f64, f64)> = (0..capacities.len())
        .map(|index| {
            let ratio = |estimate: &Estimate| estimate.ratio(index, lookups, private_lookups);
            let parts = parts.iter().map(ratio).collect();
            (ratio(&whole), bound(parts, ratio(&whole), rate))
        })
        .collect();
    let points = (0..capacities.len()).map(|index| {
        // Ten parts estimate their own spread poorly; neighbouring points have about the same spread.
        let near = index.saturating_sub(NEAR)..(index + NEAR + 1).min(capacities.len());
        let bounds = estimates[near].iter().map(|(_, bound)| *bound);
        SampledPoint {
            capacity: capacities[index],
            block_hit_ratio: estimates[index].0,
            bound: bounds.fold(0.0, f64::max) + grain,
        }
    });
    let points = points.collect();
    Ok(Sampled {
        points,
        sessions: chosen.seen,
        sampled_sessions: chosen.taken,
        lookups,
        followed,
    })
}

/// Consecutive blocks with the same last use.
struct Piece {
    start: u32,
    length: u32,
    last: u32,
}

/// Divides the blocks that were used before into pieces, and marks all as used now.
fn cut(pieces: &mut Vec<Piece>, blocks: &[u32], boundary: u32, last: &mut [u32], now: u32) {
    pieces.clear();
    for (position, block) in (0..).zip(blocks) {
        let before = std::mem::replace(&mut last[*block as usize], now);
        match pieces.last_mut() {
            Some(piece) if piece.last == before && position != boundary => piece.length += 1,
            _ => pieces.push(Piece {
                start: position,
                length: 1,
                last: before,
            }),
        }
    }
    pieces.retain(|piece| piece.last != NONE);
}

/// For each block the only session that uses it, or [`SHARED`].
fn owners(blocks: &BlockTrace, rules: &Rules) -> Vec<u32> {
    let mut owners = vec![NONE; blocks.distinct() as usize];
    let mut cursor = blocks.cursor();
    while let Some(run) = cursor.next_run() {
        let session = run.facts.session;
        for block in rules.used(&run) {
            let owner = &mut owners[*block as usize];
            if *owner == NONE {
                *owner = session;
            } else if *owner != session {
                *owner = SHARED;
            }
        }
    }
    owners
}

/// Number of uses of single-session blocks: of all sessions, of each, and of the parts of the sample. Known exactly, so a
/// sample is scaled by its actual size, not by the intended rate.
struct Uses {
    all: u64,
    by_session: Vec<u64>,
    by_part: [u64; PARTS],
}

impl Uses {
    fn new(blocks: &BlockTrace, rules: &Rules, owners: &[u32], chosen: &mut Choice) -> Self {
        let mut uses = Self {
            all: 0,
            by_session: Vec::new(),
            by_part: [0; PARTS],
        };
        let mut cursor = blocks.cursor();
        while let Some(run) = cursor.next_run() {
            let used = rules.used(&run);
            let shared = used.partition_point(|block| owners[*block as usize] == SHARED);
            let private = (used.len() - shared) as u64;
            let session = run.facts.session as usize;
            if uses.by_session.len() <= session {
                uses.by_session.resize(session + 1, 0);
            }
            uses.all += private;
            uses.by_session[session] += private;
            if let Some(part) = chosen.part(run.facts.session) {
                uses.by_part[part] += private;
            }
        }
        uses
    }

    /// Sessions that are always kept, because a sample with them left to chance would have fewer than [`ENOUGH`] effective
    /// sessions: those with the most uses.
    fn giants(&self, rate: f64) -> Vec<u32> {
        let mut sessions: Vec<u32> = (0..self.by_session.len() as u32).collect();
        let uses = |session: u32| self.by_session[session as usize];
        sessions.sort_unstable_by_key(|session| (std::cmp::Reverse(uses(*session)), *session));
        let mut rest = self.all;
        sessions
            .into_iter()
            .take_while(|session| {
                let giant = rate * (rest as f64) < ENOUGH * uses(*session) as f64;
                rest -= uses(*session);
                giant
            })
            .collect()
    }
}

/// The sessions in the sample, with the part of each.
struct Choice {
    rate: f64,
    seed: u64,
    /// Number of sessions so far; they are numbered by their first request.
    seen: u32,
    taken: u32,
}

impl Choice {
    fn new(rate: f64, seed: u64) -> Self {
        Self {
            rate,
            seed,
            seen: 0,
            taken: 0,
        }
    }

    fn part(&mut self, session: u32) -> Option<usize> {
        let hash = xxh3_64_with_seed(&session.to_le_bytes(), self.seed);
        let chosen = (hash >> 11) as f64 * (-53f64).exp2() < self.rate;
        if session >= self.seen {
            self.seen = session + 1;
            self.taken += u32::from(chosen);
        }
        chosen.then_some((hash % PARTS as u64) as usize)
    }
}

/// State of one sample.
struct Estimate {
    /// Uses of single-session blocks in the sample.
    seen: u64,
    /// Blocks used by only one of its sessions, by the request that used them last.
    private: StackDistances,
    /// Look-ups of such blocks.
    lookups: u64,
    capacities: Vec<u32>,
    /// By capacity, look-ups that hit at this capacity but not at the previous one.
    shared_hits: Vec<u64>,
    private_hits: Vec<u64>,
}

impl Estimate {
    fn new(blocks: &BlockTrace, seen: u64, capacities: &[u32]) -> Self {
        Self {
            seen,
            private: StackDistances::new(blocks.len()),
            lookups: 0,
            capacities: capacities.to_vec(),
            shared_hits: vec![0; capacities.len() + 1],
            private_hits: vec![0; capacities.len() + 1],
        }
    }

    /// Counts the first `counted` blocks of a piece, with `shared` shared blocks used since its last use.
    fn book(&mut self, shared: u64, scale: f64, piece: &Piece, counted: u32, own: bool) {
        let others = self.private.after(piece.last) as f64 * scale;
        // The blocks that this request has used so far are subtracted, and known exactly.
        let mut least = shared as f64 + others + f64::from(piece.start) + 1.0;
        let hits = if own {
            &mut self.private_hits
        } else {
            &mut self.shared_hits
        };
        let mut at = self.capacities.partition_point(|c| f64::from(*c) < least);
        let mut left = counted;
        while left > 0 {
            // Number of blocks whose smallest capacity is between the previous one and this one.
            let fit = match self.capacities.get(at) {
                Some(capacity) => ((f64::from(*capacity) - least) as u32 + 1).min(left),
                None => left,
            };
            hits[at] += u64::from(fit);
            least += f64::from(fit);
            left -= fit;
            at += 1;
        }
    }

    /// The block hit ratio at one of the capacities.
    fn ratio(&self, index: usize, lookups: u64, private_lookups: u64) -> f64 {
        let upto = |hits: &[u64]| hits[..=index].iter().sum::<u64>() as f64;
        let private = if self.lookups == 0 {
            0.0
        } else {
            upto(&self.private_hits) / self.lookups as f64 * private_lookups as f64
        };
        if lookups == 0 {
            0.0
        } else {
            (upto(&self.shared_hits) + private) / lookups as f64
        }
    }
}

/// Error bound of the whole sample, from the estimates of its parts.
fn bound(parts: Vec<f64>, whole: f64, rate: f64) -> f64 {
    let count = parts.len() as f64;
    let mean = parts.iter().sum::<f64>() / count;
    let variance = parts.iter().map(|part| (part - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let error = (variance / count * (1.0 - rate)).sqrt();
    // Ten parts have nine degrees of freedom; the distribution exists for every positive number of them.
    let quantile = StudentsT::new(0.0, 1.0, count - 1.0)
        .map_or(f64::INFINITY, |t| t.inverse_cdf(0.5 + CONFIDENCE / 2.0));
    // Scaled distances are spread out, which bends the curve; that of a part more than that of the whole sample. The
    // differences between parts therefore exceed the resulting error of the whole.
    error * quantile + (mean - whole).abs() * (2.0 * (1.0 - rate)).min(1.0)
}
