//! Configurations of simulations, with overrides, and rate shapes.

use std::hint::black_box;

use kvreplay::compat::splitwise::Hydra;
use kvreplay::compat::vidur::VidurConfig;
use kvreplay::scenario::ScenarioConfig;
use kvreplay::trace::{Nanos, RateShape};

use crate::{folder, text};

/// Reads a TOML configuration and prepares the scenario. A line `%%%` ends the configuration; each line behind it is an override.
/// An input that begins with a preset's name in a line of its own starts from that preset.
pub fn configuration(data: &[u8]) {
    let data = text(data);
    let (config, overrides) = match data.split_once("\n%%%\n") {
        Some((config, overrides)) => (config, overrides.lines().map(str::to_owned).collect()),
        None => (&*data, Vec::new()),
    };
    let config = match config.strip_prefix("preset ") {
        Some(name) => ScenarioConfig::preset(name.trim(), &overrides),
        None => {
            let Some(file) = folder::file(config.as_bytes(), ".toml") else {
                return;
            };
            ScenarioConfig::read(file.path(), &overrides)
        }
    };
    if let Ok(config) = config {
        black_box(config.to_toml());
        black_box(config.prepare().is_ok());
    }
}

/// Reads a configuration of Vidur.
pub fn vidur_configuration(data: &[u8]) {
    if let Some(file) = folder::file(data, ".json")
        && let Ok(config) = VidurConfig::read(file.path())
    {
        black_box(config.blocks());
        black_box(config.slots());
    }
}

/// Reads a resolved configuration of SplitwiseSim.
pub fn splitwise_configuration(data: &[u8]) {
    if let Some(file) = folder::file(data, ".yaml") {
        black_box(Hydra::read(file.path()).is_ok());
    }
}

/// Reads a rate shape and evaluates it. A shape that is a file (`%%% rates.csv` and its rows behind the first line) is read as one.
pub fn rate_shape(data: &[u8]) {
    let Some((folder, head)) = folder::unpack(data) else {
        return;
    };
    let head = text(&head);
    let mut shape = head.trim_end_matches('\n').to_owned();
    let rates = folder.path().join("rates.csv");
    if rates.exists() {
        shape = shape.replace("rates.csv", &rates.to_string_lossy());
    }
    let Ok(shape) = RateShape::parse(&shape) else {
        return;
    };
    let mut time = Nanos::ZERO;
    for _ in 0..10 {
        time = shape.after(time, Nanos::from_secs_f64(0.5));
    }
    for at in [0.0, 0.5, 60.0, 86_400.0, 1e9] {
        black_box((shape.rate(at), shape.cumulative(at), shape.inverse(at)));
    }
}
