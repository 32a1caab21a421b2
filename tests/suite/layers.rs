//! The folders of `src/` stand in one order, and each uses only what stands before it.

use std::path::{Path, PathBuf};

/// The order of the layers. `docs/architecture.md` shows the same line.
const LAYERS: [&str; 13] = [
    "base",
    "dataset",
    "prompt",
    "trace",
    "cache",
    "sim",
    "autoscale",
    "metrics",
    "compat",
    "scenario",
    "tune",
    "report",
    "cli",
];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).expect("a folder of src/");
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Names that follow `crate::` in a line.
fn used(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, word)| {
        let rest = &line[at + word.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn every_folder_uses_only_layers_before_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<String> = std::fs::read_dir(&src)
        .expect("src")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("a plain name"))
        .collect();
    folders.sort();
    let mut known = LAYERS.map(str::to_owned).to_vec();
    known.sort();
    assert_eq!(folders, known, "every folder of src/ has its place");
    let mut wrong = Vec::new();
    for (place, layer) in LAYERS.iter().enumerate() {
        for file in rust_files(&src.join(layer)) {
            let text = std::fs::read_to_string(&file).expect("readable");
            for (number, line) in text.lines().enumerate() {
                for name in used(line) {
                    let target = LAYERS.iter().position(|known| *known == name);
                    if target.is_some_and(|target| target > place) {
                        let file = file.strip_prefix(&src).expect("below src").display();
                        wrong.push(format!("{file}:{}: {line}", number + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rendering_knows_no_study() {
    let render = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/render");
    for file in rust_files(&render) {
        let text = std::fs::read_to_string(&file).expect("readable");
        assert!(!text.contains("studies"), "{}", file.display());
    }
}

#[test]
fn the_architecture_page_shows_the_same_order() {
    let page = include_str!("../../docs/architecture.md");
    let line = LAYERS.join(" -> ");
    assert!(page.contains(&line), "docs/architecture.md lacks: {line}");
}
