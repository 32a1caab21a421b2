//! Assignment of requests to instances, for prefill and for decode.

use super::*;

impl Simulation<'_> {
    /// Assigns an arrived request to an instance; returns `false` if no instance is available.
    pub(super) fn route(&mut self, id: InFlightId) -> bool {
        let need = self.in_flight[id].prompt;
        let all = self.in_flight[id].prompt + self.in_flight[id].output - 1;
        let borrows = self.cluster.prompt_router.borrows_decode();
        let wanted = |instance: &Instance| {
            let tokens = if instance.role == Role::Prefill {
                need
            } else {
                all
            };
            instance.kv.blocks_for(tokens) <= instance.kv.total()
        };
        let serves_prompt = |instance: &Instance| {
            serves(instance, Stage::Prompt) || (borrows && serves(instance, Stage::Output))
        };
        let fits = |instance: &Instance| serves_prompt(instance) && wanted(instance);
        collect(&mut self.candidates, &self.instances, fits);
        if self.candidates.is_empty() {
            let could = |instance: &Instance| {
                instance.role != Role::Decode && instance.state != State::Gone
            };
            let mut there = self.instances.iter().filter(|instance| could(instance));
            let Some(first) = there.next() else {
                return false;
            };
            if wanted(first) || there.any(wanted) {
                return false;
            }
            self.leave(id, Outcome::TooLarge);
            return true;
        }
        let view = View {
            instances: &self.instances,
            candidates: &self.candidates,
        };
        let Some(chosen) = self
            .cluster
            .prompt_router
            .choose(&self.in_flight[id], &view)
        else {
            return false;
        };
        let request_state = &mut self.in_flight[id];
        let instance = &mut self.instances[chosen as usize];
        request_state.work = match instance.role {
            Role::Prefill if request_state.output > 1 => ServedPhases::PrefillOnly,
            _ => ServedPhases::PrefillAndDecode,
        };
        if request_state.work == ServedPhases::PrefillOnly && !self.output_fits(id) {
            self.leave(id, Outcome::TooLarge);
            return true;
        }
        let record = &mut self.records[self.in_flight[id].request as usize];
        record.prefill_instance = chosen;
        record.decode_instance = chosen;
        let instance = &mut self.instances[chosen as usize];
        instance.requests += 1;
        instance.enqueue(self.now, id, &mut self.in_flight);
        self.touch(chosen);
        true
    }

    /// Whether any decode instance has as much memory as a request will need.
    pub(super) fn output_fits(&self, id: InFlightId) -> bool {
        let request_state = &self.in_flight[id];
        let tokens = request_state.prompt + request_state.output - 1;
        let mut decode = self
            .instances
            .iter()
            .filter(|instance| matches!(instance.role, Role::Decode | Role::Mixed))
            .peekable();
        decode.peek().is_none()
            || decode.any(|instance| instance.kv.blocks_for(tokens) <= instance.kv.total())
    }

    /// Assigns a request whose prompt is computed to an instance for decode.
    pub(super) fn route_decode(&mut self, id: InFlightId, from: u32) -> bool {
        let tokens = self.in_flight[id].prompt + self.in_flight[id].output - 1;
        let fits = |instance: &Instance| {
            serves(instance, Stage::Output) && instance.kv.blocks_for(tokens) <= instance.kv.total()
        };
        collect(&mut self.candidates, &self.instances, fits);
        if self.candidates.is_empty() {
            return false;
        }
        self.keep_same_group(from);
        let view = View {
            instances: &self.instances,
            candidates: &self.candidates,
        };
        let Some(chosen) = self
            .cluster
            .output_router
            .choose(&self.in_flight[id], &view)
        else {
            return false;
        };
        let instance = &mut self.instances[chosen as usize];
        instance.requests += 1;
        instance.incoming.push_back((id, from));
        self.records[self.in_flight[id].request as usize].decode_instance = chosen;
        self.touch(chosen);
        true
    }

    /// The decode instances that may serve an output: those of the deployment group where its prompt was computed, if one of
    /// them is ready.
    pub(super) fn keep_same_group(&mut self, from: u32) {
        let topology = &self.cluster.topology;
        if topology.site.is_empty() {
            return;
        }
        let here = self.instances[from as usize].site;
        let near = |number: &u32| topology.together(here, self.instances[*number as usize].site);
        if self.candidates.iter().any(near) {
            self.candidates.retain(near);
        }
    }
}

/// Indices of the instances that satisfy a condition.
fn collect(into: &mut Vec<u32>, instances: &[Instance], pick: impl Fn(&Instance) -> bool) {
    into.clear();
    into.extend((0..instances.len() as u32).filter(|number| pick(&instances[*number as usize])));
}
