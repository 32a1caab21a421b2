//! Values of flags, and whole command lines.

use std::hint::black_box;

use kvreplay::base::units::{parse_bytes, parse_seconds};
use kvreplay::cache::capacity::Asked;
use kvreplay::cache::engine::{Hold, TierSpec};
use kvreplay::scenario::set_key;
use kvreplay::sim::latency::Gpu;

use crate::text;

/// Reads the bytes as each kind of value that a flag may have.
pub fn values(data: &[u8]) {
    let text = text(data);
    black_box(parse_bytes(&text));
    black_box(parse_seconds(&text));
    black_box(Asked::parse(&text).is_ok());
    black_box(Hold::parse(&text).is_ok());
    black_box(TierSpec::parse(&text).is_ok());
    black_box(Gpu::by_name(&text).is_ok());
    black_box(set_key(&mut toml::Table::new(), &text).is_ok());
}

/// Parses the bytes as arguments, one a line, without running the command.
pub fn arguments(data: &[u8]) {
    let text = text(data);
    let words = std::iter::once("replay").chain(text.lines());
    black_box(kvreplay::cli::check_arguments(words).is_ok());
}
