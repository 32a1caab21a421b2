//! Any bytes, read as the value of a flag.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::values(data));
