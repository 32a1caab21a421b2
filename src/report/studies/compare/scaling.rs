//! What a run's autoscaler did, told by the lives of its instances.

use std::collections::BTreeMap;

use serde::Serialize;

/// A pool that turns round within so many seconds flaps: about one start of an instance with its weights.
pub const FLAP_SECONDS: f64 = 300.0;

/// One instance's life, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    /// Its pool.
    pub pool: String,
    /// When it was asked for.
    pub created: f64,
    /// When it began to serve.
    pub ready: f64,
    /// When it got no more work, where that came before the end.
    pub draining: Option<f64>,
    /// When it was given back.
    pub gone: f64,
}

/// What a pool is there for, where it is for one phase only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Prompts.
    Prefill,
    /// Tokens.
    Decode,
    /// Both.
    Both,
}

impl Phase {
    /// By a pool's name, as ours and SplitwiseSim have them.
    pub fn of(pool: &str) -> Self {
        let name = pool.to_ascii_lowercase();
        if name.contains("prefill") || name.contains("prompt") {
            Self::Prefill
        } else if name.contains("decode") || name.contains("token") {
            Self::Decode
        } else {
            Self::Both
        }
    }
}

/// Level until the next point.
pub type Steps = Vec<(f64, f64)>;

/// Of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scaling {
    /// Times at which instances were asked for after the start, in any pool.
    pub scale_out: u64,
    /// Times at which instances were taken out of service.
    pub scale_in: u64,
    /// Instances asked for after the start.
    pub started: u64,
    /// Instances taken out of service before the end.
    pub drained: u64,
    /// Turns of a pool within [`FLAP_SECONDS`].
    pub flaps: u64,
    /// Most instances in service at a time.
    pub most_instances: u64,
    /// Prefill instances by decode instances in service, mean over time; none without both kinds.
    pub pd_mean: Option<f64>,
    /// Variance of the same over time.
    pub pd_variance: Option<f64>,
    /// Hours from asking for instances until they were given back.
    pub instance_hours: f64,
    /// When the last one was given back, in seconds.
    pub end: f64,
    /// Instances in service: all, and by phase.
    #[serde(skip)]
    pub instances: Steps,
    /// Of pools for prompts.
    #[serde(skip)]
    pub prefill: Steps,
    /// Of pools for tokens.
    #[serde(skip)]
    pub decode: Steps,
    /// Their ratio; a point that is no number where there is no decode instance.
    #[serde(skip)]
    pub ratio: Steps,
    /// Changes so far, in instances started and drained.
    #[serde(skip)]
    pub changes: Steps,
}

impl Scaling {
    /// Of the lives of all instances; `phase` says what a pool is for.
    pub fn new(lives: &[Life], phase: impl Fn(&str) -> Phase) -> Self {
        let end = lives.iter().map(|life| life.gone).fold(0.0, f64::max);
        let steps = |wanted: &dyn Fn(&Life) -> bool| in_service(lives, wanted, end);
        let instances = steps(&|_| true);
        let prefill = steps(&|life| phase(&life.pool) == Phase::Prefill);
        let decode = steps(&|life| phase(&life.pool) == Phase::Decode);
        let ratio = ratio(&prefill, &decode, end);
        let (pd_mean, pd_variance) = moments(&ratio, end);
        let mut changes: Vec<(f64, &str, bool)> = Vec::new();
        for life in lives {
            if life.created > 0.0 {
                changes.push((life.created, &life.pool, true));
            }
            if let Some(at) = life.draining {
                changes.push((at, &life.pool, false));
            }
        }
        changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)).then(a.2.cmp(&b.2)));
        let times = |out: bool| {
            let mut times: Vec<f64> = changes.iter().filter(|c| c.2 == out).map(|c| c.0).collect();
            times.dedup();
            times.len() as u64
        };
        let count = |out: bool| changes.iter().filter(|c| c.2 == out).count() as u64;
        let mut so_far = vec![(0.0, 0.0)];
        so_far.extend(
            changes
                .iter()
                .enumerate()
                .map(|(n, c)| (c.0, n as f64 + 1.0)),
        );
        so_far.push((end, changes.len() as f64));
        Self {
            scale_out: times(true),
            scale_in: times(false),
            started: count(true),
            drained: count(false),
            flaps: flaps(&changes),
            most_instances: instances.iter().map(|step| step.1).fold(0.0, f64::max) as u64,
            pd_mean,
            pd_variance,
            instance_hours: lives.iter().map(|l| l.gone - l.created).sum::<f64>() / 3600.0,
            end,
            instances,
            prefill,
            decode,
            ratio,
            changes: so_far,
        }
    }

    /// Decisions that changed something.
    pub fn events(&self) -> u64 {
        self.scale_out + self.scale_in
    }
}

/// How many of the wanted instances take work, over time.
fn in_service(lives: &[Life], wanted: &dyn Fn(&Life) -> bool, end: f64) -> Steps {
    let mut deltas: Vec<(f64, f64)> = Vec::new();
    for life in lives.iter().filter(|life| wanted(life)) {
        let until = life.draining.unwrap_or(life.gone);
        if until > life.ready {
            deltas.push((life.ready, 1.0));
            if until < end {
                deltas.push((until, -1.0));
            }
        }
    }
    deltas.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut steps: Steps = vec![(0.0, 0.0)];
    for (time, delta) in deltas {
        match steps.last_mut() {
            Some(last) if last.0 == time => last.1 += delta,
            Some(last) => {
                let level = last.1 + delta;
                steps.push((time, level));
            }
            None => {}
        }
    }
    if let Some(level) = steps.last().map(|last| last.1)
        && steps.last().is_some_and(|last| last.0 < end)
    {
        steps.push((end, level));
    }
    steps
}

/// The level at a time.
fn at(steps: &[(f64, f64)], time: f64) -> f64 {
    let next = steps.partition_point(|step| step.0 <= time);
    next.checked_sub(1).map_or(0.0, |index| steps[index].1)
}

fn ratio(prefill: &[(f64, f64)], decode: &[(f64, f64)], end: f64) -> Steps {
    let most = |steps: &[(f64, f64)]| steps.iter().map(|s| s.1).fold(0.0, f64::max);
    if most(prefill) == 0.0 || most(decode) == 0.0 {
        return Vec::new();
    }
    let mut times: Vec<f64> = prefill.iter().chain(decode).map(|step| step.0).collect();
    times.retain(|time| *time <= end);
    times.sort_by(f64::total_cmp);
    times.dedup();
    let one = |time: &f64| {
        let (p, d) = (at(prefill, *time), at(decode, *time));
        (*time, if d > 0.0 { p / d } else { f64::NAN })
    };
    times.iter().map(one).collect()
}

/// Mean and variance, each level by how long it held; times without a level count for nothing.
fn moments(steps: &[(f64, f64)], end: f64) -> (Option<f64>, Option<f64>) {
    let ends = steps.iter().skip(1).map(|step| step.0).chain([end]);
    let held: Vec<(f64, f64)> = steps
        .iter()
        .zip(ends)
        .map(|(step, until)| (step.1, until - step.0))
        .filter(|(level, length)| level.is_finite() && *length > 0.0)
        .collect();
    let length: f64 = held.iter().map(|(_, length)| length).sum();
    if length <= 0.0 {
        return (None, None);
    }
    let mean = held.iter().map(|(level, l)| level * l).sum::<f64>() / length;
    let variance = held
        .iter()
        .map(|(level, l)| (level - mean).powi(2) * l)
        .sum::<f64>()
        / length;
    (Some(mean), Some(variance))
}

/// Turns by pool; `changes` are in order of time.
fn flaps(changes: &[(f64, &str, bool)]) -> u64 {
    let mut last: BTreeMap<&str, (f64, bool)> = BTreeMap::new();
    let mut flaps = 0;
    for (time, pool, out) in changes {
        if let Some((before, direction)) = last.insert(pool, (*time, *out))
            && direction != *out
            && time - before <= FLAP_SECONDS
        {
            flaps += 1;
        }
    }
    flaps
}

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::scaling::*;

    fn life(pool: &str, created: f64, ready: f64, draining: Option<f64>, gone: f64) -> Life {
        Life {
            pool: pool.into(),
            created,
            ready,
            draining,
            gone,
        }
    }

    #[test]
    fn by_hand() {
        // Prefill: 1 all along, and another that serves from 20 to 60. Decode: 2, of which one drains at 50.
        let lives = [
            life("prefill", 0.0, 0.0, None, 100.0),
            life("prefill", 10.0, 20.0, Some(60.0), 70.0),
            life("decode", 0.0, 0.0, None, 100.0),
            life("decode", 0.0, 0.0, Some(50.0), 55.0),
        ];
        let found = Scaling::new(&lives, Phase::of);
        assert_eq!((found.scale_out, found.scale_in, found.flaps), (1, 2, 1));
        assert_eq!((found.started, found.drained), (1, 2));
        assert_eq!(found.most_instances, 4);
        // 1/2 for 20 s, 2/2 for 30 s, 2/1 for 10 s, 1/1 for 40 s: mean (10 + 30 + 20 + 40) / 100 = 1.
        assert_eq!(
            found.ratio,
            [
                (0.0, 0.5),
                (20.0, 1.0),
                (50.0, 2.0),
                (60.0, 1.0),
                (100.0, 1.0)
            ]
        );
        assert!((found.pd_mean.expect("both kinds") - 1.0).abs() < 1e-12);
        // Variance (20 x 0.25 + 10 x 1) / 100 = 0.15.
        assert!((found.pd_variance.expect("both kinds") - 0.15).abs() < 1e-12);
        // 100 + 60 + 100 + 55 seconds.
        assert!((found.instance_hours - 315.0 / 3600.0).abs() < 1e-12);
        assert_eq!(found.instances[0], (0.0, 3.0));
        assert_eq!(
            found.changes,
            [
                (0.0, 0.0),
                (10.0, 1.0),
                (50.0, 2.0),
                (60.0, 3.0),
                (100.0, 3.0)
            ]
        );
    }

    #[test]
    fn a_pool_without_decode_for_a_while_has_no_ratio_then() {
        let lives = [
            life("prompt", 0.0, 0.0, None, 10.0),
            life("token", 0.0, 0.0, Some(4.0), 4.0),
            life("token", 4.0, 6.0, None, 10.0),
        ];
        let found = Scaling::new(&lives, Phase::of);
        // Defined for 4 + 4 of 10 seconds, always 1.
        assert_eq!((found.pd_mean, found.pd_variance), (Some(1.0), Some(0.0)));
        assert!(found.ratio.iter().any(|step| step.1.is_nan()));
    }

    #[test]
    fn instances_that_serve_both_phases_have_no_ratio() {
        let lives = [life("replica", 0.0, 0.0, None, 10.0)];
        let found = Scaling::new(&lives, Phase::of);
        assert_eq!((found.pd_mean, found.events()), (None, 0));
        assert_eq!(found.instances, [(0.0, 1.0), (10.0, 1.0)]);
        assert_eq!(Scaling::new(&[], Phase::of).most_instances, 0);
    }

    #[test]
    fn turns_far_apart_are_no_flaps() {
        let lives = [
            life("prefill", 0.0, 0.0, None, 2000.0),
            life("prefill", 10.0, 20.0, Some(500.0), 500.0),
            life("prefill", 700.0, 710.0, None, 2000.0),
        ];
        // Out at 10, in at 500 (490 s later), out at 700 (200 s later).
        assert_eq!(Scaling::new(&lives, Phase::of).flaps, 1);
    }
}
