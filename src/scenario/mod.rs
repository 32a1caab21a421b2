//! Scenarios: cluster, policy and objectives from one TOML file, checked, and the functions that simulate them.

mod build;
mod builder;
mod check;
mod config;
pub mod grid;
pub mod inputs;
pub mod layout;
mod memory;
mod overrides;
mod prepare;
mod presets;
pub mod profiler;
mod ranges;
pub mod record;
mod run;
mod sections;
mod sku;
mod splitwise;
mod vidur;

pub use crate::sim::latency::LatencyConfig;
pub use crate::sim::replica::SchedulerConfig;
pub use build::Scenario;
pub use builder::{ScenarioBuilder, simulate};
pub use config::{Compat, ScenarioConfig};
pub use overrides::set_key;
pub use presets::{PRESETS, Preset};
pub use run::{Run, RunOptions};
pub use sections::{
    CacheSection, ModelSection, PoolSection, ResizeSection, RouterSection, SloSection,
    WorkloadSection,
};
pub use sku::{SKUS, Sku};
pub use splitwise::{SplitwiseRun, SplitwiseSetup};
pub use vidur::VidurSetup;
