//! Monotone cubic interpolation: PCHIP (Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5, 1984), as in SciPy's
//! `PchipInterpolator`.

/// Slopes at the points; between them the curve stays between their values.
pub(super) fn slopes(x: &[f64], y: &[f64]) -> Vec<f64> {
    let n = x.len();
    let step: Vec<f64> = x.windows(2).map(|w| w[1] - w[0]).collect();
    let rise: Vec<f64> = y
        .windows(2)
        .zip(&step)
        .map(|(w, h)| (w[1] - w[0]) / h)
        .collect();
    match n {
        0 | 1 => return vec![0.0; n],
        2 => return vec![rise[0]; 2],
        _ => {}
    }
    let mut out = Vec::with_capacity(n);
    out.push(end_slope(step[0], step[1], rise[0], rise[1]));
    for k in 1..n - 1 {
        if rise[k - 1] * rise[k] <= 0.0 {
            out.push(0.0);
            continue;
        }
        let before = 2.0 * step[k] + step[k - 1];
        let behind = step[k] + 2.0 * step[k - 1];
        out.push((before + behind) / (before / rise[k - 1] + behind / rise[k]));
    }
    out.push(end_slope(
        step[n - 2],
        step[n - 3],
        rise[n - 2],
        rise[n - 3],
    ));
    out
}

/// Slope of a parabola at the end, limited so that the curve stays monotone.
fn end_slope(h0: f64, h1: f64, rise0: f64, rise1: f64) -> f64 {
    let slope = ((2.0 * h0 + h1) * rise0 - h0 * rise1) / (h0 + h1);
    if slope * rise0 <= 0.0 {
        0.0
    } else if rise0 * rise1 < 0.0 && slope.abs() > 3.0 * rise0.abs() {
        3.0 * rise0
    } else {
        slope
    }
}

/// The cubic with these values and slopes. Outside the points it has the value of the nearest end.
pub(super) fn hermite(x: &[f64], y: &[f64], slopes: &[f64], at: f64) -> f64 {
    let last = x.len() - 1;
    if last == 0 || at <= x[0] {
        return y[0];
    }
    if at >= x[last] {
        return y[last];
    }
    let k = x.partition_point(|x| *x <= at) - 1;
    let h = x[k + 1] - x[k];
    let t = (at - x[k]) / h;
    let u = 1.0 - t;
    y[k] * u * u * (1.0 + 2.0 * t) + h * slopes[k] * t * u * u + y[k + 1] * t * t * (3.0 - 2.0 * t)
        - h * slopes[k + 1] * t * t * u
}

/// A monotone curve through points.
#[derive(Debug, Clone)]
pub(super) struct Curve {
    x: Vec<f64>,
    y: Vec<f64>,
    slopes: Vec<f64>,
}

impl Curve {
    /// A curve through points of increasing `x`; at least one point.
    pub(super) fn new(x: Vec<f64>, y: Vec<f64>) -> Self {
        let slopes = slopes(&x, &y);
        Self { x, y, slopes }
    }

    /// The smallest and the largest x.
    pub(super) fn range(&self) -> (f64, f64) {
        (self.x[0], self.x[self.x.len() - 1])
    }

    pub(super) fn at(&self, x: f64) -> f64 {
        hermite(&self.x, &self.y, &self.slopes, x)
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::interpolate::pchip::*;
    use proptest::prelude::*;

    #[test]
    fn as_scipy_has_it() {
        // scipy.interpolate.PchipInterpolator([0, 1, 3, 4], [0, 2, 3, 10]), and with [0, 5, 1, 2].
        let x = vec![0.0, 1.0, 3.0, 4.0];
        for (y, expected) in [
            (
                [0.0, 2.0, 3.0, 10.0],
                [1.2053571428571428, 2.456088992974239, 5.483265027322405],
            ),
            ([0.0, 5.0, 1.0, 2.0], [3.4166666666666665, 3.0, 1.25]),
        ] {
            let curve = Curve::new(x.clone(), y.to_vec());
            for (at, value) in [0.5, 2.0, 3.5].into_iter().zip(expected) {
                assert!(
                    (curve.at(at) - value).abs() < 1e-12,
                    "{at} {}",
                    curve.at(at)
                );
            }
        }
    }

    proptest! {
        #[test]
        fn no_wiggles(values in prop::collection::vec(0.0..100.0_f64, 2..9), at in 0.0..1.0_f64) {
            let x: Vec<f64> = (0..values.len()).map(|i| i as f64).collect();
            let curve = Curve::new(x, values.clone());
            let place = at * (values.len() - 1) as f64;
            let k = (place as usize).min(values.len() - 2);
            let (low, high) = (values[k].min(values[k + 1]), values[k].max(values[k + 1]));
            let y = curve.at(place);
            prop_assert!(y >= low - 1e-9 && y <= high + 1e-9);
        }
    }
}
