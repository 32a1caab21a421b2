//! What a cluster is made of.

use super::instance::Role;
use super::kv::Kv;
use super::latency::LatencyModel;
use super::replica::ReplicaScheduler;
use super::router::{RoundRobin, Router};
use super::topology::Topology;
use super::transfer::TransferConfig;
use crate::trace::Nanos;

/// What an instance of a pool is made of.
#[derive(Debug)]
pub struct InstanceSpec {
    /// Its memory.
    pub kv: Kv,
    /// How it forms batches.
    pub scheduler: Box<dyn ReplicaScheduler>,
    /// How long they take.
    pub latency: Box<dyn LatencyModel>,
}

/// Makes an instance's parts, by its number in the cluster.
pub type InstanceFactory<'a> = Box<dyn Fn(u32) -> InstanceSpec + Send + Sync + 'a>;

/// Instances of one kind.
pub struct Pool<'a> {
    /// As results name it.
    pub name: String,
    /// What its instances are there for.
    pub role: Role,
    /// How many there are at the beginning.
    pub instances: u32,
    /// From asking for an instance until it can serve. Those of the beginning are there at once.
    pub startup: Nanos,
    /// Sites of those, by number in the pool; the first site, where it says nothing.
    pub sites: Vec<u32>,
    /// Makes one.
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

/// GPUs, memory and price of one instance of a pool, as results count them.
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
    /// Price of a GPU in dollars per hour, where it is known.
    pub hour_cost: Option<f64>,
    /// Power of a GPU in watts while it is idle, in prefill and in decode, where it is known.
    pub watts: Option<[f64; 3]>,
}

/// A change of a pool's size at a known time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resize {
    /// When.
    pub at: Nanos,
    /// Which pool, by index.
    pub pool: u32,
    /// How many instances it is to have from then on.
    pub instances: u32,
}

/// How turns of a session follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pacing {
    /// Every request comes when the trace says.
    #[default]
    Open,
    /// A turn does not come before the one before it has ended.
    Wait,
}

/// Everything but the requests.
#[derive(Debug)]
pub struct Cluster<'a> {
    /// Kinds of instances.
    pub pools: Vec<Pool<'a>>,
    /// Chooses where prompts go.
    pub prompt_router: Box<dyn Router>,
    /// Chooses where outputs go after a prefill instance.
    pub output_router: Box<dyn Router>,
    /// Links between instances.
    pub transfer: TransferConfig,
    /// KV of one token, in bytes.
    pub kv_bytes_per_token: f64,
    /// Layers of the model, for layer by layer transfers.
    pub layers: u32,
    /// Whether outputs are sent back to the instance that computed the prompt, so that the next turn finds them.
    pub write_back: bool,
    /// Order of turns.
    pub pacing: Pacing,
    /// Where instances stand.
    pub topology: Topology,
    /// Changes of size that are known beforehand.
    pub resizes: Vec<Resize>,
    /// When to stop, whatever is left.
    pub end: Option<Nanos>,
    /// Whether each step is recorded.
    pub log_steps: bool,
}

impl<'a> Cluster<'a> {
    /// Instances of one kind that serve whole requests, one after another: nothing is moved, and nothing ends it early.
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
