//! Outputs that are inputs, links, and folders of results.

use crate::nothing_lost::*;
use std::os::unix::fs::symlink;

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
        place.fails(&["sweep", "-q", "t.jsonl", "-o", "s"]),
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
        assert!(
            told.contains("summary.json is missing; run it again"),
            "{told}"
        );
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
