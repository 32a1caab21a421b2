//! What the integration tests share: the program, and the reference data that stands beside the checkout.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::allow_attributes,
    reason = "a test may fail loudly"
)]

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

/// A file of the reference data, or `None`, said loudly, where the data is missing. CI must have it.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("REPLAY_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let file = root.join(path);
    if file.exists() {
        return Some(file);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "CI must have the reference data: {} is missing",
        file.display()
    );
    eprintln!(
        "SKIPPED: {} is missing; set REPLAY_SHARED to the folder of the reference data",
        file.display()
    );
    None
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

/// What a headless browser makes of a page: what it prints and what it complains of; `None` where there is none.
pub fn browser(arguments: &[String], page: &Path) -> Option<(String, String)> {
    let profile = tempfile::tempdir().expect("folder");
    let out = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
        ])
        .args(arguments)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&out.stdout), text(&out.stderr)))
}
