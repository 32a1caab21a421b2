//! Dynamo's newer, load-based rule: every few seconds at most one instance more or fewer (`planner/core/load_scaling.py`).

/// Estimates of one prefill engine: now, and if one engine fewer shared the load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrefillEngine {
    /// Estimated TTFT of the next request, in milliseconds.
    pub ttft_ms: f64,
    /// Estimated TTFT without waiting.
    pub ttft_alone_ms: f64,
    /// Estimated TTFT with a queue n/(n-1) as long.
    pub ttft_after_ms: f64,
}

/// Estimates of one decode engine: now, and if one engine fewer shared the load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodeEngine {
    /// Estimated time between tokens, in milliseconds.
    pub itl_ms: f64,
    /// Context tokens in its KV cache, and waiting for room in it.
    pub kv_tokens: f64,
    /// Estimated time between tokens with n/(n-1) as much context.
    pub itl_after_ms: f64,
}

/// Fraction of the time that the target leaves which may be used for scale-in.
pub const SENSITIVITY: f64 = 0.8;

/// Decision of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One instance more.
    Out,
    /// One instance fewer.
    In,
    /// No change.
    Hold,
}

/// Scales out if every engine misses the target; scales in if, for every engine, the waiting time would still be below 0.8
/// of the time that the prompt itself leaves of the target.
pub fn prefill(engines: &[PrefillEngine], target_ms: f64) -> Change {
    if engines.is_empty() {
        return Change::Hold;
    }
    if engines.iter().all(|engine| engine.ttft_ms > target_ms) {
        return Change::Out;
    }
    let fits = |engine: &PrefillEngine| {
        let room = (target_ms - engine.ttft_alone_ms) * SENSITIVITY;
        room > 0.0 && engine.ttft_after_ms - engine.ttft_alone_ms < room
    };
    if engines.len() > 1 && engines.iter().all(fits) {
        Change::In
    } else {
        Change::Hold
    }
}

/// Scales out if every engine misses the target; scales in if, for every engine, its part of the removed engine's context
/// would fit into its cache, and its ITL would be below 0.8 of the target.
pub fn decode(engines: &[DecodeEngine], target_ms: f64, max_kv_tokens: f64) -> Change {
    let count = engines.len() as f64;
    if engines.is_empty() {
        return Change::Hold;
    }
    if engines.iter().all(|engine| engine.itl_ms > target_ms) {
        return Change::Out;
    }
    let fits = |engine: &DecodeEngine| {
        engine.kv_tokens * count / (count - 1.0) < max_kv_tokens
            && engine.itl_after_ms < SENSITIVITY * target_ms
    };
    if engines.len() > 1 && engines.iter().all(fits) {
        Change::In
    } else {
        Change::Hold
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::load_rule::*;

    #[test]
    fn prefill_by_hand() {
        let engine = |ttft_ms, ttft_after_ms| PrefillEngine {
            ttft_ms,
            ttft_alone_ms: 100.0,
            ttft_after_ms,
        };
        assert_eq!(prefill(&[], 200.0), Change::Hold);
        assert_eq!(prefill(&[engine(201.0, 300.0)], 200.0), Change::Out);
        // A single engine that meets the target prevents a scale-out.
        assert_eq!(
            prefill(&[engine(900.0, 999.0), engine(200.0, 250.0)], 200.0),
            Change::Hold
        );
        // Waiting may take 80 ms of the 100 ms that are left.
        assert_eq!(
            prefill(&[engine(120.0, 179.0), engine(120.0, 150.0)], 200.0),
            Change::In
        );
        assert_eq!(
            prefill(&[engine(120.0, 180.0), engine(120.0, 150.0)], 200.0),
            Change::Hold
        );
        assert_eq!(prefill(&[engine(100.0, 100.0)], 200.0), Change::Hold);
        // The prompt alone takes the whole target.
        assert_eq!(prefill(&[engine(100.0, 100.0); 2], 100.0), Change::Hold);
    }

    #[test]
    fn decode_by_hand() {
        let engine = |itl_ms, kv_tokens, itl_after_ms| DecodeEngine {
            itl_ms,
            kv_tokens,
            itl_after_ms,
        };
        assert_eq!(
            decode(&[engine(51.0, 10.0, 60.0)], 50.0, 1000.0),
            Change::Out
        );
        assert_eq!(
            decode(&[engine(20.0, 499.0, 39.0); 2], 50.0, 1000.0),
            Change::In
        );
        // 500 x 2 / 1 fills the cache; 40 ms is 0.8 of the target.
        assert_eq!(
            decode(&[engine(20.0, 500.0, 39.0); 2], 50.0, 1000.0),
            Change::Hold
        );
        assert_eq!(
            decode(&[engine(20.0, 499.0, 40.0); 2], 50.0, 1000.0),
            Change::Hold
        );
        assert_eq!(
            decode(&[engine(20.0, 0.0, 20.0)], 50.0, 1000.0),
            Change::Hold
        );
        assert_eq!(decode(&[], 50.0, 1000.0), Change::Hold);
    }
}
