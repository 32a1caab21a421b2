//! A curve of hit ratios over capacity, and values read from it.

/// Hit ratios at one capacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Capacity in blocks.
    pub capacity: u32,
    /// Look-ups that hit.
    pub hits: u64,
    /// Prompt tokens found in the cache.
    pub cached_tokens: u64,
    /// Hits divided by look-ups.
    pub block_hit_ratio: f64,
    /// Cached prompt tokens divided by all prompt tokens.
    pub token_hit_ratio: f64,
    /// Mean over requests of hits divided by look-ups.
    pub mean_request_hit_ratio: f64,
}

/// The number 1 in the fixed-point format of [`Sums::shares`].
pub(super) const ONE: i128 = 1 << 64;

/// Sums over look-ups, by capacity.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) hits: i64,
    pub(super) tokens: i64,
    /// Uses of blocks, including those of outputs, that find the block resident.
    pub(super) found: i64,
    /// Sum of the times since the last use of blocks that hit, in microseconds.
    pub(super) gaps: i64,
    /// Sum over requests of the fraction of look-ups that hit, in fixed point: such sums do not depend on their order.
    pub(super) shares: i128,
}

impl Sums {
    pub(super) fn add(&mut self, other: &Self, times: i64) {
        self.hits += other.hits * times;
        self.tokens += other.tokens * times;
        self.found += other.found * times;
        self.gaps += other.gaps * times;
        self.shares += other.shares * i128::from(times);
    }
}

/// Hit ratios at every capacity.
#[derive(Debug, Clone)]
pub struct Curve {
    /// By capacity, from 0 to the one beyond which nothing changes.
    sums: Vec<Sums>,
    /// Requests.
    pub requests: u64,
    /// Look-ups.
    pub lookups: u64,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Number of different blocks used.
    pub distinct: u32,
    /// Uses of blocks, including those of outputs.
    pub uses: u64,
    /// Tokens per block.
    pub block_size: u32,
}

impl Curve {
    /// Builds the curve from second differences by capacity.
    pub(super) fn new(mut sums: Vec<Sums>, block_size: u32) -> Self {
        let (mut step, mut total) = (Sums::default(), Sums::default());
        for sum in &mut sums {
            step.add(sum, 1);
            total.add(&step, 1);
            *sum = total;
        }
        let changed =
            |pair: &[Sums]| (pair[0].hits, pair[0].found) != (pair[1].hits, pair[1].found);
        let changes = sums.windows(2).rposition(changed);
        sums.truncate(changes.map_or(1, |last| last + 2));
        Self {
            sums,
            requests: 0,
            lookups: 0,
            prompt_tokens: 0,
            distinct: 0,
            uses: 0,
            block_size,
        }
    }

    /// The smallest capacity beyond which nothing changes.
    pub fn enough(&self) -> u32 {
        self.sums.len() as u32 - 1
    }

    /// The point at a capacity of this number of blocks.
    pub fn at(&self, capacity: u32) -> Point {
        let sums = self.sums[capacity.min(self.enough()) as usize];
        let ratio = |part: i64, whole: u64| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        Point {
            capacity,
            hits: sums.hits as u64,
            cached_tokens: sums.tokens as u64,
            block_hit_ratio: ratio(sums.hits, self.lookups),
            token_hit_ratio: ratio(sums.tokens, self.prompt_tokens),
            mean_request_hit_ratio: if self.requests == 0 {
                0.0
            } else {
                sums.shares as f64 / ONE as f64 / self.requests as f64
            },
        }
    }

    /// The point at unlimited capacity.
    pub fn best(&self) -> Point {
        self.at(self.enough())
    }

    /// Number of evictions at this capacity.
    pub fn evictions(&self, capacity: u32) -> u64 {
        let brought = self.uses - self.found(capacity);
        brought - u64::from(capacity.min(self.distinct))
    }

    /// Mean time since a block's last use when it hits at this capacity, in seconds.
    pub fn mean_gap(&self, capacity: u32) -> f64 {
        let sums = self.sums[capacity.min(self.enough()) as usize];
        sums.gaps as f64 / 1e6 / (sums.hits.max(1)) as f64
    }

    /// Number of uses that find their block resident at this capacity, earlier uses by the same request included.
    pub fn found(&self, capacity: u32) -> u64 {
        self.sums[capacity.min(self.enough()) as usize].found as u64
    }

    /// The smallest capacity that reaches a fraction of the best token hit ratio.
    pub fn capacity_for(&self, part: f64) -> u32 {
        let wanted = part * self.best().cached_tokens as f64;
        self.sums
            .partition_point(|sums| (sums.tokens as f64) < wanted) as u32
    }

    /// The knee: where the curve is highest above the straight line from its start to 99 % of its best. Beyond it, a block
    /// saves less than the average up to there (Satopaa et al., "Finding a Kneedle in a Haystack", 2011). The last
    /// hundredth is left out, because a few distant look-ups would stretch the line.
    pub fn knee(&self) -> u32 {
        let end = self.capacity_for(0.99);
        let reached = self.at(end).cached_tokens as f64;
        let above = |capacity: u32| {
            self.sums[capacity as usize].tokens as f64 / reached.max(1.0)
                - f64::from(capacity) / f64::from(end.max(1))
        };
        (0..=end)
            .max_by(|a, b| above(*a).total_cmp(&above(*b)).then(b.cmp(a)))
            .unwrap_or(0)
    }

    /// About this many points at most: every capacity at which something changes, or evenly spaced on a logarithmic scale.
    pub fn points(&self, most: usize) -> Vec<Point> {
        let enough = self.enough();
        let changes = (1..=enough)
            .filter(|c| self.sums[*c as usize].hits != self.sums[*c as usize - 1].hits)
            .take(most.saturating_add(1));
        let mut capacities: Vec<u32> = changes.collect();
        if capacities.len() > most {
            capacities = spread(enough, most);
        }
        capacities.insert(0, 0);
        if capacities.last() != Some(&enough) {
            capacities.push(enough);
        }
        capacities.into_iter().map(|c| self.at(c)).collect()
    }
}

/// About `count` whole numbers from 1 to `most`, evenly spaced on a logarithmic scale.
pub fn spread(most: u32, count: usize) -> Vec<u32> {
    let ratio = f64::from(most.max(1)).ln() / count.max(2) as f64;
    let mut all: Vec<u32> = (0..=count)
        .map(|step| ((ratio * step as f64).exp().round() as u32).clamp(1, most.max(1)))
        .collect();
    all.dedup();
    all
}
