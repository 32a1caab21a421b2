//! Any bytes, read as a rate shape.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::rate_shape(data));
