//! Any bytes, read as conversations.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::conversations(data));
