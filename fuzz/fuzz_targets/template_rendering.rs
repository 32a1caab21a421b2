//! Any bytes, rendered as a chat template.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvreplay_fuzz::template_rendering(data));
