//! The fuzz targets cover every trace format, and each has seeds.

use std::path::{Path, PathBuf};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn targets() -> Vec<String> {
    let entries = std::fs::read_dir(fuzz().join("fuzz_targets")).expect("the folder of targets");
    let mut names: Vec<String> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            path.file_stem().expect("a name").to_string_lossy().into()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn every_format_that_is_read_has_a_target() {
    let targets = targets();
    for format in kvreplay::trace::format::names(|format| format.readable()) {
        let target = format!("read_{}", format.replace('-', "_"));
        assert!(targets.contains(&target), "no target {target} for {format}");
        let source = fuzz().join(format!("fuzz_targets/{target}.rs"));
        let source = std::fs::read_to_string(source).expect("the target");
        assert!(source.contains(&format!("\"{format}\"")), "{target}");
    }
}

#[test]
fn every_target_is_built_and_has_seeds() {
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).expect("the manifest");
    for target in targets() {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")),
            "fuzz/Cargo.toml has no {target}"
        );
        let seeds = std::fs::read_dir(fuzz().join("seeds").join(&target));
        let seeds = seeds.unwrap_or_else(|_| panic!("{target} has no seeds"));
        assert!(seeds.count() > 0, "{target} has no seeds");
    }
}
