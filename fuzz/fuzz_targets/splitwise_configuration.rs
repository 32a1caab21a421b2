//! Any bytes, read as a configuration of SplitwiseSim.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::splitwise_configuration(data));
