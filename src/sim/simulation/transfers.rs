//! KV transfers between prefill and decode instances.

use super::*;

impl Simulation<'_> {
    /// Starts the transfers of requests that are routed to an instance and whose KV fits into its memory.
    pub(super) fn take_in(&mut self, number: u32) {
        while let Some((id, from)) = self.instances[number as usize].incoming.front().copied() {
            let instance = &mut self.instances[number as usize];
            if !instance.takes_in() {
                break;
            }
            let request_state = &self.in_flight[id];
            let size = instance.kv.block_size();
            let here = instance
                .kv
                .resident(&request_state.blocks, request_state.prompt / size)
                * size;
            // Includes one token for the next computation.
            if !instance
                .kv
                .admit(id, request_state, here, request_state.prompt + 1, 0)
            {
                break;
            }
            instance.incoming.pop_front();
            instance.note_usage(self.now);
            let moved = request_state.prompt - here;
            let record = &mut self.records[request_state.request as usize];
            record.transfer_start = self.now;
            record.transferred_tokens = moved;
            let mut bytes = f64::from(moved) * self.cluster.kv_bytes_per_token;
            self.moved_bytes += bytes;
            if self.cluster.transfer.layerwise {
                let computing = request_state.first_token.unwrap_or(self.now)
                    - request_state.scheduled.unwrap_or(self.now);
                let sent = computing.as_secs_f64() * self.cluster.transfer.gb_per_second * 1e9;
                let last = bytes / f64::from(self.cluster.layers.max(1));
                bytes = (bytes - sent).max(last);
            }
            if moved == 0 || from == number {
                self.arrived(id, from, number);
            } else {
                let site = |number: u32| self.instances[number as usize].site;
                let part = self.cluster.topology.bandwidth(site(from), site(number));
                self.links.start(self.now, id, (from, number), bytes, part);
            }
        }
    }

    pub(super) fn transfers_ended(&mut self) {
        let mut flows = std::mem::take(&mut self.flows);
        self.links.finish(self.now, &mut flows);
        for flow in flows.drain(..) {
            self.arrived(flow.id, flow.from, flow.to);
        }
        self.flows = flows;
    }

    /// Handles the arrival of a request's KV at its decode instance.
    pub(super) fn arrived(&mut self, id: InFlightId, from: u32, to: u32) {
        let source = &mut self.instances[from as usize];
        source.kv.release(id);
        source.note_usage(self.now);
        source.requests -= 1;
        let request_state = &mut self.in_flight[id];
        request_state.work = ServedPhases::PrefillAndDecode;
        self.records[request_state.request as usize].transfer_end = self.now;
        let prompt = request_state.prompt;
        let target = &mut self.instances[to as usize];
        target.kv.fill(id, &self.in_flight[id], prompt);
        target.enqueue(self.now, id, &mut self.in_flight);
        self.touch(from);
        self.touch(to);
        self.retire_if_drained(from);
    }

    /// Schedules the next change of transfer rates; at most one such event exists at a time.
    pub(super) fn watch_links(&mut self) {
        let next = self.links.next();
        if self.links_event.map(|(time, _)| time) == next {
            return;
        }
        if let Some((_, key)) = self.links_event.take() {
            self.queue.cancel(key);
        }
        if let Some(time) = next {
            let time = time.max(self.now);
            self.links_event = Some((time, self.queue.push(time, Event::Transfers)));
        }
    }
}
