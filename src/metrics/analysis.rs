//! Analysis of one replay of a trace against a cache: the figures of each request and block, and their distributions.

use super::groups::{Groups, Sums, power_bucket, power_label};
use super::{Gap, Gaps};
use crate::base::Distribution;
use crate::base::error::Result;
use crate::cache::curve::StackDistances;
use crate::cache::engine::{
    CacheChange, CacheEngine, Capacity, EngineEvent, EngineObserver, EngineOptions, Outcome, Shape,
    build, replay,
};
use crate::cache::{BlockId, BlockTrace, Run};
use crate::trace::{Nanos, Trace};

/// Marks a block that has not been accessed.
const NEVER: u32 = u32::MAX;

/// Number of equal windows into which a trace's time is divided for the working set.
const WINDOWS: usize = 60;

/// `part / whole`; 0 if `whole` is 0.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Figures of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestMetrics {
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Prompt tokens found in the cache.
    pub cached_tokens: u32,
    /// Prompt blocks that could be looked up.
    pub lookups: u32,
    /// Prompt blocks that were found and used.
    pub hits: u32,
    /// Blocks that were evicted for this request: they could no longer be found.
    pub evicted: u32,
    /// Blocks that were stored for this request: they could be found from then on. Over all requests, new blocks minus evicted
    /// ones are the resident ones.
    pub new_blocks: u32,
    /// Blocks that were allocated for the rest of the prompt; see [`Outcome::allocated_blocks`].
    pub allocated_blocks: u32,
    /// Second copies of cached blocks that lost their content to this request.
    pub evicted_copies: u32,
    /// Whether the request was rejected because it needs more blocks than the cache has.
    pub rejected: bool,
    /// Time that the request waited for blocks, if it waited; only set where requests overlap.
    pub waited: Option<Nanos>,
    /// Number of times that the request was preempted and started again; 0 where requests do not overlap.
    pub preempted: u32,
    /// Whether the output was truncated because it needs more blocks than the cache has.
    pub cut: bool,
}

impl RequestMetrics {
    /// Cached prompt tokens / prompt tokens.
    pub fn sharing_fraction(&self) -> f64 {
        ratio(u64::from(self.cached_tokens), u64::from(self.prompt_tokens))
    }
}

/// Accesses of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockMetrics {
    /// Number of look-ups, including the first; 0 for an output block that no prompt contains.
    pub accesses: u32,
    first: u32,
    last: u32,
}

/// Times that blocks spend in the cache and out of it, in seconds.
#[derive(Debug, Clone, Default)]
pub struct Residency {
    /// From insertion to eviction.
    pub lifetimes: Vec<f64>,
    /// From the last use to eviction.
    pub idle: Vec<f64>,
    /// From eviction to the next request that contains the block.
    pub reuse_after_eviction: Vec<f64>,
    /// From the previous use to a hit, with the number of blocks that hit after this gap.
    pub hit_gaps: Vec<(f64, u64)>,
}

/// The result of a replay.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// Figures of each request, in arrival order.
    pub requests: Vec<RequestMetrics>,
    /// Figures of each block, by block id.
    pub blocks: Vec<BlockMetrics>,
    /// Gaps between consecutive accesses of a block.
    pub gaps: Gaps,
    /// Times in the cache; only with a finite capacity.
    pub residency: Residency,
    /// Sharing by turn, session length and prompt length.
    pub groups: Groups,
    /// Number of distinct blocks used in each of equal windows of the trace's time, with the window's start.
    pub working_set: Vec<(Nanos, u64)>,
    /// Number of blocks that are cached at the end.
    pub resident_blocks: u32,
    arrivals: Vec<Nanos>,
}

impl Analysis {
    /// Sum of a figure over all requests.
    pub fn sum(&self, of: impl Fn(&RequestMetrics) -> u32) -> u64 {
        self.requests
            .iter()
            .map(|request| u64::from(of(request)))
            .sum()
    }

    /// Total cached tokens / total prompt tokens.
    pub fn token_hit_ratio(&self) -> f64 {
        ratio(self.sum(|r| r.cached_tokens), self.sum(|r| r.prompt_tokens))
    }

    /// Mean over requests of the fraction of block look-ups that hit; a prompt without a full block counts as 0.
    pub fn mean_request_hit_ratio(&self) -> f64 {
        let of =
            |request: &RequestMetrics| ratio(u64::from(request.hits), u64::from(request.lookups));
        let sum: f64 = self.requests.iter().map(of).sum();
        if self.requests.is_empty() {
            0.0
        } else {
            sum / self.requests.len() as f64
        }
    }

    /// Look-ups that hit / all look-ups.
    pub fn block_hit_ratio(&self) -> f64 {
        ratio(self.sum(|r| r.hits), self.sum(|r| r.lookups))
    }

    /// Number of distinct blocks that prompts looked up.
    pub fn distinct_blocks(&self) -> u64 {
        self.blocks
            .iter()
            .filter(|block| block.accesses > 0)
            .count() as u64
    }

    /// Number of rejected requests.
    pub fn rejected(&self) -> u64 {
        self.requests
            .iter()
            .filter(|request| request.rejected)
            .count() as u64
    }

    /// Waiting times of the requests that waited for blocks, in seconds.
    pub fn waits(&self) -> Vec<f64> {
        self.requests
            .iter()
            .filter_map(|request| Some(request.waited?.as_secs_f64()))
            .collect()
    }

    /// Each request's sharing fraction, in arrival order.
    pub fn sharing_fractions(&self) -> Vec<f64> {
        self.requests
            .iter()
            .map(RequestMetrics::sharing_fraction)
            .collect()
    }

    /// Pairs of a number of accesses and the number of blocks with that many, ascending.
    pub fn access_counts(&self) -> Vec<(u32, u64)> {
        let mut counts: Vec<u32> = self
            .blocks
            .iter()
            .map(|block| block.accesses)
            .filter(|accesses| *accesses > 0)
            .collect();
        counts.sort_unstable();
        let mut pairs: Vec<(u32, u64)> = Vec::new();
        for count in counts {
            match pairs.last_mut() {
                Some((last, number)) if *last == count => *number += 1,
                _ => pairs.push((count, 1)),
            }
        }
        pairs
    }

    /// Distribution of the accesses per block (a block with 1 access was never reused).
    pub fn block_accesses(&self) -> Distribution {
        let mut pairs: Vec<_> = self
            .access_counts()
            .into_iter()
            .map(|(count, number)| (f64::from(count), number))
            .collect();
        Distribution::from_weighted(&mut pairs)
    }

    /// Times of a block's first and last access, or `None` if it was never looked up.
    pub fn access_times(&self, block: &BlockMetrics) -> Option<(Nanos, Nanos)> {
        (block.accesses > 0).then(|| {
            (
                self.arrivals[block.first as usize],
                self.arrivals[block.last as usize],
            )
        })
    }
}

/// Replays `trace` with these options.
///
/// # Errors
/// As [`build`].
pub fn analyze(trace: &Trace, blocks: &BlockTrace, options: &EngineOptions) -> Result<Analysis> {
    if options.hold.overlaps() {
        let mut analyzer = Analyzer::new(trace, blocks, options);
        let resident = replay(blocks, options, &mut analyzer)?;
        return Ok(analyzer.finish(resident));
    }
    let mut engine = build(options, blocks)?;
    Ok(analyze_with(trace, blocks, options, engine.as_mut()))
}

/// Replays a trace against a prefix cache; the blocks have the trace's own size, or 16 tokens.
///
/// # Errors
/// [`Error::Usage`](crate::Error::Usage) for a trace that has only lengths; otherwise as [`analyze`].
///
/// ```
/// # use kvreplay::trace::{Content, Nanos, NewRequest, TraceBuilder, TraceMeta};
/// # let mut builder = TraceBuilder::new(Content::HashIds { block_size: 16 });
/// # for (id, fresh) in [("a", [0, 1, 2]), ("b", [0, 3, 4])] {
/// #     builder.push(NewRequest {
/// #         id, session: id, turn: 0, arrival: Nanos::ZERO, input_length: 33, output_length: 1,
/// #         shared: 0, fresh: &fresh, output: &[], extra: None,
/// #     }).expect("a valid request");
/// # }
/// # let trace = builder.finish(TraceMeta::default()).expect("a valid trace");
/// use kvreplay::{Capacity, EngineOptions};
///
/// let options = EngineOptions { capacity: Capacity::Blocks(1000), ..EngineOptions::default() };
/// let analysis = kvreplay::analyze(&trace, &options)?;
/// // The second request finds the block that it shares with the first.
/// assert_eq!(analysis.requests[1].cached_tokens, 16);
/// # Ok::<(), kvreplay::Error>(())
/// ```
pub fn analyze_trace(trace: &Trace, options: &EngineOptions) -> Result<Analysis> {
    let blocks = BlockTrace::new(trace, None, options.engine.card().hash_scheme())?;
    analyze(trace, &blocks, options)
}

/// Replays `trace` against an engine that was built with `options`.
pub fn analyze_with(
    trace: &Trace,
    blocks: &BlockTrace,
    options: &EngineOptions,
    engine: &mut dyn CacheEngine,
) -> Analysis {
    let mut analyzer = Analyzer::new(trace, blocks, options);
    let mut cursor = blocks.cursor();
    while let Some(run) = cursor.next_run() {
        analyzer.serve(engine, &run);
    }
    analyzer.finish(engine.resident())
}

/// Feeds an engine with requests and records the figures.
#[derive(Debug)]
pub struct Analyzer<'a> {
    trace: &'a Trace,
    chained: bool,
    inserts_output: bool,
    result: Analysis,
    stack: StackDistances,
    by_turn: Sums,
    by_session: Sums,
    by_prompt: Sums,
    session_lengths: Vec<u32>,
    window_length: u64,
    evicted: Vec<BlockId>,
    /// Blocks of a request that are cached after it.
    kept: Vec<BlockId>,
    /// Whether the capacity is finite, so that blocks may be evicted.
    bounded: bool,
    /// Times at which requests were served or blocks changed, ascending; `served` has the index of each request's time.
    moments: Vec<Nanos>,
    served: Vec<u32>,
    /// For each block, the index of the time at which it was inserted, and of its last eviction; only with a finite
    /// capacity.
    inserted: Vec<u32>,
    gone: Vec<u32>,
}

impl<'a> Analyzer<'a> {
    /// Creates an analyzer that has served no request.
    pub fn new(trace: &'a Trace, blocks: &BlockTrace, options: &EngineOptions) -> Self {
        let bounded = options.capacity != Capacity::Unbounded;
        let tracked = if bounded {
            blocks.distinct() as usize
        } else {
            0
        };
        let mut session_lengths = vec![0; trace.sessions().len()];
        for request in trace.requests() {
            session_lengths[request.session as usize] += 1;
        }
        let never = BlockMetrics {
            accesses: 0,
            first: NEVER,
            last: NEVER,
        };
        let arrivals: Vec<_> = trace
            .requests()
            .iter()
            .map(|request| request.arrival)
            .collect();
        let window_length = trace.span().0 / WINDOWS as u64 + 1;
        let start = arrivals.first().copied().unwrap_or_default();
        let windows = if arrivals.is_empty() {
            0
        } else {
            (trace.span().0 / window_length) as usize + 1
        };
        Self {
            trace,
            chained: !blocks.hashed_alone(),
            inserts_output: options.caches_output(),
            result: Analysis {
                requests: Vec::with_capacity(arrivals.len()),
                blocks: vec![never; blocks.distinct() as usize],
                gaps: Gaps::default(),
                residency: Residency::default(),
                groups: Groups {
                    by_turn: Vec::new(),
                    by_session_length: Vec::new(),
                    by_prompt_length: Vec::new(),
                },
                working_set: (0..windows)
                    .map(|w| (start + Nanos(w as u64 * window_length), 0))
                    .collect(),
                resident_blocks: 0,
                arrivals,
            },
            stack: StackDistances::new(trace.requests().len()),
            by_turn: Sums::default(),
            by_session: Sums::default(),
            by_prompt: Sums::default(),
            session_lengths,
            window_length,
            evicted: Vec::new(),
            kept: Vec::new(),
            bounded,
            moments: Vec::new(),
            served: Vec::new(),
            inserted: vec![NEVER; tracked],
            gone: vec![NEVER; tracked],
        }
    }

    /// Serves one request.
    pub fn serve(&mut self, engine: &mut dyn CacheEngine, run: &Run<'_>) {
        let request = &self.trace.requests()[run.index];
        let shape = Shape {
            input_length: request.input_length,
            output_length: request.output.len() as u32,
        };
        let mut evicted = std::mem::take(&mut self.evicted);
        evicted.clear();
        let outcome = engine.serve(run, shape, &mut evicted);
        let came = if self.inserts_output {
            run.all
        } else {
            run.prompt
        };
        if evicted.is_empty() {
            // The end of an output that found no room is not cached.
            let stored = came.iter().rposition(|block| engine.keeps(*block));
            let came = &came[..stored.map_or(0, |last| last + 1)];
            self.keep_books(run, request.arrival, &outcome, came, &evicted);
        } else {
            let mut kept = std::mem::take(&mut self.kept);
            kept.clear();
            kept.extend(came.iter().copied().filter(|block| engine.keeps(*block)));
            self.keep_books(run, request.arrival, &outcome, &kept, &evicted);
            self.kept = kept;
        }
        self.evicted = evicted;
    }

    /// Records a request that was served at time `now`; `came` are its blocks that are cached now, `went` the blocks
    /// evicted.
    fn keep_books(
        &mut self,
        run: &Run<'_>,
        now: Nanos,
        outcome: &Outcome,
        came: &[BlockId],
        went: &[BlockId],
    ) {
        self.record(run, outcome);
        let moment = self.moment(now);
        self.served.push(moment);
        if self.bounded && !outcome.rejected {
            self.gone(went, moment);
            self.wanted(run.prompt, moment);
            self.came(came, moment);
        }
        self.access(run, outcome.hit_blocks);
    }

    fn moment(&mut self, now: Nanos) -> u32 {
        self.moments.push(now);
        self.moments.len() as u32 - 1
    }

    fn record(&mut self, run: &Run<'_>, outcome: &Outcome) {
        let request = &self.trace.requests()[run.index];
        let metrics = RequestMetrics {
            prompt_tokens: request.input_length,
            cached_tokens: outcome.cached_tokens,
            lookups: run.prompt.len() as u32,
            hits: outcome.hit_blocks,
            evicted: outcome.evicted,
            new_blocks: outcome.new_blocks,
            allocated_blocks: outcome.allocated_blocks,
            evicted_copies: outcome.evicted_copies,
            rejected: outcome.rejected,
            waited: outcome.waited,
            preempted: 0,
            cut: outcome.cut,
        };
        let fraction = metrics.sharing_fraction();
        let session = self.session_lengths[request.session as usize];
        let (prompt, cached) = (metrics.prompt_tokens, metrics.cached_tokens);
        self.by_turn
            .add(request.turn as usize, prompt, cached, fraction);
        self.by_session
            .add(power_bucket(session), prompt, cached, fraction);
        self.by_prompt
            .add(power_bucket(prompt), prompt, cached, fraction);
        self.result.requests.push(metrics);
    }

    /// Records the accesses of a prompt, one piece of equal last use at a time.
    fn access(&mut self, run: &Run<'_>, hits: u32) {
        let now = run.index as u32;
        let mut rest = run.prompt;
        let mut position = 0;
        while let Some(first) = rest.first() {
            let last = self.result.blocks[*first as usize].last;
            let mut length = 0;
            for block in rest {
                let metrics = &mut self.result.blocks[*block as usize];
                if metrics.last != last {
                    break;
                }
                metrics.accesses += 1;
                metrics.last = now;
                length += 1;
                if last == NEVER {
                    metrics.first = now;
                } else if last == now {
                    // The same block occurs twice in one prompt, which is only possible where blocks are hashed on
                    // their own.
                    break;
                }
            }
            self.book(now, last, position, length);
            let hits = hits.saturating_sub(position).min(length);
            if self.bounded && hits > 0 && last != NEVER {
                let gap = self.since(self.served[last as usize], self.served[now as usize]);
                self.result.residency.hit_gaps.push((gap, u64::from(hits)));
            }
            position += length;
            rest = &rest[length as usize..];
        }
        if self.chained {
            self.stack.add(now, position);
        }
    }

    /// Records `length` accesses of blocks from `position` on whose last use was by request `last`.
    fn book(&mut self, now: u32, last: u32, position: u32, length: u32) {
        let window =
            |arrival: Nanos, start: Nanos| ((arrival - start).0 / self.window_length) as usize;
        let arrivals = &self.result.arrivals;
        let start = arrivals.first().copied().unwrap_or_default();
        let current = window(arrivals[now as usize], start);
        if last == NEVER || window(arrivals[last as usize], start) != current {
            self.result.working_set[current].1 += u64::from(length);
        }
        if last == NEVER {
            return;
        }
        // A path contains no block twice. Where the ids of a foreign trace break that rule, there is no stack distance.
        let stack = (self.chained && last != now).then(|| {
            // The blocks used since then: those of the path of `last` behind this piece's first block, all blocks used
            // after `last`, and the blocks that this request has used so far.
            let behind = self.result.requests[last as usize]
                .lookups
                .saturating_sub(position + 1);
            let distance = self.stack.after(last) + u64::from(behind) + u64::from(position);
            self.stack.remove(last, length);
            distance
        });
        self.result.gaps.push(Gap {
            time: arrivals[now as usize] - arrivals[last as usize],
            requests: now - last,
            stack,
            weight: u64::from(length),
        });
    }

    /// Seconds between two recorded times, given by their indices.
    fn since(&self, then: u32, now: u32) -> f64 {
        (self.moments[now as usize] - self.moments[then as usize]).as_secs_f64()
    }

    /// Records evicted blocks.
    fn gone(&mut self, blocks: &[BlockId], now: u32) {
        for block in blocks {
            let index = *block as usize;
            let inserted = match std::mem::replace(&mut self.inserted[index], NEVER) {
                // Stored and evicted by the same request.
                NEVER => now,
                inserted => inserted,
            };
            let lifetime = self.since(inserted, now);
            let used = match self.result.blocks[index].last {
                NEVER => inserted,
                request => self.served[request as usize].max(inserted),
            };
            let idle = self.since(used, now);
            self.result.residency.lifetimes.push(lifetime);
            self.result.residency.idle.push(idle);
            self.gone[index] = now;
        }
    }

    /// Records that a request contains these blocks.
    fn wanted(&mut self, blocks: &[BlockId], now: u32) {
        for block in blocks {
            let gone = std::mem::replace(&mut self.gone[*block as usize], NEVER);
            if gone != NEVER && gone != now {
                let gap = self.since(gone, now);
                self.result.residency.reuse_after_eviction.push(gap);
            }
        }
    }

    /// Records that these blocks are cached, if they were not before.
    fn came(&mut self, blocks: &[BlockId], now: u32) {
        for block in blocks {
            let inserted = &mut self.inserted[*block as usize];
            if *inserted == NEVER {
                *inserted = now;
            }
        }
    }

    /// Computes the groups and returns the result.
    pub fn finish(mut self, resident_blocks: u32) -> Analysis {
        self.result.groups = Groups {
            by_turn: self.by_turn.groups(|turn| (turn + 1).to_string()),
            by_session_length: self.by_session.groups(power_label),
            by_prompt_length: self.by_prompt.groups(power_label),
        };
        self.result.resident_blocks = resident_blocks;
        self.result
    }
}

/// Records the figures of requests that overlap.
impl EngineObserver for Analyzer<'_> {
    fn served(&mut self, run: &Run<'_>, now: Nanos, outcome: &Outcome, change: &CacheChange<'_>) {
        // In the cache from their admission on, although some engines let others find them only once they are computed.
        self.keep_books(run, now, outcome, run.prompt, change.went);
    }

    fn changed(&mut self, request: usize, now: Nanos, change: &CacheChange<'_>) {
        let metrics = &mut self.result.requests[request];
        metrics.new_blocks += change.stored;
        metrics.evicted += change.went.len() as u32;
        metrics.evicted_copies += change.copies;
        if self.bounded {
            let moment = self.moment(now);
            self.gone(change.went, moment);
            self.came(change.came, moment);
        }
    }

    fn happened(&mut self, request: usize, what: EngineEvent) {
        let request = &mut self.result.requests[request];
        match what {
            EngineEvent::Preempted => request.preempted += 1,
            EngineEvent::Truncated => request.cut = true,
        }
    }
}
