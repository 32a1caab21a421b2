//! Correction factors: ratios of measured to predicted latencies.

use super::config::PlannerConfig;
use super::interpolate::PerformanceModel;

/// Ratios of measured to predicted latencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correction {
    /// Factor of TTFT: below 1 if prompts are found in a cache, above 1 if they queue.
    pub prefill: f64,
    /// Factor of ITL.
    pub decode: f64,
}

/// Updates the two factors.
#[derive(Debug, Clone)]
pub(super) struct Corrector {
    factors: Correction,
    enabled: bool,
    smooth: bool,
    alpha: f64,
    range: (f64, f64),
    min_requests: f64,
}

/// Measurements of an interval with requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) requests: f64,
    /// Mean number of prompt tokens computed.
    pub(super) computed_isl: f64,
    pub(super) isl: f64,
    pub(super) osl: f64,
    pub(super) ttft_ms: Option<f64>,
    pub(super) itl_ms: Option<f64>,
    /// Duration of a request in seconds.
    pub(super) duration_sec: f64,
    pub(super) decode_instances: u32,
    pub(super) interval_sec: f64,
}

impl Corrector {
    pub(super) fn new(config: &PlannerConfig) -> Self {
        Self {
            factors: Correction {
                prefill: 1.0,
                decode: 1.0,
            },
            enabled: config.enable_correction,
            smooth: config.holds(config.smooth_correction),
            alpha: config.correction_alpha,
            range: (config.correction_min, config.correction_max),
            min_requests: config.correction_min_requests,
        }
    }

    pub(super) fn factors(&self) -> Correction {
        self.factors
    }

    /// Updates the factors from an interval's measurements.
    pub(super) fn update(&mut self, measured: &Measured, model: &mut dyn PerformanceModel) {
        if !self.enabled || (self.smooth && measured.requests < self.min_requests) {
            return;
        }
        if let Some(observed) = measured.ttft_ms {
            let foretold = model.ttft_ms(measured.computed_isl);
            self.factors.prefill = self.next(self.factors.prefill, observed / foretold);
        }
        if let (Some(observed), true) = (measured.itl_ms, measured.decode_instances > 0) {
            // Little's law, for one instance.
            let concurrency = measured.requests / f64::from(measured.decode_instances)
                * measured.duration_sec
                / measured.interval_sec;
            let foretold = model.itl_ms(concurrency, measured.isl + measured.osl / 2.0);
            self.factors.decode = self.next(self.factors.decode, observed / foretold);
        }
    }

    fn next(&self, old: f64, new: f64) -> f64 {
        if !new.is_finite() {
            return old;
        }
        if !self.smooth {
            return new;
        }
        let (low, high) = self.range;
        let new = new.clamp(low, high);
        self.alpha * new + (1.0 - self.alpha) * old
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::config::Variant;
    use crate::autoscale::planner::correction::*;
    use crate::autoscale::planner::interpolate::Heuristic;

    fn measured() -> Measured {
        Measured {
            requests: 60.0,
            computed_isl: 1000.0,
            isl: 1000.0,
            osl: 200.0,
            ttft_ms: Some(300.0),
            itl_ms: Some(70.0),
            duration_sec: 20.0,
            decode_instances: 2,
            interval_sec: 60.0,
        }
    }

    #[test]
    fn by_hand() {
        let config = PlannerConfig::of(Variant::Dynamo);
        let mut corrector = Corrector::new(&config);
        corrector.update(&measured(), &mut Heuristic::new(false));
        // TTFT 50 + 100; concurrency 60 / 2 x 20 / 60 = 10, so ITL 20 + 20 + 0.01 x 1100 = 51.
        let factors = corrector.factors();
        assert_eq!(factors.prefill, 2.0);
        assert!((factors.decode - 70.0 / 51.0).abs() < 1e-12);
    }

    #[test]
    fn one_wild_sample_does_not_move_it_far() {
        let mut corrector = Corrector::new(&PlannerConfig::default());
        let wild = Measured {
            ttft_ms: Some(1e9),
            itl_ms: Some(f64::NAN),
            ..measured()
        };
        corrector.update(&wild, &mut Heuristic::new(false));
        // Half way from 1 to the largest factor.
        assert_eq!(
            corrector.factors(),
            Correction {
                prefill: 3.0,
                decode: 1.0
            }
        );
        let few = Measured {
            requests: 2.0,
            ..measured()
        };
        corrector.update(&few, &mut Heuristic::new(false));
        assert_eq!(corrector.factors().prefill, 3.0);
    }

    #[test]
    fn nothing_is_corrected_without_instances_or_leave() {
        let config = PlannerConfig::of(Variant::Sagellm);
        let mut corrector = Corrector::new(&config);
        let none = Measured {
            decode_instances: 0,
            ..measured()
        };
        corrector.update(&none, &mut Heuristic::new(false));
        assert_eq!(corrector.factors().decode, 1.0);
        let mut off = Corrector::new(&PlannerConfig {
            enable_correction: false,
            ..config
        });
        off.update(&measured(), &mut Heuristic::new(false));
        assert_eq!(off.factors().prefill, 1.0);
    }
}
