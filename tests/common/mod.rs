//! What both targets of integration tests use: the program, files and inputs.

#![allow(dead_code, unreachable_pub, reason = "each target uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test may fail loudly"
)]

pub mod chats;
pub mod encoding;
pub mod pages;
pub mod templates;
pub mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program that was built.
pub fn replay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(args)
        .output()
        .unwrap()
}

/// Runs the program, which must succeed; its standard output.
pub fn stdout(args: &[&str]) -> String {
    let output = replay(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program and reads what it prints as JSON.
pub fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&stdout(args)).unwrap()
}

/// Unpacks an .xz or .gz file of the reference data into a folder.
pub fn unpack(file: &Path, folder: &Path) -> PathBuf {
    let name = file.file_stem().unwrap();
    let target = folder.join(name);
    let tool = if file.extension().unwrap() == "xz" {
        "xz"
    } else {
        "gzip"
    };
    let output = Command::new(tool).args(["-dc"]).arg(file).output().unwrap();
    assert!(output.status.success());
    std::fs::write(&target, output.stdout).unwrap();
    target
}

/// The path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The program, run in a folder.
pub fn replay_in(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay"))
        .current_dir(folder)
        .args(args)
        .output()
        .unwrap()
}
