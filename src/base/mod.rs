//! What every other folder stands on.

pub mod version;
