//! A doubly linked list over dense indices: no allocation per node, every operation in constant time.

/// No neighbour.
const NONE: u32 = u32::MAX;

/// Links of a list of indices below a bound; each index is in the list at most once.
#[derive(Debug, Clone)]
pub struct Links {
    next: Vec<u32>,
    previous: Vec<u32>,
    /// Two sentinels, so that pushing needs no special case.
    head: u32,
    tail: u32,
    len: u32,
}

impl Links {
    /// Creates an empty list for indices below `bound`.
    pub fn new(bound: u32) -> Self {
        Self {
            next: vec![NONE; bound as usize],
            previous: vec![NONE; bound as usize],
            head: NONE,
            tail: NONE,
            len: 0,
        }
    }

    /// Number of indices in the list.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first index, if any.
    pub fn front(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    /// Appends an index that is not in the list.
    pub fn push_back(&mut self, index: u32) {
        self.previous[index as usize] = self.tail;
        self.next[index as usize] = NONE;
        match self.tail {
            NONE => self.head = index,
            tail => self.next[tail as usize] = index,
        }
        self.tail = index;
        self.len += 1;
    }

    /// Prepends an index that is not in the list.
    pub fn push_front(&mut self, index: u32) {
        self.next[index as usize] = self.head;
        self.previous[index as usize] = NONE;
        match self.head {
            NONE => self.tail = index,
            head => self.previous[head as usize] = index,
        }
        self.head = index;
        self.len += 1;
    }

    /// Removes an index that is in the list.
    pub fn remove(&mut self, index: u32) {
        let (before, after) = (self.previous[index as usize], self.next[index as usize]);
        match before {
            NONE => self.head = after,
            before => self.next[before as usize] = after,
        }
        match after {
            NONE => self.tail = before,
            after => self.previous[after as usize] = before,
        }
        self.len -= 1;
    }

    /// Removes and returns the first index.
    pub fn pop_front(&mut self) -> Option<u32> {
        let first = self.front()?;
        self.remove(first);
        Some(first)
    }

    /// Iterates from the first index to the last.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(self.front(), |index| {
            let next = self.next[*index as usize];
            (next != NONE).then_some(next)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::list::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behaves_as_a_deque(steps in prop::collection::vec((0u8..4, 0u32..8), 0..200)) {
            let mut links = Links::new(8);
            let mut model: VecDeque<u32> = VecDeque::new();
            for (step, index) in steps {
                let inside = model.contains(&index);
                match step {
                    0 if !inside => { links.push_back(index); model.push_back(index); }
                    1 if !inside => { links.push_front(index); model.push_front(index); }
                    2 if inside => { links.remove(index); model.retain(|i| *i != index); }
                    3 => prop_assert_eq!(links.pop_front(), model.pop_front()),
                    _ => {}
                }
                prop_assert_eq!(links.iter().collect::<Vec<_>>(), Vec::from(model.clone()));
                prop_assert_eq!(links.len() as usize, model.len());
            }
        }
    }
}
