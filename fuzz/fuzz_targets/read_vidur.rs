//! Any bytes, read as `vidur`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::trace("vidur", data));
