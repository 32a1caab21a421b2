//! Inputs that are no files, packed bombs, and files that change while they are read.

use crate::nothing_lost::*;
use std::time::{Duration, Instant};

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
