//! Applies bounds, cooldowns, damping, step limits and the GPU budget to a policy's decision.

use super::config::AutoscalingSection;
use super::log::Move;
use super::policy::{Decision, Pace};
use super::signals::{FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::{Error, Result};

/// Bounds on the number of instances of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Fewest instances.
    pub min: u32,
    /// Most instances.
    pub max: u32,
}

/// Limits on the changes that a policy can make.
#[derive(Debug, Clone)]
pub struct ScalingBounds {
    prefill: Limits,
    decode: Limits,
    aggregated: Limits,
    out_cooldown: f64,
    in_cooldown: f64,
    damping: f64,
    max_step_out: u32,
    max_step_in: u32,
    /// GPUs of all instances together.
    budget: Option<u32>,
    last_out: f64,
    last_change: f64,
}

impl ScalingBounds {
    /// Limits of a configuration; cooldowns that it does not set are the policy's own.
    ///
    /// # Errors
    /// [`Error::Usage`] for invalid bounds.
    pub fn new(section: &AutoscalingSection, pace: Pace) -> Result<Self> {
        let limits = |name: &str, section: super::FleetSection| {
            if section.min == 0 {
                return Err(Error::usage(
                    format!("autoscaling.{name}.min is 0"),
                    "give 1 or more: a fleet without instances has no signals by which a policy could scale it out",
                ));
            }
            if section.max < section.min {
                return Err(Error::usage(
                    format!(
                        "autoscaling.{name}.max is {}, less than min, which is {}",
                        section.max, section.min
                    ),
                    "give a max that is not less than min",
                ));
            }
            Ok(Limits {
                min: section.min,
                max: section.max,
            })
        };
        let out_cooldown = section
            .scale_out_cooldown_seconds
            .unwrap_or(pace.out_cooldown);
        let in_cooldown = section
            .scale_in_cooldown_seconds
            .unwrap_or(pace.in_cooldown);
        positive("autoscaling.scale_out_cooldown_seconds", out_cooldown, true)?;
        positive("autoscaling.scale_in_cooldown_seconds", in_cooldown, true)?;
        positive("autoscaling.damping", section.damping, false)?;
        Ok(Self {
            prefill: limits("prefill", section.prefill)?,
            decode: limits("decode", section.decode)?,
            aggregated: limits("aggregated", section.aggregated)?,
            out_cooldown,
            in_cooldown,
            damping: section.damping.min(1.0),
            max_step_out: section.max_step_out.unwrap_or(u32::MAX),
            max_step_in: section.max_step_in.unwrap_or(u32::MAX),
            budget: section.gpu_budget,
            last_out: f64::NEG_INFINITY,
            last_change: f64::NEG_INFINITY,
        })
    }

    /// Bounds of a fleet; mixed instances are not scaled.
    pub fn limits(&self, kind: FleetKind) -> Option<Limits> {
        match kind {
            FleetKind::Prefill => Some(self.prefill),
            FleetKind::Decode => Some(self.decode),
            FleetKind::Aggregated => Some(self.aggregated),
            FleetKind::Mixed => None,
        }
    }

    /// Applies all limits to a decision. Returns the change of each fleet, and notes on the limits that took effect. `gpus`
    /// are the GPUs of one instance, by fleet.
    pub fn bound(
        &mut self,
        signals: &Signals,
        decision: &Decision,
        gpus: &[u32],
    ) -> (Vec<Move>, Vec<&'static str>) {
        let mut notes = Vec::new();
        let mut note = |text: &'static str, applies: bool| {
            if applies && !notes.contains(&text) {
                notes.push(text);
            }
        };
        let since = |time: f64| signals.time - time;
        // A control interval may be short by a rounding error.
        let may_grow = since(self.last_out) >= self.out_cooldown - 1e-9;
        let may_shrink = since(self.last_change) >= self.in_cooldown - 1e-9;
        let mut moves = Vec::new();
        for (fleet, wanted) in signals.fleets.iter().zip(&decision.targets) {
            let from = fleet.provisioned();
            let mut one = Move {
                kind: fleet.kind,
                from,
                wanted: *wanted,
                to: from,
            };
            if let Some(limits) = self.limits(fleet.kind) {
                let wish = (*wanted).clamp(limits.min, limits.max);
                note("at its bound", wish != *wanted);
                let (grows, shrinks) = (wish > from, wish < from);
                note("held: scale-out cooling down", grows && !may_grow);
                note("held: scale-in cooling down", shrinks && !may_shrink);
                if grows && may_grow {
                    let step = self.damped(wish - from);
                    note("capped", step > self.max_step_out);
                    one.to = from + step.min(self.max_step_out);
                } else if shrinks && may_shrink {
                    let step = self.damped(from - wish);
                    note("capped", step > self.max_step_in);
                    one.to = from - step.min(self.max_step_in);
                }
            }
            moves.push(one);
        }
        note(
            "held: GPU budget",
            self.keep_budget(signals, &mut moves, gpus),
        );
        if moves.iter().any(|one| one.to > one.from) {
            self.last_out = signals.time;
        }
        if moves.iter().any(|one| one.to != one.from) {
            self.last_change = signals.time;
        }
        (moves, notes)
    }

    fn damped(&self, step: u32) -> u32 {
        ((f64::from(step) * self.damping).ceil() as u32).min(step)
    }

    /// Reduces the growth of all fleets in proportion if they would need more GPUs than the budget has; returns whether it
    /// did.
    fn keep_budget(&self, signals: &Signals, moves: &mut [Move], gpus: &[u32]) -> bool {
        let Some(budget) = self.budget else {
            return false;
        };
        let there = |fleet: &super::signals::Fleet| {
            fleet.ready + fleet.starting + fleet.parked + fleet.draining
        };
        // Draining instances hold their GPUs until they terminate.
        let used: u32 = signals
            .fleets
            .iter()
            .zip(gpus)
            .map(|(fleet, gpus)| there(fleet) * gpus)
            .sum();
        // Parked instances hold their GPUs already.
        let fresh = |(one, fleet): (&Move, &super::signals::Fleet)| {
            one.to.saturating_sub(one.from).saturating_sub(fleet.parked)
        };
        let news: Vec<u32> = moves.iter().zip(&signals.fleets).map(fresh).collect();
        let asked: u32 = news.iter().zip(gpus).map(|(new, gpus)| new * gpus).sum();
        let left = budget.saturating_sub(used);
        if asked <= left {
            return false;
        }
        let mut spare = left;
        let part = f64::from(left) / f64::from(asked);
        let mut granted: Vec<u32> = news
            .iter()
            .zip(gpus)
            .map(|(new, gpus)| {
                let new = (f64::from(*new) * part).floor() as u32;
                spare -= new * gpus;
                new
            })
            .collect();
        // Distributes what rounding left over, one instance at a time.
        for ((granted, new), gpus) in granted.iter_mut().zip(&news).zip(gpus) {
            if *granted < *new && *gpus <= spare {
                *granted += 1;
                spare -= gpus;
            }
        }
        for ((one, new), granted) in moves.iter_mut().zip(&news).zip(&granted) {
            one.to -= new - granted;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::actuator::*;
    use crate::autoscale::testing::signals;

    fn bounds(set: impl FnOnce(&mut AutoscalingSection)) -> ScalingBounds {
        let mut section = AutoscalingSection::default();
        set(&mut section);
        ScalingBounds::new(&section, Pace::DOCUMENTED).unwrap_or_else(|_| unreachable!())
    }

    fn to(bounds: &mut ScalingBounds, time: f64, have: (u32, u32), want: (u32, u32)) -> Vec<u32> {
        let mut seen = signals(have.0, have.1);
        seen.time = time;
        let decision = Decision::pair(&seen, want.0, want.1, "");
        let (moves, _) = bounds.bound(&seen, &decision, &[4, 1]);
        moves.iter().map(|one| one.to).collect()
    }

    #[test]
    fn cooldowns_by_hand() {
        let mut bounds = bounds(|_| {});
        // The first scale-out has no cooldown; the next is possible after 180 s, a scale-in 600 s after the last change.
        assert_eq!(to(&mut bounds, 10.0, (4, 4), (5, 5)), [5, 5]);
        assert_eq!(to(&mut bounds, 189.0, (5, 5), (6, 6)), [5, 5]);
        assert_eq!(to(&mut bounds, 190.0, (5, 5), (6, 6)), [6, 6]);
        assert_eq!(to(&mut bounds, 789.0, (6, 6), (5, 5)), [6, 6]);
        assert_eq!(to(&mut bounds, 790.0, (6, 6), (5, 5)), [5, 5]);
    }

    #[test]
    fn bounds_damping_and_caps_by_hand() {
        let mut bounded = bounds(|section| {
            section.prefill.max = 6;
        });
        // At least one instance of each role remains.
        assert_eq!(to(&mut bounded, 0.0, (4, 4), (9, 0)), [6, 1]);
        let mut damped = bounds(|section| section.damping = 0.5);
        // Half of 5, rounded up, is 3; half of 1 is 1.
        assert_eq!(to(&mut damped, 0.0, (4, 4), (9, 3)), [7, 3]);
        let mut capped = bounds(|section| {
            section.max_step_out = Some(2);
            section.max_step_in = Some(1);
        });
        assert_eq!(to(&mut capped, 0.0, (4, 4), (9, 1)), [6, 3]);
    }

    #[test]
    fn budget_by_hand() {
        // 4 x 4 + 8 x 1 = 24 of 32 GPUs. Two more of each would need 10; 8 are left: 0.8 x 2 = 1.6, so 1 and 1, which take
        // 5; of the 3 left the decode fleet gets its second.
        let mut bounds = bounds(|section| section.gpu_budget = Some(32));
        assert_eq!(to(&mut bounds, 0.0, (4, 8), (6, 10)), [5, 10]);
    }

    #[test]
    fn what_rounding_leaves_over_goes_round() {
        // 24 GPUs are there. Of 27, 3 are left for 10: 0.6 of each is 0 and 0. A prefill instance needs 4, a decode instance gets 1.
        let mut tight = bounds(|section| section.gpu_budget = Some(27));
        assert_eq!(to(&mut tight, 0.0, (4, 8), (6, 10)), [4, 9]);
        // Of 28, 4 are left: they are just enough for one prefill instance.
        let mut exact = bounds(|section| section.gpu_budget = Some(28));
        assert_eq!(to(&mut exact, 0.0, (4, 8), (6, 10)), [5, 8]);
        // One GPU a prefill instance and three a decode instance: 28 of 32. 4 are left for 6, so one decode instance; the last GPU
        // stays unused, because no further prefill instance was requested.
        let mut other = bounds(|section| section.gpu_budget = Some(32));
        let seen = signals(4, 8);
        let decision = Decision::pair(&seen, 4, 10, "");
        let (moves, notes) = other.bound(&seen, &decision, &[1, 3]);
        assert_eq!((moves[0].to, moves[1].to), (4, 9));
        assert_eq!(notes, ["held: GPU budget"]);
    }

    #[test]
    fn all_instances_hold_gpus_and_parked_ones_need_none() {
        // Prefill: 4 ready, 1 starting, 2 parked, 1 draining, of 4 GPUs each; decode: 4 of 1. 36 GPUs. From 5 to 8 prefill instances: two come
        // back, one is new and needs 4.
        let mut seen = signals(4, 4);
        (
            seen.fleets[0].starting,
            seen.fleets[0].parked,
            seen.fleets[0].draining,
        ) = (1, 2, 1);
        let decision = Decision::pair(&seen, 8, 4, "");
        for (budget, to) in [(40, 8), (39, 7)] {
            let mut bounds = bounds(|section| section.gpu_budget = Some(budget));
            let (moves, _) = bounds.bound(&seen, &decision, &[4, 1]);
            assert_eq!((moves[0].from, moves[0].to), (5, to), "{budget}");
        }
    }

    #[test]
    fn notes_say_each_bound_once() {
        let mut bounds = bounds(|section| {
            section.prefill.max = 6;
            section.max_step_out = Some(2);
        });
        let mut note = |time, want: (u32, u32)| {
            let mut seen = signals(3, 3);
            seen.time = time;
            let decision = Decision::pair(&seen, want.0, want.1, "");
            bounds.bound(&seen, &decision, &[1, 1]).1
        };
        // 9 is above 6 and 0 below 1: both are at a bound. From 3 to 6 is more than 2 steps.
        assert_eq!(note(0.0, (9, 0)), ["at its bound", "capped"]);
        assert_eq!(note(1.0, (4, 3)), ["held: scale-out cooling down"]);
        assert_eq!(note(2.0, (3, 2)), ["held: scale-in cooling down"]);
        assert!(note(1000.0, (5, 3)).is_empty());
    }

    #[test]
    fn a_scale_in_is_capped_only_above_the_step_limit() {
        let notes = |want: u32| {
            let mut bounds = bounds(|section| section.max_step_in = Some(1));
            let seen = signals(4, 4);
            let decision = Decision::pair(&seen, want, 4, "");
            bounds.bound(&seen, &decision, &[1, 1]).1
        };
        // From 4 to 1 is 3 steps, from 4 to 3 is one.
        assert_eq!(notes(1), ["capped"]);
        assert!(notes(3).is_empty());
    }

    #[test]
    fn one_gpu_short_of_the_budget() {
        // 24 of 33 GPUs are used and 9 are left for 2 x 4 + 2 x 1 = 10. 0.9 x 2 = 1.8, so 1 and 1, which take 5; of the 4 left the prefill fleet
        // gets its second, and nothing remains.
        let mut bounds = bounds(|section| section.gpu_budget = Some(33));
        assert_eq!(to(&mut bounds, 0.0, (4, 8), (6, 10)), [6, 9]);
    }
}
