//! Any bytes, read as conversations, give conversations or an error, never a panic.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use kvreplay::dataset::sharegpt::{Dataset, Join, LoadOptions};

fuzz_target!(|data: &[u8]| {
    // The loader maps plain files, so the bytes go through one; the first byte chooses the options.
    let (choice, bytes) = data.split_first().unwrap_or((&0, &[]));
    let Ok(mut file) = tempfile::NamedTempFile::new() else {
        return;
    };
    if file.write_all(bytes).is_err() {
        return;
    }
    let options = LoadOptions {
        join: [Join::Auto, Join::Always, Join::Never][usize::from(choice % 3)],
        strict: choice & 0x80 != 0,
    };
    if let Ok(dataset) = Dataset::open(&[file.path().to_path_buf()], options) {
        let _ = dataset.load_all();
    }
});
