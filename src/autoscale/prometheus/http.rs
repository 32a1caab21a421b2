//! Prometheus's HTTP API: instant queries.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::autoscale::web::{WebOptions, WebServer};
use crate::base::error::{Error, Result};

/// Value of one series at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels of the series.
    pub labels: BTreeMap<String, String>,
    /// Value; may be NaN or infinite.
    pub value: f64,
}

/// Answers queries; tests have their own implementation.
pub trait Query {
    /// The series of a PromQL expression at a time in seconds since 1970; now if no time is given.
    ///
    /// # Errors
    /// A phrase that describes the problem: no connection, no answer in time, or an invalid answer.
    fn instant(&self, query: &str, time: Option<f64>) -> Result<Vec<Sample>, String>;
}

/// A Prometheus server.
#[derive(Debug, Clone)]
pub struct Http(WebServer);

/// Largest answer that is read, in bytes.
const LONGEST: u64 = 16 << 20;

impl Http {
    /// The server at an address such as `http://localhost:9090`; does not send a query.
    ///
    /// # Errors
    /// As [`WebServer::new`], and an address with a query.
    pub fn new(address: &str, options: &WebOptions) -> Result<Self> {
        let server = WebServer::new(address, "prometheus", options)?;
        if address.contains('?') {
            return Err(Error::usage(
                format!("`prometheus` {}: the address holds a query", server.shown()),
                "give the address alone, e.g. http://localhost:9090",
            ));
        }
        Ok(Self(server))
    }

    /// The server.
    pub fn server(&self) -> &WebServer {
        &self.0
    }
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Query for Http {
    fn instant(&self, query: &str, time: Option<f64>) -> Result<Vec<Sample>, String> {
        let time = time.map(|time| format!("{time:.3}"));
        let mut pairs = vec![("query", query)];
        if let Some(time) = &time {
            pairs.push(("time", time));
        }
        let answer = self
            .0
            .get("/api/v1/query", &pairs, LONGEST)
            .map_err(|problem| format!("Prometheus {problem}"))?;
        read(&answer.body).map_err(|problem| match answer.is_success() {
            true => problem,
            false => format!("{}: {problem}", answer.status_text()),
        })
    }
}

/// Parses an answer.
fn read(body: &[u8]) -> Result<Vec<Sample>, String> {
    let strange = || "the answer is not from Prometheus".to_owned();
    let answer: Answer = serde_json::from_slice(body).map_err(|_| strange())?;
    if answer.status != "success" {
        let error: String = answer.error.chars().take(300).collect();
        return Err(format!("Prometheus refuses the query: {error}"));
    }
    let data = answer.data.ok_or_else(strange)?;
    let number = |text: &str| match text {
        "+Inf" | "Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        text => text.parse::<f64>().map_err(|_| strange()),
    };
    match data.result_type.as_str() {
        "vector" => {
            let series: Vec<Series> = serde_json::from_value(data.result).map_err(|_| strange())?;
            series
                .into_iter()
                .map(|series| {
                    Ok(Sample {
                        value: number(&series.value.1)?,
                        labels: series.metric,
                    })
                })
                .collect()
        }
        "scalar" => {
            let (_, value): (f64, String) =
                serde_json::from_value(data.result).map_err(|_| strange())?;
            Ok(vec![Sample {
                labels: BTreeMap::new(),
                value: number(&value)?,
            }])
        }
        _ => Err(strange()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::prometheus::http::*;

    #[test]
    fn answers() {
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"model_name":"m"},"value":[1700000000.123,"12.5"]},{"metric":{},"value":[1,"NaN"]}]}}"#;
        let samples = read(vector.as_bytes()).unwrap();
        assert_eq!(samples[0].value, 12.5);
        assert_eq!(samples[0].labels["model_name"], "m");
        assert!(samples[1].value.is_nan());
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000,"1700000000"]}}"#;
        assert_eq!(read(scalar.as_bytes()).unwrap()[0].value, 1_700_000_000.0);
        let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert!(
            read(refused.as_bytes())
                .unwrap_err()
                .contains("parse error")
        );
        for strange in ["<html>", "{}", r#"{"status":"success"}"#, "[1]"] {
            assert!(read(strange.as_bytes()).is_err(), "{strange}");
        }
    }

    #[test]
    fn an_address_without_a_server_is_a_fault() {
        let options = WebOptions {
            timeout: std::time::Duration::from_secs(2),
            ..WebOptions::default()
        };
        let http = Http::new("http://127.0.0.1:1/", &options).unwrap();
        let query = Http::new("http://127.0.0.1:1/?key=hidden", &options).unwrap_err();
        let query = query.to_string();
        assert!(
            query.contains("holds a query") && !query.contains("hidden"),
            "{query}"
        );
        let problem = http.instant("up", None).unwrap_err();
        assert!(problem.contains("does not answer"), "{problem}");
    }
}
