//! Exact Gaussian likelihood of an ARIMA model, by a Kalman filter on Harvey's state space form (Gardner, Harvey and Phillips,
//! AS 154, Appl. Statist. 29, 1980). Variance and constant are solved for, not searched.

use super::kpss::difference;
use super::minimise::minimise;

/// Terms of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    /// Autoregressive terms.
    pub(super) p: usize,
    /// Times differenced.
    pub(super) d: usize,
    /// Moving-average terms.
    pub(super) q: usize,
    /// A mean where d is 0, a drift where it is 1.
    pub(super) constant: bool,
}

/// A fitted model.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    pub(super) order: Order,
    pub(super) aic: f64,
    ar: Vec<f64>,
    ma: Vec<f64>,
    /// Of the differenced series.
    next: f64,
}

impl Fit {
    /// The value after the last.
    pub(super) fn forecast(&self, values: &[f64]) -> f64 {
        // The next value is the next difference on top of the last value, and so on down.
        let mut next = self.next;
        let mut series = values.to_vec();
        for _ in 0..self.order.d {
            next += series.last().copied().unwrap_or(0.0);
            series = difference(&series);
        }
        next
    }

    /// Whether all inverse roots stay within 0.99, as pmdarima asks for: nearer to 1 the model is over-differenced or
    /// explodes.
    pub(super) fn is_sound(&self) -> bool {
        let negated: Vec<f64> = self.ma.iter().map(|value| -value).collect();
        within(&self.ar, 0.99) && within(&negated, 0.99)
    }
}

/// The most likely model of an order, or `None` where there are too few values for it.
pub(super) fn fit(values: &[f64], order: Order) -> Option<Fit> {
    let mut series = values.to_vec();
    for _ in 0..order.d {
        series = difference(&series);
    }
    let parameters = order.p + order.q + usize::from(order.constant) + 1;
    if series.len() < parameters + 2 {
        return None;
    }
    let spread = {
        let mean = series.iter().sum::<f64>() / series.len() as f64;
        series.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / series.len() as f64
    };
    // Differences that do not differ: what follows is certain.
    if spread.is_nan() || spread <= 1e-18 {
        let next = series.last().copied()?;
        let simple = order.p == 0 && order.q == 0 && (order.constant || next == 0.0);
        return simple.then(|| Fit {
            order,
            aic: f64::NEG_INFINITY,
            ar: Vec::new(),
            ma: Vec::new(),
            next,
        });
    }
    let start = vec![0.0; order.p + order.q];
    let mut filter = Filter::new(&series, order);
    let (value, at) = minimise(start, |x| filter.run(x).deviance);
    let outcome = filter.run(&at);
    value.is_finite().then(|| Fit {
        order,
        aic: value + 2.0 * parameters as f64,
        ar: coefficients(&at[..order.p]),
        ma: coefficients(&at[order.p..]).iter().map(|x| -x).collect(),
        next: outcome.next,
    })
}

/// Partial autocorrelations, each squeezed into (-1, 1), as the coefficients of a stationary autoregression (Barndorff-Nielsen
/// and Schou, J. Multivar. Anal. 3, 1973).
fn coefficients(free: &[f64]) -> Vec<f64> {
    let mut out: Vec<f64> = Vec::with_capacity(free.len());
    for x in free {
        let partial = x / (1.0 + x * x).sqrt();
        let before = out.clone();
        for (i, value) in out.iter_mut().enumerate() {
            *value -= partial * before[before.len() - 1 - i];
        }
        out.push(partial);
    }
    out
}

/// Whether the inverse roots of 1 - a1 z - a2 z^2 ... lie within a radius: the recursion above, backwards.
fn within(ar: &[f64], radius: f64) -> bool {
    let mut a: Vec<f64> = ar
        .iter()
        .enumerate()
        .map(|(i, value)| value / radius.powi(i as i32 + 1))
        .collect();
    while let Some(partial) = a.pop() {
        if partial.abs() >= 1.0 {
            return false;
        }
        let n = a.len();
        let before = a.clone();
        for (i, value) in a.iter_mut().enumerate() {
            *value = (before[i] + partial * before[n - 1 - i]) / (1.0 - partial * partial);
        }
    }
    true
}

struct Outcome {
    /// -2 log likelihood.
    deviance: f64,
    next: f64,
}

/// State of dimension r = max(p, q + 1): T has the AR coefficients in its first column and ones above the diagonal, R = [1, ma].
struct Filter<'a> {
    series: &'a [f64],
    order: Order,
    r: usize,
    covariance: Vec<f64>,
    scratch: Vec<f64>,
    power: Vec<f64>,
    power_scratch: Vec<f64>,
    /// States: of the series, and of a series of ones, whose ratio gives the constant.
    states: [Vec<f64>; 2],
    innovations: Vec<[f64; 3]>,
}

impl<'a> Filter<'a> {
    fn new(series: &'a [f64], order: Order) -> Self {
        let r = order.p.max(order.q + 1);
        Self {
            series,
            order,
            r,
            covariance: vec![0.0; r * r],
            scratch: vec![0.0; r * r],
            power: vec![0.0; r * r],
            power_scratch: vec![0.0; r * r],
            states: [vec![0.0; r], vec![0.0; r]],
            innovations: Vec::with_capacity(series.len()),
        }
    }

    fn run(&mut self, free: &[f64]) -> Outcome {
        let r = self.r;
        let mut ar = coefficients(&free[..self.order.p]);
        ar.resize(r, 0.0);
        let mut load: Vec<f64> = std::iter::once(1.0)
            .chain(coefficients(&free[self.order.p..]).iter().map(|x| -x))
            .collect();
        load.resize(r, 0.0);
        self.stationary(&ar, &load);
        self.innovations.clear();
        for state in &mut self.states {
            state.fill(0.0);
        }
        let mut logs = 0.0;
        for value in self.series {
            let variance = self.covariance[0];
            if !(variance > 0.0 && variance.is_finite()) {
                return Outcome {
                    deviance: f64::INFINITY,
                    next: f64::NAN,
                };
            }
            logs += variance.ln();
            let surprise = [value - self.states[0][0], 1.0 - self.states[1][0]];
            self.innovations.push([surprise[0], surprise[1], variance]);
            self.advance(&ar, &load, surprise, variance);
        }
        let constant = if self.order.constant {
            let (mut above, mut below) = (0.0, 0.0);
            for [v, one, f] in &self.innovations {
                above += v * one / f;
                below += one * one / f;
            }
            if below > 0.0 { above / below } else { 0.0 }
        } else {
            0.0
        };
        let squares: f64 = self
            .innovations
            .iter()
            .map(|[v, one, f]| (v - constant * one).powi(2) / f)
            .sum();
        let n = self.series.len() as f64;
        let variance = (squares / n).max(1e-300);
        Outcome {
            deviance: n * ((2.0 * std::f64::consts::PI * variance).ln() + 1.0) + logs,
            next: self.states[0][0] + constant * (1.0 - self.states[1][0]),
        }
    }

    /// Update with a surprise, then predict.
    fn advance(&mut self, ar: &[f64], load: &[f64], surprise: [f64; 2], variance: f64) {
        let r = self.r;
        for (state, surprise) in self.states.iter_mut().zip(surprise) {
            for (i, value) in state.iter_mut().enumerate() {
                *value += self.covariance[i * r] * surprise / variance;
            }
            let first = state[0];
            for i in 0..r {
                state[i] = ar[i] * first + if i + 1 < r { state[i + 1] } else { 0.0 };
            }
        }
        for i in 0..r {
            for j in 0..r {
                self.scratch[i * r + j] = self.covariance[i * r + j]
                    - self.covariance[i * r] * self.covariance[j] / variance;
            }
        }
        sandwich(r, ar, &self.scratch, &mut self.covariance);
        for i in 0..r {
            for j in 0..r {
                self.covariance[i * r + j] += load[i] * load[j];
            }
        }
    }

    /// P = T P T' + R R', solved by doubling: P <- P + A P A', A <- A A.
    fn stationary(&mut self, ar: &[f64], load: &[f64]) {
        let r = self.r;
        for i in 0..r {
            for j in 0..r {
                self.covariance[i * r + j] = load[i] * load[j];
                let shift = f64::from(u8::from(j == i + 1));
                self.power[i * r + j] = if j == 0 { ar[i] + shift } else { shift };
            }
        }
        for _ in 0..40 {
            // scratch = A P, then P += scratch A'.
            product(r, &self.power, &self.covariance, &mut self.scratch);
            let mut change: f64 = 0.0;
            for i in 0..r {
                for j in 0..r {
                    let more: f64 = (0..r)
                        .map(|k| self.scratch[i * r + k] * self.power[j * r + k])
                        .sum();
                    change = change.max(more.abs());
                    self.covariance[i * r + j] += more;
                }
            }
            if change <= 1e-14 * self.covariance[0] {
                break;
            }
            product(r, &self.power, &self.power, &mut self.power_scratch);
            std::mem::swap(&mut self.power, &mut self.power_scratch);
        }
    }
}

/// T M T' for the companion matrix T.
fn sandwich(r: usize, ar: &[f64], m: &[f64], out: &mut [f64]) {
    let at = |i: usize, j: usize| if i < r && j < r { m[i * r + j] } else { 0.0 };
    for i in 0..r {
        for j in 0..r {
            out[i * r + j] = ar[i] * ar[j] * m[0]
                + ar[i] * at(0, j + 1)
                + at(i + 1, 0) * ar[j]
                + at(i + 1, j + 1);
        }
    }
}

fn product(r: usize, a: &[f64], b: &[f64], out: &mut [f64]) {
    for i in 0..r {
        for j in 0..r {
            out[i * r + j] = (0..r).map(|k| a[i * r + k] * b[k * r + j]).sum();
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::planner::predictor::arima::likelihood::*;

    fn order(p: usize, d: usize, q: usize, constant: bool) -> Order {
        Order { p, d, q, constant }
    }

    #[test]
    fn an_ar1_by_hand() {
        // Exact likelihood of an AR(1): the first value has variance 1 / (1 - a^2), the others 1 around a x.
        let series = [1.0, 0.5, -0.25, 0.75];
        let mut filter = Filter::new(&series, order(1, 0, 0, false));
        let free = 0.5_f64;
        let a = free / (1.0 + free * free).sqrt();
        let squares = (1.0 - a * a) * 1.0
            + (0.5 - a).powi(2)
            + (-0.25 - 0.5 * a).powi(2)
            + (0.75 + 0.25 * a).powi(2);
        let expected =
            4.0 * ((2.0 * std::f64::consts::PI * squares / 4.0).ln() + 1.0) - (1.0 - a * a).ln();
        let outcome = filter.run(&[free]);
        assert!((outcome.deviance - expected).abs() < 1e-12);
        assert!((outcome.next - 0.75 * a).abs() < 1e-12);
    }

    #[test]
    fn an_ma1_by_hand() {
        // Two values of an MA(1): covariance [[1 + b^2, b], [b, 1 + b^2]].
        let series = [1.0, -2.0];
        let mut filter = Filter::new(&series, order(0, 0, 1, false));
        let free = -0.75_f64;
        let b = -free / (1.0 + free * free).sqrt();
        let (v, c) = (1.0 + b * b, b);
        let determinant = v * v - c * c;
        let squares = (v * 1.0 - 2.0 * c * -2.0 + v * 4.0) / determinant;
        let expected =
            2.0 * ((2.0 * std::f64::consts::PI * squares / 2.0).ln() + 1.0) + determinant.ln();
        assert!((filter.run(&[free]).deviance - expected).abs() < 1e-12);
    }

    #[test]
    fn a_mean_is_the_mean() {
        let series = [4.0, 9.0, 2.0, 6.0, 4.0];
        let fit = fit(&series, order(0, 0, 0, true)).unwrap();
        assert!((fit.forecast(&series) - 5.0).abs() < 1e-12);
        // n (ln(2 pi s^2) + 1) + 2 x 2 with s^2 = 5.6.
        let expected = 5.0 * ((2.0 * std::f64::consts::PI * 5.6).ln() + 1.0) + 4.0;
        assert!((fit.aic - expected).abs() < 1e-9);
    }

    #[test]
    fn a_drift_goes_on_from_the_last() {
        let series = [1.0, 4.0, 5.0, 9.0, 11.0];
        let fit = fit(&series, order(0, 1, 0, true)).unwrap();
        assert!((fit.forecast(&series) - 13.5).abs() < 1e-12);
    }

    #[test]
    fn roots_within_a_circle() {
        assert!(within(&[0.98], 0.99) && !within(&[0.995], 0.99));
        // 1 - 1.8 z + 0.81 z^2: both inverse roots are 0.9.
        assert!(within(&[1.8, -0.81], 0.91) && !within(&[1.8, -0.81], 0.89));
    }
}
