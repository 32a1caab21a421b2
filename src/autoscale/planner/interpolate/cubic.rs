//! A cubic spline with not-a-knot ends, equal to SciPy's `interp1d(kind="cubic")` (de Boor, A Practical Guide to Splines,
//! chapter IV).

use super::pchip::hermite;

/// A twice differentiable curve through points.
#[derive(Debug, Clone)]
pub(super) struct Spline {
    x: Vec<f64>,
    y: Vec<f64>,
    slopes: Vec<f64>,
}

impl Spline {
    /// A spline through at least 4 points of increasing `x`.
    pub(super) fn new(x: Vec<f64>, y: Vec<f64>) -> Self {
        let slopes = slopes(&x, &y);
        Self { x, y, slopes }
    }

    /// Its value; outside the points, that of the nearest end.
    pub(super) fn at(&self, x: f64) -> f64 {
        hermite(&self.x, &self.y, &self.slopes, x)
    }
}

/// Slopes for which second derivatives are continuous at inner points, and third ones at the second and the last but one.
fn slopes(x: &[f64], y: &[f64]) -> Vec<f64> {
    let n = x.len();
    let h: Vec<f64> = x.windows(2).map(|w| w[1] - w[0]).collect();
    let rise: Vec<f64> = y
        .windows(2)
        .zip(&h)
        .map(|(w, h)| (w[1] - w[0]) / h)
        .collect();
    // Rows: lower, diagonal, upper, right side.
    let mut rows = Vec::with_capacity(n);
    let wide = h[0] + h[1];
    rows.push([
        0.0,
        h[1],
        wide,
        ((h[0] + 2.0 * wide) * h[1] * rise[0] + h[0] * h[0] * rise[1]) / wide,
    ]);
    for k in 1..n - 1 {
        rows.push([
            h[k],
            2.0 * (h[k - 1] + h[k]),
            h[k - 1],
            3.0 * (h[k] * rise[k - 1] + h[k - 1] * rise[k]),
        ]);
    }
    let (last, before) = (h[n - 2], h[n - 3]);
    let wide = last + before;
    rows.push([
        wide,
        before,
        0.0,
        (last * last * rise[n - 3] + (2.0 * wide + last) * before * rise[n - 2]) / wide,
    ]);
    for k in 1..n {
        let factor = rows[k][0] / rows[k - 1][1];
        rows[k][1] -= factor * rows[k - 1][2];
        rows[k][3] -= factor * rows[k - 1][3];
    }
    let mut out = vec![0.0; n];
    out[n - 1] = rows[n - 1][3] / rows[n - 1][1];
    for k in (0..n - 1).rev() {
        out[k] = (rows[k][3] - rows[k][2] * out[k + 1]) / rows[k][1];
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::interpolate::cubic::*;

    #[test]
    fn a_cubic_is_itself() {
        let f = |x: f64| 2.0 * x * x * x - 3.0 * x * x + 5.0 * x - 7.0;
        let x = vec![0.0, 0.5, 2.0, 3.0, 7.0];
        let spline = Spline::new(x.clone(), x.iter().map(|x| f(*x)).collect());
        for at in [0.1, 0.7, 1.9, 2.5, 6.0] {
            assert!((spline.at(at) - f(at)).abs() < 1e-9, "{at}");
        }
    }
}
