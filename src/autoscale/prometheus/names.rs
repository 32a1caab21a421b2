//! Metric names of serving systems.

use crate::base::error::{Error, Result};

/// Metric names of one serving system. If there are several names, the first existing one is used, because names change
/// between versions.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Name that users write.
    pub server: &'static str,
    /// Requests that were completed: counters.
    pub requests: &'static [&'static str],
    /// Requests that arrived: counters.
    pub arrivals: &'static [&'static str],
    /// Requests in flight: gauges, which are summed.
    pub in_flight: &'static [&'static str],
    /// Requests that wait: gauges.
    pub waiting: &'static [&'static str],
    /// Time to first token in seconds: histograms.
    pub ttft: &'static [&'static str],
    /// Time between tokens in seconds: histograms.
    pub itl: &'static [&'static str],
    /// Prompt tokens: histograms.
    pub isl: &'static [&'static str],
    /// Output tokens: histograms.
    pub osl: &'static [&'static str],
    /// Time of a request in seconds: histograms.
    pub duration: &'static [&'static str],
    /// Tokens looked up in the prefix cache: counters.
    pub cache_queries: &'static [&'static str],
    /// Tokens found in the prefix cache: counters.
    pub cache_hits: &'static [&'static str],
    /// Label with the name of the model.
    pub model_label: &'static str,
    /// Whether the label has the model's name in lower case.
    pub lower_case: bool,
}

/// vLLM (`vllm/v1/metrics/loggers.py`).
pub const VLLM: Names = Names {
    server: "vllm",
    requests: &["vllm:request_success_total"],
    arrivals: &[],
    in_flight: &["vllm:num_requests_running", "vllm:num_requests_waiting"],
    waiting: &["vllm:num_requests_waiting"],
    ttft: &["vllm:time_to_first_token_seconds"],
    itl: &[
        "vllm:inter_token_latency_seconds",
        "vllm:time_per_output_token_seconds",
    ],
    isl: &["vllm:request_prompt_tokens"],
    osl: &["vllm:request_generation_tokens"],
    duration: &["vllm:e2e_request_latency_seconds"],
    cache_queries: &[
        "vllm:prefix_cache_queries_total",
        "vllm:gpu_prefix_cache_queries_total",
    ],
    cache_hits: &[
        "vllm:prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_hits_total",
    ],
    model_label: "model_name",
    lower_case: false,
};

/// Dynamo's frontend (`planner/monitoring/traffic_metrics.py`).
pub const DYNAMO: Names = Names {
    server: "dynamo",
    requests: &["dynamo_frontend_requests_total"],
    arrivals: &["dynamo_frontend_requests_started_total"],
    in_flight: &[],
    waiting: &["dynamo_frontend_queued_requests"],
    ttft: &["dynamo_frontend_time_to_first_token_seconds"],
    itl: &["dynamo_frontend_inter_token_latency_seconds"],
    isl: &["dynamo_frontend_input_sequence_tokens"],
    osl: &["dynamo_frontend_output_sequence_tokens"],
    duration: &["dynamo_frontend_request_duration_seconds"],
    cache_queries: &[],
    cache_hits: &[],
    model_label: "model",
    lower_case: true,
};

/// All serving systems.
pub const SERVERS: &[Names] = &[VLLM, DYNAMO];

/// The metric names of a serving system.
///
/// # Errors
/// [`Error::Usage`] for an unknown serving system.
pub fn by_name(server: &str) -> Result<Names> {
    let known: Vec<_> = SERVERS.iter().map(|names| names.server).collect();
    let found = SERVERS.iter().find(|names| names.server == server);
    found
        .copied()
        .ok_or_else(|| Error::unknown_name("metrics", server, &known))
}
