//! Which requests met their service level objectives (SLO).

use serde::Serialize;

use super::requests::{arrived, ratio};
use super::rows::RequestRow;
use super::slowdown::SlowdownLimit;
use crate::sim::Objectives;

/// Objectives and how far they were met: a user's own for each request, and the Splitwise study's slowdown limits.
#[derive(Debug, Clone, Serialize)]
pub struct Slo {
    /// The time limits of a request.
    pub objectives: Objectives,
    /// Fraction of the requests that arrived which finished and met all of these.
    pub attainment: Option<f64>,
    /// Fraction of the requests that arrived which finished with their first token in time.
    pub ttft_attainment: Option<f64>,
    /// Fraction of the requests that arrived which finished with a mean time between tokens within the limit.
    pub tbt_attainment: Option<f64>,
    /// Fraction of the requests that arrived which finished in time; `None` without such a limit.
    pub e2e_attainment: Option<f64>,
    /// Slowdowns at the 50th, 90th and 99th percentile, and the Splitwise study's limits of them.
    pub slowdowns: Vec<SlowdownLimit>,
    /// Whether all slowdown limits are kept; `None` where nothing finished.
    pub slowdowns_met: Option<bool>,
}

/// How many of the requests that arrived met their objectives. One that did not finish met none; where no request arrived,
/// there is no fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attainment {
    /// Requests that met all objectives.
    pub requests: u64,
    /// The same as a fraction.
    pub all: Option<f64>,
    /// Fraction that kept TTFT.
    pub ttft: Option<f64>,
    /// Fraction that kept TBT.
    pub tbt: Option<f64>,
    /// Fraction that kept E2E; `None` without such an objective.
    pub e2e: Option<f64>,
}

impl Attainment {
    /// Holds requests against objectives.
    pub fn of(requests: &[RequestRow], objectives: &Objectives) -> Self {
        let base = arrived(requests);
        let count = |met: &dyn Fn([bool; 3]) -> bool| {
            let met = |r: &&RequestRow| met(kept(r, objectives));
            requests.iter().filter(met).count() as u64
        };
        let all = count(&|[ttft, tbt, e2e]| ttft && tbt && e2e);
        Self {
            requests: all,
            all: ratio(all, base),
            ttft: ratio(count(&|kept| kept[0]), base),
            tbt: ratio(count(&|kept| kept[1]), base),
            e2e: objectives
                .e2e_seconds
                .and_then(|_| ratio(count(&|kept| kept[2]), base)),
        }
    }
}

/// Whether a request kept TTFT, TBT and E2E. One that did not finish kept none; one of a single token has no time between
/// tokens and keeps TBT.
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
            // At each limit exactly: kept.
            finished(2.0, Some(0.1), 10.0),
            // One token: no time between tokens.
            finished(1.0, None, 1.0),
            // TTFT missed.
            finished(2.1, Some(0.05), 9.0),
            // TBT and E2E missed.
            finished(0.1, Some(0.2), 11.0),
            // Its first token was in time, and it never finished: missed everything.
            unfinished(Outcome::EndOfTime),
            // Not among those that arrived.
            unfinished(Outcome::NotArrived),
        ];
        let found = Attainment::of(&requests, &OBJECTIVES);
        // 5 arrived. All: the first two. TTFT: all finished but the third. TBT and E2E: all finished but the fourth.
        assert_eq!((found.requests, found.all), (2, Some(0.4)));
        assert_eq!(
            (found.ttft, found.tbt, found.e2e),
            (Some(0.6), Some(0.6), Some(0.6))
        );
        // Without an E2E limit there is no such figure, and the fourth still misses TBT.
        let open = Objectives {
            e2e_seconds: None,
            ..OBJECTIVES
        };
        let found = Attainment::of(&requests, &open);
        assert_eq!((found.all, found.e2e), (Some(0.4), None));
    }

    #[test]
    fn where_nothing_arrived_there_is_no_attainment() {
        let nobody = Attainment::of(&[unfinished(Outcome::NotArrived)], &OBJECTIVES);
        assert_eq!((nobody.requests, nobody.all, nobody.ttft), (0, None, None));
        // Arrived and lost: none met it.
        let lost = Attainment::of(&[unfinished(Outcome::NoInstance)], &OBJECTIVES);
        assert_eq!((lost.all, lost.ttft), (Some(0.0), Some(0.0)));
    }
}
