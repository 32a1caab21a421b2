//! Any bytes, read as `burstgpt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::trace("burstgpt", data));
