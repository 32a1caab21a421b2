//! Any bytes, sent as an answer of Prometheus.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::prometheus(data));
