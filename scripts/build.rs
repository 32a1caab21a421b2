//! Build script: hands the library its version with the commit, and an identifier of its sources.
//!
//! It works without git and outside of a repository: the version then stands alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What the program is compiled from. A change of one of these changes the build identifier.
const SOURCES: [&str; 3] = ["src", "data", "Cargo.lock"];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    rerun_if_changed(Path::new("scripts/build.rs"));
    for source in SOURCES {
        rerun_if_changed(&root.join(source));
    }
    let commit = packaged_commit(&root).or_else(|| checked_out_commit(&root));
    let long = match commit {
        Some(commit) => format!("{version} ({commit})"),
        None => version.clone(),
    };
    let digest = digest_of_sources(&root);
    println!("cargo::rustc-env=KVREPLAY_VERSION_WITH_COMMIT={long}");
    println!("cargo::rustc-env=KVREPLAY_BUILD_ID={version}-{digest:016x}");
}

/// Tells cargo to run this script again when a file or folder changes. One that does not exist would make cargo run it
/// every time.
fn rerun_if_changed(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// The commit that `cargo package` recorded, e.g. `abcdef123` or `abcdef123, modified`.
fn packaged_commit(root: &Path) -> Option<String> {
    let record = fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = record.split_once("\"sha1\"")?;
    let commit = rest.split('"').nth(1)?.get(..9)?;
    let modified = record.contains("\"dirty\": true");
    Some(describe(commit, modified))
}

/// The commit that is checked out and its date, e.g. `abcdef123 2026-11-28` or `abcdef123 2026-11-28, modified`.
fn checked_out_commit(root: &Path) -> Option<String> {
    // Inside somebody else's repository, the commit would be theirs.
    if !git(root, &["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    // HEAD names the branch, its log grows with every commit, and the branch's own file does where no log is kept.
    let branch = git(root, &["rev-parse", "--symbolic-full-name", "HEAD"])?;
    for file in ["HEAD", "logs/HEAD", "packed-refs", branch.as_str()] {
        let path = git(root, &["rev-parse", "--git-path", file])?;
        rerun_if_changed(&root.join(path));
    }
    let commit = git(root, &["log", "-1", "--abbrev=9", "--format=%h %cs"])?;
    let mut status = vec!["status", "--porcelain", "--", "Cargo.toml"];
    status.extend(SOURCES);
    let modified = !git(root, &status)?.is_empty();
    Some(describe(&commit, modified))
}

fn describe(commit: &str, modified: bool) -> String {
    let mark = if modified { ", modified" } else { "" };
    format!("{commit}{mark}")
}

/// What git prints, or nothing where git is missing or refuses.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("--no-optional-locks")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// FNV-1a, 64 bits, over names and contents of all source files in the order of their paths.
fn digest_of_sources(root: &Path) -> u64 {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&root.join(source), &mut files);
    }
    files.sort();
    let mut digest = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file);
        let content = fs::read(&file).unwrap_or_default();
        add(name.to_string_lossy().replace('\\', "/").as_bytes());
        add(&(content.len() as u64).to_le_bytes());
        add(&content);
    }
    digest
}

/// All files of a folder and its folders, or the file itself.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    match fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries.flatten() {
                collect(&entry.path(), files);
            }
        }
        Err(_) if path.is_file() => files.push(path.to_owned()),
        Err(_) => {}
    }
}
