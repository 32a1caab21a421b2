//! The event list of SplitwiseSim: CPython's `heapq`, compared by time only.
//!
//! The order in which events of equal time leave the heap depends on all earlier operations. To reproduce that order,
//! the sift operations are those of `Modules/_heapqmodule.c`, and cancelled events stay in the heap until they reach
//! its top, as in `simulator.py`.

/// Id of an event, for cancelling it; ids rise in the order of scheduling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventId(u32);

#[derive(Debug, Clone, Copy)]
struct Event<A> {
    time: f64,
    id: EventId,
    action: A,
}

/// The event queue of SplitwiseSim.
#[derive(Debug)]
pub(super) struct EventQueue<A> {
    heap: Vec<Event<A>>,
    scheduled: u32,
    /// One bit per event.
    cancelled: Vec<u64>,
}

impl<A: Copy> EventQueue<A> {
    pub(super) fn with_capacity(events: usize) -> Self {
        Self {
            heap: Vec::with_capacity(events),
            scheduled: 0,
            cancelled: Vec::new(),
        }
    }

    /// `heappush`.
    pub(super) fn push(&mut self, time: f64, action: A) -> EventId {
        let id = EventId(self.scheduled);
        self.scheduled += 1;
        let last = self.heap.len();
        self.heap.push(Event { time, id, action });
        self.sift_down(0, last);
        id
    }

    /// Marks an event as cancelled; has no effect on an event that has run.
    pub(super) fn cancel(&mut self, event: EventId) {
        let word = event.0 as usize / 64;
        if self.cancelled.len() <= word {
            self.cancelled.resize(word + 1, 0);
        }
        self.cancelled[word] |= 1 << (event.0 % 64);
    }

    /// `heappop` of the next event that is not cancelled.
    pub(super) fn pop(&mut self) -> Option<(f64, A)> {
        loop {
            let last = self.heap.pop()?;
            let event = match self.heap.first_mut() {
                Some(root) => {
                    let event = std::mem::replace(root, last);
                    self.sift_up();
                    event
                }
                None => last,
            };
            if !self.is_cancelled(event.id) {
                return Some((event.time, event.action));
            }
        }
    }

    /// Number of events ever scheduled.
    pub(super) fn scheduled(&self) -> u64 {
        self.scheduled.into()
    }

    fn is_cancelled(&self, event: EventId) -> bool {
        self.cancelled
            .get(event.0 as usize / 64)
            .is_some_and(|word| word >> (event.0 % 64) & 1 == 1)
    }

    /// `siftdown`: moves an entry towards the root while it is earlier than its parent.
    fn sift_down(&mut self, start: usize, mut place: usize) {
        let event = self.heap[place];
        while place > start {
            let parent = (place - 1) / 2;
            if event.time < self.heap[parent].time {
                self.heap[place] = self.heap[parent];
                place = parent;
            } else {
                break;
            }
        }
        self.heap[place] = event;
    }

    /// `siftup` of the root: moves it to a leaf along the earlier children (the right one if equal), then back up.
    fn sift_up(&mut self) {
        let end = self.heap.len();
        let event = self.heap[0];
        let mut place = 0;
        while place < end / 2 {
            let mut child = 2 * place + 1;
            if child + 1 < end && self.heap[child].time >= self.heap[child + 1].time {
                child += 1;
            }
            self.heap[place] = self.heap[child];
            place = child;
        }
        self.heap[place] = event;
        self.sift_down(0, place);
    }
}

#[cfg(test)]
mod tests {
    use crate::compat::splitwise::event_queue::*;

    fn drain(queue: &mut EventQueue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop().map(|(_, action)| action)).collect()
    }

    /// Pushes 0..n at the same time. `[1.0] * n` through CPython's heapq: the root is removed, the last entry takes its
    /// place, and the right one of two equal children moves up.
    ///
    /// Five: heap 0 1 2 3 4. Pop 0: 4 at the root, the right child 2 moves up, 4 comes to its place and is not earlier than
    /// 2: heap 2 1 4 3. Pop 2: 3 at the root; 4 up, 3 below: heap 4 1 3. Pop 4: 3 at the root, two left: 1 up: heap 1 3.
    #[test]
    fn ties_leave_as_from_heapq() {
        let mut queue = EventQueue::with_capacity(5);
        for action in 0..5 {
            queue.push(1.0, action);
        }
        assert_eq!(drain(&mut queue), [0, 2, 4, 1, 3]);
    }

    /// Output of CPython 3.11 for times i * 7 % 5 and actions i = 0..12.
    #[test]
    fn mixed_times_leave_as_from_heapq() {
        let mut queue = EventQueue::with_capacity(0);
        for action in 0..12u32 {
            queue.push(f64::from(action * 7 % 5), action);
        }
        assert_eq!(drain(&mut queue), [0, 5, 10, 3, 8, 6, 11, 1, 9, 4, 2, 7]);
    }

    #[test]
    fn the_cancelled_do_not_come_up() {
        let mut queue = EventQueue::with_capacity(0);
        let events: Vec<EventId> = (0..100).map(|a| queue.push(f64::from(a), a)).collect();
        for event in events.iter().step_by(2) {
            queue.cancel(*event);
        }
        let odd: Vec<u32> = (0..100).filter(|a| a % 2 == 1).collect();
        assert_eq!(drain(&mut queue), odd);
        assert_eq!(queue.scheduled(), 100);
    }
}
