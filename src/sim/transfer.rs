//! KV transfers between instances: flows that share links fairly.

use serde::{Deserialize, Serialize};

use crate::sim::in_flight::InFlightId;
use crate::trace::Nanos;

/// Which transfers share the bandwidth of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contention {
    /// None: each transfer has the whole bandwidth, as in SplitwiseSim.
    None,
    /// Transfers from one instance share its outgoing link, those to one instance its incoming link.
    #[default]
    PerInstance,
    /// All transfers share one link.
    Fabric,
}

/// Configuration of KV transfers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransferConfig {
    /// Bandwidth of a link, in gigabytes (1e9 bytes) per second.
    pub gb_per_second: f64,
    /// Milliseconds before the first byte arrives.
    pub latency_ms: f64,
    /// Which transfers share a link.
    pub contention: Contention,
    /// Send each layer when it is computed. When the prompt is complete, only the last layer remains, and what the link
    /// could not carry before.
    pub layerwise: bool,
}

impl Default for TransferConfig {
    /// 400 Gbit/s InfiniBand.
    fn default() -> Self {
        Self {
            gb_per_second: 50.0,
            latency_ms: 0.5,
            contention: Contention::PerInstance,
            layerwise: false,
        }
    }
}

/// One transfer.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// The request whose KV is sent.
    pub id: InFlightId,
    /// Sending instance.
    pub from: u32,
    /// Receiving instance.
    pub to: u32,
    left: f64,
    /// Largest fraction of a link's bandwidth that it can use.
    part: f64,
    rate: f64,
}

/// All transfers in progress.
#[derive(Debug)]
pub struct Links {
    bytes_per_second: f64,
    latency: Nanos,
    contention: Contention,
    /// Transfers that wait for their first byte, with its time, and transfers that move.
    starting: Vec<(Nanos, Flow)>,
    moving: Vec<Flow>,
    /// Number of flows by instance, outgoing and incoming.
    out: Vec<u32>,
    into: Vec<u32>,
    now: Nanos,
}

impl Links {
    /// No transfer in progress.
    pub fn new(config: &TransferConfig) -> Self {
        Self {
            bytes_per_second: config.gb_per_second * 1e9,
            latency: Nanos::from_secs_f64(config.latency_ms / 1e3),
            contention: config.contention,
            starting: Vec::new(),
            moving: Vec::new(),
            out: Vec::new(),
            into: Vec::new(),
            now: Nanos::ZERO,
        }
    }

    /// Number of transfers in progress.
    pub fn len(&self) -> usize {
        self.starting.len() + self.moving.len()
    }

    /// Whether no transfer is in progress.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts a transfer of `bytes`, limited to a fraction of a link's bandwidth.
    pub fn start(
        &mut self,
        now: Nanos,
        id: InFlightId,
        (from, to): (u32, u32),
        bytes: f64,
        part: f64,
    ) {
        self.advance(now);
        let flow = Flow {
            id,
            from,
            to,
            left: bytes,
            part,
            rate: 0.0,
        };
        if self.latency == Nanos::ZERO {
            self.add(flow);
            self.share();
        } else {
            self.starting.push((now + self.latency, flow));
        }
    }

    /// Time of the next change: the first or the last byte of a transfer.
    pub fn next(&self) -> Option<Nanos> {
        let first = self.starting.iter().map(|(time, _)| *time).min();
        let last = self.moving.iter().map(|flow| self.end_of(flow)).min();
        match (first, last) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Advances the clock; completed transfers are appended to `done`, in the order in which they started.
    pub fn finish(&mut self, now: Nanos, done: &mut Vec<Flow>) {
        let due = |flow: &Flow| self.end_of(flow) <= now;
        let whole: Vec<bool> = self.moving.iter().map(due).collect();
        self.advance(now);
        let mut changed = false;
        let mut index = 0;
        for whole in whole {
            if whole {
                let flow = self.moving.remove(index);
                self.out[flow.from as usize] -= 1;
                self.into[flow.to as usize] -= 1;
                done.push(flow);
                changed = true;
            } else {
                index += 1;
            }
        }
        let mut index = 0;
        while index < self.starting.len() {
            if self.starting[index].0 <= now {
                let (_, flow) = self.starting.remove(index);
                self.add(flow);
                changed = true;
            } else {
                index += 1;
            }
        }
        if changed {
            self.share();
        }
    }

    fn end_of(&self, flow: &Flow) -> Nanos {
        let nanos = (flow.left / flow.rate * 1e9).ceil();
        self.now + Nanos(nanos as u64)
    }

    fn add(&mut self, flow: Flow) {
        for (counts, instance) in [(&mut self.out, flow.from), (&mut self.into, flow.to)] {
            let index = instance as usize;
            if index >= counts.len() {
                counts.resize(index + 1, 0);
            }
            counts[index] += 1;
        }
        self.moving.push(flow);
    }

    /// Moves the bytes sent since the last change.
    fn advance(&mut self, now: Nanos) {
        let seconds = (now - self.now).as_secs_f64();
        for flow in &mut self.moving {
            flow.left = (flow.left - flow.rate * seconds).max(0.0);
        }
        self.now = now;
    }

    /// Equal shares of each link; a flow gets the smaller of its two.
    fn share(&mut self) {
        let all = self.moving.len() as f64;
        for flow in &mut self.moving {
            let sharers = match self.contention {
                Contention::None => 1.0,
                Contention::PerInstance => {
                    f64::from(self.out[flow.from as usize].max(self.into[flow.to as usize]))
                }
                Contention::Fabric => all,
            };
            flow.rate = self.bytes_per_second * flow.part / sharers;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::transfer::*;

    fn run(contention: Contention, flows: &[(u64, u32, u32, f64)]) -> Vec<(InFlightId, u64)> {
        run_after(0.0, contention, flows)
    }

    /// First bytes come `latency_ms` after the start.
    fn run_after(
        latency_ms: f64,
        contention: Contention,
        flows: &[(u64, u32, u32, f64)],
    ) -> Vec<(InFlightId, u64)> {
        let mut links = Links::new(&TransferConfig {
            gb_per_second: 1.0,
            latency_ms,
            contention,
            layerwise: false,
        });
        let mut ends = Vec::new();
        let mut done = Vec::new();
        let mut next = 0;
        while next < flows.len() || !links.is_empty() {
            let start = flows.get(next).map(|flow| Nanos(flow.0));
            match (start, links.next()) {
                (Some(start), end) if end.is_none_or(|end| start <= end) => {
                    let (_, from, to, bytes) = flows[next];
                    links.start(start, next as InFlightId, (from, to), bytes, 1.0);
                    next += 1;
                }
                (_, Some(end)) => {
                    links.finish(end, &mut done);
                    ends.extend(done.drain(..).map(|flow| (flow.id, end.0)));
                }
                _ => unreachable!("something is left"),
            }
        }
        ends
    }

    #[test]
    fn shares_by_hand() {
        // 1 GB/s is one byte per nanosecond. Alone, 1,000 bytes take 1,000 ns. A second flow from the same instance at 500
        // halves both rates: the first has 500 left, so it ends at 1,500, when the second has 500 left of 1,000: 2,000.
        let flows = [(0, 0, 2, 1_000.0), (500, 0, 3, 1_000.0)];
        assert_eq!(
            run(Contention::PerInstance, &flows),
            [(0, 1_500), (1, 2_000)]
        );
        assert_eq!(run(Contention::None, &flows), [(0, 1_000), (1, 1_500)]);
        assert_eq!(run(Contention::Fabric, &flows), [(0, 1_500), (1, 2_000)]);
        // Flows with different instances at both ends share no link, except with contention `fabric`.
        let apart = [(0, 0, 2, 1_000.0), (500, 1, 3, 1_000.0)];
        assert_eq!(
            run(Contention::PerInstance, &apart),
            [(0, 1_000), (1, 1_500)]
        );
        assert_eq!(run(Contention::Fabric, &apart), [(0, 1_500), (1, 2_000)]);
    }

    #[test]
    fn first_bytes_by_hand() {
        // 100 ns before the first byte. The first moves from 100 on, the second from 150 on, while the third, of the same sender as the first, is
        // still to come: it moves from 190 on. Then the first has 910 bytes left and half the link, until 2,010; the third has 500 - 910 < 0 left by
        // then: it is there at 190 + 1,000 = 1,190, when the first has 410 left: 1,600.
        let flows = [(0, 0, 2, 1_000.0), (50, 1, 3, 1_000.0), (90, 0, 4, 500.0)];
        let ends = run_after(0.0001, Contention::PerInstance, &flows);
        // Ends are rounded up, so a rounding error of the division may cost a nanosecond.
        for ((id, end), (expected_id, expected)) in
            ends.iter().zip([(1, 1_150), (2, 1_190), (0, 1_600)])
        {
            assert_eq!(*id, expected_id);
            assert!(
                (expected..=expected + 1).contains(end),
                "{end}, expected {expected}"
            );
        }
        assert_eq!(ends.len(), 3);
    }

    #[test]
    fn transfers_under_way_are_counted() {
        let mut links = Links::new(&TransferConfig {
            gb_per_second: 1.0,
            latency_ms: 0.0001,
            ..TransferConfig::default()
        });
        assert!(links.is_empty());
        links.start(Nanos(0), 0, (0, 1), 1_000.0, 1.0);
        links.start(Nanos(50), 1, (2, 3), 1_000.0, 1.0);
        let mut done = Vec::new();
        // One moves, one waits for its first byte.
        links.finish(Nanos(100), &mut done);
        assert_eq!((links.len(), links.is_empty(), done.len()), (2, false, 0));
    }
}
