//! Any bytes, parsed as a command line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::arguments(data));
