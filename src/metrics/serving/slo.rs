//! Service level objectives (SLO) and the requests that met them.

use serde::Serialize;

use super::requests::{arrived, ratio};
use super::rows::RequestRow;
use super::slowdown::SlowdownLimit;
use crate::sim::Objectives;

/// Objectives and the degree to which they were met: the user's own for each request, and the Splitwise study's
/// slowdown limits.
#[derive(Debug, Clone, Serialize)]
pub struct Slo {
    /// The objectives for a request.
    pub objectives: Objectives,
    /// Requests that finished and met all of these objectives / requests that arrived.
    pub attainment: Option<f64>,
    /// Requests that finished and met the TTFT objective / requests that arrived.
    pub ttft_attainment: Option<f64>,
    /// Requests that finished and met the objective for the mean time between tokens / requests that arrived.
    pub tbt_attainment: Option<f64>,
    /// Requests that finished and met the E2E objective / requests that arrived; `None` without such an objective.
    pub e2e_attainment: Option<f64>,
    /// Slowdowns at the 50th, 90th and 99th percentile, and the Splitwise study's limits for them.
    pub slowdowns: Vec<SlowdownLimit>,
    /// Whether all slowdown limits were met; `None` if no request finished.
    pub slowdowns_met: Option<bool>,
}

/// Requests that met their objectives. A request that did not finish met none. The fractions are of the requests that
/// arrived and are `None` if none arrived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attainment {
    /// Number of requests that met all objectives.
    pub requests: u64,
    /// Fraction of requests that met all objectives.
    pub all: Option<f64>,
    /// Fraction of requests that met the TTFT objective.
    pub ttft: Option<f64>,
    /// Fraction of requests that met the TBT objective.
    pub tbt: Option<f64>,
    /// Fraction of requests that met the E2E objective; `None` without such an objective.
    pub e2e: Option<f64>,
}

impl Attainment {
    /// Compares requests with objectives.
    pub fn of(requests: &[RequestRow], objectives: &Objectives) -> Self {
        let base = arrived(requests);
        let (mut all, mut each) = (0, [0; 3]);
        for request in requests {
            let kept = kept(request, objectives);
            all += u64::from(kept == [true; 3]);
            for (count, kept) in each.iter_mut().zip(kept) {
                *count += u64::from(kept);
            }
        }
        let [ttft, tbt, e2e] = each;
        Self {
            requests: all,
            all: ratio(all, base),
            ttft: ratio(ttft, base),
            tbt: ratio(tbt, base),
            e2e: objectives.e2e_seconds.and_then(|_| ratio(e2e, base)),
        }
    }
}

/// Whether a request met TTFT, TBT and E2E. A request that did not finish met none; a request of a single token has no
/// time between tokens and meets TBT.
fn kept(request: &RequestRow, objectives: &Objectives) -> [bool; 3] {
    let in_time = |time: Option<f64>, limit: f64| time.is_none_or(|time| time <= limit);
    [
        in_time(request.ttft, objectives.ttft_seconds),
        in_time(request.tbt, objectives.tbt_seconds),
        objectives
            .e2e_seconds
            .is_none_or(|limit| in_time(request.e2e, limit)),
    ]
    .map(|kept| kept && request.is_finished())
}

#[cfg(test)]
mod tests {
    use crate::metrics::serving::rows::testing::{finished, unfinished};
    use crate::metrics::serving::slo::*;
    use crate::sim::Outcome;

    const OBJECTIVES: Objectives = Objectives {
        ttft_seconds: 2.0,
        tbt_seconds: 0.1,
        e2e_seconds: Some(10.0),
    };

    #[test]
    fn the_base_is_what_arrived() {
        let requests = [
            // Exactly at each limit: met.
            finished(2.0, Some(0.1), 10.0),
            // A single token: no time between tokens.
            finished(1.0, None, 1.0),
            // TTFT missed.
            finished(2.1, Some(0.05), 9.0),
            // TBT and E2E missed.
            finished(0.1, Some(0.2), 11.0),
            // Its first token was in time, but it never finished: met no objective.
            unfinished(Outcome::EndOfTime),
            // Did not arrive.
            unfinished(Outcome::NotArrived),
        ];
        let found = Attainment::of(&requests, &OBJECTIVES);
        // 5 arrived. All objectives: the first two. TTFT: all that finished except the third. TBT and E2E: all that
        // finished except the fourth.
        assert_eq!((found.requests, found.all), (2, Some(0.4)));
        assert_eq!(
            (found.ttft, found.tbt, found.e2e),
            (Some(0.6), Some(0.6), Some(0.6))
        );
        // Without an E2E objective there is no E2E figure, and the fourth still misses TBT.
        let open = Objectives {
            e2e_seconds: None,
            ..OBJECTIVES
        };
        let found = Attainment::of(&requests, &open);
        assert_eq!((found.all, found.e2e), (Some(0.4), None));
    }

    #[test]
    fn where_nothing_arrived_there_is_no_attainment() {
        let none_arrived = Attainment::of(&[unfinished(Outcome::NotArrived)], &OBJECTIVES);
        assert_eq!(
            (none_arrived.requests, none_arrived.all, none_arrived.ttft),
            (0, None, None)
        );
        // Arrived and did not finish: no objective met.
        let lost = Attainment::of(&[unfinished(Outcome::NoInstance)], &OBJECTIVES);
        assert_eq!((lost.all, lost.ttft), (Some(0.0), Some(0.0)));
    }
}
