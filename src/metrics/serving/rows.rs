//! The row of a request from which figures are computed.

use crate::sim::{Outcome, RequestRecord};

/// Outcome, token counts and times of a request. A simulation's [`RequestRecord`] and a line of `request.csv` yield the
/// same row, so the same functions compute the figures of both. Times are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RequestRow {
    /// Outcome of the request.
    pub outcome: Outcome,
    /// Arrival since the start of the simulation, if known.
    pub arrival: Option<f64>,
    /// Prompt tokens.
    pub prompt: u32,
    /// Output tokens generated.
    pub output: u32,
    /// Prompt tokens found in a prefix cache.
    pub cached: u32,
    /// Queueing time: from arrival to its first batch.
    pub queue: Option<f64>,
    /// TTFT: from arrival to its first token.
    pub ttft: Option<f64>,
    /// TBT: mean time between its tokens; `None` with a single token.
    pub tbt: Option<f64>,
    /// E2E: from arrival to its last token; `None` unless it finished.
    pub e2e: Option<f64>,
}

impl RequestRow {
    /// Whether it arrived before the simulation ended.
    pub fn has_arrived(&self) -> bool {
        self.outcome != Outcome::NotArrived
    }

    /// Whether it finished: all its tokens were generated.
    pub fn is_finished(&self) -> bool {
        self.outcome == Outcome::Finished
    }
}

impl From<&RequestRecord> for RequestRow {
    fn from(record: &RequestRecord) -> Self {
        Self {
            outcome: record.outcome,
            arrival: Some(record.arrival.as_secs_f64()),
            prompt: record.prompt,
            output: record.generated,
            cached: record.cached,
            queue: record.queued(),
            ttft: record.ttft(),
            tbt: record.tbt(),
            e2e: record.e2e(),
        }
    }
}

/// Yields the rows of a simulation's requests.
pub fn rows(records: &[RequestRecord]) -> Vec<RequestRow> {
    records.iter().map(RequestRow::from).collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::RequestRow;
    use crate::sim::Outcome;

    /// A finished request that arrived at 0 s.
    pub(in crate::metrics::serving) fn finished(
        ttft: f64,
        tbt: Option<f64>,
        e2e: f64,
    ) -> RequestRow {
        RequestRow {
            outcome: Outcome::Finished,
            arrival: Some(0.0),
            prompt: 100,
            output: 10,
            cached: 0,
            queue: Some(0.0),
            ttft: Some(ttft),
            tbt,
            e2e: Some(e2e),
        }
    }

    /// A request with a first token that did not finish.
    pub(in crate::metrics::serving) fn unfinished(outcome: Outcome) -> RequestRow {
        RequestRow {
            outcome,
            arrival: Some(0.0),
            ttft: Some(0.1),
            ..RequestRow::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::serving::rows::*;
    use crate::trace::Nanos;

    #[test]
    fn a_row_has_the_times_of_its_record() {
        // Arrives at 1 s, starts at 1.5 s, first token at 3 s, the last of 5 tokens at 5 s: TBT (5 - 3) / 4 = 0.5 s.
        let record = RequestRecord {
            arrival: Nanos::from_secs_f64(1.0),
            scheduled: Some(Nanos::from_secs_f64(1.5)),
            first_token: Some(Nanos::from_secs_f64(3.0)),
            ended: Nanos::from_secs_f64(5.0),
            outcome: Outcome::Finished,
            prompt: 40,
            output: 5,
            generated: 5,
            cached: 16,
            ..RequestRecord::default()
        };
        assert_eq!(
            RequestRow::from(&record),
            RequestRow {
                outcome: Outcome::Finished,
                arrival: Some(1.0),
                prompt: 40,
                output: 5,
                cached: 16,
                queue: Some(0.5),
                ttft: Some(2.0),
                tbt: Some(0.5),
                e2e: Some(4.0),
            }
        );
        // A request that was in flight at the end has no E2E and no TBT.
        let cut = RequestRecord {
            outcome: Outcome::EndOfTime,
            generated: 3,
            ..record
        };
        let row = RequestRow::from(&cut);
        assert_eq!((row.output, row.ttft), (3, Some(2.0)));
        assert_eq!((row.tbt, row.e2e), (None, None));
        assert!(row.has_arrived() && !row.is_finished());
        assert!(!RequestRow::default().has_arrived());
    }
}
