//! A plan for a trace: the planner's decisions, interval by interval, if instances behaved as its performance model
//! predicts.

use super::planner::{Decision, Observation, Planner, wait_ms};
use crate::base::error::Result;
use crate::base::limits::INTERVALS;
use crate::trace::{Nanos, Trace};

/// Load of a trace in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Interval {
    /// Start, in seconds from the start of the trace.
    pub start_sec: f64,
    /// Requests that arrive.
    pub num_req: u64,
    /// Their prompt tokens.
    pub prompt_tokens: u64,
    /// Their output tokens.
    pub output_tokens: u64,
    /// Prompt tokens found in a prefix cache, if one was simulated.
    pub cached_tokens: Option<u64>,
    /// Sum of their service times, if the trace has one for each.
    pub service_sec: Option<f64>,
}

/// The complete intervals of a trace, including empty ones. The last interval, in which the trace ends, is left out.
/// `cached` contains the cached prompt tokens of each request.
///
/// # Errors
/// More intervals than [`INTERVALS`].
pub fn intervals(
    trace: &Trace,
    interval_sec: f64,
    cached: Option<&[u32]>,
) -> Result<Vec<Interval>> {
    let width = Nanos::from_secs_f64(interval_sec).0.max(1);
    let last = trace.requests().last().map_or(0, |last| last.arrival.0);
    let count = (last / width + 1) as f64;
    INTERVALS.check(
        &format!("the number of intervals of {interval_sec} s in the trace"),
        count,
    )?;
    let mut out: Vec<Interval> = Vec::new();
    for (index, request) in trace.requests().iter().enumerate() {
        let bin = (request.arrival.0 / width) as usize;
        while out.len() <= bin {
            out.push(Interval {
                start_sec: out.len() as f64 * interval_sec,
                cached_tokens: cached.map(|_| 0),
                service_sec: Some(0.0),
                ..Interval::default()
            });
        }
        let interval = &mut out[bin];
        interval.num_req += 1;
        interval.prompt_tokens += u64::from(request.input_length);
        interval.output_tokens += u64::from(request.output_length);
        if let (Some(sum), Some(cached)) = (&mut interval.cached_tokens, cached) {
            *sum += u64::from(cached[index]);
        }
        let service = request.service_time.map(Nanos::as_secs_f64);
        interval.service_sec = interval.service_sec.zip(service).map(|(a, b)| a + b);
    }
    out.pop();
    Ok(out)
}

/// The planner's decision at the end of each interval. It takes effect in the next interval; instances start and stop at
/// once.
///
/// Latencies are those of the model: prompts wait as in an M/M/c queue of the prefill instances, and the number of requests
/// on each decode instance follows from Little's law.
pub fn plan(
    planner: &mut Planner,
    intervals: &[Interval],
    interval_sec: f64,
    start: [u32; 2],
) -> Vec<Decision> {
    let mut current = start;
    let mut out = Vec::with_capacity(intervals.len());
    for interval in intervals {
        let observation = observe(planner, interval, interval_sec, current);
        let decision = planner.tick(&observation);
        if !planner.config().no_operation {
            current = [decision.prefill, decision.decode];
        }
        out.push(decision);
    }
    out
}

fn observe(
    planner: &mut Planner,
    interval: &Interval,
    interval_sec: f64,
    [prefill, decode]: [u32; 2],
) -> Observation {
    let count = interval.num_req as f64;
    let mut seen = Observation {
        interval_sec,
        num_req: Some(count),
        arrivals: Some(count),
        ready_prefill: prefill,
        ready_decode: decode,
        ..Observation::default()
    };
    if interval.num_req == 0 {
        return seen;
    }
    let isl = interval.prompt_tokens as f64 / count;
    let osl = interval.output_tokens as f64 / count;
    let prompt = interval.prompt_tokens.max(1) as f64;
    let hits = interval.cached_tokens.map(|cached| cached as f64 / prompt);
    let computed = (isl * (1.0 - hits.unwrap_or(0.0))).max(1.0);
    let gpus = f64::from(planner.config().prefill_gpus_per_instance);
    let model = planner.model();
    let rate = count / interval_sec;
    let service_ms = 1000.0 * computed / (model.prefill_throughput(computed) * gpus);
    let wait = wait_ms(rate * service_ms / 1000.0, service_ms, prefill);
    // A request that arrives within an interval cannot have waited longer than the interval.
    let ttft_ms = model.ttft_ms(computed) + wait.min(1000.0 * interval_sec);
    let context = isl + osl / 2.0;
    let mut itl_ms = model.itl_ms(1.0, context);
    for _ in 0..50 {
        let concurrency = rate * osl * itl_ms / 1000.0 / f64::from(decode.max(1));
        let next = model.itl_ms(concurrency.min(1e6), context);
        let settled = (next - itl_ms).abs() <= 1e-9 * itl_ms;
        itl_ms = next;
        if settled {
            break;
        }
    }
    seen.isl = Some(isl);
    seen.osl = Some(osl);
    seen.cache_hit_ratio = hits;
    seen.ttft_ms = Some(ttft_ms);
    seen.itl_ms = Some(itl_ms);
    seen.request_duration_sec = Some(match interval.service_sec {
        Some(service) => service / count,
        None => (ttft_ms + osl * itl_ms) / 1000.0,
    });
    seen
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::open_loop::*;
    use crate::autoscale::planner::PlannerConfig;
    use crate::trace::format::{ReadOptions, read_trace};

    fn trace(lines: &str) -> Trace {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.csv");
        std::fs::write(
            &file,
            format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{lines}"),
        )
        .unwrap();
        read_trace(&file, &ReadOptions::default()).unwrap().trace
    }

    #[test]
    fn whole_intervals_with_empty_ones() {
        let trace = trace(
            "2023-11-16 18:00:00.0,100,10\n2023-11-16 18:00:59.0,300,30\n2023-11-16 18:02:00.0,50,5\n2023-11-16 18:03:00.0,1,1\n",
        );
        let found = intervals(&trace, 60.0, Some(&[0, 200, 50, 1])).unwrap();
        let counts: Vec<_> = found.iter().map(|i| (i.num_req, i.prompt_tokens)).collect();
        assert_eq!(counts, [(2, 400), (0, 0), (1, 50)]);
        assert_eq!(found[0].cached_tokens, Some(200));
        assert_eq!(found[2].start_sec, 120.0);
        assert_eq!(found[0].service_sec, None);
        let told = intervals(&trace, 1e-4, None).map(drop).unwrap_err();
        assert_eq!(
            told.to_string(),
            "the number of intervals of 0.0001 s in the trace is 1800001; give from 1 to 1000000"
        );
    }

    #[test]
    fn a_plan_follows_the_load() {
        // A minute of 200 requests, then two of 5.
        let mut lines = String::new();
        for second in 0..200 {
            let at = second * 60 / 200;
            lines += &format!("2023-11-16 18:00:{at:02}.0,1000,100\n");
        }
        for minute in [1, 2, 3] {
            for second in 0..5 {
                lines += &format!("2023-11-16 18:0{minute}:{second:02}.0,1000,100\n");
            }
        }
        let intervals = intervals(&trace(&lines), 60.0, None).unwrap();
        let mut planner = Planner::new(PlannerConfig::default()).unwrap();
        let decisions = plan(&mut planner, &intervals, 60.0, [1, 1]);
        assert_eq!(decisions.len(), 3);
        assert!(decisions[0].prefill > 1 && decisions[0].decode > 1);
        assert_eq!(decisions[1].observed.ready_prefill, decisions[0].prefill);
        assert!(decisions[2].prefill < decisions[0].prefill);
    }
}
