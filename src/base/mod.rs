//! Utilities that all other folders use: time, random streams, quantiles, CSV tables, the error type, a guard for foreign code,
//! input and output, the version.

pub mod check;
pub mod digest;
pub mod distribution;
pub mod error;
pub mod foreign;
mod identity;
pub mod io;
pub mod key_ranges;
pub mod limits;
mod nanos;
pub mod parameters;
pub mod quantile;
pub mod random;
pub mod registry;
pub mod shell;
pub mod sorting;
pub mod table;
pub mod units;
pub mod version;

pub use distribution::Distribution;
pub(crate) use error::Fault;
pub use error::{Error, Location, Result};
pub use identity::Identity;
pub use nanos::Nanos;
pub use quantile::percentile_sorted;
