//! Any bytes, read as `token-ids`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::trace("token-ids", data));
