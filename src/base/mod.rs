//! What every other folder stands on: time, random streams, quantiles, tables in files, the error type, input and output.

pub mod check;
pub mod csv_columns;
pub mod csv_file;
pub mod distribution;
pub mod error;
mod identity;
pub mod io;
mod nanos;
pub mod parameters;
pub mod random;
pub mod registry;
pub mod units;

pub use distribution::{Distribution, percentile_sorted};
pub use error::{Error, Location, Result};
pub use identity::Identity;
pub use nanos::Nanos;
