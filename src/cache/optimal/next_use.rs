//! The next use of each block of a request.

use crate::cache::{BlockTrace, Run};

/// Marks a block that is not used again.
pub const NEVER: u32 = u32::MAX;

/// Blocks `start..end` of a run, whose next use is by the same request.
#[derive(Debug, Clone, Copy)]
struct Segment {
    start: u32,
    end: u32,
    next: u32,
}

/// The next use of every block of every run, in segments: requests with a common prefix use it together, so a run has few
/// segments.
#[derive(Debug)]
pub struct NextUse {
    segments: Vec<Segment>,
    /// Start of each request's segments; one more than there are requests.
    first: Vec<usize>,
}

impl NextUse {
    /// Of all blocks of the runs, or of those of prompts only.
    pub fn new(blocks: &BlockTrace, outputs: bool) -> Self {
        let mut last = vec![(NEVER, 0); blocks.distinct() as usize];
        let mut found: Vec<(u32, Segment)> = Vec::new();
        let mut count = vec![0usize; blocks.len() + 1];
        let mut cursor = blocks.cursor();
        while let Some(run) = cursor.next_run() {
            let now = run.index as u32;
            let mut open: Option<(u32, Segment)> = None;
            for (position, block) in (0..).zip(used(&run, outputs)) {
                let (user, place) = std::mem::replace(&mut last[*block as usize], (now, position));
                match &mut open {
                    Some((request, segment)) if *request == user && segment.end == place => {
                        segment.end += 1;
                    }
                    _ => {
                        found.extend(open.take());
                        open = (user != NEVER).then_some((
                            user,
                            Segment {
                                start: place,
                                end: place + 1,
                                next: now,
                            },
                        ));
                    }
                }
            }
            found.extend(open);
        }
        for (request, _) in &found {
            count[*request as usize + 1] += 1;
        }
        for index in 1..count.len() {
            count[index] += count[index - 1];
        }
        let first = count.clone();
        let none = Segment {
            start: 0,
            end: 0,
            next: NEVER,
        };
        let mut segments = vec![none; found.len()];
        for (request, segment) in found {
            let place = &mut count[request as usize];
            segments[*place] = segment;
            *place += 1;
        }
        Self { segments, first }
    }

    /// Writes the next use of the first `length` blocks of a request's run into `next`.
    pub fn of(&self, request: usize, length: usize, next: &mut Vec<u32>) {
        next.clear();
        next.resize(length, NEVER);
        for segment in &self.segments[self.first[request]..self.first[request + 1]] {
            next[segment.start as usize..segment.end as usize].fill(segment.next);
        }
    }
}

fn used<'a>(run: &Run<'a>, outputs: bool) -> &'a [u32] {
    if outputs { run.all } else { run.prompt }
}

#[cfg(test)]
mod tests {
    use crate::cache::optimal::next_use::*;
    use crate::cache::testing::blocks_of;

    #[test]
    fn each_block_knows_who_wants_it() {
        let runs: [&[u32]; 5] = [&[0, 1, 2], &[0, 1, 3], &[4], &[0, 1, 2], &[4, 5]];
        let blocks = blocks_of(&runs);
        let next_use = NextUse::new(&blocks, false);
        let mut next = Vec::new();
        let mut all = Vec::new();
        for (request, run) in runs.iter().enumerate() {
            next_use.of(request, run.len(), &mut next);
            all.push(next.clone());
        }
        assert_eq!(
            all,
            [
                vec![1, 1, 3],
                vec![3, 3, NEVER],
                vec![4],
                vec![NEVER; 3],
                vec![NEVER; 2]
            ]
        );
    }
}
