//! Any bytes, read as `vllm-sim-request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::trace("vllm-sim-request", data));
