//! Prophet's additive model (Taylor and Letham, Forecasting at Scale, The American Statistician 72(1), 2018), fitted by its
//! maximum a posteriori, as `prophet.forecaster` does by default through Stan.
//!
//! y = (k + sum of trend changes so far) t + m + seasons + noise. The trend may change at 25 changepoints in the first 80 % of
//! the window; changes are drawn from Laplace(0, 0.05); k and m from N(0, 5); season coefficients from N(0, 10); the noise's deviation from N(0, 0.5).
//! There are daily, weekly and yearly seasons only where the window holds two periods.

use super::{LoadPredictor, PredictorCard, PredictorOptions, Series};

/// Name and summary.
pub(super) const CARD: PredictorCard = PredictorCard::new(
    "prophet",
    "a trend with changepoints, and daily and weekly seasons where the window holds two of them",
    |options| Box::new(Prophet::new(options)),
);

/// Prophet on the window, with a step of one interval.
#[derive(Debug)]
pub struct Prophet {
    series: Series,
    options: PredictorOptions,
    forecast: Option<f64>,
}

impl Prophet {
    /// Creates the predictor on `window` values, `interval_sec` apart.
    pub fn new(options: &PredictorOptions) -> Self {
        Self {
            series: Series::new(options.window),
            options: options.clone(),
            forecast: None,
        }
    }
}

impl LoadPredictor for Prophet {
    fn observe(&mut self, value: f64) {
        if self.series.push(value) {
            self.forecast = None;
        }
    }

    fn predict(&mut self) -> f64 {
        if let Some(forecast) = self.forecast {
            return forecast;
        }
        let next = if self.series.len() < self.options.prophet_minimum_points.max(2) {
            if self.options.prophet_falls_back_to_last {
                self.series.last()
            } else {
                self.series.mean()
            }
        } else {
            let first = self.series.first_index() as f64;
            let log1p = self.options.log1p;
            let values: Vec<f64> = self
                .series
                .values()
                .iter()
                .map(|value| if log1p { value.ln_1p() } else { *value })
                .collect();
            let next = forecast(&values, first, self.options.interval_sec);
            let next = if log1p { next.exp_m1() } else { next };
            if next.is_finite() {
                next.max(0.0)
            } else {
                self.series.last()
            }
        };
        self.forecast = Some(next);
        next
    }
}

/// Most changepoints, and the fraction of the window in which they may be.
const BENDS: usize = 25;
const BEND_RANGE: f64 = 0.8;
/// Scale of the Laplace distribution of trend changes.
const BEND_SCALE: f64 = 0.05;
/// Variances of the normal priors.
const TREND_VARIANCE: f64 = 25.0;
const SEASON_VARIANCE: f64 = 100.0;
const NOISE_VARIANCE: f64 = 0.25;

/// Period of each season in seconds, and its number of harmonics.
const SEASONS: [(f64, usize); 3] = [(86_400.0, 4), (7.0 * 86_400.0, 3), (365.25 * 86_400.0, 10)];

/// 2024-01-01 in seconds since 1970, at which Dynamo lets the series start; it fixes the phase of all seasons.
const EPOCH: f64 = 1_704_067_200.0;

/// Predicts the value after the last. `first` is the index of the first value in its series.
fn forecast(values: &[f64], first: f64, interval: f64) -> f64 {
    let n = values.len();
    let scale = values.iter().copied().fold(0.0, f64::max);
    if values.iter().all(|value| *value == values[0]) {
        return values[0];
    }
    let span = (n - 1) as f64;
    let y: Vec<f64> = values.iter().map(|value| value / scale).collect();
    let bends = bend_places(n);
    // A season needs steps shorter than its period.
    let seasons: Vec<(f64, usize)> = SEASONS
        .into_iter()
        .filter(|(period, _)| span * interval >= 2.0 * period && interval < *period)
        .collect();
    let columns = 2 + bends.len();
    let width = columns + seasons.iter().map(|(_, order)| 2 * order).sum::<usize>();
    let row = |index: f64| -> Vec<f64> {
        let t = index / span;
        let mut row = Vec::with_capacity(width);
        row.extend([t, 1.0]);
        row.extend(bends.iter().map(|bend| (t - *bend as f64 / span).max(0.0)));
        let seconds = EPOCH + (first + index) * interval;
        for (period, order) in &seasons {
            for harmonic in 1..=*order {
                let angle = 2.0 * std::f64::consts::PI * harmonic as f64 * seconds / period;
                row.extend([libm::sin(angle), libm::cos(angle)]);
            }
        }
        row
    };
    let mut fit = Fit::new(width, columns);
    for (index, y) in y.iter().enumerate() {
        fit.add(&row(index as f64), *y);
    }
    let weights = fit.solve();
    let next = row(n as f64);
    scale * next.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>()
}

/// Indices of the changepoints: evenly over the first 80 %, without the very first value.
fn bend_places(n: usize) -> Vec<usize> {
    let range = (n as f64 * BEND_RANGE).floor() as usize;
    let count = BENDS.min(range.saturating_sub(1));
    (1..=count)
        .map(|i| {
            let place = i as f64 * (range - 1) as f64 / count as f64;
            place.round_ties_even() as usize
        })
        .collect()
}

/// Penalised least squares: normal equations in which trend changes have an absolute penalty and the others a square one.
struct Fit {
    width: usize,
    /// The columns from here on up to `bends_end` are trend changes.
    bends_end: usize,
    gram: Vec<f64>,
    moments: Vec<f64>,
    squares: f64,
    count: f64,
}

const BENDS_START: usize = 2;

impl Fit {
    fn new(width: usize, bends_end: usize) -> Self {
        Self {
            width,
            bends_end,
            gram: vec![0.0; width * width],
            moments: vec![0.0; width],
            squares: 0.0,
            count: 0.0,
        }
    }

    fn add(&mut self, row: &[f64], y: f64) {
        for (i, a) in row.iter().enumerate() {
            for (j, b) in row.iter().enumerate() {
                self.gram[i * self.width + j] += a * b;
            }
            self.moments[i] += a * y;
        }
        self.squares += y * y;
        self.count += 1.0;
    }

    /// The most probable weights and noise: each in turn, until neither changes.
    fn solve(&self) -> Vec<f64> {
        let mut variance = 0.25;
        let mut weights = vec![0.0; self.width];
        for _ in 0..500 {
            self.descend(variance, &mut weights);
            let rest = self.residual(&weights);
            // Stationary point of n/2 ln s + R / 2s + s / (2 x 0.25) in the variance s.
            let n = self.count;
            let next =
                ((n * n + 16.0 * 0.25 * rest / NOISE_VARIANCE).sqrt() - n) * NOISE_VARIANCE / 2.0;
            let next = next.max(1e-12);
            let done = (next - variance).abs() <= 1e-10 * variance;
            variance = next;
            if done {
                break;
            }
        }
        weights
    }

    fn residual(&self, weights: &[f64]) -> f64 {
        let mut rest = self.squares;
        for (i, weight) in weights.iter().enumerate() {
            let product: f64 = (0..self.width)
                .map(|j| self.gram[i * self.width + j] * weights[j])
                .sum();
            rest += weight * (product - 2.0 * self.moments[i]);
        }
        rest.max(0.0)
    }

    /// The most probable weights for a given noise, a convex problem. An active set of trend changes with known signs makes it
    /// linear: solve, step back to where the first change would flip its sign and drop it, and add the one with the steepest
    /// gradient.
    fn descend(&self, variance: f64, weights: &mut [f64]) {
        let penalty = variance / BEND_SCALE;
        let is_bend = |i: usize| (BENDS_START..self.bends_end).contains(&i);
        let mut signs: Vec<f64> = weights
            .iter()
            .enumerate()
            .map(|(i, w)| {
                if is_bend(i) {
                    w.signum() * f64::from(u8::from(*w != 0.0))
                } else {
                    0.0
                }
            })
            .collect();
        // Each round adds or drops one trend change and lowers the sum; there are finitely many sets.
        for _ in 0..50 * self.width {
            let active: Vec<usize> = (0..self.width)
                .filter(|i| !is_bend(*i) || signs[*i] != 0.0)
                .collect();
            let target = self.linear(&active, &signs, penalty, variance);
            let mut step = 1.0;
            let mut blocked = None;
            for (place, i) in active.iter().enumerate() {
                if is_bend(*i) && target[place] * signs[*i] <= 0.0 {
                    let room = weights[*i] / (weights[*i] - target[place]);
                    let room = if room.is_finite() { room.max(0.0) } else { 0.0 };
                    if room < step {
                        (step, blocked) = (room, Some(*i));
                    }
                }
            }
            for (place, i) in active.iter().enumerate() {
                weights[*i] += step * (target[place] - weights[*i]);
            }
            if let Some(i) = blocked {
                weights[i] = 0.0;
                signs[i] = 0.0;
                continue;
            }
            let mut worst = (penalty * (1.0 + 1e-9), None);
            for (i, sign) in signs
                .iter()
                .enumerate()
                .take(self.bends_end)
                .skip(BENDS_START)
            {
                if *sign == 0.0 {
                    let pull = self.pull(i, weights);
                    if pull.abs() > worst.0 {
                        worst = (pull.abs(), Some((i, pull.signum())));
                    }
                }
            }
            match worst.1 {
                Some((i, sign)) => signs[i] = sign,
                None => return,
            }
        }
    }

    fn pull(&self, i: usize, weights: &[f64]) -> f64 {
        let product: f64 = (0..self.width)
            .map(|j| self.gram[i * self.width + j] * weights[j])
            .sum();
        self.moments[i] - product
    }

    /// The minimum over the active columns, by Cholesky.
    fn linear(&self, active: &[usize], signs: &[f64], penalty: f64, variance: f64) -> Vec<f64> {
        let n = active.len();
        let mut lower = vec![0.0; n * n];
        let mut x: Vec<f64> = active
            .iter()
            .map(|i| self.moments[*i] - penalty * signs[*i])
            .collect();
        for i in 0..n {
            for j in 0..=i {
                let mut sum = self.gram[active[i] * self.width + active[j]];
                if i == j {
                    sum += match active[i] {
                        0 | 1 => variance / TREND_VARIANCE,
                        c if c < self.bends_end => 1e-12 * (1.0 + sum),
                        _ => variance / SEASON_VARIANCE,
                    };
                }
                for k in 0..j {
                    sum -= lower[i * n + k] * lower[j * n + k];
                }
                lower[i * n + j] = if i == j {
                    sum.max(1e-14).sqrt()
                } else {
                    sum / lower[j * n + j]
                };
            }
        }
        for i in 0..n {
            for k in 0..i {
                x[i] -= lower[i * n + k] * x[k];
            }
            x[i] /= lower[i * n + i];
        }
        for i in (0..n).rev() {
            for k in i + 1..n {
                x[i] -= lower[k * n + i] * x[k];
            }
            x[i] /= lower[i * n + i];
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::predictor::prophet::*;

    #[test]
    fn places_of_bends() {
        // 80 % of 10 values are 8: seven bends at 1..=7. Of 50, 40: 25 of them, evenly over 0..=39.
        assert_eq!(bend_places(10), [1, 2, 3, 4, 5, 6, 7]);
        let many = bend_places(50);
        assert_eq!((many.len(), many[0], many[1], many[24]), (25, 2, 3, 39));
        assert_eq!(bend_places(2), [] as [usize; 0]);
    }

    #[test]
    fn a_line_goes_on() {
        let values: Vec<f64> = (0..20).map(|i| 100.0 + 10.0 * f64::from(i)).collect();
        let next = forecast(&values, 0.0, 60.0);
        assert!((next - 300.0).abs() < 2.0, "{next}");
    }

    #[test]
    fn days_are_seen_where_there_are_two() {
        // Hours of three days: high at noon.
        let value = |hour: i32| 100.0 + if hour % 24 < 12 { 50.0 } else { 0.0 };
        let values: Vec<f64> = (0..72).map(value).collect();
        assert!(forecast(&values, 0.0, 3600.0) > 120.0);
        assert!(forecast(&values[..66], 0.0, 3600.0) < 120.0);
    }

    #[test]
    fn few_points_have_a_mean_or_the_last() {
        let mut predictor = Prophet::new(&PredictorOptions::default());
        let mut dynamo = Prophet::new(&PredictorOptions {
            prophet_minimum_points: 5,
            prophet_falls_back_to_last: true,
            ..PredictorOptions::default()
        });
        for value in [2.0, 4.0, 9.0] {
            predictor.observe(value);
            dynamo.observe(value);
        }
        assert_eq!((predictor.predict(), dynamo.predict()), (5.0, 9.0));
    }
}
