//! Configuration of a simulated cluster.

use super::instance::Role;
use super::kv::Kv;
use super::latency::LatencyModel;
use super::replica::ReplicaScheduler;
use super::router::{RoundRobin, Router};
use super::topology::Topology;
use super::transfer::TransferConfig;
use crate::trace::Nanos;

/// Memory, scheduler and latency model of an instance.
#[derive(Debug)]
pub struct InstanceSpec {
    /// KV cache memory.
    pub kv: Kv,
    /// Scheduler, which forms batches.
    pub scheduler: Box<dyn ReplicaScheduler>,
    /// Latency model, which gives the duration of a step.
    pub latency: Box<dyn LatencyModel>,
}

/// Builds the parts of an instance, given its number in the cluster.
pub type InstanceFactory<'a> = Box<dyn Fn(u32) -> InstanceSpec + Send + Sync + 'a>;

/// A pool: instances with equal configuration.
pub struct Pool<'a> {
    /// Name in results.
    pub name: String,
    /// What its instances compute.
    pub role: Role,
    /// Number of instances at the start.
    pub instances: u32,
    /// Time from requesting an instance until it is ready. Instances at the start are ready at once.
    pub startup: Nanos,
    /// Sites of the instances at the start, by number in the pool; the first site if there is no entry.
    pub sites: Vec<u32>,
    /// Builds an instance.
    pub make: InstanceFactory<'a>,
}

impl std::fmt::Debug for Pool<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}

/// GPUs, memory and price of one instance of a pool, for results.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolResources {
    /// Name of the pool.
    pub pool: String,
    /// Name of the GPU.
    pub sku: String,
    /// GPUs of an instance.
    pub gpus: u32,
    /// KV blocks of an instance.
    pub blocks: u32,
    /// Price of a GPU in dollars per hour, if known.
    pub hour_cost: Option<f64>,
    /// Power of a GPU in watts while idle, in prefill and in decode, if known.
    pub watts: Option<[f64; 3]>,
}

/// A planned change of a pool's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resize {
    /// Time of the change.
    pub at: Nanos,
    /// Index of the pool.
    pub pool: u32,
    /// Number of instances from that time on.
    pub instances: u32,
}

/// When the turns of a session arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pacing {
    /// At the time in the trace.
    #[default]
    Open,
    /// At the time in the trace, but not before the previous turn has ended.
    Wait,
}

/// A cluster: everything except the requests.
#[derive(Debug)]
pub struct Cluster<'a> {
    /// Pools.
    pub pools: Vec<Pool<'a>>,
    /// Selects the instance for a prompt.
    pub prompt_router: Box<dyn Router>,
    /// Selects the instance for an output after prefill.
    pub output_router: Box<dyn Router>,
    /// Links between instances.
    pub transfer: TransferConfig,
    /// KV bytes of one token.
    pub kv_bytes_per_token: f64,
    /// Layers of the model, for layerwise transfers.
    pub layers: u32,
    /// Whether KV of outputs is sent back to the instance that computed the prompt, so that the next turn finds it.
    pub write_back: bool,
    /// When the turns of a session arrive.
    pub pacing: Pacing,
    /// Sites of instances.
    pub topology: Topology,
    /// Planned changes of size.
    pub resizes: Vec<Resize>,
    /// End of the simulation, even if requests remain; `None` runs until all have ended.
    pub end: Option<Nanos>,
    /// Whether every step is recorded.
    pub log_steps: bool,
}

impl<'a> Cluster<'a> {
    /// A cluster of one pool whose instances serve whole requests: no transfers, no end time.
    pub fn aggregated(name: &str, instances: u32, make: InstanceFactory<'a>) -> Self {
        Self {
            pools: vec![Pool {
                name: name.to_owned(),
                role: Role::Aggregated,
                instances,
                startup: Nanos::ZERO,
                sites: Vec::new(),
                make,
            }],
            prompt_router: Box::<RoundRobin>::default(),
            output_router: Box::<RoundRobin>::default(),
            transfer: TransferConfig::default(),
            kv_bytes_per_token: 0.0,
            layers: 1,
            write_back: false,
            pacing: Pacing::Open,
            topology: Topology::default(),
            resizes: Vec::new(),
            end: None,
            log_steps: false,
        }
    }
}
