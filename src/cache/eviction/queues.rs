//! Several queues over dense block ids, each block in at most one of them: one small record per block, no allocation.

use super::BlockId;

/// No neighbour, or no queue.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    next: u32,
    previous: u32,
    queue: u32,
    /// A frequency or a mark, which the policy defines.
    count: u32,
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    front: u32,
    back: u32,
    length: u32,
}

const EMPTY: Ends = Ends {
    front: NONE,
    back: NONE,
    length: 0,
};

/// A set of queues; blocks leave at the front, the oldest end.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    nodes: Vec<Node>,
    ends: Vec<Ends>,
    steps: u64,
}

impl Queues {
    /// Creates `queues` empty queues for block ids below `blocks`.
    pub(super) fn new(blocks: u32, queues: usize) -> Self {
        let node = Node {
            next: NONE,
            previous: NONE,
            queue: NONE,
            count: 0,
        };
        Self {
            nodes: vec![node; blocks as usize],
            ends: vec![EMPTY; queues],
            steps: 0,
        }
    }

    /// Entries linked, unlinked and examined so far.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// The queue that a block is in, or [`NONE`].
    pub(super) fn queue_of(&self, block: BlockId) -> u32 {
        self.nodes[block as usize].queue
    }

    pub(super) fn count(&self, block: BlockId) -> u32 {
        self.nodes[block as usize].count
    }

    pub(super) fn set_count(&mut self, block: BlockId, count: u32) {
        self.nodes[block as usize].count = count;
    }

    pub(super) fn len(&self, queue: u32) -> u32 {
        self.ends[queue as usize].length
    }

    /// The oldest block of a queue.
    pub(super) fn front(&self, queue: u32) -> Option<BlockId> {
        let front = self.ends[queue as usize].front;
        (front != NONE).then_some(front)
    }

    /// The youngest block of a queue.
    pub(super) fn back(&self, queue: u32) -> Option<BlockId> {
        let back = self.ends[queue as usize].back;
        (back != NONE).then_some(back)
    }

    /// The next younger block of the same queue.
    #[cfg(test)]
    fn younger(&mut self, block: BlockId) -> Option<BlockId> {
        self.steps += 1;
        let next = self.nodes[block as usize].next;
        (next != NONE).then_some(next)
    }

    /// Adds empty queues up to this number.
    pub(super) fn grow(&mut self, queues: usize) {
        if self.ends.len() < queues {
            self.ends.resize(queues, EMPTY);
        }
    }

    /// Appends a block that is in no queue at the young end.
    pub(super) fn push(&mut self, queue: u32, block: BlockId) {
        self.steps += 1;
        let ends = &mut self.ends[queue as usize];
        let back = std::mem::replace(&mut ends.back, block);
        ends.length += 1;
        if back == NONE {
            ends.front = block;
        } else {
            self.nodes[back as usize].next = block;
        }
        let node = &mut self.nodes[block as usize];
        node.previous = back;
        node.next = NONE;
        node.queue = queue;
    }

    /// Removes a block from its queue.
    pub(super) fn remove(&mut self, block: BlockId) {
        self.steps += 1;
        let node = &mut self.nodes[block as usize];
        let Node {
            next,
            previous,
            queue,
            ..
        } = *node;
        node.queue = NONE;
        let ends = &mut self.ends[queue as usize];
        ends.length -= 1;
        if previous == NONE {
            ends.front = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next == NONE {
            self.ends[queue as usize].back = previous;
        } else {
            self.nodes[next as usize].previous = previous;
        }
    }

    /// Removes the oldest block of a queue and returns it.
    pub(super) fn pop(&mut self, queue: u32) -> Option<BlockId> {
        let front = self.front(queue)?;
        self.remove(front);
        Some(front)
    }

    /// Moves a block to the young end of a queue, from its present queue if any.
    pub(super) fn move_to(&mut self, queue: u32, block: BlockId) {
        if self.queue_of(block) != NONE {
            self.remove(block);
        }
        self.push(queue, block);
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::queues::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behave_as_deques(steps in prop::collection::vec((0u8..4, 0u32..2, 0u32..8), 0..200)) {
            let mut queues = Queues::new(8, 2);
            let mut model = [VecDeque::new(), VecDeque::new()];
            for (step, queue, block) in steps {
                let inside = model.iter().position(|queue| queue.contains(&block));
                match (step, inside) {
                    (0, None) => { queues.push(queue, block); model[queue as usize].push_back(block); }
                    (1, Some(_)) => {
                        queues.remove(block);
                        model.iter_mut().for_each(|queue| queue.retain(|other| *other != block));
                    }
                    (2, _) => {
                        queues.move_to(queue, block);
                        model.iter_mut().for_each(|queue| queue.retain(|other| *other != block));
                        model[queue as usize].push_back(block);
                    }
                    (3, _) => prop_assert_eq!(queues.pop(queue), model[queue as usize].pop_front()),
                    _ => {}
                }
                for (queue, model) in (0..).zip(&model) {
                    prop_assert_eq!(queues.len(queue) as usize, model.len());
                    let all = std::iter::successors(queues.front(queue), |block| queues.clone().younger(*block));
                    prop_assert_eq!(all.collect::<Vec<_>>(), Vec::from(model.clone()));
                    prop_assert!(model.iter().all(|block| queues.queue_of(*block) == queue));
                }
            }
        }
    }
}
