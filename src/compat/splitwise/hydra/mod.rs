//! SplitwiseSim's own configuration: the `config.yaml` that hydra writes beside results, or the overrides of a command
//! line.

mod groups;
mod interpolate;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::{
    BatchingKind, Config, InstanceConfig, ModelConfig, PoolConfig, SchedulerConfig, Servers,
    StartState,
};
use crate::base::error::{Error, Location, Result};
use crate::base::io::read_configuration;

/// A configuration of SplitwiseSim.
#[derive(Debug, Clone, PartialEq)]
pub struct Hydra {
    /// The simulation.
    pub config: Config,
    /// Path of the trace, relative to the folder of the reference.
    pub trace: PathBuf,
    /// Path of the table of iteration times, relative to the folder of the reference.
    pub table: PathBuf,
    /// Folder to which the reference would write its results, relative to its working directory.
    pub output: PathBuf,
}

impl Hydra {
    /// Reads a `config.yaml`, with or without `${...}` in it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Input`] if it is not a configuration that can be simulated.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read_configuration(path)?;
        let fault = |problem: String| {
            Error::input(
                Location::file(path),
                problem,
                "give the .hydra/config.yaml of a run of SplitwiseSim",
            )
        };
        let tree: Value =
            yaml_serde::from_slice(&bytes).map_err(|error| fault(error.to_string()))?;
        Self::from_tree(tree).map_err(fault)
    }

    /// Parses overrides separated by white space, as they follow `python run.py`: `cluster=half_half seed=0 ...`.
    ///
    /// # Errors
    /// [`Error::Usage`] for an override that is not supported, or a configuration that cannot be simulated.
    pub fn from_overrides(overrides: &str) -> Result<Self> {
        groups::compose(overrides)
            .and_then(Self::from_tree)
            .map_err(|problem| {
                Error::usage(
                    problem,
                    "give overrides as in the scripts of SplitwiseSim, or its config.yaml",
                )
            })
    }

    fn from_tree(tree: Value) -> Result<Self, String> {
        let tree = Tree(interpolate::Root::new(tree));
        let target = |key: &str, expected: &str| match tree.0.find(&format!("{key}._target_"))? {
            Some(Value::String(found)) if found != expected => Err(format!(
                "`{key}` is {found}, which is not simulated here: {expected} is"
            )),
            _ => Ok(()),
        };
        target("router", "router.NoOpRouter")?;
        target("arbiter", "arbiter.NoOpArbiter")?;
        target(
            "performance_model",
            "performance_model.DatabasePerformanceModel",
        )?;
        if tree.0.find("applications.1")?.is_some() {
            return Err("more than one application".to_owned());
        }
        let config = Config {
            model: ModelConfig {
                size: tree.text("applications.0.model_size")?,
                ..ModelConfig::named(&tree.text("applications.0.model_architecture")?)
            },
            servers: tree.servers()?,
            start_state: tree.start_state()?,
            scheduler: SchedulerConfig::named(&tree.text("applications.0.scheduler")?),
            routing_delay: tree.number("router.overheads.routing_delay", Some(0.0))?,
            end_time: tree.number("end_time", Some(86400.0))?,
            seed: tree.whole("seed", Some(0))?,
            application_id: tree.whole("applications.0.application_id", Some(0))?,
            extrapolate: true,
        };
        Ok(Self {
            config,
            trace: tree.text("trace.path")?.into(),
            table: tree.text("performance_model.db_path")?.into(),
            output: tree.text("output_dir").unwrap_or_default().into(),
        })
    }
}

/// A configuration with accessors whose errors name the key.
struct Tree(interpolate::Root);

impl Tree {
    fn get(&self, key: &str) -> Result<Value, String> {
        self.0
            .find(key)?
            .ok_or_else(|| format!("`{key}` is missing"))
    }

    fn text(&self, key: &str) -> Result<String, String> {
        match self.get(key)? {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(format!("`{key}`: expected text, found {other}")),
        }
    }

    fn number(&self, key: &str, default: Option<f64>) -> Result<f64, String> {
        match (self.0.find(key)?, default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("`{key}` is missing")),
            (Some(Value::String(text)), _) if text.parse::<f64>().is_ok() => {
                Ok(text.parse().unwrap_or_default())
            }
            (Some(found), _) => found
                .as_f64()
                .ok_or_else(|| format!("`{key}`: expected a number, found {found}")),
        }
    }

    fn whole<T: TryFrom<u64>>(&self, key: &str, default: Option<u32>) -> Result<T, String> {
        let number = self.number(key, default.map(f64::from))?;
        (number >= 0.0 && number.fract() == 0.0 && number < 9e15)
            .then(|| T::try_from(number as u64).ok())
            .flatten()
            .ok_or_else(|| format!("`{key}`: expected a whole number, found {number}"))
    }

    fn servers(&self) -> Result<Vec<Servers>, String> {
        let count = self.0.length("cluster.servers")?;
        (0..count)
            .map(|index| {
                let key = |name: &str| format!("cluster.servers.{index}.{name}");
                let sku = self.text(&key("sku"))?;
                Ok(Servers::new(&sku, self.whole(&key("count"), None)?))
            })
            .collect()
    }

    fn start_state(&self) -> Result<StartState, String> {
        let state = self.text("start_state.state_type")?;
        if state == "orca" || state == "baseline" {
            return Ok(StartState::Uniform {
                instance: self.instance("start_state.instance")?,
            });
        }
        if !state.contains("splitwise") {
            return Err(format!(
                "`start_state.state_type` is `{state}`; only orca, baseline and splitwise are supported"
            ));
        }
        let split = self.text("start_state.split_type")?;
        match split.as_str() {
            "homogeneous" => Ok(StartState::Homogeneous {
                prompt: self.pool("start_state.prompt", true)?,
                token: self.pool("start_state.token", true)?,
            }),
            "heterogeneous" => Ok(StartState::Heterogeneous {
                prompt: self.pool("start_state.prompt", false)?,
                token: self.pool("start_state.token", false)?,
            }),
            _ => Err(format!(
                "`start_state.split_type` is `{split}`; expected homogeneous or heterogeneous"
            )),
        }
    }

    fn pool(&self, key: &str, homogeneous: bool) -> Result<PoolConfig, String> {
        let instance = self.instance(key)?;
        if homogeneous {
            return Ok(PoolConfig {
                instance,
                servers: self.whole(&format!("{key}.num_instances"), None)?,
                skus: Vec::new(),
            });
        }
        let names = format!("{key}.instance_names");
        let skus = (0..self.0.length(&names)?)
            .map(|index| self.text(&format!("{names}.{index}")))
            .collect::<Result<_, _>>()?;
        Ok(PoolConfig {
            instance,
            skus,
            ..PoolConfig::default()
        })
    }

    fn instance(&self, key: &str) -> Result<InstanceConfig, String> {
        let key = |name: &str| format!("{key}.{name}");
        let kind = self.text(&key("instance_type"))?;
        let common = InstanceConfig {
            tensor_parallelism: self.whole(&key("tensor_parallelism"), None)?,
            pipeline_parallelism: self.whole(&key("pipeline_parallelism"), Some(1))?,
            max_batch_size: self.whole(&key("max_batch_size"), None)?,
            ..InstanceConfig::default()
        };
        match kind.as_str() {
            "ORCA" => Ok(InstanceConfig {
                batching: BatchingKind::Orca,
                ..common
            }),
            "Splitwise" => Ok(InstanceConfig {
                batching: BatchingKind::Splitwise,
                max_batch_tokens: self.whole(&key("max_batch_tokens"), None)?,
                max_preemptions: self.whole(&key("max_preemptions"), None)?,
                ..common
            }),
            _ => Err(format!(
                "`{}` is `{kind}`; only ORCA and Splitwise are supported",
                key("instance_type")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::compat::splitwise::hydra::*;

    const HETEROGENEOUS: &str = "performance_model=db seed=3 cluster=hhcap_half_half cluster.servers.0.count=5 \
        start_state=splitwise_hhcap start_state.split_type=heterogeneous applications.0.scheduler=mixed_pool \
        start_state.token.tensor_parallelism=4 trace.filename=rr_conv_40 end_time=100 debug=True";

    #[test]
    fn overrides_on_the_defaults() {
        let hydra = Hydra::from_overrides(HETEROGENEOUS).expect("composes");
        let config = &hydra.config;
        let servers = [
            Servers::new("dgx-h100-pcap", 5),
            Servers::new("dgx-h100", 1),
        ];
        assert_eq!(config.servers, servers);
        let StartState::Heterogeneous { prompt, token } = &config.start_state else {
            panic!("{:?}", config.start_state);
        };
        assert_eq!(
            (
                prompt.instance.tensor_parallelism,
                token.instance.tensor_parallelism
            ),
            (8, 4)
        );
        assert_eq!(
            (&prompt.skus[0], &token.skus[0]),
            (&"dgx-h100".into(), &"dgx-h100-pcap".into())
        );
        assert_eq!((config.seed, config.end_time), (3, 100.0));
        assert_eq!(config.scheduler, SchedulerConfig::named("mixed_pool"));
        assert_eq!(hydra.trace, Path::new("traces//rr_conv_40.csv"));
        assert_eq!(hydra.table, Path::new("data/perf_model.csv"));
        let output = "results/3/splitwisehhcap_1_1/rr_conv_40/5_1/bloom-176b/mixed_pool";
        assert_eq!(hydra.output, Path::new(output));
    }

    /// A preset of this program equals the start state of the same name in the reference.
    #[test]
    fn presets_are_the_references() {
        for name in ["orca", "baseline", "splitwise"] {
            let text = format!("performance_model=db start_state={name}");
            let mut found = Hydra::from_overrides(&text)
                .expect("composes")
                .config
                .start_state;
            let mut preset = StartState::preset(name).expect("known");
            for state in [&mut found, &mut preset] {
                if let StartState::Homogeneous { prompt, token } = state {
                    prompt.skus.clear();
                    token.skus.clear();
                }
            }
            assert_eq!(found, preset, "{name}");
        }
    }

    /// What hydra writes for `+experiment=splitwise_ha_isopower`, without any interpolation resolved.
    #[test]
    fn expressions_of_the_experiments() {
        let text = "
            sweep: 10
            fname: rr_code
            trace_sweep: 70
            cluster: {servers: [{sku: dgx-a100, count: \"${eval:'int(44 * (40 - ${sweep}) // 24.8)'}\"}, {sku: dgx-h100, count: '${sweep}'}]}
            applications: [{application_id: 0, model_architecture: bloom-176b, model_size: bloom-176b-fp16, scheduler: jsq}]
            performance_model: {db_path: p.csv}
            start_state: {state_type: baseline, instance: {instance_type: ORCA, max_batch_size: 512, tensor_parallelism: 8}}
            trace: {path: '${fname}_${trace_sweep}_2min.csv'}
            choices: ${hydra:runtime.choices}
        ";
        let tree = yaml_serde::from_str(text).expect("is yaml");
        let hydra = Hydra::from_tree(tree).expect("reads");
        // 44 * 30 // 24.8 = 53.
        let servers = [Servers::new("dgx-a100", 53), Servers::new("dgx-h100", 10)];
        assert_eq!(hydra.config.servers, servers);
        assert_eq!(hydra.trace, Path::new("rr_code_70_2min.csv"));
    }

    #[test]
    fn what_the_reference_cannot_run_is_an_error() {
        for (overrides, expected) in [
            ("seed=0", "ConstantPerformanceModel, which is not simulated"),
            (
                "performance_model=db start_state=unallocated",
                "is `unallocated`",
            ),
            (
                "performance_model=db cluster=half",
                "unknown cluster `half`",
            ),
            (
                "performance_model=db start_state=splitwise start_state.split_type=both",
                "is `both`",
            ),
            (
                "performance_model=db cluster.servers.7.count=1",
                "`cluster.servers.7.count`",
            ),
            ("performance_model=db seed", "`seed`: expected key=value"),
            ("performance_model=db seed=x", "`seed`: expected a number"),
        ] {
            let error = Hydra::from_overrides(overrides).expect_err(overrides);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
