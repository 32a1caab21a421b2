//! Any bytes, read as `native`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::trace("native", data));
