//! The order that fits best: the stepwise search of Hyndman and Khandakar (2008), section 3.2.

use super::kpss;
use super::likelihood::{self, Fit, Order};

/// The most autoregressive and moving-average terms.
const MOST: usize = 5;

/// Most models tried; the search ends long before.
const MOST_TRIED: usize = 94;

/// The best model of the values, if any can be fitted.
pub(super) fn choose(values: &[f64]) -> Option<Fit> {
    let d = kpss::differences(values);
    // Twice differenced, a constant would be a parabola.
    let constant = d < 2;
    let order = |p, q, constant| Order { p, d, q, constant };
    let mut search = Search {
        values,
        tried: Vec::new(),
        best: None,
    };
    for (p, q) in [(2, 2), (0, 0), (1, 0), (0, 1)] {
        search.try_one(order(p, q, constant));
    }
    if constant {
        search.try_one(order(0, 0, false));
    }
    while let Some(Order { p, q, constant, .. }) = search.best.as_ref().map(|fit| fit.order) {
        let mut near = Vec::with_capacity(9);
        for (dp, dq) in [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1)] {
            if let (Some(p), Some(q)) = (p.checked_add_signed(dp), q.checked_add_signed(dq)) {
                near.push(order(p, q, constant));
            }
        }
        if d < 2 {
            near.push(order(p, q, !constant));
        }
        if !near.into_iter().any(|order| search.try_one(order)) {
            break;
        }
    }
    search.best
}

struct Search<'a> {
    values: &'a [f64],
    tried: Vec<Order>,
    best: Option<Fit>,
}

impl Search<'_> {
    /// Whether it is better than all previous ones.
    fn try_one(&mut self, order: Order) -> bool {
        let known = order.p > MOST || order.q > MOST || self.tried.contains(&order);
        if known || self.tried.len() == MOST_TRIED {
            return false;
        }
        self.tried.push(order);
        let Some(fit) = likelihood::fit(self.values, order) else {
            return false;
        };
        let better = fit.is_sound() && self.best.as_ref().is_none_or(|best| fit.aic < best.aic);
        if better {
            self.best = Some(fit);
        }
        better
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::planner::predictor::arima::order::*;

    #[test]
    fn an_autoregression_is_found() {
        // x = -0.8 x + noise, around 50.
        let mut x = 0.0;
        let mut state = 12345_u32;
        let values: Vec<f64> = (0..120)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                x = -0.8 * x + f64::from(state >> 16) / 65536.0 - 0.5;
                50.0 + x
            })
            .collect();
        let fit = choose(&values).unwrap();
        assert!(fit.order.d == 0 && fit.order.p >= 1 && fit.order.constant);
        let last = values[119] - 50.0;
        assert!((fit.forecast(&values) - (50.0 - 0.8 * last)).abs() < 0.15);
    }
}
