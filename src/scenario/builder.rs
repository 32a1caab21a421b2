//! Construction of scenarios for users of the library.

use std::fmt::Display;
use std::path::Path;

use super::{Run, RunOptions, Scenario, ScenarioConfig};
use crate::base::Result;
use crate::sim::Objectives;
use crate::trace::Trace;

/// Builds a scenario from a configuration that can be changed key by key; [`ScenarioBuilder::build`] checks it.
#[derive(Debug, Clone)]
#[must_use]
pub struct ScenarioBuilder {
    config: ScenarioConfig,
}

impl Scenario {
    /// Starts from a built-in cluster, one of [`PRESETS`](super::PRESETS).
    ///
    /// # Errors
    /// An unknown name.
    pub fn preset(name: &str) -> Result<ScenarioBuilder> {
        ScenarioConfig::preset(name, &[]).map(ScenarioBuilder::from)
    }

    /// Starts from a TOML file.
    ///
    /// # Errors
    /// A file that cannot be read or is not a valid configuration, with the line.
    pub fn read(path: impl AsRef<Path>) -> Result<ScenarioBuilder> {
        ScenarioConfig::read(path.as_ref(), &[]).map(ScenarioBuilder::from)
    }
}

impl From<ScenarioConfig> for ScenarioBuilder {
    fn from(config: ScenarioConfig) -> Self {
        Self { config }
    }
}

impl ScenarioBuilder {
    /// Sets the autoscaling policy, one of [`POLICIES`](crate::autoscale::policy::POLICIES).
    pub fn autoscaler(mut self, policy: &str) -> Self {
        policy.clone_into(&mut self.config.autoscaling.policy);
        self
    }

    /// Sets the service level objectives.
    pub fn objectives(mut self, objectives: Objectives) -> Self {
        let slo = &mut self.config.slo;
        slo.ttft_seconds = objectives.ttft_seconds;
        slo.tbt_seconds = objectives.tbt_seconds;
        slo.e2e_seconds = objectives.e2e_seconds;
        self
    }

    /// Sets the seed of all random draws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Sets a key of the TOML file, e.g. `pool.prefill.instances`.
    ///
    /// # Errors
    /// An unknown key, or a value of another type.
    pub fn set(mut self, key: &str, value: impl Display) -> Result<Self> {
        self.config = self.config.with_overrides(&[format!("{key}={value}")])?;
        Ok(self)
    }

    /// The current configuration.
    pub fn config(&self) -> &ScenarioConfig {
        &self.config
    }

    /// Checks the configuration and reads the files that it names.
    ///
    /// # Errors
    /// As [`ScenarioConfig::prepare`].
    pub fn build(self) -> Result<Scenario> {
        self.config.prepare()
    }
}

/// Simulates a trace on a scenario's cluster, with the scenario's seed.
///
/// The same scenario and trace give the same result on any machine.
///
/// # Errors
/// A trace whose blocks do not match the scenario.
///
/// ```
/// # use kvreplay::trace::{Content, Nanos, NewRequest, TraceBuilder, TraceMeta};
/// # let mut builder = TraceBuilder::new(Content::Lengths);
/// # for i in 0..100u32 {
/// #     let (id, session) = (format!("r{i}"), format!("s{i}"));
/// #     builder.push(NewRequest {
/// #         id: &id, session: &session, turn: 0, arrival: Nanos(u64::from(i) * 100_000_000),
/// #         input_length: 1000, output_length: 50, shared: 0, fresh: &[], output: &[], extra: None,
/// #     }).expect("a valid request");
/// # }
/// # let trace = builder.finish(TraceMeta::default()).expect("a valid trace");
/// use kvreplay::Scenario;
///
/// let scenario = Scenario::preset("llama-8b-pd-4-4")?
///     .set("pool.decode.instances", 2)?
///     .autoscaler("kpa")
///     .build()?;
/// let run = kvreplay::simulate(&scenario, &trace)?;
/// assert_eq!(run.serving.finished, 100);
/// # Ok::<(), kvreplay::Error>(())
/// ```
pub fn simulate(scenario: &Scenario, trace: &Trace) -> Result<Run> {
    scenario.run_trace(trace, scenario.config().seed, RunOptions::default())
}

#[cfg(test)]
mod tests {
    use crate::scenario::*;
    use crate::sim::Objectives;

    #[test]
    fn a_builder_sets_what_the_file_has() {
        let scenario = Scenario::preset("llama-8b-pd-4-4")
            .expect("ships")
            .set("pool.decode.instances", 2)
            .expect("a key")
            .set("router.prompt", "round-robin")
            .expect("a key")
            .autoscaler("hpa_gpu")
            .objectives(Objectives {
                ttft_seconds: 0.5,
                tbt_seconds: 0.02,
                e2e_seconds: Some(9.0),
            })
            .seed(7)
            .build()
            .expect("is right");
        let set = [
            "pool.decode.instances=2",
            "router.prompt=round-robin",
            "autoscaling.policy=hpa_gpu",
            "slo.ttft_seconds=0.5",
            "slo.tbt_seconds=0.02",
            "slo.e2e_seconds=9.0",
            "seed=7",
        ];
        let same = ScenarioConfig::preset("llama-8b-pd-4-4", &set.map(str::to_owned));
        assert_eq!(scenario.config(), &same.expect("fits"));
        assert_eq!(scenario.start_state(), "prefill-4_decode-2");
        let builder = Scenario::preset("llama-8b-pd-4-4").expect("ships");
        assert!(builder.clone().set("pool.decod.instances", 2).is_err());
        assert!(builder.autoscaler("none").build().is_err());
    }
}
