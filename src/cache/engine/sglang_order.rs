//! Eviction order of the tree's leaves: `python/sglang/srt/mem_cache/evict_policy.py` of SGLang 0.5.23.

use super::sglang_tree::Node;
use crate::base::error::{Error, Result};
use crate::cache::eviction::Key;

/// Names of the orders; `tlru` takes two lengths, as in `tlru:4096,1024`.
pub const ORDERS: &[&str] = &[
    "lru", "lfu", "slru", "fifo", "mru", "filo", "priority", "tlru",
];

/// Number of uses from which on `slru` protects a node.
const PROTECTED: u32 = 2;

/// Rank of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Least recently used first.
    Lru,
    /// Fewest insertions first, then least recently used.
    Lfu,
    /// Nodes that were inserted once first, then the others; least recently used first in each group.
    Slru,
    /// Oldest first.
    Fifo,
    /// Most recently used first.
    Mru,
    /// Youngest first.
    Filo,
    /// Lowest priority first, then least recently used.
    Priority,
    /// Nodes that the next turn can recompute within the TTFT objective first, then the others; least recently used
    /// first in each group. Lengths are in tokens.
    Tlru {
        /// Number of tokens that may be computed within the TTFT objective.
        threshold: u64,
        /// Number of tokens that a turn is expected to add.
        estimate: u64,
        page_size: u64,
    },
}

impl Order {
    /// Parses the name of an order.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name, or for lengths that are missing or not numbers.
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
                        format!("policy `{text}` needs two lengths in tokens"),
                        "give SGLang's tlru_threshold and tlru_next_prompt_estimate, e.g. tlru:4096,1024",
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
                // Uses the longest prompt that ever ended below, not what is left of it. Otherwise a conversation that
                // was trimmed once would exceed its budget again, until nothing of it was left.
                let history = u64::from(node.history) * page_size;
                let budget = history.saturating_add(estimate).saturating_sub(threshold);
                let without = u64::from(node.depth - node.pages) * page_size;
                (i64::from(without < budget), node.used)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::engine::sglang_order::*;

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
        // In a conversation of 40 pages of 256 tokens, 40 * 256 + 1,024 - 4,096 = 7,168 tokens must stay: 28 pages. Its
        // last 12 pages, one node each, are evicted first, and evictions do not change the length of the history.
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
        // All of a short conversation may be evicted; a single node that is longer than what may be evicted stays
        // whole.
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
