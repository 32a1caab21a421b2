//! The exact curve of a chained trace, computed by pieces.
//!
//! The blocks last used by request `r` are always the end of its path, because a request that uses a block uses all blocks
//! before it. The smallest capacities of a piece of blocks with the same last use are therefore consecutive numbers, found
//! with one query.

use super::points::{Curve, ONE, Sums};
use super::stack::StackDistances;
use super::{Rules, UseOrder};
use crate::base::error::{Error, Result};
use crate::cache::{BlockTrace, Run};
use crate::trace::Nanos;

/// Marks a block that was not used yet.
const NEVER: u32 = u32::MAX;

/// The hit ratios of LRU at every capacity, equal to those of the engines `ideal` and `block` replayed at each.
///
/// # Errors
/// [`Error::Usage`] if the same block follows different blocks, so that ids do not identify prefixes.
pub fn exact(blocks: &BlockTrace, rules: &Rules) -> Result<Curve> {
    let mut pass = Pass {
        rules,
        arrivals: Vec::with_capacity(blocks.len()),
        last: vec![NEVER; blocks.distinct() as usize],
        used: Vec::with_capacity(blocks.len()),
        stack: StackDistances::new(blocks.len()),
        ramp: vec![Sums::default(); blocks.distinct() as usize + 2],
    };
    let mut chain = Chain::new(blocks);
    let (mut lookups, mut prompt_tokens) = (0, 0);
    let mut cursor = blocks.cursor();
    while let Some(run) = cursor.next_run() {
        chain.check(&run, rules.used(&run))?;
        lookups += run.prompt.len() as u64;
        prompt_tokens += u64::from(run.facts.input_length);
        pass.request(&run);
    }
    let uses = pass.used.iter().map(|used| u64::from(*used)).sum();
    let distinct = pass.last.iter().filter(|last| **last != NEVER).count() as u32;
    let mut curve = Curve::new(pass.ramp, rules.block_size);
    curve.requests = blocks.len() as u64;
    curve.lookups = lookups;
    curve.prompt_tokens = prompt_tokens;
    curve.distinct = distinct;
    curve.uses = uses;
    Ok(curve)
}

/// Blocks from `start` on that were last used by the same request.
#[derive(Clone, Copy)]
struct Piece {
    start: u32,
    length: u32,
    /// Number of leading blocks that can hit.
    counted: u32,
    /// The smallest capacities of the blocks are consecutive numbers from here on, increasing towards the tail or the head.
    least: u64,
    /// Time since their last use.
    gap: Nanos,
}

struct Pass<'a> {
    rules: &'a Rules,
    arrivals: Vec<Nanos>,
    /// For each block, the request that used it last.
    last: Vec<u32>,
    /// For each request, the number of blocks that it used.
    used: Vec<u32>,
    stack: StackDistances,
    /// Second differences by capacity: a piece of any length takes two entries.
    ramp: Vec<Sums>,
}

impl Pass<'_> {
    fn request(&mut self, run: &Run<'_>) {
        let now = run.index as u32;
        let used = self.rules.used(run);
        let countable = self.rules.countable(run);
        let mut highest = 0;
        let mut start = 0;
        self.arrivals.push(run.facts.arrival);
        while let Some(first) = used.get(start as usize) {
            let last = self.last[*first as usize];
            let length = self.mark(&used[start as usize..], last, now);
            if last != NEVER {
                let least = self.least(last, start, length);
                // Each other block of this request, or used since `last`, needs one more block of capacity.
                let there = self.found_from(last, used.len() as u32);
                self.stack.remove(last, length);
                let one = Sums {
                    found: 1,
                    ..Sums::default()
                };
                self.jump(there, &one, i64::from(length));
                let counted = length.min(countable.saturating_sub(start));
                let piece = Piece {
                    start,
                    length,
                    counted,
                    least,
                    gap: run.facts.arrival - self.arrivals[last as usize],
                };
                self.book(run, &piece, &mut highest);
            }
            start += length;
        }
        self.stack.add(now, used.len() as u32);
        self.used.push(used.len() as u32);
    }

    /// Number of leading blocks that were last used by `last`; marks them as used by `now`.
    fn mark(&mut self, blocks: &[u32], last: u32, now: u32) -> u32 {
        let mut length = 0;
        for block in blocks {
            let user = &mut self.last[*block as usize];
            if *user != last {
                break;
            }
            *user = now;
            length += 1;
        }
        length
    }

    /// The smallest capacity at which any block of the piece is resident when the request arrives.
    fn least(&self, last: u32, start: u32, length: u32) -> u64 {
        // Blocks used after `last`: by other requests, and those shared with this request, which are subtracted already.
        let later = self.stack.after(last) + u64::from(start);
        later
            + 1
            + match self.rules.order {
                UseOrder::TailFirst => 0,
                // Blocks on the path of `last` after the piece were used after it.
                UseOrder::HeadFirst => u64::from(self.used[last as usize] - start - length),
            }
    }

    /// The smallest capacity at which the blocks of a piece are resident when they are used: by then this request has used
    /// all blocks before them in its order.
    fn found_from(&self, last: u32, used: u32) -> u64 {
        self.stack.after(last)
            + match self.rules.order {
                UseOrder::TailFirst => u64::from(used),
                UseOrder::HeadFirst => u64::from(self.used[last as usize]),
            }
    }

    fn book(&mut self, run: &Run<'_>, piece: &Piece, highest: &mut u64) {
        let Piece {
            start,
            length,
            counted,
            least,
            gap,
        } = *piece;
        if counted == 0 {
            return;
        }
        let lookups = run.prompt.len() as i128;
        let one = Sums {
            hits: 1,
            tokens: i64::from(self.rules.block_size),
            gaps: (gap.0 / 1000) as i64,
            shares: ONE / lookups,
            ..Sums::default()
        };
        // A partial last block has fewer tokens.
        let missing = u64::from(start + counted) * u64::from(self.rules.block_size);
        let missing = missing.saturating_sub(u64::from(run.facts.input_length));
        let (from, to) = match self.rules.order {
            UseOrder::TailFirst => (least, least + u64::from(counted)),
            UseOrder::HeadFirst => {
                let skipped = u64::from(length - counted);
                (least + skipped, least + u64::from(length))
            }
        };
        let lost = Sums {
            tokens: -(missing as i64),
            ..Sums::default()
        };
        if self.rules.anywhere || self.rules.order == UseOrder::TailFirst {
            // Consecutive: one more block with each capacity.
            self.ramp[from as usize].add(&one, 1);
            self.ramp[to as usize].add(&one, -1);
            let partial = match self.rules.order {
                UseOrder::TailFirst => to - 1,
                UseOrder::HeadFirst => from,
            };
            self.jump(partial, &lost, 1);
        } else {
            // A prefix is resident if its first, oldest block is.
            *highest = (*highest).max(to - 1);
            self.jump(*highest, &one, i64::from(counted));
            self.jump(*highest, &lost, 1);
        }
    }

    fn jump(&mut self, capacity: u64, sums: &Sums, times: i64) {
        self.ramp[capacity as usize].add(sums, times);
        self.ramp[capacity as usize + 1].add(sums, -times);
    }
}

/// Checks that ids identify prefixes: each block always follows the same one.
struct Chain {
    parent: Vec<u32>,
}

impl Chain {
    fn new(blocks: &BlockTrace) -> Self {
        Self {
            parent: vec![NEVER - 1; blocks.distinct() as usize],
        }
    }

    fn check(&mut self, run: &Run<'_>, used: &[u32]) -> Result<()> {
        let mut before = NEVER;
        for block in used {
            let parent = &mut self.parent[*block as usize];
            if *parent == NEVER - 1 {
                *parent = before;
            } else if *parent != before {
                return Err(Error::usage(
                    format!(
                        "block {block} of request {} stands behind another block than before, so its ids do not name prefixes",
                        run.index
                    ),
                    "take a trace with chained ids, or `sweep`, which replays each capacity",
                ));
            }
            before = *block;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::HashScheme;
    use crate::cache::curve::exact::*;
    use crate::cache::engine::{EngineKind, EngineOptions};
    use crate::cache::testing::trace_of;

    #[test]
    fn worked_by_hand() {
        // Blocks of four tokens stand for letters: A B, A C, A B, used tail first. Before the third request the most
        // recent are A, C, B, so A hits from 1 block on and B from 3 on; before the second A hits from 1 on.
        let trace = trace_of(&[&[0, 1], &[0, 2], &[0, 1]]);
        let blocks = BlockTrace::new(&trace, None, HashScheme::Chained).expect("has blocks");
        let options = EngineOptions {
            engine: EngineKind::IDEAL,
            ..EngineOptions::default()
        };
        let curve = exact(&blocks, &Rules::new(&options, &blocks)).expect("is chained");
        let hits: Vec<u64> = (0..5).map(|capacity| curve.at(capacity).hits).collect();
        assert_eq!(hits, [0, 2, 2, 3, 3]);
        assert_eq!(
            (curve.enough(), curve.capacity_for(0.5), curve.knee()),
            (3, 1, 1)
        );
    }

    #[test]
    fn ids_that_do_not_name_prefixes_are_refused() {
        let trace = trace_of(&[&[0, 1], &[2, 1]]);
        let blocks = BlockTrace::new(&trace, None, HashScheme::Chained).expect("has blocks");
        let rules = Rules::new(&EngineOptions::default(), &blocks);
        let error = exact(&blocks, &rules).expect_err("is refused").to_string();
        assert!(error.contains("block 1 of request 1"), "{error}");
    }
}
