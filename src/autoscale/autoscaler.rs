//! The autoscaler's control loop: compute signals, decide, apply bounds, and select the instances that start or stop.

use super::actuator::ScalingBounds;
use super::config::AutoscalingSection;
use super::log::{Action, Move, ScalingCounts, ScalingLog, Tick};
use super::meter::Meter;
use super::placement::Placer;
use super::policy::{PolicyContext, ScalingPolicy};
use super::signals::{FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::{Error, Result};
use crate::sim::Objectives;
use crate::sim::{ClusterView, Controller, Instance, ScalingAction, State};
use crate::trace::Nanos;

/// A scaling policy with its signals, bounds and placement; one is built for each run.
#[derive(Debug)]
pub struct Autoscaler {
    policy: Box<dyn ScalingPolicy>,
    interval: Nanos,
    meter: Meter,
    bounds: ScalingBounds,
    soft: Soft,
    guard: bool,
    placer: Placer,
    /// Parked instances, and the time until which they can return; without a time, they wait for the other role's instances
    /// to start.
    aside: Vec<(u32, Option<f64>)>,
    targets: Vec<(FleetKind, u32)>,
    log: ScalingLog,
    /// The policy's problem, which ended the run.
    fault: Option<Error>,
}

#[derive(Debug, Clone, Copy)]
struct Soft {
    seconds: f64,
    ttft: f64,
    tbt: f64,
}

impl Autoscaler {
    /// Builds the autoscaler of a configuration, for a cluster with these fleets.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) for an unknown policy, a parameter that is out of range, or a cluster that the
    /// policy cannot scale.
    pub fn new(
        section: &AutoscalingSection,
        slo: &Objectives,
        fleets: &[FleetKind],
        placer: Placer,
    ) -> Result<Self> {
        let gpus: Vec<(FleetKind, u32)> = fleets.iter().copied().zip(placer.gpus(fleets)).collect();
        let context = PolicyContext {
            gpus: &gpus,
            profile: section.measured.as_deref(),
        };
        let policy = section.build(&context)?;
        policy.check(fleets)?;
        let pace = policy.pace();
        let interval = section.interval_seconds.unwrap_or(pace.interval);
        positive("autoscaling.interval_seconds", interval, false)?;
        let window = section.window_seconds.unwrap_or(interval);
        positive("autoscaling.window_seconds", window, false)?;
        positive(
            "autoscaling.soft_scale_in.seconds",
            section.soft_scale_in.seconds,
            true,
        )?;
        Ok(Self {
            interval: Nanos::from_secs_f64(interval).max(Nanos(1)),
            meter: Meter::new(Nanos::from_secs_f64(window)),
            bounds: ScalingBounds::new(section, pace)?,
            soft: Soft {
                seconds: section.soft_scale_in.seconds,
                ttft: section
                    .soft_scale_in
                    .ttft_seconds
                    .unwrap_or(slo.ttft_seconds),
                tbt: section.soft_scale_in.tbt_seconds.unwrap_or(slo.tbt_seconds),
            },
            guard: section.ready_ratio_guard,
            placer,
            aside: Vec::new(),
            targets: Vec::new(),
            log: ScalingLog {
                policy: section.policy.replace('-', "_"),
                fleets: fleets.to_vec(),
                ticks: Vec::new(),
                counts: ScalingCounts::default(),
            },
            policy,
            fault: None,
        })
    }

    /// Its log, after the run.
    ///
    /// # Errors
    /// The problem of the policy that ended the run.
    pub fn into_log(self) -> Result<ScalingLog> {
        self.fault.map_or(Ok(self.log), Err)
    }

    /// Parked instances return if latency exceeds its limit, and drain if it did not until their time.
    fn watch(
        &mut self,
        view: &ClusterView<'_, '_>,
        signals: &Signals,
        actions: &mut Vec<ScalingAction>,
        notes: &mut Vec<String>,
    ) {
        if self.aside.is_empty() {
            return;
        }
        let worse = signals.ttft.at(90.0) > self.soft.ttft || signals.tbt.at(90.0) > self.soft.tbt;
        let now = signals.time;
        let mut back = 0;
        let aside = std::mem::take(&mut self.aside);
        for (instance, until) in aside {
            match until {
                Some(_) if worse => {
                    actions.push(ScalingAction::Reinstate(instance));
                    back += 1;
                }
                Some(until) if now >= until - 1e-9 => {
                    actions.push(ScalingAction::Drain(instance));
                }
                None if !self.is_waited_for(view, instance) => {
                    actions.push(ScalingAction::Reinstate(instance));
                }
                _ => self.aside.push((instance, until)),
            }
        }
        if back > 0 {
            self.log.counts.reinstated += back;
            notes.push(format!("{back} back in routing: latency got worse"));
        }
    }

    /// Selects the instances that start, return or stop to change a fleet's size.
    fn carry_out(
        &mut self,
        view: &ClusterView<'_, '_>,
        one: &Move,
        actions: &mut Vec<ScalingAction>,
    ) -> Option<&'static str> {
        let mut missing = one.to.saturating_sub(one.from);
        let mut surplus = one.from.saturating_sub(one.to);
        let now = view.now.as_secs_f64();
        let of_kind = |instance: &Instance| FleetKind::from(instance.role) == one.kind;
        while missing > 0 {
            // The instance that was parked last returns first.
            let found = self.aside.iter().rposition(|(number, until)| {
                until.is_some() && of_kind(&view.instances[*number as usize])
            });
            match found {
                Some(index) => {
                    let (number, _) = self.aside.remove(index);
                    actions.push(ScalingAction::Reinstate(number));
                    self.log.counts.reinstated += 1;
                }
                None => match self.placer.next(one.kind) {
                    Some((pool, site)) => {
                        actions.push(ScalingAction::Start { pool, site });
                    }
                    None => {
                        self.log.counts.no_room += u64::from(missing);
                        return Some("no site has room");
                    }
                },
            }
            missing -= 1;
        }
        let mut going: Vec<(bool, u32, std::cmp::Reverse<u32>)> = view
            .instances
            .iter()
            .enumerate()
            .filter(|(_, instance)| of_kind(instance))
            .filter_map(|(number, instance)| {
                let youngest = std::cmp::Reverse(number as u32);
                match instance.state {
                    State::Starting => Some((false, 0, youngest)),
                    State::Ready => Some((true, instance.requests, youngest)),
                    _ => None,
                }
            })
            .collect();
        // Starting instances first, then those with the fewest requests.
        going.sort_unstable();
        for (serves, _, std::cmp::Reverse(number)) in going {
            if surplus == 0 {
                break;
            }
            surplus -= 1;
            if serves && self.soft.seconds > 0.0 {
                actions.push(ScalingAction::Park(number));
                self.aside.push((number, Some(now + self.soft.seconds)));
                self.log.counts.parked += 1;
            } else {
                actions.push(ScalingAction::Drain(number));
            }
        }
        None
    }

    /// Number of instances of a fleet in a state.
    fn number(view: &ClusterView<'_, '_>, kind: FleetKind, state: State) -> u32 {
        let found = view.instances.iter();
        found
            .filter(|i| FleetKind::from(i.role) == kind && i.state == state)
            .count() as u32
    }

    /// Whether an instance that is held back must still wait for the other role.
    fn is_waited_for(&self, view: &ClusterView<'_, '_>, instance: u32) -> bool {
        let kind = FleetKind::from(view.instances[instance as usize].role);
        self.is_ahead(view, kind, Self::number(view, kind, State::Ready) + 1)
    }

    /// Whether `ready` ready instances of a fleet exceed what the P/D ratio allows while the other role starts.
    fn is_ahead(&self, view: &ClusterView<'_, '_>, kind: FleetKind, ready: u32) -> bool {
        let other = match kind {
            FleetKind::Prefill => FleetKind::Decode,
            FleetKind::Decode => FleetKind::Prefill,
            _ => return false,
        };
        let target = |kind| {
            let found = self.targets.iter().find(|(known, _)| *known == kind);
            found.map_or(1, |(_, target)| *target)
        };
        let starting = Self::number(view, other, State::Starting);
        let allowed = f64::from(target(kind)) / f64::from(target(other).max(1))
            * f64::from(Self::number(view, other, State::Ready));
        starting > 0 && f64::from(ready) > allowed + 1e-9
    }
}

impl Controller for Autoscaler {
    fn has_failed(&self) -> bool {
        self.fault.is_some()
    }

    fn interval(&self) -> Nanos {
        self.interval
    }

    fn tick(&mut self, view: &ClusterView<'_, '_>) -> Vec<ScalingAction> {
        let mut actions = Vec::new();
        let mut notes = Vec::new();
        let mut signals = self.meter.look(view);
        self.watch(view, &signals, &mut actions, &mut notes);
        // Instances that return now count as ready for the decision.
        for action in &actions {
            if let ScalingAction::Reinstate(number) = action {
                let kind = FleetKind::from(view.instances[*number as usize].role);
                if let Some(fleet) = signals.fleets.iter_mut().find(|f| f.kind == kind) {
                    fleet.ready += 1;
                    fleet.parked -= 1;
                }
            }
        }
        // Instances that are held back until the other role is ready count as starting.
        for (number, until) in &self.aside {
            let kind = FleetKind::from(view.instances[*number as usize].role);
            if until.is_none()
                && let Some(fleet) = signals.fleets.iter_mut().find(|f| f.kind == kind)
            {
                fleet.starting += 1;
                fleet.parked -= 1;
            }
        }
        let decision = self.policy.decide(&signals);
        self.fault = self.policy.fault();
        if self.fault.is_some() {
            return Vec::new();
        }
        let gpus = self.placer.gpus(&self.log.fleets);
        let (moves, bounds) = self.bounds.bound(&signals, &decision, &gpus);
        notes.extend(bounds.iter().map(|note| (*note).to_owned()));
        self.placer.begin(view);
        for one in &moves {
            if let Some(note) = self.carry_out(view, one, &mut actions) {
                notes.push(note.to_owned());
            }
        }
        self.targets = moves.iter().map(|one| (one.kind, one.to)).collect();
        let mut tick = Tick::new(&signals);
        tick.action = Action::of(&moves);
        tick.moves = moves;
        tick.reason = decision.reason;
        for note in notes {
            tick.reason += "; ";
            tick.reason += &note;
        }
        self.log.counts.ticks += 1;
        self.log.ticks.push(tick);
        actions
    }

    fn ready(&mut self, view: &ClusterView<'_, '_>, instance: u32) -> Vec<ScalingAction> {
        if !self.guard {
            return Vec::new();
        }
        let mut actions = Vec::new();
        let kind = FleetKind::from(view.instances[instance as usize].role);
        if self.is_ahead(view, kind, Self::number(view, kind, State::Ready)) {
            self.aside.push((instance, None));
            self.log.counts.parked += 1;
            actions.push(ScalingAction::Park(instance));
        }
        // Others may have waited for this instance.
        let aside = std::mem::take(&mut self.aside);
        let mut back = 0;
        for (number, until) in aside {
            let kind = FleetKind::from(view.instances[number as usize].role);
            let ready = Self::number(view, kind, State::Ready) + back + 1;
            if number == instance || until.is_some() || self.is_ahead(view, kind, ready) {
                self.aside.push((number, until));
            } else {
                back += 1;
                actions.push(ScalingAction::Reinstate(number));
            }
        }
        actions
    }
}
