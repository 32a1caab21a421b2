//! ARIMA forecasts, as Dynamo's planner gets them from pmdarima's `auto_arima`.
//!
//! The order comes from the stepwise search of Hyndman and Khandakar (Automatic Time Series Forecasting, J. Stat. Softw. 27(3),
//! 2008): d by repeated KPSS tests, p and q by AIC of exact Gaussian likelihoods. Dynamo chooses the order once and keeps it;
//! that is worse than the last value alone if the first points are not typical, so here it is chosen anew with every value
//! unless `arima_frozen_order` is set.

mod kpss;
mod likelihood;
mod minimise;
mod order;

use self::likelihood::{Fit, Order};
use super::{LoadPredictor, PredictorCard, PredictorOptions, Series};

/// Name and summary of `arima`.
pub(super) const AUTOMATIC: PredictorCard =
    PredictorCard::new("arima", "ARIMA of the order that fits best", |options| {
        Box::new(Arima::automatic(options))
    });

/// Name and summary of `arima111`.
pub(super) const FIXED: PredictorCard = PredictorCard::new("arima111", "ARIMA(1,1,1)", |options| {
    Box::new(Arima::fixed(options, (1, 1, 1)))
});

/// With fewer points, the last value is predicted.
const MINIMUM_POINTS: usize = 5;

/// ARIMA of a fixed order, or of the order that fits best.
#[derive(Debug)]
pub struct Arima {
    series: Series,
    fixed: Option<Order>,
    frozen: bool,
    /// The order chosen first, if it is kept.
    chosen: Option<Order>,
    /// Model log(1 + value): because an option says so, or because the values themselves gave a model without memory.
    log1p: bool,
    /// Forecast of the current window.
    forecast: Option<f64>,
}

impl Arima {
    /// Creates a predictor that chooses its order by AIC.
    pub fn automatic(options: &PredictorOptions) -> Self {
        Self {
            series: Series::new(options.window),
            fixed: None,
            frozen: options.arima_frozen_order,
            chosen: None,
            log1p: options.log1p,
            forecast: None,
        }
    }

    /// Creates a predictor of order (p, d, q), without a constant.
    pub fn fixed(options: &PredictorOptions, (p, d, q): (usize, usize, usize)) -> Self {
        Self {
            fixed: Some(Order {
                p,
                d,
                q,
                constant: false,
            }),
            ..Self::automatic(options)
        }
    }

    fn fit(&mut self) -> Option<f64> {
        let raw = self.series.values().to_vec();
        let scaled = |log1p: bool| -> Vec<f64> {
            match log1p {
                true => raw.iter().map(|value| value.ln_1p()).collect(),
                false => raw.clone(),
            }
        };
        let mut values = scaled(self.log1p);
        let mut fit = self.fit_to(&values)?;
        let memoryless = fit.order.p == 0 && fit.order.q == 0;
        if memoryless && !self.log1p && self.fixed.is_none() {
            // A model without memory predicts a mean or the last value. Logarithms reveal structure that bursts hide.
            let logs = scaled(true);
            self.chosen = None;
            if let Some(other) = self.fit_to(&logs) {
                (values, fit) = (logs, other);
                self.log1p = true;
            }
        }
        if self.frozen {
            self.chosen = Some(fit.order);
        }
        let next = fit.forecast(&values);
        let next = if self.log1p { next.exp_m1() } else { next };
        // A log model may diverge: more than ten times the largest value ever seen is not a forecast.
        let largest = raw.iter().copied().fold(0.0, f64::max);
        (next.is_finite() && next <= 10.0 * largest).then(|| next.max(0.0))
    }

    fn fit_to(&self, values: &[f64]) -> Option<Fit> {
        match self.fixed.or(self.chosen) {
            Some(order) => likelihood::fit(values, order),
            None => order::choose(values),
        }
    }
}

impl LoadPredictor for Arima {
    fn observe(&mut self, value: f64) {
        if self.series.push(value) {
            self.forecast = None;
        }
    }

    fn predict(&mut self) -> f64 {
        if let Some(forecast) = self.forecast {
            return forecast;
        }
        let simple = self.series.len() < MINIMUM_POINTS || self.series.is_constant();
        let next = if simple { None } else { self.fit() };
        let next = next.unwrap_or_else(|| self.series.last());
        self.forecast = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::predictor::arima::*;

    fn options(window: usize) -> PredictorOptions {
        PredictorOptions {
            window,
            ..PredictorOptions::default()
        }
    }

    #[test]
    fn few_points_give_the_last() {
        let mut predictor = Arima::automatic(&options(50));
        for value in [3.0, 8.0, 5.0, 9.0] {
            predictor.observe(value);
            assert_eq!(predictor.predict(), value);
        }
    }

    #[test]
    fn a_swinging_load_swings_on() {
        let mut predictor = Arima::automatic(&options(80));
        let (mut x, mut state) = (0.0, 7_u32);
        for _ in 0..80 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            x = -0.8 * x + 40.0 * (f64::from(state >> 16) / 65536.0 - 0.5);
            predictor.observe(100.0 + x);
        }
        let next = predictor.predict();
        assert!((next - (100.0 - 0.8 * x)).abs() < 6.0, "{next} {x}");
    }

    #[test]
    fn a_line_goes_on() {
        let mut predictor = Arima::automatic(&options(60));
        for step in 0..30 {
            predictor.observe(100.0 + 5.0 * f64::from(step) + f64::from(step * 5 % 3));
        }
        let next = predictor.predict();
        assert!((next - 251.0).abs() < 4.0, "{next}");
    }

    #[test]
    fn one_one_one_by_its_own_recursion() {
        let mut predictor = Arima::fixed(&options(60), (1, 1, 1));
        let mut level = 200.0;
        for step in 0..40 {
            level += 10.0 * f64::from(step % 4 - 1) * if step % 8 < 4 { 1.0 } else { -1.0 };
            predictor.observe(level);
        }
        let next = predictor.predict();
        assert!(
            next.is_finite() && (next - level).abs() < 40.0,
            "{next} {level}"
        );
    }
}
