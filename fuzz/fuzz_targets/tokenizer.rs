//! Any bytes, read as `tokenizer.json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::tokenizer(data));
