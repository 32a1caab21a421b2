//! No file is lost, overwritten or half-written, whatever the names of files are and whatever happens to the process.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod inputs;
mod outputs;
mod paths;
mod process;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with conversations and traces, in which the program runs.
struct Place {
    folder: tempfile::TempDir,
}

fn conversation(number: usize) -> String {
    format!(
        r#"{{"id":"c{number}","conversations":[{{"from":"human","value":"hi {number}"}},{{"from":"gpt","value":"yo"}}]}}"#
    )
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let chats: Vec<String> = (0..40).map(conversation).collect();
        place.write("d.jsonl", chats.join("\n") + "\n");
        place.works(&[
            "gen-trace",
            "-q",
            "--tokenizer",
            "chars",
            "d.jsonl",
            "-o",
            "t.jsonl",
        ]);
        place
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
        command.args(words).current_dir(self.folder.path());
        command
    }

    fn works<S: AsRef<OsStr> + std::fmt::Debug>(&self, words: &[S]) -> String {
        let output = self.command(words).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs what must be refused; returns the message.
    fn fails<S: AsRef<OsStr> + std::fmt::Debug>(&self, words: &[S]) -> String {
        let before = snapshot(self.folder.path());
        let told = refused(&self.command(words).output().unwrap());
        assert_eq!(snapshot(self.folder.path()), before, "{words:?}: {told}");
        told
    }

    /// Runs a line of bash with `$R` as the program; the line must be refused.
    fn bash(&self, line: &str) -> Output {
        Command::new("bash")
            .args(["-c", line])
            .env("R", env!("CARGO_BIN_EXE_replay"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

/// The message of a command that failed as every command should.
fn refused(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("error: "), "{told}");
    assert_eq!(told.matches('\n').count(), 1, "{told}");
    told.trim_end().trim_start_matches("error: ").to_owned()
}

/// All paths below a folder with the bytes of files and the targets of links.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_symlink() {
            let target = path.read_link().unwrap().into_os_string();
            found.push((path, target.as_bytes().to_vec()));
        } else if kind.is_dir() {
            found.push((path.clone(), Vec::new()));
            found.extend(snapshot(&path));
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

/// Names of temporary files and folders below a folder.
fn temporary(folder: &Path) -> Vec<PathBuf> {
    let all = snapshot(folder).into_iter().map(|(path, _)| path);
    all.filter(|path| path.extension() == Some(OsStr::new("tmp")))
        .collect()
}

/// A text many times, packed.
fn zstd_frame(text: &str, times: usize) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..times {
        encoder.write_all(text.as_bytes()).unwrap();
    }
    encoder.finish().unwrap()
}
