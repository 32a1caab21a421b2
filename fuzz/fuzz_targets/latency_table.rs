//! Any bytes, read as tables of latencies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::latency_table(data));
