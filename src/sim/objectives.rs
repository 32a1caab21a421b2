//! Service level objectives of a request.

/// Time limits that a request has to keep. All are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Objectives {
    /// Time to first token (TTFT), from arrival.
    pub ttft_seconds: f64,
    /// Mean time between output tokens (TBT, also called TPOT).
    pub tbt_seconds: f64,
    /// End-to-end time (E2E), from arrival to the last token; `None` sets no limit.
    pub e2e_seconds: Option<f64>,
}

impl Default for Objectives {
    /// TTFT within 2 s and 100 ms between tokens.
    fn default() -> Self {
        Self {
            ttft_seconds: 2.0,
            tbt_seconds: 0.1,
            e2e_seconds: None,
        }
    }
}
