//! Any bytes, read as `mooncake`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::trace("mooncake", data));
