//! The rule of thumb of sageLLM's planner, for use without a profile.

use super::{Best, PerformanceModel};

/// TTFT = 50 + 0.1 isl, ITL = 20 + 2 concurrency + 0.01 context, in milliseconds.
#[derive(Debug, Clone)]
pub struct Heuristic {
    /// Milliseconds per prompt token; learned.
    token_latency: f64,
    learns: bool,
}

const TTFT_BASE: f64 = 50.0;
const TOKEN_LATENCY: f64 = 0.1;
const LEARNING_RATE: f64 = 0.1;
const ITL_BASE: f64 = 20.0;
const ITL_PER_REQUEST: f64 = 2.0;
const ITL_PER_TOKEN: f64 = 0.01;

impl Heuristic {
    /// With or without learning the latency per prompt token from measurements.
    pub fn new(learns: bool) -> Self {
        Self {
            token_latency: TOKEN_LATENCY,
            learns,
        }
    }

    /// Milliseconds per prompt token, as learned so far.
    pub fn token_latency(&self) -> f64 {
        self.token_latency
    }
}

impl PerformanceModel for Heuristic {
    fn ttft_ms(&mut self, isl: f64) -> f64 {
        TTFT_BASE + self.token_latency * isl
    }

    fn prefill_throughput(&mut self, isl: f64) -> f64 {
        200.0 / (1.0 + 1e-4 * isl)
    }

    fn itl_ms(&mut self, concurrency: f64, context: f64) -> f64 {
        ITL_BASE + ITL_PER_REQUEST * concurrency + ITL_PER_TOKEN * context
    }

    fn best_decode(&mut self, itl_ms: f64, context: f64) -> Best {
        let concurrency = (itl_ms - ITL_BASE - ITL_PER_TOKEN * context) / ITL_PER_REQUEST;
        let concurrency = concurrency.max(0.0);
        Best {
            throughput_per_gpu: (1000.0 * concurrency / itl_ms).min(100.0),
            itl_ms: self.itl_ms(concurrency, context),
            kv_usage: f64::NAN,
            met: concurrency > 0.0,
        }
    }

    fn learn(&mut self, isl: f64, ttft_ms: f64) {
        if !(self.learns && isl > 0.0 && ttft_ms.is_finite() && ttft_ms > 0.0) {
            return;
        }
        let error = ttft_ms - self.ttft_ms(isl);
        // The time per token is never negative.
        self.token_latency = (self.token_latency + LEARNING_RATE * error / isl).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::interpolate::heuristic::*;

    #[test]
    fn by_hand() {
        let mut model = Heuristic::new(true);
        assert_eq!(model.ttft_ms(1000.0), 150.0);
        assert_eq!(model.prefill_throughput(10_000.0), 100.0);
        assert_eq!(model.itl_ms(5.0, 1000.0), 40.0);
        // 50 - 20 - 10 = 20 ms are left for 10 requests, each with a token every 50 ms; the throughput is limited to 100.
        let best = model.best_decode(50.0, 1000.0);
        assert_eq!((best.throughput_per_gpu, best.met), (100.0, true));
        // 34 - 20 - 10 = 4: two requests.
        let best = model.best_decode(34.0, 1000.0);
        assert!((best.throughput_per_gpu - 2000.0 / 34.0).abs() < 1e-9);
        let best = model.best_decode(25.0, 1000.0);
        assert_eq!((best.throughput_per_gpu, best.met), (0.0, false));
    }

    #[test]
    fn learning_comes_nearer_with_every_step() {
        let mut model = Heuristic::new(true);
        // 250 ms were measured where 150 are predicted: 100 / 1000 x 0.1 more per token.
        model.learn(1000.0, 250.0);
        assert!((model.token_latency() - 0.11).abs() < 1e-12);
        let mut error = 90.0;
        for _ in 0..20 {
            model.learn(1000.0, 250.0);
            let now = 250.0 - model.ttft_ms(1000.0);
            assert!((now - 0.9 * error).abs() < 1e-9);
            error = now;
        }
        let mut fixed = Heuristic::new(false);
        fixed.learn(1000.0, 250.0);
        assert_eq!(fixed.token_latency(), 0.1);
    }
}
