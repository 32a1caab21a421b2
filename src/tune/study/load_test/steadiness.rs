//! Decides whether a rate was sustained, from the outcomes of the requests in the middle of a hold and the growth of the number
//! of in-flight requests.

use super::STATIONARY_GROWTH;
use crate::sim::RequestRecord;

/// Outcomes in the middle of a hold, and growth of the number of in-flight requests towards its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Steadiness {
    /// Fraction of the requests of the second and third quarter that met the objectives. The first quarter starts on an empty
    /// cluster, and no requests arrive after the last one, so both are left out.
    pub(super) attainment: f64,
    /// Mean number of in-flight requests in the last quarter minus that in the third, per second, as a fraction of the request
    /// rate.
    pub(super) growth: f64,
}

impl Steadiness {
    pub(super) fn of(
        requests: &[RequestRecord],
        rate: f64,
        attained: &dyn Fn(&[RequestRecord]) -> f64,
    ) -> Self {
        let end = requests
            .last()
            .map_or(0.0, |last| last.arrival.as_secs_f64());
        let quarter = end / 4.0;
        let from = |time: f64| requests.partition_point(|r| r.arrival.as_secs_f64() < time);
        let middle = &requests[from(quarter)..from(3.0 * quarter)];
        let mean = |number: f64| {
            let (start, stop) = (number * quarter, (number + 1.0) * quarter);
            in_flight_seconds(requests, start, stop) / quarter
        };
        let growth = (mean(3.0) - mean(2.0)) / (quarter * rate);
        Self {
            attainment: attained(middle),
            growth: if quarter > 0.0 { growth } else { 0.0 },
        }
    }

    pub(super) fn is_stationary(self) -> bool {
        self.growth <= STATIONARY_GROWTH
    }
}

/// Total in-flight time of all requests between two times, in seconds.
pub(super) fn in_flight_seconds(requests: &[RequestRecord], start: f64, stop: f64) -> f64 {
    let inside = |request: &RequestRecord| {
        let (arrival, ended) = (request.arrival.as_secs_f64(), request.ended.as_secs_f64());
        (ended.min(stop) - arrival.max(start)).max(0.0)
    };
    requests.iter().map(inside).sum()
}
