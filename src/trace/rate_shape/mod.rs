//! Arrival rates that vary over time.
//!
//! Arrivals are drawn by the arrival process at a rate of 1, and their times mapped through the inverse of the cumulative
//! rate (Cinlar, Introduction to Stochastic Processes, 1975). For Poisson arrivals this is the exact inhomogeneous Poisson
//! process; any other process keeps its burstiness.

mod parse;

use super::Nanos;

/// A rate over time, as multiples of the requested mean rate.
#[derive(Debug, Clone, PartialEq)]
pub struct RateShape {
    /// The text from which the shape was read.
    name: String,
    segments: Vec<Segment>,
    /// Cumulative arrivals before each segment, and after the last, at a rate of 1 per second.
    before: Vec<f64>,
    /// Seconds before each segment, and after the last.
    starts: Vec<f64>,
    /// Whether the segments repeat; otherwise the last continues for ever.
    cyclic: bool,
    left_out: Option<LeftOut>,
}

/// Failed requests of a trace, which do not count in the shape of its arrivals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The trace.
    pub path: std::path::PathBuf,
    /// Number of failed requests.
    pub failures: u64,
    /// Number of the other requests.
    pub requests: u64,
}

/// A segment of a shape, in seconds and multiples of the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Segment {
    /// A linear change from one rate to another.
    Linear { length: f64, from: f64, to: f64 },
    /// `middle + swing * cos(2 pi (t - peak) / length)`: one whole period.
    Sine {
        length: f64,
        middle: f64,
        swing: f64,
        peak: f64,
    },
    /// `base + extra * exp(-t / decay)`, unlimited.
    Decay { base: f64, extra: f64, decay: f64 },
}

impl Segment {
    /// Duration in seconds.
    fn length(self) -> f64 {
        match self {
            Self::Linear { length, .. } | Self::Sine { length, .. } => length,
            Self::Decay { .. } => f64::INFINITY,
        }
    }

    /// The rate at `t` seconds from the segment's start.
    fn rate(self, t: f64) -> f64 {
        match self {
            Self::Linear { length, .. } if length.is_infinite() => self.first(),
            Self::Linear { length, from, to } => from + (to - from) * (t / length),
            Self::Sine {
                length,
                middle,
                swing,
                peak,
            } => middle + swing * libm::cos(std::f64::consts::TAU * (t - peak) / length),
            Self::Decay { base, extra, decay } => base + extra * libm::exp(-t / decay),
        }
    }

    fn first(self) -> f64 {
        match self {
            Self::Linear { from, .. } => from,
            Self::Sine { .. } | Self::Decay { .. } => self.rate(0.0),
        }
    }

    /// The integral of the rate over the first `t` seconds.
    fn cumulative(self, t: f64) -> f64 {
        match self {
            Self::Linear { length, from, .. } if length.is_infinite() => from * t,
            Self::Linear { length, from, to } => t * (from + (to - from) * (t / length) / 2.0),
            Self::Sine {
                length,
                middle,
                swing,
                peak,
            } => {
                let turn = std::f64::consts::TAU / length;
                middle * t + swing / turn * (libm::sin(turn * (t - peak)) + libm::sin(turn * peak))
            }
            Self::Decay { base, extra, decay } => {
                base * t - extra * decay * libm::expm1(-t / decay)
            }
        }
    }

    /// The time by which `count` arrivals have occurred.
    fn inverse(self, count: f64) -> f64 {
        if count <= 0.0 {
            return 0.0;
        }
        match self {
            Self::Linear { length, from, .. } if length.is_infinite() => count / from,
            Self::Linear { length, from, to } => {
                // The root of slope/2 t^2 + from t - count, in the form without cancellation.
                let slope = (to - from) / length;
                let under = (from * from + 2.0 * slope * count).max(0.0);
                (2.0 * count / (from + under.sqrt())).clamp(0.0, length)
            }
            Self::Sine { length, .. } => self.solve(count, length),
            Self::Decay { base, extra, .. } => {
                // Above `base` at all times, or below it at all times.
                let most = if extra >= 0.0 {
                    count / base
                } else {
                    let mut most = 1.0;
                    while self.cumulative(most) < count {
                        most *= 2.0;
                    }
                    most
                };
                self.solve(count, most)
            }
        }
    }

    /// The time in `0..=most` at which the integral is `count`: Newton's method, with bisection where a step would leave
    /// the bracket.
    fn solve(self, count: f64, most: f64) -> f64 {
        let (mut low, mut high) = (0.0, most);
        let mut at = most / 2.0;
        for _ in 0..200 {
            let above = self.cumulative(at) - count;
            if above > 0.0 {
                high = at;
            } else {
                low = at;
            }
            let newton = at - above / self.rate(at);
            let next = if newton > low && newton < high {
                newton
            } else {
                low + (high - low) / 2.0
            };
            if (next - at).abs() <= 1e-12 * most || next <= low && next >= high {
                return next;
            }
            at = next;
        }
        at
    }
}

impl RateShape {
    /// A constant rate.
    pub fn steady() -> Self {
        let segment = Segment::Linear {
            length: f64::INFINITY,
            from: 1.0,
            to: 1.0,
        };
        Self::new("steady", vec![segment], false)
    }

    /// Consecutive segments. Only the last may be unlimited, and only if the segments do not repeat.
    fn new(name: &str, segments: Vec<Segment>, cyclic: bool) -> Self {
        let mut before = vec![0.0];
        let mut starts = vec![0.0];
        let (mut count, mut time) = (0.0, 0.0);
        for segment in &segments {
            let length = segment.length();
            count += if length.is_infinite() {
                f64::INFINITY
            } else {
                segment.cumulative(length)
            };
            time += length;
            before.push(count);
            starts.push(time);
        }
        Self {
            name: name.to_owned(),
            segments,
            before,
            starts,
            cyclic,
            left_out: None,
        }
    }

    /// The failed requests of a trace that do not count in the shape, if any.
    pub fn left_out(&self) -> Option<&LeftOut> {
        self.left_out.as_ref()
    }

    /// The text from which the shape was read.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the rate is constant.
    pub fn is_steady(&self) -> bool {
        self.name == "steady"
    }

    /// Duration in seconds and arrivals of one period, if the shape repeats.
    fn round(&self) -> (f64, f64) {
        let last = self.segments.len();
        (self.starts[last], self.before[last])
    }

    /// The number of whole periods in `value`, each of size `round`, and the remainder.
    fn split(&self, value: f64, round: f64) -> (f64, f64) {
        if !self.cyclic {
            return (0.0, value);
        }
        let rounds = (value / round).floor();
        (rounds, (value - rounds * round).max(0.0))
    }

    /// The segment that contains `value`; `bounds` are the starts of the segments.
    fn find(&self, bounds: &[f64], value: f64) -> usize {
        let after = bounds.partition_point(|bound| *bound <= value);
        after.saturating_sub(1).min(self.segments.len() - 1)
    }

    /// The rate at `time` seconds, as a multiple of the requested rate.
    pub fn rate(&self, time: f64) -> f64 {
        let (_, rest) = self.split(time, self.round().0);
        let index = self.find(&self.starts, rest);
        self.segments[index].rate(rest - self.starts[index])
    }

    /// The integral of the rate over the first `time` seconds: the number of arrivals up to then, at one per second.
    pub fn cumulative(&self, time: f64) -> f64 {
        let (length, count) = self.round();
        let (rounds, rest) = self.split(time, length);
        let index = self.find(&self.starts, rest);
        let due = self.before[index] + self.segments[index].cumulative(rest - self.starts[index]);
        if self.cyclic {
            rounds * count + due
        } else {
            due
        }
    }

    /// The time at which the integral reaches `count`.
    pub fn inverse(&self, count: f64) -> f64 {
        let (length, all) = self.round();
        let (rounds, rest) = self.split(count, all);
        let index = self.find(&self.before, rest);
        let time = self.starts[index] + self.segments[index].inverse(rest - self.before[index]);
        if self.cyclic {
            rounds * length + time
        } else {
            time
        }
    }

    /// The time after `from` that corresponds to a gap at the constant rate.
    pub fn after(&self, from: Nanos, gap: Nanos) -> Nanos {
        let due = self.cumulative(from.as_secs_f64()) + gap.as_secs_f64();
        Nanos::from_secs_f64(self.inverse(due)).max(from)
    }
}

#[cfg(test)]
mod tests {
    use crate::base::random::stream;
    use crate::trace::arrival::ArrivalProcess;
    use crate::trace::rate_shape::*;
    use proptest::prelude::*;

    fn shape(text: &str) -> RateShape {
        RateShape::parse(text).expect(text)
    }

    /// Times of `count` arrivals at `rate`, as the generator computes them.
    fn times(shape: &RateShape, process: ArrivalProcess, rate: f64, count: usize) -> Vec<f64> {
        let mut random = stream(7, "arrivals", 0);
        let mut due = 0.0;
        (0..count)
            .map(|_| {
                due += process.gap(1.0, &mut random);
                shape.inverse(due / rate)
            })
            .collect()
    }

    /// A rate at a time in seconds.
    type Formula = fn(f64) -> f64;

    /// The rate of each shape by an independent formula.
    const SHAPES: &[(&str, Formula)] = &[
        ("steady", |_| 1.0),
        ("diurnal:period=100,low=0.2,high=1.8", |t| {
            1.0 - 0.8 * (std::f64::consts::TAU * t / 100.0).cos()
        }),
        ("diurnal:period=100,low=0,high=2,peak=10", |t| {
            1.0 + (std::f64::consts::TAU * (t - 10.0) / 100.0).cos()
        }),
        ("ramp:from=0,to=3,over=200", |t| (t / 200.0).min(1.0) * 3.0),
        ("ramp:from=2,to=0.5,over=1m", |t| {
            if t < 60.0 { 2.0 - 1.5 * t / 60.0 } else { 0.5 }
        }),
        ("spike:at=50,factor=10,width=5", |t| {
            if (50.0..55.0).contains(&t) { 10.0 } else { 1.0 }
        }),
        (
            "spike:at=50,factor=10,width=5,rise=10,decay=20",
            |t| match t {
                t if t < 50.0 => 1.0,
                t if t < 60.0 => 1.0 + 9.0 * (t - 50.0) / 10.0,
                t if t < 65.0 => 10.0,
                t => 1.0 + 9.0 * (-(t - 65.0) / 20.0).exp(),
            },
        ),
        ("spike:at=50,factor=0,width=30,decay=10", |t| match t {
            t if t < 50.0 => 1.0,
            t if t < 80.0 => 0.0,
            t => 1.0 - (-(t - 80.0) / 10.0).exp(),
        }),
        ("square:period=40,low=0,high=2,duty=0.25", |t| {
            if t % 40.0 < 10.0 { 2.0 } else { 0.0 }
        }),
    ];

    /// The integral of `rate` by the midpoint rule, at each of the sorted times.
    fn integrals(rate: Formula, times: &[f64]) -> Vec<f64> {
        let step = 0.005;
        let (mut cell, mut sum) = (0u32, 0.0);
        let mut out = Vec::new();
        for time in times {
            while f64::from(cell + 1) * step <= *time {
                sum += step * rate((f64::from(cell) + 0.5) * step);
                cell += 1;
            }
            let start = f64::from(cell) * step;
            out.push(sum + (time - start) * rate(f64::midpoint(start, *time)));
        }
        out
    }

    #[test]
    fn rates_and_integrals_are_those_of_the_formula() {
        for (text, rate) in SHAPES {
            let shape = shape(text);
            let times: Vec<f64> = (0..3000).map(|i| f64::from(i) * 0.1003).collect();
            let integrals = integrals(*rate, &times);
            for (time, integral) in times.iter().zip(integrals) {
                assert!(
                    (shape.rate(*time) - rate(*time)).abs() < 1e-9,
                    "{text} at {time}: {} against {}",
                    shape.rate(*time),
                    rate(*time)
                );
                let found = shape.cumulative(*time);
                assert!(
                    (found - integral).abs() < 0.03,
                    "{text} at {time}: {found} against {integral}"
                );
            }
        }
    }

    /// Kolmogorov-Smirnov test at 1 %: the gaps in cumulative arrivals are exponential, and the times are distributed as
    /// the shape's integral.
    #[test]
    fn poisson_arrivals_follow_every_shape() {
        let count = 20_000;
        let limit = 1.63 / (count as f64).sqrt();
        for (text, rate) in SHAPES {
            let times = times(&shape(text), ArrivalProcess::Poisson, 40.0, count);
            let due = integrals(*rate, &times);
            let all = due[count - 1];
            let mut gaps = vec![40.0 * due[0]];
            gaps.extend(due.windows(2).map(|pair| 40.0 * (pair[1] - pair[0])));
            gaps.sort_by(f64::total_cmp);
            let worst = |values: &mut dyn Iterator<Item = f64>| {
                values
                    .enumerate()
                    .map(|(index, value)| {
                        let (below, above) = (index as f64, index as f64 + 1.0);
                        let count = count as f64;
                        (value - below / count)
                            .abs()
                            .max((above / count - value).abs())
                    })
                    .fold(0.0, f64::max)
            };
            let spread = worst(&mut due.iter().map(|due| due / all));
            assert!(spread < limit, "{text}: {spread} above {limit}");
            // The midpoint rule is not exact where the rate jumps, hence the margin.
            let gap = worst(&mut gaps.iter().map(|gap| 1.0 - (-gap).exp()));
            assert!(gap < 1.2 * limit, "{text}: gaps {gap} above {limit}");
            // Mean rate: arrivals over the integral, within five standard errors.
            let mean = count as f64 / all;
            let error = 5.0 * 40.0 / (count as f64).sqrt();
            assert!((mean - 40.0).abs() < error, "{text}: mean rate {mean}");
        }
    }

    /// The burstiness of a process is preserved: the gaps in cumulative arrivals have its coefficient of variation.
    #[test]
    fn any_process_keeps_its_burstiness() {
        let shape = shape("diurnal:period=100,low=0.2,high=1.8");
        for (process, cv) in [
            (ArrivalProcess::Gamma { cv: 3.0 }, 3.0),
            (ArrivalProcess::Uniform, 1.0 / 3f64.sqrt()),
            (ArrivalProcess::Fixed, 0.0),
        ] {
            let times = times(&shape, process, 40.0, 40_000);
            let due: Vec<f64> = times.iter().map(|time| shape.cumulative(*time)).collect();
            let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance =
                gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            let found = variance.sqrt() / mean;
            assert!(
                (found - cv).abs() < 0.1,
                "{process:?}: {found} against {cv}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_inverse_is_the_inverse(which in 0..SHAPES.len(), count in 0.0..1e5f64) {
            let shape = shape(SHAPES[which].0);
            let time = shape.inverse(count);
            let back = shape.cumulative(time);
            prop_assert!((back - count).abs() <= 1e-9 * (1.0 + count), "{}: {count} gives {time}, and that {back}", shape.name());
            prop_assert!(shape.inverse(count + 0.5) >= time);
        }
    }
}
