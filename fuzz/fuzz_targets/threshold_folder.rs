//! Any bytes, read as runs by threshold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::threshold_folder(data));
