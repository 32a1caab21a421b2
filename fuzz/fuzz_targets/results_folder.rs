//! Any bytes, read as folders of results.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::results_folder(data));
