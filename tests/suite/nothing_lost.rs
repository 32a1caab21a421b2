//! No file is lost, overwritten or half-written, whatever the names of files are and whatever happens to the process.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

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

#[test]
fn an_output_that_is_an_input_is_refused() {
    let place = Place::new();
    std::fs::hard_link(place.path("t.jsonl"), place.path("hard.jsonl")).unwrap();
    symlink("t.jsonl", place.path("soft.jsonl")).unwrap();
    place.write("c.toml", place.works(&["simulate", "--print-config"]));
    std::fs::create_dir(place.path("o")).unwrap();
    symlink("../t.jsonl", place.path("o/summary.json")).unwrap();
    for (line, output, input) in [
        (
            "gen-trace d.jsonl -o d.jsonl --tokenizer chars",
            "d.jsonl",
            "d.jsonl",
        ),
        (
            "gen-trace ./d.jsonl -o d.jsonl --tokenizer chars",
            "d.jsonl",
            "./d.jsonl",
        ),
        (
            "export t.jsonl --to native -o t.jsonl",
            "t.jsonl",
            "t.jsonl",
        ),
        (
            "export t.jsonl --to native -o hard.jsonl",
            "hard.jsonl",
            "t.jsonl",
        ),
        (
            "export t.jsonl --to native -o soft.jsonl",
            "soft.jsonl",
            "t.jsonl",
        ),
        (
            "export soft.jsonl --to native -o t.jsonl",
            "t.jsonl",
            "soft.jsonl",
        ),
        (
            "simulate t.jsonl --chrome-trace t.jsonl",
            "t.jsonl",
            "t.jsonl",
        ),
        (
            "simulate t.jsonl --config c.toml --chrome-trace c.toml",
            "c.toml",
            "c.toml",
        ),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let expected = if output == input {
            format!(
                "{output}: is an input of this command and its output, which would replace it; give the output another name"
            )
        } else {
            format!(
                "{output}: is the same file as the input {input}, which this output would replace; give the output another name"
            )
        };
        assert_eq!(place.fails(&words), expected, "{line}");
    }
    for line in [
        "$R gen-trace --tokenizer chars - -o d.jsonl < d.jsonl",
        "$R gen-trace --tokenizer chars /dev/stdin -o d.jsonl < d.jsonl",
        "$R gen-trace --tokenizer chars d.jsonl -o - >> d.jsonl",
    ] {
        let before = snapshot(place.folder.path());
        let told = refused(&place.bash(line));
        assert!(told.contains("which this output would replace"), "{told}");
        assert_eq!(snapshot(place.folder.path()), before, "{line}");
    }
    // The journal of a sweep is appended to, not replaced.
    std::fs::create_dir(place.path("s")).unwrap();
    std::fs::hard_link(place.path("t.jsonl"), place.path("s/cells.jsonl")).unwrap();
    assert_eq!(
        place.fails(&["sweep", "t.jsonl", "-o", "s"]),
        "s/cells.jsonl: is the same file as the input t.jsonl, which this output would replace; give the output another name"
    );
    // A file of a result folder that is a link to the input.
    assert_eq!(
        place.fails(&["analyze", "t.jsonl", "-o", "o"]),
        "o/summary.json: is the same file as the input t.jsonl, which this output would replace; give the output another name"
    );
}

#[test]
fn two_outputs_in_one_file_are_refused() {
    let place = Place::new();
    let told = refused(
        &place
            .command(&[
                "simulate",
                "t.jsonl",
                "--chrome-trace",
                "o/./summary.json",
                "-o",
                "o",
            ])
            .output()
            .unwrap(),
    );
    assert_eq!(
        told,
        "o/summary.json: two outputs of this command are the same file; give one of them another name"
    );
}

#[test]
fn a_link_is_written_through_and_keeps_its_targets_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    std::fs::create_dir(place.path("far")).unwrap();
    place.write("far/file", "old");
    std::fs::set_permissions(place.path("far/file"), PermissionsExt::from_mode(0o600)).unwrap();
    symlink("far/file", place.path("link")).unwrap();
    place.works(&["export", "t.jsonl", "--to", "native", "-o", "link"]);
    assert!(place.path("link").is_symlink());
    assert_eq!(place.read("far/file"), place.read("t.jsonl"));
    let mode = place
        .path("far/file")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    symlink("loop", place.path("loop")).unwrap();
    assert_eq!(
        place.fails(&["export", "t.jsonl", "--to", "native", "-o", "loop"]),
        "loop: cannot write: too many symbolic links that lead to each other; \
         check that the folder exists, has room and that you may write there"
    );
}

/// Starts a command that never ends by itself, and waits until it writes its output.
fn start_endless(place: &Place) -> (std::process::Child, std::process::ChildStdin) {
    let words = [
        "gen-trace",
        "--tokenizer",
        "chars",
        "-",
        "-o",
        "new/out.jsonl",
    ];
    let mut child = place
        .command(&words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take().unwrap();
    (child, input)
}

fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_signal_ends_the_process_and_leaves_nothing() {
    use std::os::unix::process::ExitStatusExt;
    for (name, number) in [("-INT", 2), ("-TERM", 15), ("-HUP", 1)] {
        let place = Place::new();
        let (mut child, _input) = start_endless(&place);
        // The handlers are set before the input is read.
        std::thread::sleep(Duration::from_millis(300));
        signal(&child, name);
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(number), "{name}: {status}");
        assert_eq!(temporary(place.folder.path()), Vec::<PathBuf>::new());
    }
    // A signal that the caller ignores stays ignored.
    let place = Place::new();
    let line = "trap '' HUP; (sleep 1; cat d.jsonl) | $R gen-trace -q --tokenizer chars - -o n.jsonl & \
                sleep 0.5; kill -HUP $(jobs -p) $(pgrep -P $$ replay); wait";
    place.bash(line);
    assert_eq!(place.read("n.jsonl"), place.read("t.jsonl"));
}

#[test]
fn what_a_killed_process_left_is_removed_by_the_next() {
    let place = Place::new();
    std::fs::create_dir(place.path("o")).unwrap();
    let stale = place.path("o/.out.jsonl.replay-4000000-00000000000000ff.tmp");
    std::fs::write(&stale, "half").unwrap();
    place.write("o/.mine.tmp", "of another program");
    place.works(&["export", "t.jsonl", "--to", "native", "-o", "o/out.jsonl"]);
    assert!(!stale.exists());
    assert!(place.path("o/.mine.tmp").exists());
}

#[test]
fn limits_of_the_system_are_answered_in_one_line() {
    let place = Place::new();
    for (limit, command, expected) in [
        (
            "ulimit -f 8",
            "synth-dataset -n 1000 -o new/o.jsonl",
            "new/o.jsonl: cannot write: File too large (os error 27); raise the limit of file sizes (`ulimit -f`) or choose another place",
        ),
        (
            "ulimit -n 7",
            "analyze t.jsonl -o new",
            "raise the limit of open files (`ulimit -n`)",
        ),
    ] {
        let before = snapshot(place.folder.path());
        let told = refused(&place.bash(&format!("{limit}; exec $R {command}")));
        assert!(told.ends_with(expected), "{limit}: {told}");
        let after = snapshot(place.folder.path());
        let files = |all: Vec<(PathBuf, Vec<u8>)>| -> Vec<PathBuf> {
            let paths = all.into_iter().map(|(path, _)| path);
            paths.filter(|path| !path.is_dir()).collect()
        };
        assert_eq!(files(after), files(before), "{limit}: {told}");
    }
}

#[test]
fn lack_of_memory_is_answered_in_one_line() {
    let place = Place::new();
    let line = format!(
        "{{\"id\":\"a\",\"conversations\":\"{}\"}}\n",
        "x".repeat(1 << 20)
    );
    let mut file = std::fs::File::create(place.path("long.jsonl.zst")).unwrap();
    let mut packed = zstd_frame(&line, 200);
    file.write_all(&packed).unwrap();
    packed.clear();
    let told = refused(&place.bash(
        "ulimit -v 250000; exec $R gen-trace --threads 1 --tokenizer chars long.jsonl.zst -o new/o.jsonl",
    ));
    assert!(told.contains("memory"), "{told}");
    assert!(!place.path("new").exists());
}

/// A text many times, packed.
fn zstd_frame(text: &str, times: usize) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..times {
        encoder.write_all(text.as_bytes()).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn any_bytes_make_a_path() {
    let place = Place::new();
    let names: [&[u8]; 7] = [
        b"a\xff.jsonl",
        b"a,b.jsonl",
        b"a b.jsonl",
        b"a=b.jsonl",
        b"a'b\"c.jsonl",
        b"a\nb.jsonl",
        b"./-a.jsonl",
    ];
    let config = place.works(&["simulate", "--print-config"]);
    for bytes in names {
        let name = OsStr::from_bytes(bytes);
        let mut folder = OsString::from(name);
        folder.push(".d");
        let mut toml = OsString::from(name);
        toml.push(".toml");
        place.write(&toml, &config);
        std::fs::copy(place.path("t.jsonl"), place.path(name)).unwrap();
        let o = |text: &str| OsString::from(text);
        let run = |words: Vec<OsString>| place.works(&words);
        run(vec![o("inspect"), name.into()]);
        run(vec![
            o("analyze"),
            name.into(),
            o("--json"),
            o("-o"),
            folder.clone(),
        ]);
        run(vec![o("report"), folder.clone(), o("--json")]);
        run(vec![
            o("gen-trace"),
            o("--json"),
            o("--tokenizer"),
            o("chars"),
            o("d.jsonl"),
            o("-o"),
            name.into(),
        ]);
        assert_eq!(place.read(name), place.read("t.jsonl"));
        let mut results = OsString::from(name);
        results.push(".r");
        run(vec![
            o("matrix"),
            name.into(),
            o("--config"),
            toml.clone(),
            o("--autoscaler"),
            o("no_autoscaling,kpa"),
            o("--json"),
            o("--results"),
            results.clone(),
        ]);
        run(vec![o("compare"), results.clone(), o("--json")]);
        run(vec![o("report"), results.clone(), o("--json")]);
        run(vec![
            o("simulate"),
            name.into(),
            o("--config"),
            toml,
            o("--json"),
            o("--chrome-trace"),
            o("chrome.json"),
            o("--results"),
            results,
        ]);
    }
}

#[test]
fn a_list_of_files_keeps_commas_of_files() {
    let place = Place::new();
    let config = place.works(&["simulate", "--print-config"]);
    place.write(
        "a,b.toml",
        config.replacen("name = \"", "name = \"first-", 1),
    );
    place.write("c.toml", config);
    let told = place.works(&[
        "matrix",
        "t.jsonl",
        "--config",
        "a,b.toml,c.toml",
        "--dry-run",
        "--results",
        "r",
    ]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].contains("--config a,b.toml "), "{told}");
    assert!(lines[1].contains("--config c.toml "), "{told}");
}

#[test]
fn what_is_no_file_is_answered() {
    let place = Place::new();
    let status = Command::new("mkfifo")
        .arg(place.path("pipe"))
        .status()
        .unwrap();
    assert!(status.success());
    let device = "is a device, expected a file; name a file, or - for standard input";
    for (command, expected) in [
        ("analyze /dev/zero", format!("/dev/zero: {device}")),
        ("analyze /dev/urandom --format azure", format!("/dev/urandom: {device}")),
        ("simulate t.jsonl --config /dev/zero", format!("/dev/zero: {device}")),
        (
            "simulate t.jsonl --config pipe",
            "pipe: is a pipe into which no program writes; start the program that writes into it first, or name a file".to_owned(),
        ),
        ("analyze .", ".: is a folder, expected a file; name a file in it".to_owned()),
        (
            "analyze t.jsonl -o t.jsonl",
            "t.jsonl: cannot write: there is a file of that name; a file has the name of the folder: remove it or choose another place".to_owned(),
        ),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let start = Instant::now();
        assert_eq!(place.fails(&words), expected, "{command}");
        assert!(start.elapsed() < Duration::from_secs(10), "{command}");
    }
}

#[test]
fn a_packed_stream_of_nothing_is_refused_at_its_first_bytes() {
    let place = Place::new();
    for (name, text, expected) in [
        (
            "zero.jsonl.zst",
            "\0".repeat(1 << 20),
            "zero.jsonl.zst: begins with NUL bytes, expected text; copy or download the file again",
        ),
        (
            "line.jsonl.zst",
            "x".repeat(1 << 20),
            "line.jsonl.zst:1: starts with 'x', expected `[` or `{`; give a ShareGPT file: a JSON array or JSON lines of conversations",
        ),
    ] {
        place.write(name, zstd_frame(&text, 3000));
        let words = ["gen-trace", "--tokenizer", "chars", name, "-o", "o.jsonl"];
        assert_eq!(place.fails(&words), expected);
    }
    for (name, start) in [("object.zst", "{\"id\":\""), ("array.zst", "[{\"id\":\"")] {
        let mut text = zstd_frame(start, 1);
        text.extend(zstd_frame(&"x".repeat(1 << 20), 3000));
        place.write(name, text);
        let line =
            format!("ulimit -v 2000000; exec $R gen-trace --tokenizer chars {name} -o o.jsonl");
        assert_eq!(
            refused(&place.bash(&line)),
            format!("{name}:1: is longer than 256 MiB; give a file with a record on each line")
        );
    }
}

#[test]
fn a_file_that_becomes_shorter_while_it_is_read_is_an_error() {
    let place = Place::new();
    let big: Vec<String> = (0..30_000).map(conversation).collect();
    let big = big.join("\n");
    place.write("big.jsonl", &big);
    let words = [
        "gen-trace",
        "--tokenizer",
        "chars",
        "big.jsonl",
        "-",
        "-o",
        "o.jsonl",
    ];
    let mut child = place
        .command(&words)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The first file is read when its position is at its end; the program then waits for the second one.
    let whole = format!("pos:\t{}\n", big.len());
    let start = Instant::now();
    while !positions(child.id()).contains(&whole) {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the file is not read"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    let file = std::fs::File::options()
        .write(true)
        .open(place.path("big.jsonl"))
        .unwrap();
    file.set_len(1000).unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(conversation(7).as_bytes()).unwrap();
    drop(input);
    let told = refused(&child.wait_with_output().unwrap());
    assert_eq!(
        told,
        "big.jsonl: cannot read: the file became shorter while it was read; the file is cut off: copy or download it again"
    );
    assert!(!place.path("o.jsonl").exists());
}

/// What Linux tells about all open files of a process.
fn positions(process: u32) -> String {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{process}/fdinfo")) else {
        return String::new();
    };
    let files = entries.flatten();
    let texts = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
    texts.collect()
}

#[test]
fn an_unfinished_folder_is_no_result() {
    let place = Place::new();
    place.works(&["simulate", "t.jsonl", "--results", "r"]);
    let run = snapshot(&place.path("r"))
        .into_iter()
        .map(|(path, _)| path)
        .find(|path| path.ends_with("summary.json"))
        .unwrap();
    let run = run.parent().unwrap();
    std::fs::remove_file(run.join("summary.json")).unwrap();
    for more in [&[][..], &["--quick"]] {
        let mut words = vec!["compare", "r"];
        words.extend(more);
        let output = place.command(&words).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("was not finished"), "{told}");
    }
    // A new folder of a command that fails goes again.
    let told = refused(&place.bash("ulimit -f 1; exec $R analyze t.jsonl -o new/a"));
    assert!(told.contains("(`ulimit -f`)"), "{told}");
    assert!(!place.path("new").exists());
}

#[test]
fn processes_in_one_folder_leave_the_whole_result_of_one() {
    let place = Place::new();
    let start = |seed: &str| {
        let words = ["simulate", "t.jsonl", "-q", "--seeds", seed, "-o", "o"];
        let mut command = place.command(&words);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    for _ in 0..3 {
        let mut all: Vec<_> = ["1", "2", "3"].iter().map(|seed| start(seed)).collect();
        for child in &mut all {
            assert!(child.wait().unwrap().success());
        }
        let inputs: serde_json::Value =
            serde_json::from_slice(&place.read("o/inputs.json")).unwrap();
        let summary: serde_json::Value =
            serde_json::from_slice(&place.read("o/summary.json")).unwrap();
        assert_eq!(inputs["seed"], summary["seed"]);
    }
    assert_eq!(temporary(place.folder.path()), Vec::<PathBuf>::new());
}
