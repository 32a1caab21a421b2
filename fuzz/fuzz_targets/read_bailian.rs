//! Any bytes, read as `bailian`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::trace("bailian", data));
