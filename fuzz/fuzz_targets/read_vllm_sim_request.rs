//! Any bytes, read as `vllm-sim-request`, give a trace or an error, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use kvreplay::io::Input;
use kvreplay::trace::format::{ReadOptions, read_input};

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::from_reader("fuzz", Box::new(std::io::Cursor::new(data.to_vec()))) else {
        return;
    };
    let options = ReadOptions {
        format: Some("vllm-sim-request".to_owned()),
        ..ReadOptions::default()
    };
    let _ = read_input(input, &options);
});
