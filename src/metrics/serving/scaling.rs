//! Changes of a cluster's size over a run: scaling events and flaps.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fleet::{Fleet, Steps};
use crate::autoscale::signals::FleetKind;
use crate::autoscale::{ScalingCounts, ScalingLog};
use crate::sim::InstanceRecord;
use crate::trace::Nanos;

/// A fleet flaps if it changes from growing to shrinking, or back, within this many seconds, which is about the time in
/// which an instance starts and loads its weights.
pub const FLAP_SECONDS: f64 = 300.0;

/// A change of a fleet's size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SizeChange {
    /// Time of the change, in seconds.
    pub time: f64,
    /// The fleet that changed.
    pub fleet: FleetKind,
    /// Whether the fleet grew.
    pub grew: bool,
}

/// The changes of size that an autoscaler decided, from its log, in order.
pub fn decided(log: &ScalingLog) -> Vec<SizeChange> {
    let moves = log.ticks.iter().flat_map(|tick| {
        let changed = tick.moves.iter().filter(|one| one.from != one.to);
        changed.map(|one| SizeChange {
            time: tick.time,
            fleet: one.kind,
            grew: one.to > one.from,
        })
    });
    moves.collect()
}

/// Time at which an instance was taken out of service before the end of the run.
fn taken(life: &InstanceRecord, end: Nanos) -> Option<Nanos> {
    life.draining.or((life.gone < end).then_some(life.gone))
}

/// The changes of size that the instances' records imply, in order, for runs without an autoscaler's log: times at
/// which more instances of a fleet were requested than taken out of service, or fewer.
pub fn observed(instances: &[InstanceRecord], end: Nanos) -> Vec<SizeChange> {
    let mut net: BTreeMap<(Nanos, FleetKind), i64> = BTreeMap::new();
    for life in instances {
        let fleet = FleetKind::from(life.role);
        if life.created > Nanos::ZERO {
            *net.entry((life.created, fleet)).or_default() += 1;
        }
        if let Some(time) = taken(life, end) {
            *net.entry((time, fleet)).or_default() -= 1;
        }
    }
    net.into_iter()
        .filter(|(_, net)| *net != 0)
        .map(|((time, fleet), net)| SizeChange {
            time: time.as_secs_f64(),
            fleet,
            grew: net > 0,
        })
        .collect()
}

/// Cumulative number of instances requested after the start or taken out of service, over time.
pub fn changes_so_far(instances: &[InstanceRecord], end: Nanos) -> Steps {
    let created = instances.iter().map(|life| life.created);
    let mut times: Vec<Nanos> = created.filter(|time| *time > Nanos::ZERO).collect();
    times.extend(instances.iter().filter_map(|life| taken(life, end)));
    times.sort_unstable();
    let counted = times.iter().zip(1..);
    let mut steps = vec![(0.0, 0.0)];
    steps.extend(counted.map(|(time, count)| (time.as_secs_f64(), f64::from(count))));
    steps.push((end.as_secs_f64(), times.len() as f64));
    steps
}

/// Number of changes of a cluster's size, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ChangeCounts {
    /// Number of times at which fleets grew and none shrank.
    pub scale_out: u64,
    /// Number of times at which fleets shrank and none grew.
    pub scale_in: u64,
    /// Number of times at which some fleets grew and some shrank.
    pub rebalance: u64,
    /// Number of times that a fleet reversed its direction within [`FLAP_SECONDS`] of its previous change.
    pub flaps: u64,
}

impl ChangeCounts {
    /// Counts scaling events and flaps; `changes` must be in order of time.
    pub fn of(changes: &[SizeChange]) -> Self {
        let mut counts = Self::default();
        for at_once in changes.chunk_by(|a, b| a.time == b.time) {
            let some = |grew: bool| at_once.iter().any(|change| change.grew == grew);
            match (some(true), some(false)) {
                (true, true) => counts.rebalance += 1,
                (true, false) => counts.scale_out += 1,
                _ => counts.scale_in += 1,
            }
        }
        let mut last: BTreeMap<FleetKind, &SizeChange> = BTreeMap::new();
        for change in changes {
            if let Some(before) = last.insert(change.fleet, change)
                && before.grew != change.grew
                && change.time - before.time <= FLAP_SECONDS
            {
                counts.flaps += 1;
            }
        }
        counts
    }

    /// Number of times at which the cluster changed its size in any direction: `scale_out + scale_in + rebalance`.
    pub fn scaling_events(&self) -> u64 {
        self.scale_out + self.scale_in + self.rebalance
    }
}

/// Figures of a cluster's size over a run. They also exist without an autoscaler, because `[[resize]]` entries change
/// the size.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ScalingFigures {
    /// Changes of size, by kind.
    #[serde(flatten)]
    pub changes: ChangeCounts,
    /// Number of times at which the size changed.
    pub scaling_events: u64,
    /// Instances requested after the start.
    pub instances_started: u64,
    /// Instances taken out of service before the end.
    pub instances_drained: u64,
    /// Maximum number of instances that existed at once, including starting and draining ones.
    pub most_instances: u64,
    /// Ready prefill instances per ready decode instance, mean over time; `None` unless both kinds existed.
    pub pd_ratio_mean: Option<f64>,
    /// Variance of that ratio over time.
    pub pd_ratio_variance: Option<f64>,
    /// Standard deviation of that ratio over time.
    pub pd_ratio_deviation: Option<f64>,
}

impl ScalingFigures {
    /// Computes the figures from the instances' records, the fleet over time, and the autoscaler's log, if there is
    /// one.
    pub fn of(
        instances: &[InstanceRecord],
        fleet: &Fleet,
        log: Option<&ScalingLog>,
        end: Nanos,
    ) -> Self {
        let changes = ChangeCounts::of(&log.map_or_else(|| observed(instances, end), decided));
        let count =
            |of: &dyn Fn(&&InstanceRecord) -> bool| instances.iter().filter(of).count() as u64;
        let ratio = fleet.pd_ratio_moments();
        Self {
            changes,
            scaling_events: changes.scaling_events(),
            instances_started: count(&|life| life.created > Nanos::ZERO),
            instances_drained: count(&|life| taken(life, end).is_some()),
            most_instances: fleet.most_instances,
            pd_ratio_mean: ratio.map(|ratio| ratio.mean),
            pd_ratio_variance: ratio.map(|ratio| ratio.variance),
            pd_ratio_deviation: ratio.map(|ratio| ratio.variance.sqrt()),
        }
    }
}

/// Changes of a cluster's size, and the policy that decided them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scaling {
    /// The autoscaler's policy; `None` without an autoscaler.
    pub policy: Option<String>,
    /// Figures of the cluster's size.
    #[serde(flatten)]
    pub figures: ScalingFigures,
    /// Figures that only an autoscaler has.
    #[serde(flatten)]
    pub counts: Option<ScalingCounts>,
}

#[cfg(test)]
mod tests {
    use crate::autoscale::{Action, Move, Tick};
    use crate::metrics::serving::cost::testing::instance;
    use crate::metrics::serving::fleet::state_changes;
    use crate::metrics::serving::scaling::*;
    use crate::sim::Role;

    const END: Nanos = Nanos(2_000_000_000_000);

    fn change(time: f64, fleet: FleetKind, grew: bool) -> SizeChange {
        SizeChange { time, fleet, grew }
    }

    #[test]
    fn changes_at_one_time_are_one_event_and_turns_are_flaps() {
        use FleetKind::{Decode, Prefill};
        let counts = ChangeCounts::of(&[
            change(10.0, Prefill, true),
            change(10.0, Decode, true),
            change(310.0, Prefill, false), // 300 s after it grew: a flap
            change(320.0, Decode, false),  // 310 s after it grew: none
            change(400.0, Prefill, true),  // 90 s after it shrank: a flap
            change(400.0, Decode, false),  // shrinks again: none, and a rebalance
        ]);
        assert_eq!(
            counts,
            ChangeCounts {
                scale_out: 1,
                scale_in: 2,
                rebalance: 1,
                flaps: 2,
            }
        );
        assert_eq!(counts.scaling_events(), 4);
        assert_eq!(ChangeCounts::of(&[]), ChangeCounts::default());
    }

    #[test]
    fn an_autoscaler_s_decisions_count_where_there_is_one() {
        let tick = |time: f64, moves: &[(FleetKind, u32, u32)]| Tick {
            time,
            action: Action::Hold,
            moves: moves
                .iter()
                .map(|(kind, from, to)| Move {
                    kind: *kind,
                    from: *from,
                    wanted: *to,
                    to: *to,
                })
                .collect(),
            reason: String::new(),
            signals: Vec::new(),
            fleets: Vec::new(),
        };
        let log = ScalingLog {
            policy: "mine".into(),
            fleets: vec![FleetKind::Aggregated],
            ticks: vec![
                tick(10.0, &[(FleetKind::Aggregated, 1, 2)]),
                tick(20.0, &[(FleetKind::Aggregated, 2, 2)]),
                tick(30.0, &[(FleetKind::Aggregated, 2, 1)]),
            ],
            counts: ScalingCounts::default(),
        };
        // Out at 10 s and in at 30 s, 20 s later: a flap. The instance was set aside and never drained, so the records
        // show only one start.
        let lives = [
            instance(Role::Aggregated, [0.0, 0.0], None, 2000.0),
            instance(Role::Aggregated, [10.0, 20.0], None, 2000.0),
        ];
        let fleet = Fleet::of(&state_changes(&lives, END), &lives, END);
        let found = ScalingFigures::of(&lives, &fleet, Some(&log), END);
        assert_eq!(
            (
                found.changes.scale_out,
                found.changes.scale_in,
                found.changes.flaps
            ),
            (1, 1, 1)
        );
        assert_eq!((found.instances_started, found.instances_drained), (1, 0));
        assert_eq!(found.most_instances, 2);
        let without = ScalingFigures::of(&lives, &fleet, None, END);
        assert_eq!((without.changes.scale_out, without.changes.flaps), (1, 0));
    }

    #[test]
    fn lives_tell_changes_of_size() {
        // Out at 10 s, in at 500 s (490 s later: no flap), out at 700 s (200 s later: a flap). The last, requested at
        // 900 s, is cancelled at 910 s before it is ready: out, and in 10 s later.
        let lives = [
            instance(Role::Prefill, [0.0, 0.0], None, 2000.0),
            instance(Role::Prefill, [10.0, 20.0], Some(500.0), 600.0),
            instance(Role::Prefill, [700.0, 710.0], None, 2000.0),
            instance(Role::Decode, [0.0, 0.0], None, 2000.0),
            instance(Role::Decode, [900.0, 910.0], None, 910.0),
        ];
        let fleet = Fleet::of(&state_changes(&lives, END), &lives, END);
        let found = ScalingFigures::of(&lives, &fleet, None, END);
        assert_eq!(
            found.changes,
            ChangeCounts {
                scale_out: 3,
                scale_in: 2,
                rebalance: 0,
                flaps: 2,
            }
        );
        assert_eq!((found.instances_started, found.instances_drained), (3, 2));
        assert_eq!(found.scaling_events, 5);
        assert_eq!(
            changes_so_far(&lives, END),
            [
                (0.0, 0.0),
                (10.0, 1.0),
                (500.0, 2.0),
                (700.0, 3.0),
                (900.0, 4.0),
                (910.0, 5.0),
                (2000.0, 5.0)
            ]
        );
        // One started instance and one removed instance of a fleet at the same time cancel out.
        let swap = [
            instance(Role::Aggregated, [0.0, 0.0], Some(50.0), 60.0),
            instance(Role::Aggregated, [50.0, 60.0], None, 2000.0),
        ];
        assert_eq!(observed(&swap, END), []);
    }

    #[test]
    fn figures_of_nothing() {
        let none = Fleet::of(&[], &[], END);
        let found = ScalingFigures::of(&[], &none, None, END);
        assert_eq!(found, ScalingFigures::default());
    }
}
