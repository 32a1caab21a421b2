//! Any bytes, read as a configuration of Vidur.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::vidur_configuration(data));
