//! Any bytes, read as `llmservingsim`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::trace("llmservingsim", data));
