//! Any bytes, read as `burstgpt-all`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::trace("burstgpt-all", data));
