//! Results of a simulation: the output of `simulate`.

mod chrome_trace;
mod files;
mod scaling_files;
mod splitwise_files;
mod text;

pub use chrome_trace::chrome_trace;
pub use files::{RunFiles, write};
pub(super) use scaling_files::state_of_name;
pub(super) use text::POOL_COLUMNS;
pub use text::{text, value};
