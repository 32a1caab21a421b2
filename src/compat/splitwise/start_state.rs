//! Placement of instances on servers: `start_state.py`.

use std::collections::BTreeMap;

use super::config::{Config, InstanceConfig, Model, PoolConfig, StartState};
use super::instance::{Instance, Pool};
use crate::base::error::{Error, Result};
use crate::base::limits::{GPUS, INSTANCES};
use crate::sim::latency::{IterationTimes, SplitwiseTable};

/// The GPUs of a server, under the server's name.
#[derive(Debug, Clone, Copy)]
struct Server<'a> {
    sku: &'a str,
    gpu: &'a str,
    gpus: u32,
    gpu_memory: i64,
}

struct Builder<'a> {
    config: &'a Config,
    model: Model,
    table: &'a SplitwiseTable,
    /// Iteration times looked up so far.
    times: BTreeMap<(&'a str, u32), IterationTimes>,
    instances: Vec<Instance>,
}

/// The instances of a configuration, in the order in which the reference numbers them.
///
/// # Errors
/// [`Error::Usage`] for unknown names, iteration times that were not measured, or a configuration without instances.
pub(super) fn instances(
    config: &Config,
    model: Model,
    table: &SplitwiseTable,
) -> Result<Vec<Instance>> {
    let servers = servers(config)?;
    let mut builder = Builder {
        config,
        model,
        table,
        times: BTreeMap::new(),
        instances: Vec::new(),
    };
    match &config.start_state {
        StartState::Uniform { instance } => {
            for server in &servers {
                builder.add(server, server.gpus, instance, None)?;
            }
        }
        StartState::Homogeneous { prompt, token } => {
            let rest = prompt.servers.min(servers.len());
            let (first, rest) = servers.split_at(rest);
            for server in first {
                builder.fill(server, prompt, Pool::Prompt)?;
            }
            for server in &rest[..token.servers.min(rest.len())] {
                builder.fill(server, token, Pool::Token)?;
            }
        }
        StartState::Heterogeneous { prompt, token } => {
            let has = |pool: &PoolConfig, sku: &str| pool.skus.iter().any(|name| name == sku);
            for server in &servers {
                if has(prompt, server.sku) {
                    builder.fill(server, prompt, Pool::Prompt)?;
                } else if has(token, server.sku) {
                    builder.fill(server, token, Pool::Token)?;
                } else {
                    return Err(Error::usage(
                        format!("servers `{}` belong to neither pool", server.sku),
                        "name them in `skus` of `prompt` or `token`, or remove them",
                    ));
                }
            }
        }
    }
    if builder.instances.is_empty() {
        return Err(Error::usage(
            "the start state puts no instance on any server",
            "give `servers` a count above 0",
        ));
    }
    Ok(builder.instances)
}

/// All servers; groups of the same name are joined at the position of the first.
fn servers(config: &Config) -> Result<Vec<Server<'_>>> {
    let mut names: Vec<&str> = Vec::new();
    for group in &config.servers {
        if group.count > 0 && !names.contains(&group.sku.as_str()) {
            names.push(&group.sku);
        }
    }
    let count: u64 = config
        .servers
        .iter()
        .map(|group| u64::from(group.count))
        .sum();
    INSTANCES.check("the number of `servers`", count as f64)?;
    let mut servers = Vec::new();
    for sku in names {
        for group in config.servers.iter().filter(|group| group.sku == sku) {
            let (gpu, gpus, gpu_memory) = group.resolve()?;
            GPUS.check("`gpus` of a server", f64::from(gpus))?;
            let server = Server {
                sku,
                gpu,
                gpus,
                gpu_memory,
            };
            servers.extend(std::iter::repeat_n(server, group.count as usize));
        }
    }
    Ok(servers)
}

impl<'a> Builder<'a> {
    /// Places as many instances as the server has room for; the last may have fewer GPUs.
    fn fill(&mut self, server: &Server<'a>, pool: &PoolConfig, phase: Pool) -> Result<()> {
        let size = pool.instance.tensor_parallelism;
        if size == 0 {
            return Err(Error::usage(
                "the tensor parallelism is 0",
                "give 1 or more GPUs per instance",
            ));
        }
        let mut left = server.gpus;
        while left > 0 {
            self.add(server, left.min(size), &pool.instance, Some(phase))?;
            left = left.saturating_sub(size);
        }
        Ok(())
    }

    fn add(
        &mut self,
        server: &Server<'a>,
        gpus: u32,
        instance: &InstanceConfig,
        pool: Option<Pool>,
    ) -> Result<()> {
        let key = (server.gpu, instance.tensor_parallelism);
        let times = match self.times.get(&key) {
            Some(times) => times.clone(),
            None => {
                let (gpu, parallelism) = key;
                let model = &self.config.model.architecture;
                let times = self
                    .table
                    .select(model, gpu, parallelism)?
                    .extrapolate(self.config.extrapolate);
                self.times.insert(key, times.clone());
                times
            }
        };
        let memory = server.gpu_memory * i64::from(gpus);
        let weights = self.model.weights;
        self.instances.push(Instance::new(
            server.gpu, pool, instance, times, weights, memory,
        ));
        Ok(())
    }
}
