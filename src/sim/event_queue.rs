//! The event queue: a binary heap ordered by (time, sequence number), with cancellation by key.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::trace::Nanos;

/// Key of a scheduled event, for its cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

#[derive(Debug)]
struct Entry<E> {
    time: Nanos,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}
impl<E> Eq for Entry<E> {}
impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.sequence).cmp(&(other.time, other.sequence))
    }
}

/// Future events. Events at the same time are returned in the order in which they were scheduled.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    next: u64,
    /// Sequence numbers of cancelled events that are still in the heap; there are few at any time.
    cancelled: Vec<u64>,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            next: 0,
            cancelled: Vec::new(),
        }
    }
}

impl<E> EventQueue<E> {
    /// Schedules an event.
    pub fn push(&mut self, time: Nanos, event: E) -> Key {
        let sequence = self.next;
        self.next += 1;
        self.heap.push(Reverse(Entry {
            time,
            sequence,
            event,
        }));
        Key(sequence)
    }

    /// Cancels a scheduled event that has not been returned yet.
    pub fn cancel(&mut self, key: Key) {
        if let Err(at) = self.cancelled.binary_search(&key.0) {
            self.cancelled.insert(at, key.0);
        }
    }

    /// Time of the next event.
    pub fn peek(&mut self) -> Option<Nanos> {
        self.drop_cancelled();
        self.heap.peek().map(|Reverse(entry)| entry.time)
    }

    /// Removes and returns the next event.
    pub fn pop(&mut self) -> Option<(Nanos, E)> {
        self.drop_cancelled();
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.time, entry.event))
    }

    fn drop_cancelled(&mut self) {
        while !self.cancelled.is_empty()
            && let Some(Reverse(entry)) = self.heap.peek()
            && let Ok(at) = self.cancelled.binary_search(&entry.sequence)
        {
            self.cancelled.remove(at);
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::event_queue::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn events_come_by_time_then_order_and_cancelled_ones_do_not(
            times in prop::collection::vec((0u64..5, any::<bool>()), 0..60),
        ) {
            let mut queue = EventQueue::default();
            let mut expected = Vec::new();
            let mut keys = Vec::new();
            for (index, (time, cancel)) in times.iter().enumerate() {
                let key = queue.push(Nanos(*time), index);
                if *cancel {
                    keys.push(key);
                } else {
                    expected.push((Nanos(*time), index));
                }
            }
            for key in keys {
                queue.cancel(key);
            }
            expected.sort();
            let mut got = Vec::new();
            while let Some(next) = queue.peek() {
                let popped = queue.pop().expect("peeked");
                prop_assert_eq!(next, popped.0);
                got.push(popped);
            }
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn entries_are_equal_where_their_order_is() {
        let entry = |time, sequence| Entry {
            time: Nanos(time),
            sequence,
            event: (),
        };
        let (first, second) = (entry(5, 0), entry(5, 1));
        for (a, b) in [(&first, &first), (&first, &second)] {
            assert_eq!(a == b, a.cmp(b).is_eq());
        }
    }
}
