//! Starts, drains, parks and terminates instances, and carries out the controller's actions.

use super::*;
use crate::sim::controller::MOST_TICKS;

impl Simulation<'_> {
    pub(super) fn set_state(&mut self, instance: u32, state: State) {
        self.instances[instance as usize].state = state;
        self.state_changes.push(StateChange {
            time: self.now,
            instance,
            state,
        });
    }

    /// Creates an instance of a pool; it is not ready yet.
    pub(super) fn create(&mut self, pool: u32) -> u32 {
        let number = self.instances.len() as u32;
        let kind = &self.cluster.pools[pool as usize];
        let parts = (kind.make)(number);
        let mut instance = Instance::new(pool, kind.role, parts.kv, parts.scheduler, parts.latency);
        instance.record.pool.clone_from(&kind.name);
        instance.record.role = kind.role;
        instance.record.instance = number;
        instance.record.created = self.now;
        instance.record.ready = self.now;
        self.instances.push(instance);
        self.is_touched.push(false);
        number
    }

    /// Calls the controller at a control interval or when an instance became ready, and carries out its actions.
    pub(super) fn control(&mut self, started: Option<u32>) {
        let Some(controller) = self.controller.take() else {
            return;
        };
        let view = ClusterView {
            now: self.now,
            pools: &self.cluster.pools,
            instances: &self.instances,
            in_flight: &self.in_flight,
            window: &self.window,
            pending_prefill: &self.pending_prefill,
            pending_decode: self.pending_decode.len(),
        };
        let actions = match started {
            None => controller.tick(&view),
            Some(number) => controller.ready(&view, number),
        };
        self.controller = Some(controller);
        for action in actions {
            self.apply(action);
        }
    }

    pub(super) fn apply(&mut self, action: ScalingAction) {
        let state = |number: u32| self.instances[number as usize].state;
        match action {
            ScalingAction::Start { pool, site } => {
                let number = self.start_instance(pool);
                self.instances[number as usize].site = site;
            }
            ScalingAction::Drain(number)
                if matches!(state(number), State::Ready | State::Parked) =>
            {
                self.drain(number);
            }
            ScalingAction::Drain(number) if state(number) == State::Starting => {
                let record = &mut self.instances[number as usize].record;
                record.ready = self.now;
                record.gone = self.now;
                self.set_state(number, State::Gone);
            }
            ScalingAction::Park(number) if state(number) == State::Ready => {
                self.set_state(number, State::Parked);
            }
            ScalingAction::Reinstate(number) if state(number) == State::Parked => {
                self.set_state(number, State::Ready);
            }
            // The instance has changed its state in the meantime: the action no longer applies.
            ScalingAction::Drain(_) | ScalingAction::Park(_) | ScalingAction::Reinstate(_) => {}
        }
    }

    pub(super) fn tick(&mut self) {
        self.control(None);
        self.window.clear();
        let alone = self.queue.peek().is_none();
        self.idle_ticks = if alone { self.idle_ticks + 1 } else { 0 };
        self.ticks += 1;
        if let Some(controller) = &self.controller
            && self.ticks < MOST_TICKS
        {
            let next = self.now + controller.interval();
            self.queue.push(next, Event::Tick);
        }
    }

    pub(super) fn resize(&mut self, index: usize) {
        let resize = self.cluster.resizes[index];
        let in_pool = |instance: &Instance| {
            instance.pool == resize.pool && matches!(instance.state, State::Starting | State::Ready)
        };
        let there: Vec<u32> = (0..self.instances.len() as u32)
            .filter(|number| in_pool(&self.instances[*number as usize]))
            .collect();
        let wanted = resize.instances as usize;
        for _ in there.len()..wanted {
            self.start_instance(resize.pool);
        }
        // The youngest instances are removed first.
        for number in there.iter().skip(wanted).rev() {
            self.apply(ScalingAction::Drain(*number));
        }
    }

    /// Starts an instance of a pool; it becomes ready after its start-up time.
    pub(super) fn start_instance(&mut self, pool: u32) -> u32 {
        let number = self.create(pool);
        self.set_state(number, State::Starting);
        let startup = self.cluster.pools[pool as usize].startup;
        self.queue.push(self.now + startup, Event::Ready(number));
        number
    }

    /// Drains an instance: its waiting requests without memory are routed again, and it finishes the others.
    pub(super) fn drain(&mut self, number: u32) {
        self.set_state(number, State::Draining);
        let instance = &mut self.instances[number as usize];
        instance.record.draining = Some(self.now);
        let waiting = instance.scheduler.give_up_waiting(&instance.kv);
        instance.requests -= waiting.len() as u32;
        for id in &waiting {
            let request_state = &self.in_flight[*id];
            instance.backlog -= u64::from(request_state.backlog());
        }
        let incoming: Vec<_> = instance.incoming.drain(..).collect();
        instance.requests -= incoming.len() as u32;
        for id in waiting.into_iter().rev() {
            self.pending_prefill.push_front(id);
        }
        self.pending_decode.extend(incoming);
        self.retire_if_drained(number);
    }

    pub(super) fn retire_if_drained(&mut self, number: u32) {
        let instance = &mut self.instances[number as usize];
        if instance.state == State::Draining && instance.requests == 0 {
            instance.note_usage(self.now);
            instance.record.gone = self.now;
            self.set_state(number, State::Gone);
        }
    }
}
