//! Any bytes, run as a script that scales a cluster.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::script(data));
