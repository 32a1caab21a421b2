//! Service-level objectives as options: `--ttft-slo 500ms --tbt-slo 40ms --e2e-slo 30s`.

use clap::Args;

use crate::base::limits;
use crate::base::units::parse_seconds;
use crate::scenario::ScenarioConfig;

/// Parses a duration above 0 to seconds; the unit is optional.
pub(super) fn duration(text: &str) -> Result<f64, String> {
    parse_seconds(text)
        .filter(|seconds| limits::SOME_SECONDS.holds(*seconds))
        .ok_or_else(|| {
            format!(
                "expected a duration above 0 such as 500ms or 2s, {} s",
                limits::SOME_SECONDS
            )
        })
}

/// Objectives that replace those of a configuration or of runs.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Objectives")]
pub(super) struct SloArgs {
    /// TTFT objective, e.g. 500ms or 2s [default: each configuration's own]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) ttft_slo: Option<f64>,

    /// Objective for a request's mean time between tokens, e.g. 40ms [default: as above]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) tbt_slo: Option<f64>,

    /// End-to-end latency objective, e.g. 30s [default: as above]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) e2e_slo: Option<f64>,
}

impl SloArgs {
    /// Sets the given objectives in a configuration.
    pub(super) fn apply(self, config: &mut ScenarioConfig) {
        let slo = &mut config.slo;
        slo.ttft_seconds = self.ttft_slo.unwrap_or(slo.ttft_seconds);
        slo.tbt_seconds = self.tbt_slo.unwrap_or(slo.tbt_seconds);
        slo.e2e_seconds = self.e2e_slo.or(slo.e2e_seconds);
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::slo_args::duration;

    #[test]
    fn objectives_have_units() {
        assert_eq!(duration("500ms"), Ok(0.5));
        assert_eq!(duration("2s"), Ok(2.0));
        assert_eq!(duration("0.04"), Ok(0.04));
        assert!(duration("0").is_err() && duration("fast").is_err());
    }
}
