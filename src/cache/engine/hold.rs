//! Length of time for which a request holds its blocks.

use std::fmt;

use super::super::Facts;
use crate::base::error::{Error, Result};
use crate::base::limits::MILLISECONDS;
use crate::trace::{Nanos, Service};

/// Length of time for which a request holds its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hold {
    /// Blocks are freed before the next request arrives.
    None,
    /// Blocks are freed once this number of later requests has arrived.
    Requests(u32),
    /// Blocks are freed after the service time recorded in the trace.
    Trace,
    /// Blocks are freed after a simulated service time.
    Linear {
        /// Time per prompt token that is not cached.
        prefill_per_token: Nanos,
        /// Time per output token.
        decode_per_token: Nanos,
    },
}

impl Hold {
    /// Parses `none`, `trace`, `requests:K` or `linear:PREFILL_MS,DECODE_MS`.
    ///
    /// # Errors
    /// [`Error::Usage`] for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        let millis = |text: &str| {
            let millis: f64 = MILLISECONDS.parse(text).ok()?;
            Some(Nanos::from_secs_f64(millis / 1e3))
        };
        let parsed = match text.split_once(':') {
            None if text == "none" => Some(Self::None),
            None if text == "trace" => Some(Self::Trace),
            Some(("requests", count)) => count.parse().ok().map(Self::Requests),
            Some(("linear", times)) => times.split_once(',').and_then(|(prefill, decode)| {
                Some(Self::Linear {
                    prefill_per_token: millis(prefill)?,
                    decode_per_token: millis(decode)?,
                })
            }),
            _ => None,
        };
        parsed.ok_or_else(|| {
            Error::usage(
                format!("`{text}` is not a holding time"),
                "give none, trace, requests:K (e.g. requests:8), or linear:PREFILL_MS,DECODE_MS (milliseconds per token), e.g. \
                 linear:0.1,20",
            )
        })
    }

    /// Whether requests overlap in simulated time.
    pub fn overlaps(self) -> bool {
        matches!(self, Self::Trace | Self::Linear { .. })
    }

    /// Returns the service time of a request with this number of uncached tokens.
    ///
    /// `None` if the service time should be in the trace and is missing.
    pub(super) fn service(self, facts: &Facts, uncached: u32) -> Option<Service> {
        match self {
            Self::None | Self::Requests(_) => Some(Service::default()),
            Self::Trace => facts.service,
            Self::Linear {
                prefill_per_token,
                decode_per_token,
            } => Some(Service {
                prefill: times(prefill_per_token, uncached),
                decode: times(decode_per_token, facts.generated),
            }),
        }
    }
}

fn times(each: Nanos, count: u32) -> Nanos {
    Nanos(each.0.saturating_mul(u64::from(count)))
}

impl fmt::Display for Hold {
    /// Writes the text that [`Hold::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: &Nanos| time.0 as f64 / 1e6;
        match self {
            Self::None => f.write_str("none"),
            Self::Trace => f.write_str("trace"),
            Self::Requests(requests) => write!(f, "requests:{requests}"),
            Self::Linear {
                prefill_per_token,
                decode_per_token,
            } => write!(
                f,
                "linear:{},{}",
                millis(prefill_per_token),
                millis(decode_per_token)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::engine::hold::*;

    #[test]
    fn models_as_users_write_them() {
        for text in ["none", "trace", "requests:8", "linear:0.1,20", "linear:0,0"] {
            assert_eq!(Hold::parse(text).expect("parses").to_string(), text);
        }
        assert_eq!(
            Hold::parse("linear:0.25,1e1").expect("parses"),
            Hold::Linear {
                prefill_per_token: Nanos(250_000),
                decode_per_token: Nanos(10_000_000),
            }
        );
        for text in [
            "",
            "no",
            "requests",
            "requests:",
            "requests:-1",
            "requests:1.5",
            "linear",
            "linear:",
            "linear:1",
            "linear:1,",
            "linear:-1,2",
            "linear:1,nan",
            "linear:1,inf",
            "linear:1,2,3",
            "trace:1",
        ] {
            let error = Hold::parse(text).expect_err("refused").to_string();
            assert!(
                error.contains(&format!("`{text}` is not a holding time"))
                    && error.contains("linear:0.1,20"),
                "{error}"
            );
        }
    }
}
