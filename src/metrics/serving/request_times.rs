//! Times of a request by Vidur's and sarathi-serve's names (`vidur/metrics/metrics_store.py` at 7d47513).

use crate::sim::RequestRecord;

/// Names of a request's times, used for columns and files.
pub const TIMES: [&str; 14] = [
    "request_e2e_time",
    "request_e2e_time_normalized",
    "request_execution_time",
    "request_execution_time_normalized",
    "request_model_execution_time",
    "request_model_execution_time_normalized",
    "request_preemption_time",
    "request_scheduling_delay",
    "request_execution_plus_preemption_time",
    "request_execution_plus_preemption_time_normalized",
    "prefill_e2e_time",
    "prefill_time_execution_plus_preemption",
    "prefill_time_execution_plus_preemption_normalized",
    "decode_time_execution_plus_preemption_normalized",
];

/// Times of a finished request, in seconds, in the order of [`TIMES`]; `None` if it did not finish. After a restart,
/// prompt and output are those of the last start.
pub fn times(request: &RequestRecord) -> Option<[f64; 14]> {
    let e2e = request.e2e()?;
    let (first, scheduled) = (request.first_token?, request.scheduled?);
    let prompt = f64::from(request.last_prompt);
    let output = f64::from(request.prompt) + f64::from(request.output) - prompt;
    let executed = request.executed.as_secs_f64();
    let stalled = request.stalled.as_secs_f64();
    let prefill = (first - scheduled).as_secs_f64();
    let decode = (request.ended - first).as_secs_f64();
    Some([
        e2e,
        e2e / output,
        executed,
        executed / output,
        // The same without the host's overhead, which no step of this simulator has.
        executed,
        executed / output,
        stalled,
        (scheduled - request.arrival).as_secs_f64(),
        executed + stalled,
        (executed + stalled) / output,
        (first - request.arrival).as_secs_f64(),
        prefill,
        prefill / prompt,
        decode / output,
    ])
}

/// Finished requests in the order in which they finished; those of the same step in order of arrival.
pub fn completion_order(requests: &[RequestRecord]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..requests.len())
        .filter(|id| times(&requests[*id]).is_some())
        .collect();
    order.sort_by_key(|id| requests[*id].ended);
    order
}

#[cfg(test)]
mod tests {
    use crate::metrics::serving::request_times::*;
    use crate::sim::Outcome;
    use crate::trace::Nanos;

    #[test]
    fn finished_requests_in_order_of_their_ends() {
        // The second did not finish. The third ends at 20, the first and the fourth both at 30.
        let outcomes = [
            (30, Outcome::Finished),
            (10, Outcome::EndOfTime),
            (20, Outcome::Finished),
            (30, Outcome::Finished),
        ];
        let requests = outcomes.map(|(ended, outcome)| RequestRecord {
            scheduled: Some(Nanos(1)),
            first_token: Some(Nanos(2)),
            ended: Nanos(ended),
            outcome,
            prompt: 1,
            output: 2,
            last_prompt: 1,
            ..RequestRecord::default()
        });
        assert_eq!(completion_order(&requests), [2, 0, 3]);
    }
}
