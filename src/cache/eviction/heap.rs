//! A heap from which any entry can be removed.

/// Sort key of an entry; the lowest is first.
pub(crate) type Key = (i64, u64);

/// Entries by index, lowest key first. Entries can be removed and can change their key, so none is ever stale.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    entries: Vec<(Key, u32)>,
    /// Position in the heap of each entry; [`NOWHERE`] if it is not in the heap.
    places: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl Heap {
    pub(crate) fn contains(&self, entry: u32) -> bool {
        self.places
            .get(entry as usize)
            .is_some_and(|place| *place != NOWHERE)
    }

    /// Inserts an entry, or changes its key.
    pub(crate) fn put(&mut self, entry: u32, key: Key) {
        if self.places.len() <= entry as usize {
            self.places.resize(entry as usize + 1, NOWHERE);
        }
        let place = match self.places[entry as usize] {
            NOWHERE => {
                self.entries.push((key, entry));
                self.entries.len() - 1
            }
            place => {
                self.entries[place as usize].0 = key;
                place as usize
            }
        };
        let place = self.rise(place);
        self.sink(place);
    }

    /// Removes an entry, if it is in the heap.
    pub(crate) fn remove(&mut self, entry: u32) {
        if !self.contains(entry) {
            return;
        }
        let place = self.places[entry as usize] as usize;
        self.places[entry as usize] = NOWHERE;
        self.entries.swap_remove(place);
        if place < self.entries.len() {
            let place = self.rise(place);
            self.sink(place);
        }
    }

    /// Removes the entry with the lowest key.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let entry = self.entries.first()?.1;
        self.remove(entry);
        Some(entry)
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The lowest key.
    pub(crate) fn lowest(&self) -> Option<Key> {
        self.entries.first().map(|(key, _)| *key)
    }

    fn rise(&mut self, mut place: usize) -> usize {
        let entry = self.entries[place];
        while place > 0 {
            let above = (place - 1) / 2;
            if self.entries[above] <= entry {
                break;
            }
            self.set(place, self.entries[above]);
            place = above;
        }
        self.set(place, entry);
        place
    }

    fn sink(&mut self, mut place: usize) {
        let entry = self.entries[place];
        loop {
            let mut below = 2 * place + 1;
            if below + 1 < self.entries.len() && self.entries[below + 1] < self.entries[below] {
                below += 1;
            }
            if below >= self.entries.len() || entry <= self.entries[below] {
                break;
            }
            self.set(place, self.entries[below]);
            place = below;
        }
        self.set(place, entry);
    }

    fn set(&mut self, place: usize, entry: (Key, u32)) {
        self.entries[place] = entry;
        self.places[entry.1 as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::eviction::heap::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_heap_behaves_as_a_sorted_map(steps in prop::collection::vec((0u8..4, 0u32..8, 0u64..5), 0..200)) {
            let mut heap = Heap::default();
            let mut model: BTreeMap<u32, Key> = BTreeMap::new();
            for (step, node, key) in steps {
                match step {
                    0 | 1 => { heap.put(node, (0, key)); model.insert(node, (0, key)); }
                    2 => { heap.remove(node); model.remove(&node); }
                    _ => {
                        let lowest = model.iter().map(|(node, key)| (*key, *node)).min();
                        prop_assert_eq!(heap.pop(), lowest.map(|(_, node)| node));
                        if let Some((_, node)) = lowest { model.remove(&node); }
                    }
                }
                for node in 0..8 { prop_assert_eq!(heap.contains(node), model.contains_key(&node)); }
            }
        }
    }
}
