//! Measurements of a real cluster, from its Prometheus.
//!
//! Means are the increase of a histogram's sum divided by the increase of its count. NaN is the absence of a value, as in the
//! quantiles of an idle histogram. If a needed value is absent, stale or reset, or if one is negative or infinite, the observation
//! has a fault and the planner holds. An interval is idle only if the series exist and did not increase.

mod http;
mod names;

use super::planner::Observation;
use crate::base::limits::INSTANCES;

pub use http::{Http, Query, Sample};
pub use names::{DYNAMO, Names, SERVERS, VLLM, by_name};

/// Queries of a cluster.
#[derive(Debug, Clone)]
pub struct Source {
    /// Metric names of the server.
    pub names: Names,
    /// The model, if only one counts.
    pub model: Option<String>,
    /// Additional label matchers for all series, for example `job="vllm",pod=~"a.*"`.
    pub selector: Option<String>,
    /// Additional matchers for prefill instances: TTFT, prompt tokens, cache, queue.
    pub prefill_selector: Option<String>,
    /// Additional matchers for decode instances: requests, ITL, output tokens, duration.
    pub decode_selector: Option<String>,
    /// Seconds over which increases are computed.
    pub interval_sec: f64,
    /// Seconds after which the newest sample is too old.
    pub stale_after_sec: f64,
    /// PromQL query for the number of ready prefill instances.
    pub ready_prefill: Option<String>,
    /// PromQL query for the number of ready decode instances.
    pub ready_decode: Option<String>,
}

/// A fault, as a phrase.
type Found<T> = Result<T, String>;

impl Source {
    /// The measurements of the last interval. Numbers of instances are the given ones, unless queries provide them.
    pub fn observe(&self, server: &dyn Query, [prefill, decode]: [u32; 2]) -> Observation {
        let mut seen = Observation {
            interval_sec: self.interval_sec,
            ready_prefill: prefill,
            ready_decode: decode,
            ..Observation::default()
        };
        if let Err(fault) = self.fill(server, &mut seen) {
            seen.fault = Some(fault);
        }
        seen
    }

    fn fill(&self, server: &dyn Query, seen: &mut Observation) -> Found<()> {
        // All queries refer to one instant of the server's clock.
        let now = one(&server.instant("time()", None)?)
            .filter(|now| now.is_finite() && *now > 0.0)
            .ok_or("Prometheus does not return the time")?;
        let ask = Ask {
            server,
            now,
            window: format!("[{}ms]", (self.interval_sec * 1000.0).round() as u64),
        };
        // The numbers of instances come first: the planner needs them to hold if any other value is missing.
        for (query, place) in [
            (&self.ready_prefill, &mut seen.ready_prefill),
            (&self.ready_decode, &mut seen.ready_decode),
        ] {
            if let Some(query) = query {
                *place = ask.instances(query)?;
            }
        }
        let prefill = self.matchers(&self.prefill_selector);
        let decode = self.matchers(&self.decode_selector);
        self.check_presence(&ask, &decode)?;
        if prefill != decode {
            self.check_presence_of(&ask, &suffixed(self.names.ttft, "_count"), &prefill)?;
        }
        let resets = ask.over("resets", self.names.requests, &decode)?;
        if resets.is_some_and(|resets| resets > 0.0) {
            return Err("counters were reset within the interval: a server restarted".into());
        }
        let requests = ask
            .over("increase", self.names.requests, &decode)?
            .ok_or_else(|| {
                format!(
                    "fewer than two samples of {} in the interval",
                    self.names.requests[0]
                )
            })?;
        // Extrapolation to the ends of the interval may leave a fraction of a request.
        seen.num_req = Some(if requests < 1e-9 { 0.0 } else { requests });
        seen.arrivals = self.arrivals(&ask, &prefill, &decode, requests)?;
        seen.queue_length = ask.gauges(self.names.waiting, &prefill, "")?;
        let mean = |names: &[&str], matchers: &str| ask.mean(names, matchers);
        seen.isl = mean(self.names.isl, &prefill)?;
        seen.osl = mean(self.names.osl, &decode)?;
        seen.ttft_ms = mean(self.names.ttft, &prefill)?.map(|seconds| 1000.0 * seconds);
        seen.itl_ms = mean(self.names.itl, &decode)?.map(|seconds| 1000.0 * seconds);
        seen.request_duration_sec = mean(self.names.duration, &decode)?;
        let looked_up = ask.over("increase", self.names.cache_queries, &prefill)?;
        let hits = ask.over("increase", self.names.cache_hits, &prefill)?;
        seen.cache_hit_ratio = match (hits, looked_up) {
            (Some(hits), Some(all)) if all > 0.0 => Some((hits / all).clamp(0.0, 1.0)),
            _ => None,
        };
        Ok(())
    }

    /// Arrivals: counted by the server, or completions plus the increase of requests in flight.
    fn arrivals(
        &self,
        ask: &Ask<'_>,
        prefill: &str,
        decode: &str,
        completed: f64,
    ) -> Found<Option<f64>> {
        if let Some(arrivals) = ask.over("increase", self.names.arrivals, decode)? {
            return Ok(Some(arrivals));
        }
        // With two pools a request is in flight in one or the other; with one pool, it counts once.
        let mut change = 0.0;
        let mut pools = vec![decode];
        if prefill != decode {
            pools.push(prefill);
        }
        let before = format!(" offset {}", self.window_text());
        for matchers in pools {
            for name in self.names.in_flight {
                let now = ask.gauges(&[name], matchers, "")?;
                let then = ask.gauges(&[name], matchers, &before)?;
                match now.zip(then) {
                    Some((now, then)) => change += now - then,
                    None => return Ok(None),
                }
            }
        }
        Ok((!self.names.in_flight.is_empty()).then(|| (completed + change).max(0.0)))
    }

    fn window_text(&self) -> String {
        format!("{}ms", (self.interval_sec * 1000.0).round() as u64)
    }

    fn check_presence(&self, ask: &Ask<'_>, matchers: &str) -> Found<()> {
        let names: Vec<String> = self
            .names
            .requests
            .iter()
            .map(|n| (*n).to_owned())
            .collect();
        self.check_presence_of(ask, &names, matchers)
    }

    /// Checks that there is a fresh sample; an error states why not.
    fn check_presence_of(&self, ask: &Ask<'_>, names: &[String], matchers: &str) -> Found<()> {
        let all: Vec<String> = names
            .iter()
            .map(|n| format!("timestamp({n}{matchers})"))
            .collect();
        let newest = ask.number(&format!("max({})", all.join(" or ")))?;
        if let Some(newest) = newest {
            let age = ask.now - newest;
            if age > self.stale_after_sec {
                return Err(format!(
                    "{} is stale: its newest sample is {age:.0} s old",
                    names[0]
                ));
            }
            return Ok(());
        }
        let label = self.names.model_label;
        let others = ask.samples(&format!("count by ({label}) ({})", names[0]))?;
        let mut models: Vec<&str> = others
            .iter()
            .map(|sample| sample.labels.get(label).map_or("", String::as_str))
            .collect();
        models.sort_unstable();
        Err(if models.is_empty() {
            format!("the series {} does not exist at this time", names[0])
        } else {
            format!(
                "no series {} has labels {matchers}; existing values of {label}: {}",
                names[0],
                models.join(", ")
            )
        })
    }

    /// `{a="b",c="d"}`, or nothing if there is no matcher.
    fn matchers(&self, role: &Option<String>) -> String {
        let mut parts = Vec::new();
        if let Some(model) = &self.model {
            let model = if self.names.lower_case {
                model.to_lowercase()
            } else {
                model.clone()
            };
            let quoted = model.replace('\\', "\\\\").replace('"', "\\\"");
            parts.push(format!("{}=\"{quoted}\"", self.names.model_label));
        }
        for selector in [&self.selector, role].into_iter().flatten() {
            let inner = selector
                .trim()
                .trim_start_matches('{')
                .trim_end_matches('}')
                .trim();
            if !inner.is_empty() {
                parts.push(inner.trim_end_matches(',').to_owned());
            }
        }
        if parts.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", parts.join(","))
        }
    }
}

/// Queries at one instant.
struct Ask<'a> {
    server: &'a dyn Query,
    now: f64,
    window: String,
}

impl Ask<'_> {
    fn samples(&self, query: &str) -> Found<Vec<Sample>> {
        self.server.instant(query, Some(self.now))
    }

    /// The single value of an aggregation, 0 or more; `None` if there is no series, or if the value is NaN.
    fn number(&self, query: &str) -> Found<Option<f64>> {
        let samples = self.samples(query)?;
        match one(&samples) {
            Some(value) if value.is_nan() => Ok(None),
            Some(value) if value.is_finite() && value >= 0.0 => Ok(Some(value)),
            Some(value) => Err(format!(
                "{query} is {value}, expected a finite number of 0 or more"
            )),
            None if samples.is_empty() => Ok(None),
            None => Err(format!(
                "{query} has {} values, expected one",
                samples.len()
            )),
        }
    }

    /// `increase` or `resets` over the interval, summed over all series of the first metric name that exists.
    fn over(&self, function: &str, names: &[&str], matchers: &str) -> Found<Option<f64>> {
        if names.is_empty() {
            return Ok(None);
        }
        let window = &self.window;
        let sums: Vec<String> = names
            .iter()
            .map(|name| format!("sum({function}({name}{matchers}{window}))"))
            .collect();
        self.number(&sums.join(" or "))
    }

    /// Mean of a histogram over the interval, if it increased.
    fn mean(&self, names: &[&str], matchers: &str) -> Found<Option<f64>> {
        let parts = |suffix: &str| {
            let named = suffixed(names, suffix);
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            self.over("increase", &named, matchers)
        };
        Ok(match (parts("_sum")?, parts("_count")?) {
            (Some(sum), Some(count)) if count > 0.0 => Some(sum / count),
            _ => None,
        })
    }

    /// Sum of gauges.
    fn gauges(&self, names: &[&str], matchers: &str, offset: &str) -> Found<Option<f64>> {
        if names.is_empty() {
            return Ok(None);
        }
        let sums: Vec<String> = names
            .iter()
            .map(|name| format!("sum({name}{matchers}{offset})"))
            .collect();
        self.number(&sums.join(" or "))
    }

    fn instances(&self, query: &str) -> Found<u32> {
        match self.number(query)? {
            Some(count) if INSTANCES.holds(count) => Ok(count.round() as u32),
            Some(count) => Err(format!(
                "`{query}` returns {count} as the number of instances, expected a number {INSTANCES}"
            )),
            None => Err(format!("`{query}` returns no number of instances")),
        }
    }
}

fn one(samples: &[Sample]) -> Option<f64> {
    match samples {
        [sample] => Some(sample.value),
        _ => None,
    }
}

fn suffixed(names: &[&str], suffix: &str) -> Vec<String> {
    names.iter().map(|name| format!("{name}{suffix}")).collect()
}

#[cfg(test)]
mod tests {
    use crate::autoscale::prometheus::*;
    use std::collections::BTreeMap;

    /// Answers with the first rule whose text is contained in the query.
    struct Fake(Vec<(&'static str, Found<f64>)>);

    impl Query for Fake {
        fn instant(&self, query: &str, _: Option<f64>) -> Found<Vec<Sample>> {
            let rule = self.0.iter().find(|(part, _)| query.contains(part));
            match rule {
                None => Ok(Vec::new()),
                Some((_, Err(fault))) => Err(fault.clone()),
                Some((_, Ok(value))) => Ok(vec![Sample {
                    labels: BTreeMap::from([("model_name".to_owned(), "other".to_owned())]),
                    value: *value,
                }]),
            }
        }
    }

    fn source() -> Source {
        Source {
            names: VLLM,
            model: None,
            selector: None,
            prefill_selector: None,
            decode_selector: None,
            interval_sec: 60.0,
            stale_after_sec: 30.0,
            ready_prefill: None,
            ready_decode: None,
        }
    }

    fn healthy() -> Vec<(&'static str, Found<f64>)> {
        vec![
            ("time()", Ok(1000.0)),
            ("timestamp(", Ok(995.0)),
            ("resets(", Ok(0.0)),
            ("increase(vllm:request_success_total", Ok(120.0)),
            ("increase(vllm:time_to_first_token_seconds_sum", Ok(24.0)),
            ("increase(vllm:time_to_first_token_seconds_count", Ok(120.0)),
            ("increase(vllm:inter_token_latency_seconds_sum", Ok(60.0)),
            (
                "increase(vllm:inter_token_latency_seconds_count",
                Ok(6000.0),
            ),
            ("increase(vllm:request_prompt_tokens_sum", Ok(120_000.0)),
            ("increase(vllm:request_prompt_tokens_count", Ok(120.0)),
            ("increase(vllm:request_generation_tokens_sum", Ok(6000.0)),
            ("increase(vllm:request_generation_tokens_count", Ok(120.0)),
            ("increase(vllm:e2e_request_latency_seconds_sum", Ok(240.0)),
            ("increase(vllm:e2e_request_latency_seconds_count", Ok(120.0)),
            ("increase(vllm:prefix_cache_queries_total", Ok(120_000.0)),
            ("increase(vllm:prefix_cache_hits_total", Ok(30_000.0)),
            ("running offset 60000ms", Ok(10.0)),
            ("waiting offset 60000ms", Ok(0.0)),
            ("num_requests_running", Ok(14.0)),
            ("num_requests_waiting", Ok(3.0)),
        ]
    }

    #[test]
    fn means_by_hand() {
        let seen = source().observe(&Fake(healthy()), [2, 3]);
        assert_eq!(seen.fault, None);
        assert_eq!(
            (seen.num_req, seen.isl, seen.osl),
            (Some(120.0), Some(1000.0), Some(50.0))
        );
        assert_eq!((seen.ttft_ms, seen.itl_ms), (Some(200.0), Some(10.0)));
        assert_eq!(
            (seen.request_duration_sec, seen.cache_hit_ratio),
            (Some(2.0), Some(0.25))
        );
        // 17 are in flight, 10 were before: 7 more arrived than finished.
        assert_eq!((seen.arrivals, seen.queue_length), (Some(127.0), Some(3.0)));
        assert_eq!((seen.ready_prefill, seen.ready_decode), (2, 3));
    }

    fn with(part: &'static str, answer: Found<f64>) -> Fake {
        let mut rules = healthy();
        rules.insert(0, (part, answer));
        Fake(rules)
    }

    fn fault_of(source: &Source, server: &Fake) -> String {
        source.observe(server, [2, 3]).fault.unwrap_or_default()
    }

    #[test]
    fn faults_are_told() {
        let stale = fault_of(&source(), &with("timestamp(", Ok(900.0)));
        assert!(
            stale.contains("stale") && stale.contains("100 s"),
            "{stale}"
        );
        let reset = fault_of(&source(), &with("resets(", Ok(1.0)));
        assert!(reset.contains("restarted"), "{reset}");
        let down = fault_of(&source(), &with("time()", Err("does not answer".into())));
        assert!(down.contains("does not answer"), "{down}");
        for wrong in [f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            for place in [
                "prompt_tokens_sum",
                "num_requests_running",
                "request_success",
            ] {
                let found = fault_of(&source(), &with(place, Ok(wrong)));
                let told = format!("is {wrong}, expected a finite number of 0 or more");
                assert!(found.contains(&told), "{place}: {found}");
            }
            let clock = fault_of(&source(), &with("time()", Ok(wrong)));
            assert!(clock.contains("does not return the time"), "{clock}");
        }
        let none = fault_of(&source(), &Fake(vec![("time()", Ok(1000.0))]));
        assert!(none.contains("does not exist"), "{none}");
        let wrong = Source {
            model: Some("mine".into()),
            ..source()
        };
        let server = Fake(vec![("time()", Ok(1000.0)), ("count by", Ok(1.0))]);
        let wrong = fault_of(&wrong, &server);
        assert!(
            wrong.contains("model_name=\"mine\"")
                && wrong.contains("existing values of model_name: other"),
            "{wrong}"
        );
    }

    #[test]
    fn nan_is_no_value() {
        let seen = source().observe(&with("prompt_tokens_sum", Ok(f64::NAN)), [2, 3]);
        assert_eq!((seen.fault, seen.isl, seen.osl), (None, None, Some(50.0)));
        let unknown = fault_of(
            &source(),
            &with("increase(vllm:request_success", Ok(f64::NAN)),
        );
        assert!(unknown.contains("fewer than two samples"), "{unknown}");
        let clock = fault_of(&source(), &with("time()", Ok(f64::NAN)));
        assert!(clock.contains("does not return the time"), "{clock}");
    }

    #[test]
    fn idleness_is_no_fault() {
        let mut rules = healthy();
        for (part, answer) in &mut rules {
            if part.starts_with("increase(") {
                *answer = Ok(0.0);
            }
        }
        let seen = source().observe(&Fake(rules), [2, 3]);
        assert_eq!(
            (seen.fault, seen.num_req, seen.ttft_ms),
            (None, Some(0.0), None)
        );
    }

    #[test]
    fn selectors() {
        let source = Source {
            names: DYNAMO,
            model: Some("Qwen/\"Q\"".into()),
            selector: Some("{job=\"x\",}".into()),
            decode_selector: Some("role=\"decode\"".into()),
            ..source()
        };
        assert_eq!(
            source.matchers(&source.decode_selector),
            "{model=\"qwen/\\\"q\\\"\",job=\"x\",role=\"decode\"}"
        );
        assert!(by_name("vlm").is_err_and(|e| e.to_string().contains("did you mean `vllm`")));
    }

    #[test]
    fn instances_may_be_asked_for() {
        let source = Source {
            ready_decode: Some("count(up{job=\"decode\"} == 1)".into()),
            ..source()
        };
        let seen = source.observe(&with("count(up", Ok(7.0)), [2, 3]);
        assert_eq!((seen.ready_prefill, seen.ready_decode), (2, 7));
        for (count, told) in [
            (-1.0, "0 or more"),
            (1e30, "expected a number from 0 to 10000"),
            (f64::NAN, "no number"),
        ] {
            let found = fault_of(&source, &with("count(up", Ok(count)));
            assert!(found.contains(told), "{count}: {found}");
        }
        let gone = fault_of(&source, &Fake(healthy()));
        assert!(gone.contains("returns no number of instances"), "{gone}");
    }
}
