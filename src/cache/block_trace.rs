//! A trace as runs of dense block ids: hashed and interned once, then replayed any number of times without hashing.

use hashbrown::HashTable;

use super::{BlockHasher, HashScheme};
use crate::base::error::{Error, Result};
use crate::trace::arrival::ServiceTime;
use crate::trace::{Content, Nanos, Request, Service, TokenReplay, Trace};

/// A block's index, counted from 0 in order of first use.
pub type BlockId = u32;

/// Metadata of a request, in addition to its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Index of the session in the trace.
    pub session: u32,
    /// Later requests of the session.
    pub turns_left: u32,
    /// Arrival.
    pub arrival: Nanos,
    /// Prompt tokens.
    pub input_length: u32,
    /// Output tokens with known ids.
    pub output_length: u32,
    /// Output tokens, with known ids or not.
    pub generated: u32,
    /// Service time, if the trace has it.
    pub service: Option<Service>,
}

/// The blocks of one request, stored as the difference from the session's previous request.
#[derive(Debug, Clone, Copy)]
struct Entry {
    facts: Facts,
    /// Number of leading blocks shared with the session's previous request.
    shared: u32,
    /// Start of the remaining ids.
    start: usize,
    fresh: u32,
    /// Blocks of the prompt that can be looked up.
    prompt: u32,
}

/// The blocks of a trace at one block size.
#[derive(Debug, Clone)]
pub struct BlockTrace {
    block_size: u32,
    scheme: HashScheme,
    distinct: u32,
    entries: Vec<Entry>,
    ids: Vec<BlockId>,
    /// Per session, the start of its path in a cursor's buffer; one more than there are sessions.
    arena: Vec<usize>,
}

impl BlockTrace {
    /// Divides `trace` into blocks of `block_size` tokens.
    ///
    /// A trace of hash ids has its own block size, and its last, partial blocks have ids too.
    ///
    /// # Errors
    /// [`Error::Usage`] if the trace has no content, or another block size than requested.
    pub fn new(trace: &Trace, block_size: Option<u32>, scheme: HashScheme) -> Result<Self> {
        match trace.content() {
            Content::Tokens => {
                let block_size = block_size.unwrap_or(16);
                if block_size == 0 {
                    return Err(Error::usage(
                        "the block size is 0",
                        "give 1 or more, e.g. 16",
                    ));
                }
                Ok(Self::from_tokens(trace, block_size, scheme))
            }
            Content::HashIds { block_size: own } => {
                if block_size.is_some_and(|asked| asked != own) {
                    return Err(Error::usage(
                        format!(
                            "the trace's hash ids stand for blocks of {own} tokens, which cannot be changed"
                        ),
                        format!("leave `block_size` out, or set it to {own}"),
                    ));
                }
                Ok(Self::from_hash_ids(trace, own))
            }
            Content::Lengths => Err(Error::usage(
                "the trace has lengths only, so it does not show which prefixes its requests share",
                "use a trace with token ids or hash ids; this one can only be simulated",
            )),
        }
    }

    fn from_hash_ids(trace: &Trace, block_size: u32) -> Self {
        let mut build = Builder::new(trace, block_size, HashScheme::ChainedPartial);
        for request in trace.requests() {
            let fresh = trace.ids(request.fresh);
            let top = fresh.iter().max().map_or(0, |id| id + 1);
            build.trace.distinct = build.trace.distinct.max(top);
            let total = request.shared + fresh.len() as u32;
            build.push(request, request.shared, fresh, total);
        }
        build.finish()
    }

    fn from_tokens(trace: &Trace, block_size: u32, scheme: HashScheme) -> Self {
        let partial_tail = scheme != HashScheme::Chained;
        let size = block_size as usize;
        let mut build = Builder::new(trace, block_size, scheme);
        let mut hasher = BlockHasher::new(scheme, size);
        let mut interner = Interner::default();
        let mut paths: Vec<Path> = Vec::new();
        paths.resize_with(trace.sessions().len(), Path::default);
        let mut fresh = Vec::new();
        let mut replay = TokenReplay::new(trace);
        while let Some(tokens) = replay.next_request() {
            let request = &trace.requests()[tokens.index];
            let session = request.session as usize;
            let path = &mut paths[session];
            let mut shared = (request.shared / block_size).min(path.hashes.len() as u32);
            if path.extra != request.extra {
                shared = 0;
                path.extra = request.extra;
            }
            path.hashes.truncate(shared as usize);
            let root = BlockHasher::root(trace.extra_keys(request));
            let mut parent = path.hashes.last().copied().unwrap_or(root);
            fresh.clear();
            let full = tokens.prompt.len() / size;
            // The last token of an output is sampled but never computed, so its block is not cached by this request.
            let computed = tokens.prompt.len() + tokens.output.len().saturating_sub(1);
            let total = if partial_tail { full } else { computed / size };
            let mut block = Vec::with_capacity(size);
            for index in shared as usize..total {
                parent = if (index + 1) * size <= tokens.prompt.len() {
                    hasher.hash(parent, &tokens.prompt[index * size..(index + 1) * size])
                } else {
                    block.clear();
                    let from = index * size;
                    let split = tokens.prompt.len();
                    block.extend_from_slice(&tokens.prompt[from.min(split)..]);
                    let output = from.max(split) - split..(index + 1) * size - split;
                    block.extend_from_slice(&tokens.output[output]);
                    hasher.hash(parent, &block)
                };
                path.hashes.push(parent);
                fresh.push(interner.intern(parent));
            }
            let mut prompt = full as u32;
            if partial_tail && !tokens.prompt.len().is_multiple_of(size) {
                fresh.push(interner.intern(hasher.hash(parent, &tokens.prompt[full * size..])));
                prompt += 1;
            }
            build.push(request, shared, &fresh, prompt);
            if build.to_come[session] == 0 {
                path.hashes = Vec::new();
            }
        }
        build.trace.distinct = interner.hashes.len() as u32;
        build.finish()
    }

    /// Tokens per block.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// What the hash of a block covers.
    pub fn scheme(&self) -> HashScheme {
        self.scheme
    }

    /// Whether the last, partial block of a prompt has an id and can be looked up.
    pub fn partial_tail(&self) -> bool {
        self.scheme != HashScheme::Chained
    }

    /// Whether the id of a block is independent of the blocks before it.
    pub fn hashed_alone(&self) -> bool {
        self.scheme == HashScheme::Alone
    }

    /// Number of different blocks, including those of outputs.
    pub fn distinct(&self) -> u32 {
        self.distinct
    }

    /// Number of requests.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no requests.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A fingerprint of all blocks, lengths and times, which differs between traces.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        let mut add = |number: u64| hash.update(&number.to_le_bytes());
        for entry in &self.entries {
            let facts = &entry.facts;
            add(facts.arrival.0);
            add(u64::from(facts.session) << 32 | u64::from(entry.shared));
            add(u64::from(facts.input_length) << 32 | u64::from(facts.output_length));
            add(u64::from(facts.generated));
            add(u64::from(facts.service.is_some()));
            if let Some(service) = facts.service {
                add(service.prefill.0);
                add(service.decode.0);
            }
            add(u64::from(entry.fresh) << 32 | u64::from(entry.prompt));
        }
        for id in &self.ids {
            hash.update(&id.to_le_bytes());
        }
        hash.digest()
    }

    /// Number of prompt blocks that can be looked up, over all requests.
    pub fn lookups(&self) -> u64 {
        self.entries
            .iter()
            .map(|entry| u64::from(entry.prompt))
            .sum()
    }

    /// Number of different blocks in prompts.
    pub fn distinct_in_prompts(&self) -> u32 {
        let mut seen = vec![false; self.distinct as usize];
        let mut cursor = self.cursor();
        while let Some(run) = cursor.next_run() {
            // The shared blocks were in the previous turn's prompt only in part, so all blocks are checked.
            for block in run.prompt {
                seen[*block as usize] = true;
            }
        }
        seen.iter().filter(|seen| **seen).count() as u32
    }

    /// Metadata of each request, in order of arrival.
    pub fn facts(&self) -> impl Iterator<Item = &Facts> {
        self.entries.iter().map(|entry| &entry.facts)
    }

    /// The first `requests` requests. If the trace has fewer, it is repeated, each time with new sessions and blocks, so
    /// that a repetition finds no blocks of an earlier one. Arrival times are those of the trace.
    #[must_use]
    pub fn repeated(&self, requests: usize) -> Self {
        let own = self.entries.len().max(1);
        let rounds = requests.div_ceil(own).max(1);
        let sessions = self.arena.len().saturating_sub(1) as u32;
        let room = self.arena.last().copied().unwrap_or(0);
        let mut repeated = Self {
            distinct: self.distinct * rounds as u32,
            entries: Vec::with_capacity(requests),
            ids: Vec::new(),
            arena: vec![0],
            ..*self
        };
        for round in 0..rounds {
            let left = (requests - repeated.entries.len()).min(self.entries.len());
            let taken = &self.entries[..left];
            let used = taken.last();
            let used = used.map_or(0, |entry| entry.start + entry.fresh as usize);
            let start = repeated.ids.len();
            let (number, shift) = (round as u32, round as u32 * self.distinct);
            let ids = self.ids[..used].iter().map(|id| id + shift);
            repeated.ids.extend(ids);
            repeated.entries.extend(taken.iter().map(|entry| Entry {
                facts: Facts {
                    session: entry.facts.session + number * sessions,
                    ..entry.facts
                },
                start: entry.start + start,
                ..*entry
            }));
            let ends = self.arena.iter().skip(1).map(|end| end + round * room);
            repeated.arena.extend(ends);
        }
        repeated
    }

    /// Iterates over the runs in order of arrival.
    pub fn cursor(&self) -> RunCursor<'_> {
        RunCursor {
            trace: self,
            arena: vec![0; self.arena.last().copied().unwrap_or(0)],
            next: 0,
        }
    }
}

/// The blocks of one request.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Index of the request in the trace.
    pub index: usize,
    /// The blocks of the prompt that can be looked up, in order.
    pub prompt: &'a [BlockId],
    /// All full blocks that prompt and output fill together, the ones above included.
    pub all: &'a [BlockId],
    /// Metadata of the request.
    pub facts: Facts,
}

/// Restores runs from the differences, in a buffer that holds the longest run of every session.
#[derive(Debug)]
pub struct RunCursor<'a> {
    trace: &'a BlockTrace,
    arena: Vec<BlockId>,
    next: usize,
}

impl RunCursor<'_> {
    /// The next request's run. Not an `Iterator`, because the result borrows a buffer.
    pub fn next_run(&mut self) -> Option<Run<'_>> {
        let index = self.next;
        let entry = self.trace.entries.get(index)?;
        self.next += 1;
        let fresh = &self.trace.ids[entry.start..entry.start + entry.fresh as usize];
        let session = entry.facts.session as usize;
        let room = self.trace.arena[session]..self.trace.arena[session + 1];
        let all = if room.is_empty() {
            fresh
        } else {
            let path = &mut self.arena[room];
            let (shared, end) = (entry.shared as usize, (entry.shared + entry.fresh) as usize);
            path[shared..end].copy_from_slice(fresh);
            &path[..end]
        };
        Some(Run {
            index,
            prompt: &all[..entry.prompt as usize],
            all,
            facts: entry.facts,
        })
    }
}

#[derive(Debug, Default)]
struct Path {
    hashes: Vec<u128>,
    extra: u32,
}

/// Maps 128-bit hashes to dense ids. Each hash is stored once; the table contains ids only.
#[derive(Debug, Default)]
struct Interner {
    hashes: Vec<u128>,
    table: HashTable<u32>,
}

impl Interner {
    fn intern(&mut self, hash: u128) -> BlockId {
        let hashes = &mut self.hashes;
        if let Some(id) = self
            .table
            .find(hash as u64, |id| hashes[*id as usize] == hash)
        {
            return *id;
        }
        let id = hashes.len() as u32;
        hashes.push(hash);
        self.table
            .insert_unique(hash as u64, id, |id| hashes[*id as usize] as u64);
        id
    }
}

struct Builder {
    trace: BlockTrace,
    requests_per_session: Vec<u32>,
    /// Number of requests of each session that were not pushed yet.
    to_come: Vec<u32>,
    /// Longest run per session.
    longest: Vec<u32>,
    /// Hash scheme of the trace.
    service: Option<ServiceTime>,
}

impl Builder {
    fn new(trace: &Trace, block_size: u32, scheme: HashScheme) -> Self {
        let sessions = trace.sessions().len();
        let mut requests_per_session = vec![0; sessions];
        for request in trace.requests() {
            requests_per_session[request.session as usize] += 1;
        }
        Self {
            trace: BlockTrace {
                block_size,
                scheme,
                distinct: 0,
                entries: Vec::with_capacity(trace.requests().len()),
                ids: Vec::new(),
                arena: Vec::new(),
            },
            to_come: requests_per_session.clone(),
            requests_per_session,
            longest: vec![0; sessions],
            service: ServiceTime::of_meta(&trace.meta),
        }
    }

    fn push(&mut self, request: &Request, shared: u32, fresh: &[BlockId], prompt: u32) {
        let start = self.trace.ids.len();
        self.trace.ids.extend_from_slice(fresh);
        let session = request.session;
        let turns_left = &mut self.to_come[session as usize];
        *turns_left -= 1;
        let longest = &mut self.longest[session as usize];
        *longest = (*longest).max(shared + fresh.len() as u32);
        self.trace.entries.push(Entry {
            facts: Facts {
                session,
                turns_left: *turns_left,
                arrival: request.arrival,
                input_length: request.input_length,
                output_length: request.output.len() as u32,
                generated: request.output_length,
                service: request.service_time.map(Service::decoding).or_else(|| {
                    Some(
                        self.service?
                            .parts(request.input_length, request.output_length),
                    )
                }),
            },
            shared,
            start,
            fresh: fresh.len() as u32,
            prompt,
        });
    }

    fn finish(mut self) -> BlockTrace {
        let mut end = 0;
        self.trace.arena.push(0);
        for (longest, requests) in self.longest.iter().zip(&self.requests_per_session) {
            // A session with one request shares no blocks with an earlier one: its run is read in place.
            if *requests > 1 {
                end += *longest as usize;
            }
            self.trace.arena.push(end);
        }
        self.trace.ids.shrink_to_fit();
        self.trace
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::block_trace::*;
    use crate::trace::{NewRequest, TraceBuilder, TraceMeta};

    #[test]
    fn a_repetition_has_sessions_and_blocks_of_its_own() {
        let mut builder = TraceBuilder::new(Content::HashIds { block_size: 16 });
        for (at, id, session, turn, shared, fresh) in [
            (0, "a0", "a", 0, 0, &[0, 1][..]),
            (1, "b0", "b", 0, 0, &[0, 2]),
            (2, "a1", "a", 1, 2, &[3]),
        ] {
            builder
                .push(NewRequest {
                    id,
                    session,
                    turn,
                    arrival: Nanos(at),
                    input_length: 16 * (shared + fresh.len() as u32),
                    output_length: 1,
                    shared,
                    fresh,
                    output: &[],
                    extra: None,
                })
                .expect("is taken");
        }
        let trace = builder.finish(TraceMeta::default()).expect("is whole");
        let scheme = HashScheme::ChainedPartial;
        let blocks = BlockTrace::new(&trace, None, scheme).expect("has ids");
        let runs = |blocks: &BlockTrace| {
            let mut cursor = blocks.cursor();
            let mut runs = Vec::new();
            while let Some(run) = cursor.next_run() {
                runs.push((run.facts.session, run.all.to_vec()));
            }
            runs
        };
        let first = [(0, vec![0, 1]), (1, vec![0, 2]), (0, vec![0, 1, 3])];
        let again = [(2, vec![4, 5]), (3, vec![4, 6])];
        assert_eq!(runs(&blocks), first);
        let repeated = blocks.repeated(5);
        assert_eq!(repeated.distinct(), 8);
        assert_eq!(runs(&repeated), [&first[..], &again].concat());
        assert_eq!(runs(&blocks.repeated(2)), first[..2]);
        assert_eq!(blocks.repeated(2).distinct(), 4);
    }
}
