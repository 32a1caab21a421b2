//! What the fuzz targets run. Each function takes any bytes: the program has to answer them with a result or an error, never with a
//! panic, a stack overflow or an endless loop.
//!
//! A target is a function here and one file in `fuzz_targets/`. [`folder`] describes how one input holds several files.

mod command_line;
mod configuration;
mod folder;
mod foreign;
mod results;
mod server;
mod tables;
mod traces;

pub use command_line::{arguments, values};
pub use configuration::{configuration, rate_shape, splitwise_configuration, vidur_configuration};
pub use foreign::{script, template_rendering, template_source, tokenizer};
pub use results::{results_folder, threshold_folder};
pub use server::prometheus;
pub use tables::{latency_table, planner_profile};
pub use traces::{conversations, trace};

/// Text of the input; bytes that are not UTF-8 are replaced.
fn text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}
