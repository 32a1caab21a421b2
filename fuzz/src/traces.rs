//! Traces in every format, and conversations.

use std::hint::black_box;
use std::sync::LazyLock;

use kvreplay::base::io::Input;
use kvreplay::dataset::sharegpt::{Dataset, Join, LoadOptions};
use kvreplay::prompt::tokenizer;
use kvreplay::trace::format::{ReadOptions, Text, read_input};
use kvreplay::{Capacity, EngineOptions};

use crate::folder;

/// Reads the bytes in a trace format, with malformed lines refused and then counted, and replays a trace that has content.
pub fn trace(format: &str, data: &[u8]) {
    static TEXT: LazyLock<Option<Text>> = LazyLock::new(|| {
        tokenizer::load("chars")
            .ok()
            .map(|chars| Text(chars.into()))
    });
    for tolerate in [false, true] {
        let Ok(input) = Input::from_bytes("fuzz", data.to_vec()) else {
            return;
        };
        let options = ReadOptions {
            format: Some(format.to_owned()),
            tokenizer: TEXT.clone(),
            tolerate,
            ..ReadOptions::default()
        };
        if let Ok(read) = read_input(input, &options) {
            let options = EngineOptions {
                capacity: Capacity::Blocks(20),
                ..EngineOptions::default()
            };
            black_box(kvreplay::analyze(&read.trace, &options).is_ok());
        }
    }
}

/// Reads the bytes as conversations. The first byte chooses the options.
pub fn conversations(data: &[u8]) {
    let (choice, bytes) = data.split_first().unwrap_or((&0, &[]));
    // The loader reads plain files by name.
    let Some(file) = folder::file(bytes, ".jsonl") else {
        return;
    };
    let options = LoadOptions {
        join: [Join::Auto, Join::Always, Join::Never][usize::from(choice % 3)],
        strict: choice & 0x80 != 0,
    };
    if let Ok(dataset) = Dataset::open(&[file.path().to_path_buf()], options) {
        let _ = dataset.load_all();
    }
}
