//! Signals, and limits of the system.

use crate::nothing_lost::*;
use std::time::Duration;

/// Starts a command that never ends by itself, and returns its standard input.
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

/// Whether this process ignores a signal.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    mask & (1 << (signal - 1)) != 0
}

#[test]
fn a_signal_ends_the_process_and_leaves_nothing() {
    use std::os::unix::process::ExitStatusExt;
    for (name, number) in [("-INT", 2), ("-TERM", 15), ("-HUP", 1)] {
        // Under `nohup` the tests, and what they start, ignore SIGHUP.
        if is_ignored(number) {
            continue;
        }
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
