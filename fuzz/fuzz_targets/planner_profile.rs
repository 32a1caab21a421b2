//! Any bytes, read as a profile of the planner.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::planner_profile(data));
