//! The life cycle of a request, from its arrival to its completion.

use super::*;
use crate::sim::InFlightRequest;

impl Simulation<'_> {
    pub(super) fn arrive(&mut self, request: u32) {
        let item = &self.workload.items()[request as usize];
        let id = self.in_flight.add();
        let request_state = &mut self.in_flight[id];
        let mut blocks = std::mem::take(&mut request_state.blocks);
        blocks.clear();
        let mut prompt_blocks = 0;
        if let (Some(cursor), Some(trace)) = (&mut self.runs, self.workload.blocks())
            && let Some(run) = cursor.next_run()
        {
            // In some traces a partial last block has an id; engines match whole blocks only.
            prompt_blocks = item.prompt / trace.block_size();
            let whole = if trace.partial_tail() {
                &run.all[..run.all.len().min(prompt_blocks as usize)]
            } else {
                run.all
            };
            blocks.extend_from_slice(whole);
        }
        *request_state = InFlightRequest {
            request,
            session: item.session,
            arrival: self.now,
            prompt: item.prompt,
            output: item.output,
            blocks,
            prompt_blocks,
            ..InFlightRequest::default()
        };
        if let Some(turns) = self.sessions.get_mut(item.session as usize) {
            if turns.running > 0 {
                turns.waiting.push_back(id);
                self.in_flight[id].held_back = true;
                return;
            }
            turns.running += 1;
        }
        self.enter(id);
    }

    /// Handles the arrival of a request: counts it and queues it for routing.
    pub(super) fn enter(&mut self, id: InFlightId) {
        let request_state = &mut self.in_flight[id];
        request_state.held_back = false;
        request_state.arrival = self.now;
        self.window.arrived += 1;
        self.window.arrived_prompt_tokens += u64::from(request_state.prompt);
        let record = &mut self.records[request_state.request as usize];
        record.outcome = Outcome::EndOfTime;
        record.arrival = self.now;
        self.pending_prefill.push_back(id);
    }

    pub(super) fn step_ended(&mut self, number: u32) {
        let mut done = std::mem::take(&mut self.done);
        let instance = &mut self.instances[number as usize];
        let (gaps, window) = (&mut self.gaps, &mut self.window);
        let watched = self.controller.is_some();
        instance.finish(
            self.now,
            &mut self.in_flight,
            &mut done,
            |heard| match heard {
                TokenEvent::First(time) if watched => window.ttft.push(time.as_secs_f64()),
                TokenEvent::First(_) => {}
                TokenEvent::Gap(gap) => {
                    gaps.saturating_record(gap.0);
                    window.gaps += 1;
                    window.gap_nanos = window.gap_nanos.saturating_add(gap.0);
                }
            },
        );
        for id in done.drain(..) {
            if self.in_flight[id].generated >= self.in_flight[id].output {
                self.complete(id, number);
            } else {
                self.pending_decode.push_back((id, number));
            }
        }
        self.done = done;
        if self.cluster.log_steps {
            let instance = &self.instances[number as usize];
            self.steps[instance.logged].usage_after = instance.kv.usage();
        }
        self.touch(number);
        self.retire_if_drained(number);
    }

    /// Handles the completion of a request that has all its output tokens.
    pub(super) fn complete(&mut self, id: InFlightId, number: u32) {
        let instance = &mut self.instances[number as usize];
        instance.kv.release(id);
        instance.note_usage(self.now);
        instance.requests -= 1;
        if self.cluster.write_back {
            let request_state = &self.in_flight[id];
            let home = self.records[request_state.request as usize].prefill_instance;
            if home != number && request_state.blocks.len() as u32 > request_state.prompt_blocks {
                let home = &mut self.instances[home as usize];
                if home.state == State::Ready {
                    let added = home.kv.insert(&request_state.blocks);
                    let tokens = f64::from(added * home.kv.block_size());
                    self.moved_bytes += tokens * self.cluster.kv_bytes_per_token;
                }
            }
        }
        self.leave(id, Outcome::Finished);
    }

    /// Reports a finished request to the controller.
    pub(super) fn count(&mut self, record: &RequestRecord) {
        let window = &mut self.window;
        window.completed += 1;
        window.completed_prompt_tokens += u64::from(record.prompt);
        window.completed_output_tokens += u64::from(record.output);
        window.e2e.extend(record.e2e());
        window.tbt.extend(record.tbt());
    }

    /// Removes a request from the cluster; the next turn of its session may then arrive.
    pub(super) fn leave(&mut self, id: InFlightId, outcome: Outcome) {
        self.write(id, outcome);
        if outcome == Outcome::Finished && self.controller.is_some() {
            let record = self.records[self.in_flight[id].request as usize];
            self.count(&record);
        }
        if let Some(progress) = self.progress {
            progress.fetch_add(1, Ordering::Relaxed);
        }
        let session = self.in_flight[id].session;
        self.in_flight.remove(id);
        if let Some(turns) = self.sessions.get_mut(session as usize) {
            turns.running -= 1;
            if let Some(next) = turns.waiting.pop_front() {
                turns.running += 1;
                self.enter(next);
            }
        }
    }

    pub(super) fn write(&mut self, id: InFlightId, outcome: Outcome) {
        let request_state = &self.in_flight[id];
        let record = &mut self.records[request_state.request as usize];
        record.outcome = outcome;
        record.ended = self.now;
        record.scheduled = request_state.scheduled;
        record.first_token = request_state.first_token;
        // After a restart, some of the output counts as prompt; the number of missing tokens is unchanged.
        let missing = request_state.output.saturating_sub(request_state.generated);
        record.generated = record.output.saturating_sub(missing);
        record.last_prompt = request_state.prompt;
        record.cached = request_state.cached;
        record.preemptions = request_state.preemptions;
        record.longest_gap = request_state.longest_gap;
        record.executed = request_state.executed;
        record.stalled = request_state.stalled;
    }
}
