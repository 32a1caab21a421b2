//! Configuration files of other simulators, read as ours.

pub mod vidur;
