//! In which order leaves go: `python/sglang/srt/mem_cache/evict_policy.py` of SGLang 0.5.23.

use super::sglang_tree::{Node, NodeId};
use crate::error::{Error, Result};

/// Names of the orders; `tlru` is followed by its two lengths, as `tlru:4096,1024`.
pub const ORDERS: &[&str] = &[
    "lru", "lfu", "slru", "fifo", "mru", "filo", "priority", "tlru",
];

/// Uses from which on a node is protected under `slru`.
const PROTECTED: u32 = 2;

/// What goes first has the lowest key.
pub(super) type Key = (i64, u64);

/// How leaves are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Least recently used.
    Lru,
    /// Fewest insertions along it, then least recently used.
    Lfu,
    /// Least recently used of those that were inserted once, then of the others.
    Slru,
    /// Oldest.
    Fifo,
    /// Most recently used.
    Mru,
    /// Youngest.
    Filo,
    /// Lowest priority, then least recently used.
    Priority,
    /// What the next turn can do without, least recently used first; then the rest likewise. Lengths in tokens.
    Tlru {
        /// So many tokens may be computed within the time that a first token may take.
        threshold: u64,
        /// So many tokens a turn is expected to add.
        estimate: u64,
        page_size: u64,
    },
}

impl Order {
    /// An order by its name.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name, or lengths that are missing or no numbers.
    pub(super) fn parse(text: &str, page_size: u32) -> Result<Self> {
        Ok(match text {
            "lru" => Self::Lru,
            "lfu" => Self::Lfu,
            "slru" => Self::Slru,
            "fifo" => Self::Fifo,
            "mru" => Self::Mru,
            "filo" => Self::Filo,
            "priority" => Self::Priority,
            _ => {
                let (name, lengths) = text.split_once(':').unwrap_or((text, ""));
                if name != "tlru" {
                    return Err(Error::unknown_name("policy", text, ORDERS));
                }
                let lengths = lengths
                    .split_once(',')
                    .and_then(|(first, second)| Some((first.parse().ok()?, second.parse().ok()?)));
                let Some((threshold, estimate)) = lengths else {
                    return Err(Error::usage(
                        format!("policy `{text}` lacks its lengths in tokens"),
                        "give SGLang's --tlru-threshold and --tlru-next-prompt-estimate, as tlru:4096,1024",
                    ));
                };
                Self::Tlru {
                    threshold,
                    estimate,
                    page_size: u64::from(page_size),
                }
            }
        })
    }

    pub(super) fn key(self, node: &Node) -> Key {
        match self {
            Self::Lru => (0, node.used),
            Self::Lfu => (i64::from(node.hits), node.used),
            Self::Slru => (i64::from(node.hits >= PROTECTED), node.used),
            Self::Fifo => (0, node.created),
            Self::Mru => (0, u64::MAX - node.used),
            Self::Filo => (0, u64::MAX - node.created),
            Self::Priority => (i64::from(node.priority), node.used),
            Self::Tlru {
                threshold,
                estimate,
                page_size,
            } => {
                // The longest prompt that ever ended below counts, not what is left of it: else a conversation that was
                // trimmed once would be over its budget again, and trimmed to nothing.
                let history = u64::from(node.history) * page_size;
                let budget = history.saturating_add(estimate).saturating_sub(threshold);
                let without = u64::from(node.depth - node.pages) * page_size;
                (i64::from(without < budget), node.used)
            }
        }
    }
}

/// Leaves that may go, lowest key first; a leaf can be taken out or ranked anew, so nothing stale is left behind.
#[derive(Debug, Default)]
pub(super) struct Heap {
    entries: Vec<(Key, NodeId)>,
    /// Per node, where it stands; [`NOWHERE`] if it does not.
    places: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl Heap {
    pub(super) fn contains(&self, node: NodeId) -> bool {
        self.places
            .get(node as usize)
            .is_some_and(|place| *place != NOWHERE)
    }

    /// Lets a node in, or ranks it anew.
    pub(super) fn put(&mut self, node: NodeId, key: Key) {
        if self.places.len() <= node as usize {
            self.places.resize(node as usize + 1, NOWHERE);
        }
        let place = match self.places[node as usize] {
            NOWHERE => {
                self.entries.push((key, node));
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

    /// Takes a node out, if it is in.
    pub(super) fn remove(&mut self, node: NodeId) {
        if !self.contains(node) {
            return;
        }
        let place = self.places[node as usize] as usize;
        self.places[node as usize] = NOWHERE;
        self.entries.swap_remove(place);
        if place < self.entries.len() {
            let place = self.rise(place);
            self.sink(place);
        }
    }

    /// Takes out the node with the lowest key.
    pub(super) fn pop(&mut self) -> Option<NodeId> {
        let node = self.entries.first()?.1;
        self.remove(node);
        Some(node)
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

    fn set(&mut self, place: usize, entry: (Key, NodeId)) {
        self.entries[place] = entry;
        self.places[entry.1 as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_heap_behaves_as_a_sorted_map(steps in prop::collection::vec((0u8..4, 0u32..8, 0u64..5), 0..200)) {
            let mut heap = Heap::default();
            let mut model: BTreeMap<NodeId, Key> = BTreeMap::new();
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

    #[test]
    fn lengths_of_tlru_are_part_of_its_name() {
        for bad in [
            "tlru",
            "tlru:",
            "tlru:1",
            "tlru:1,",
            "tlru:a,b",
            "tlru:-1,2",
        ] {
            assert!(Order::parse(bad, 16).is_err(), "{bad}");
        }
        let unknown = Order::parse("lruu", 16).expect_err("unknown").to_string();
        assert!(unknown.contains("did you mean `lru`"), "{unknown}");
        for name in ORDERS.iter().filter(|name| **name != "tlru") {
            assert!(Order::parse(name, 16).is_ok(), "{name}");
        }
    }

    #[test]
    fn tlru_lets_go_of_what_the_next_turn_can_compute_in_time() {
        // In a conversation of 40 pages of 256 tokens, 40 * 256 + 1,024 - 4,096 = 7,168 tokens must stay: 28 pages. Its last
        // 12 pages go first, one node each, and what goes leaves the length of the history as it is.
        let order = Order::parse("tlru:4096,1024", 256).expect("parses");
        let classes: Vec<i64> = (1..=40)
            .map(|depth| {
                let node = Node {
                    depth,
                    pages: 1,
                    history: 40,
                    ..Node::default()
                };
                order.key(&node).0
            })
            .collect();
        assert_eq!(classes.iter().filter(|class| **class == 0).count(), 12);
        assert!(classes.is_sorted_by(|a, b| a >= b), "{classes:?}");
        // A short one is free as a whole; one node that is longer than what may go stays as a whole.
        let short = Node {
            depth: 4,
            pages: 4,
            history: 4,
            ..Node::default()
        };
        let long = Node {
            depth: 40,
            pages: 40,
            history: 40,
            ..Node::default()
        };
        assert_eq!((order.key(&short).0, order.key(&long).0), (0, 1));
    }
}
