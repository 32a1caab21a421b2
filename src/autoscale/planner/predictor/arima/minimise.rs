//! A small quasi-Newton minimiser (BFGS; Nocedal and Wright, Numerical Optimization, algorithm 6.1) with central differences.

/// Steps at most.
const STEPS: usize = 60;

/// The smallest value it finds downhill from `start`, and where.
pub(super) fn minimise(start: Vec<f64>, mut f: impl FnMut(&[f64]) -> f64) -> (f64, Vec<f64>) {
    let n = start.len();
    let mut x = start;
    let mut value = f(&x);
    if n == 0 {
        return (value, x);
    }
    let mut inverse = identity(n);
    let mut slope = gradient(&mut f, &x);
    for _ in 0..STEPS {
        let mut direction: Vec<f64> = (0..n)
            .map(|i| -(0..n).map(|j| inverse[i * n + j] * slope[j]).sum::<f64>())
            .collect();
        let mut descent = dot(&direction, &slope);
        if descent.is_nan() || descent >= 0.0 {
            inverse = identity(n);
            direction = slope.iter().map(|s| -s).collect();
            descent = -dot(&slope, &slope);
        }
        // Parameters are of the order of 1; a longer step overshoots.
        let length = dot(&direction, &direction).sqrt();
        let mut step = if length > 2.0 { 2.0 / length } else { 1.0 };
        let mut next = None;
        for _ in 0..25 {
            let there: Vec<f64> = x
                .iter()
                .zip(&direction)
                .map(|(x, d)| x + step * d)
                .collect();
            let found = f(&there);
            if found <= value + 1e-4 * step * descent {
                next = Some((there, found));
                break;
            }
            step *= 0.5;
        }
        let Some((there, found)) = next else {
            break;
        };
        let new_slope = gradient(&mut f, &there);
        let s: Vec<f64> = there.iter().zip(&x).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = new_slope.iter().zip(&slope).map(|(a, b)| a - b).collect();
        let gain = value - found;
        (x, value, slope) = (there, found, new_slope);
        update(&mut inverse, &s, &y);
        if gain < 1e-9 * (1.0 + value.abs()) {
            break;
        }
    }
    (value, x)
}

fn gradient(f: &mut impl FnMut(&[f64]) -> f64, x: &[f64]) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut there = x.to_vec();
    (0..x.len())
        .map(|i| {
            there[i] = x[i] + STEP;
            let up = f(&there);
            there[i] = x[i] - STEP;
            let down = f(&there);
            there[i] = x[i];
            let slope = (up - down) / (2.0 * STEP);
            if slope.is_finite() { slope } else { 0.0 }
        })
        .collect()
}

/// H = (1 - r s y') H (1 - r y s') + r s s', r = 1 / y's.
fn update(inverse: &mut [f64], s: &[f64], y: &[f64]) {
    let n = s.len();
    let curvature = dot(s, y);
    if curvature <= 1e-12 {
        return;
    }
    let hy: Vec<f64> = (0..n)
        .map(|i| (0..n).map(|j| inverse[i * n + j] * y[j]).sum())
        .collect();
    let yhy = dot(y, &hy);
    for i in 0..n {
        for j in 0..n {
            inverse[i * n + j] += (1.0 + yhy / curvature) * s[i] * s[j] / curvature
                - (hy[i] * s[j] + s[i] * hy[j]) / curvature;
        }
    }
}

fn identity(n: usize) -> Vec<f64> {
    (0..n * n)
        .map(|i| f64::from(u8::from(i % (n + 1) == 0)))
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::predictor::arima::minimise::*;

    #[test]
    fn rosenbrocks_valley() {
        let (value, x) = minimise(vec![-1.2, 1.0], |x| {
            (1.0 - x[0]).powi(2) + 10.0 * (x[1] - x[0] * x[0]).powi(2)
        });
        assert!(value < 1e-6 && (x[0] - 1.0).abs() < 1e-2, "{value} {x:?}");
    }

    #[test]
    fn nothing_to_choose() {
        assert_eq!(minimise(Vec::new(), |_| 3.0), (3.0, Vec::new()));
    }
}
