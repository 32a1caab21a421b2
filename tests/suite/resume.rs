//! Results that are there already are used only if they are whole and of the same inputs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{replay_in, text};

/// A folder with a trace and a matrix of one policy and two seeds over it.
struct Place(tempfile::TempDir);

const MATRIX: [&str; 8] = [
    "matrix",
    "t.csv",
    "--preset",
    "llama-8b-pd-4-4",
    "--seeds",
    "0,1",
    "--results",
    "results",
];

const RUN: &str = "2 cells run, 0 there already, 0 failed";
const PRESENT: &str = "0 cells run, 2 there already, 0 failed";
const ONE: &str = "1 cells run, 1 there already, 0 failed";

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("folder"));
        let lines: String = (0..12).map(|i| format!("{i},{},3\n", 90 + i)).collect();
        let header = "arrived_at,num_prefill_tokens,num_decode_tokens\n";
        place.write("t.csv", &format!("{header}{lines}"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
        std::fs::write(path, content).expect("writes");
    }

    fn run(&self, args: &[&str]) -> String {
        told(&replay_in(self.0.path(), args))
    }

    fn matrix(&self, more: &[&str]) -> String {
        self.run(&[&MATRIX[..], more].concat())
    }

    /// The folder of the cell of seed 0.
    fn cell(&self) -> PathBuf {
        self.path(
            "results/0/prefill-4_decode-4/t/llama-8b-pd-4-4/llama-3-8b/vllm-v1/no_autoscaling",
        )
    }
}

fn told(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

/// All files of a folder with their content, in the order of their names.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("lists") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), std::fs::read(&path).expect("reads"))),
        }
    }
    found.sort();
    found
}

/// The files of a run without autoscaling from which `compare` takes its figures.
const READ_BY_COMPARE: [&str; 4] = [
    "instances.csv",
    "request.csv",
    "summary.csv",
    "summary.json",
];

#[test]
fn damaged_files_of_a_cell_are_noticed_and_made_again() {
    let place = Place::new();
    assert!(place.matrix(&[]).contains(RUN));
    assert!(place.matrix(&[]).contains(PRESENT));
    let whole = files(&place.cell());
    assert!(whole.len() > 6, "{whole:?}");
    for (path, content) in &whole {
        let name = path.strip_prefix(place.cell()).expect("in the cell");
        let mut flipped = content.clone();
        flipped[content.len() / 2] ^= 1;
        let mut damages = vec![Some(flipped), None];
        if ["inputs.json", "request.csv", "summary.json"].contains(&text(name)) {
            damages.push(Some(content[..content.len() / 2].to_vec()));
            damages.push(Some(Vec::new()));
        }
        for damaged in damages {
            match &damaged {
                Some(bytes) => std::fs::write(path, bytes).expect("writes"),
                None => std::fs::remove_file(path).expect("removes"),
            }
            let is_resized = damaged
                .as_ref()
                .is_none_or(|bytes| bytes.len() != content.len());
            let what = damaged.map_or("removed".to_owned(), |bytes| {
                format!("{} bytes", bytes.len())
            });
            // A folder without a record may be another program's, so its figures are compared. Of the files that it does not
            // read, `compare` checks the sizes.
            let is_seen = is_resized || READ_BY_COMPARE.contains(&text(name));
            if name != Path::new("inputs.json") && is_seen {
                let compared = replay_in(place.0.path(), &["compare", "results"]);
                let said = String::from_utf8_lossy(&compared.stderr).into_owned();
                let expected = format!("{}: {}", "no_autoscaling", name.display());
                assert!(said.contains(&expected), "{name:?} {what}: {said}");
            }
            let said = place.matrix(&[]);
            assert!(said.contains(ONE), "{name:?} {what}: {said}");
            assert!(
                said.contains("replaced results: results/0/"),
                "{name:?} {what}: {said}"
            );
            assert_eq!(files(&place.cell()), whole, "{name:?} {what}");
        }
    }
    assert!(place.matrix(&[]).contains(PRESENT));
}

#[test]
fn every_dependency_counts_and_no_time_does() {
    let place = Place::new();
    let dense =
        "layer,tokens,time_us\nlayernorm,1,1\nlayernorm,101,2\nqkv_proj,1,10\nembedding,1,5\n";
    place.write("kernels/dense.csv", dense);
    place.write(
        "kernels/per_sequence.csv",
        "layer,sequences,time_us\nlm_head,1,100\nsampler,1,10\n",
    );
    place.write(
        "kernels/attention.csv",
        "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,100,2\n0,0,3,200,8\n50,0,0,0,10\n100,0,1,100,23\n",
    );
    let set = [
        "--set",
        "latency.kind=profile",
        "--set",
        "latency.folder=kernels",
    ];
    let run = |more: &[&str]| place.matrix(&[&set, more].concat());
    assert!(run(&[]).contains(RUN));
    assert!(run(&[]).contains(PRESENT));
    // The same bytes under a later time.
    for name in ["t.csv", "kernels/dense.csv"] {
        let content = std::fs::read_to_string(place.path(name)).expect("reads");
        place.write(name, &content);
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(100);
        let file = std::fs::File::options()
            .write(true)
            .open(place.path(name))
            .expect("opens");
        file.set_modified(later).expect("sets");
    }
    assert!(run(&[]).contains(PRESENT));
    place.write("kernels/dense.csv", &dense.replace("101,2", "101,3"));
    let said = run(&[]);
    assert!(said.contains(RUN), "{said}");
    assert!(
        said.contains("replaced results: a file that the configuration names has changed (2 cells, the first is results/0/"),
        "{said}"
    );
    let slower = ["--set", "slo.ttft_seconds=1.5"];
    let said = run(&slower);
    assert!(
        said.contains("replaced results: the configuration has changed (2 cells"),
        "{said}"
    );
    assert!(run(&slower).contains(PRESENT));
    // Results of another version of the program.
    let record = place.cell().join("inputs.json");
    let own = std::fs::read_to_string(&record).expect("reads");
    let build = kvreplay::base::version::build_id();
    std::fs::write(&record, own.replace(build, "0.0.0-0000000000000000")).expect("writes");
    let said = run(&slower);
    assert!(said.contains(ONE), "{said}");
    assert!(
        said.contains(": another version of this program wrote it\n"),
        "{said}"
    );
}

#[test]
fn three_processes_in_one_folder_lose_and_mix_nothing() {
    let (alone, place) = (Place::new(), Place::new());
    let args = [
        &MATRIX[..],
        &["--rates", "1,4", "--autoscaler", "no_autoscaling,kpa"],
    ]
    .concat();
    alone.run(&args);
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_replay"))
            .args(&args)
            .current_dir(place.0.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("starts")
    };
    let started = [start(), start(), start()];
    for process in started {
        told(&process.wait_with_output().expect("ends"));
    }
    let relative = |place: &Place| -> Vec<(PathBuf, Vec<u8>)> {
        let root = place.path("results");
        let named = |(path, content): (PathBuf, Vec<u8>)| {
            (path.strip_prefix(&root).expect("below").to_owned(), content)
        };
        files(&root).into_iter().map(named).collect()
    };
    let (expected, found) = (relative(&alone), relative(&place));
    let names = |files: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&found), names(&expected));
    assert!(found == expected);
    assert!(
        place
            .run(&args)
            .contains("0 cells run, 8 there already, 0 failed")
    );
}

#[test]
fn a_damaged_line_of_a_sweep_is_computed_again() {
    let place = Place::new();
    let trace = text(&place.path("t.jsonl")).to_owned();
    let chats = text(&place.path("chats.jsonl")).to_owned();
    place.run(&["synth-dataset", "-n", "5", "--output", &chats]);
    place.run(&[
        "gen-trace",
        &chats,
        "--tokenizer",
        "chars",
        "--output",
        &trace,
    ]);
    let sweep = || {
        place.run(&[
            "sweep",
            "t.jsonl",
            "--engine",
            "ideal",
            "--eviction",
            "lru,fifo",
            "--capacity",
            "20%,50%",
            "--output-dir",
            "sweep",
        ])
    };
    let first = sweep();
    assert!(!first.contains("finished there already"), "{first}");
    let whole = files(&place.path("sweep"));
    let again = sweep();
    assert!(
        again.contains("4 of 4 combinations were finished there already"),
        "{again}"
    );
    assert_eq!(files(&place.path("sweep")), whole);
    let cells = place.path("sweep/cells.jsonl");
    let lines = std::fs::read_to_string(&cells).expect("reads");
    assert!(!lines.contains("\"seconds\""), "{lines}");
    // Another number in the first line, which is still JSON.
    let at = lines.find("\"evictions\":").expect("a count") + "\"evictions\":".len();
    let digit = if lines.as_bytes()[at] == b'7' {
        "8"
    } else {
        "7"
    };
    let mut changed = lines.clone();
    changed.replace_range(at..=at, digit);
    std::fs::write(&cells, changed).expect("writes");
    let said = sweep();
    assert!(
        said.contains("3 of 4 combinations were finished there already"),
        "{said}"
    );
    assert!(
        said.contains("sweep/cells.jsonl: 1 lines are damaged or of another version; their combinations are run again"),
        "{said}"
    );
    assert_eq!(files(&place.path("sweep")), whole);
}
