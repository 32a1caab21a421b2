//! Any bytes, read as a scenario with overrides.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::configuration(data));
