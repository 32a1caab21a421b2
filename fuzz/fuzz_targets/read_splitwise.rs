//! Any bytes, read as `splitwise`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::trace("splitwise", data));
