//! Numbers of instances over time: existing, ready, and prefill instances per decode instance.

use crate::sim::{InstanceRecord, Role, State, StateChange};
use crate::trace::Nanos;

/// A step function: pairs of a time in seconds and the value from then until the next pair.
pub type Steps = Vec<(f64, f64)>;

/// Numbers of instances over a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fleet {
    /// Maximum number of instances that existed at once, including starting and draining ones.
    pub most_instances: u64,
    /// Ready instances of all pools.
    pub ready: Steps,
    /// Ready prefill instances.
    pub prefill: Steps,
    /// Ready decode instances.
    pub decode: Steps,
    /// Ready prefill / ready decode instances; NaN while no decode instance is ready, and empty unless both kinds
    /// existed.
    pub pd_ratio: Steps,
    /// End of the run, in seconds.
    pub end: f64,
}

/// Mean and variance over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Mean.
    pub mean: f64,
    /// Variance.
    pub variance: f64,
}

impl Fleet {
    /// Applies changes of state, which are in order of time, up to the end of the run.
    pub fn of(changes: &[StateChange], instances: &[InstanceRecord], end: Nanos) -> Self {
        let has = |role| instances.iter().any(|i| i.role == role);
        let paired = has(Role::Prefill) && has(Role::Decode);
        let mut states: Vec<Option<State>> = vec![None; instances.len()];
        let mut fleet = Self {
            end: end.as_secs_f64(),
            ..Self::default()
        };
        let (mut existing, mut all, mut prefill, mut decode) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut rest = changes;
        let mut time = Nanos::ZERO;
        loop {
            // All changes at the same time count as one.
            while let Some((change, later)) = rest.split_first()
                && change.time <= time
            {
                rest = later;
                let number = change.instance as usize;
                let before = states[number].replace(change.state);
                existing += u64::from(before.is_none());
                existing -= u64::from(change.state == State::Gone);
                let (was, is) = (before == Some(State::Ready), change.state == State::Ready);
                let count = |level: &mut u64| *level = *level + u64::from(is) - u64::from(was);
                count(&mut all);
                match instances[number].role {
                    Role::Prefill => count(&mut prefill),
                    Role::Decode => count(&mut decode),
                    _ => {}
                }
            }
            fleet.most_instances = fleet.most_instances.max(existing);
            let seconds = time.as_secs_f64();
            let push = |steps: &mut Steps, level: f64| steps.push((seconds, level));
            push(&mut fleet.ready, all as f64);
            push(&mut fleet.prefill, prefill as f64);
            push(&mut fleet.decode, decode as f64);
            if paired {
                let ratio = match decode {
                    0 => f64::NAN,
                    decode => prefill as f64 / decode as f64,
                };
                push(&mut fleet.pd_ratio, ratio);
            }
            match rest.first() {
                Some(next) => time = next.time,
                None if time < end => time = end,
                None => return fleet,
            }
        }
    }

    /// Mean and variance of the P/D ratio, weighted by time; times without a ready decode instance are ignored. `None`
    /// if the ratio was never defined.
    pub fn pd_ratio_moments(&self) -> Option<Moments> {
        let held = || {
            let pairs = self.pd_ratio.windows(2);
            pairs
                .map(|pair| (pair[0].1, pair[1].0 - pair[0].0))
                .filter(|(ratio, _)| ratio.is_finite())
        };
        let seconds: f64 = held().map(|(_, seconds)| seconds).sum();
        if seconds <= 0.0 {
            return None;
        }
        let mean = held().map(|(ratio, s)| ratio * s).sum::<f64>() / seconds;
        let squares = held().map(|(ratio, s)| (ratio - mean).powi(2) * s);
        Some(Moments {
            mean,
            variance: squares.sum::<f64>() / seconds,
        })
    }
}

/// The changes of state that instances' records imply, for results folders without `scaling/instances.csv`.
pub fn state_changes(instances: &[InstanceRecord], end: Nanos) -> Vec<StateChange> {
    let mut changes = Vec::new();
    for (number, life) in instances.iter().enumerate() {
        let mut push = |time, state| {
            changes.push(StateChange {
                time,
                instance: number as u32,
                state,
            });
        };
        push(life.created, State::Starting);
        if life.ready < life.gone {
            push(life.ready, State::Ready);
        }
        if let Some(time) = life.draining {
            push(time, State::Draining);
        }
        if life.gone < end {
            push(life.gone, State::Gone);
        }
    }
    changes.sort_by_key(|change| change.time);
    changes
}

#[cfg(test)]
mod tests {
    use crate::metrics::serving::cost::testing::instance;
    use crate::metrics::serving::fleet::*;

    const END: Nanos = Nanos(100_000_000_000);

    fn fleet(instances: &[InstanceRecord]) -> Fleet {
        Fleet::of(&state_changes(instances, END), instances, END)
    }

    #[test]
    fn by_hand() {
        // Prefill: one for the whole run, and another, requested at 10, that is ready from 20 to 60 and gone at 70.
        // Decode: two, of which one drains at 50 and is gone at 55.
        let found = fleet(&[
            instance(Role::Prefill, [0.0, 0.0], None, 100.0),
            instance(Role::Prefill, [10.0, 20.0], Some(60.0), 70.0),
            instance(Role::Decode, [0.0, 0.0], None, 100.0),
            instance(Role::Decode, [0.0, 0.0], Some(50.0), 55.0),
        ]);
        assert_eq!(found.most_instances, 4);
        let times = [0.0, 10.0, 20.0, 50.0, 55.0, 60.0, 70.0, 100.0];
        let levels = |steps: &Steps| steps.iter().map(|step| step.1).collect::<Vec<_>>();
        assert_eq!(
            found.ready.iter().map(|step| step.0).collect::<Vec<_>>(),
            times
        );
        assert_eq!(
            levels(&found.ready),
            [3.0, 3.0, 4.0, 3.0, 3.0, 2.0, 2.0, 2.0]
        );
        assert_eq!(
            levels(&found.prefill),
            [1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
        );
        assert_eq!(
            levels(&found.pd_ratio),
            [0.5, 0.5, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0]
        );
        // 1/2 for 20 s, 2/2 for 30 s, 2/1 for 10 s, 1/1 for 40 s: mean (10 + 30 + 20 + 40) / 100 = 1,
        // variance (20 x 0.25 + 10 x 1) / 100 = 0.15.
        let moments = found.pd_ratio_moments().expect("both kinds");
        assert!((moments.mean - 1.0).abs() < 1e-12);
        assert!((moments.variance - 0.15).abs() < 1e-12);
    }

    #[test]
    fn a_time_without_decode_instances_has_no_ratio() {
        // Decode from 0 to 4 and from 60 on: 1/1 and 1/1 for 4 + 40 s; for 56 s there is no ratio.
        let found = fleet(&[
            instance(Role::Prefill, [0.0, 0.0], None, 100.0),
            instance(Role::Decode, [0.0, 0.0], Some(4.0), 4.0),
            instance(Role::Decode, [4.0, 60.0], None, 100.0),
        ]);
        assert!(found.pd_ratio.iter().any(|step| step.1.is_nan()));
        let moments = found.pd_ratio_moments().expect("both kinds");
        assert_eq!((moments.mean, moments.variance), (1.0, 0.0));
        // One instance is gone at the time at which the other is requested.
        assert_eq!(found.most_instances, 2);
    }

    #[test]
    fn instances_that_serve_both_phases_have_no_ratio() {
        let found = fleet(&[instance(Role::Aggregated, [0.0, 0.0], None, 100.0)]);
        assert_eq!(found.pd_ratio_moments(), None);
        assert_eq!(found.ready, [(0.0, 1.0), (100.0, 1.0)]);
        let without_instances = fleet(&[]);
        assert_eq!(
            (
                without_instances.most_instances,
                without_instances.pd_ratio_moments()
            ),
            (0, None)
        );
        assert_eq!(without_instances.ready, [(0.0, 0.0), (100.0, 0.0)]);
    }

    #[test]
    fn a_start_that_is_taken_back_never_was_ready() {
        let found = fleet(&[
            instance(Role::Aggregated, [0.0, 0.0], None, 100.0),
            instance(Role::Aggregated, [10.0, 30.0], None, 30.0),
        ]);
        assert_eq!(found.most_instances, 2);
        assert!(found.ready.iter().all(|step| step.1 == 1.0));
    }

    #[test]
    fn parked_instances_are_not_ready() {
        let instances = [
            instance(Role::Prefill, [0.0, 0.0], None, 100.0),
            instance(Role::Decode, [0.0, 0.0], None, 100.0),
            instance(Role::Decode, [0.0, 0.0], None, 100.0),
        ];
        let mut changes = state_changes(&instances, END);
        for (seconds, state) in [(40, State::Parked), (60, State::Ready)] {
            changes.push(StateChange {
                time: Nanos(seconds * 1_000_000_000),
                instance: 2,
                state,
            });
        }
        let found = Fleet::of(&changes, &instances, END);
        // 1/2 for 80 s and 1/1 for 20 s: mean (40 + 20) / 100 = 0.6, variance (80 x 0.01 + 20 x 0.16) / 100 = 0.04.
        let moments = found.pd_ratio_moments().expect("both kinds");
        assert!((moments.mean - 0.6).abs() < 1e-12);
        assert!((moments.variance - 0.04).abs() < 1e-12);
        assert_eq!(found.most_instances, 3);
    }
}
