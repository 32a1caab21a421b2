//! Every command writes and prints the same bytes on every machine: for any number of threads, time zone, locale, home folder,
//! terminal width and current folder, and in whatever order files were created.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::commands::commands;

/// A chain of commands, each of which may use the files of those before it. A word before `--` names the command.
const CASES: &[&str] = &[
    "synth-dataset -n 20 --output chats.jsonl.zst",
    "gen-trace chats.jsonl.zst --tokenizer chars --arrival gamma --think-time lognormal --output t.jsonl",
    "gen-trace chats.jsonl.zst --tokenizer cl100k --rate-shape diurnal --output bpe.jsonl.gz",
    "inspect t.jsonl --json",
    "analyze t.jsonl --capacity 25% --hold linear:0.1,5 --output-dir analysis",
    "analyze t.jsonl --engine sglang --capacity 300 --eviction lfu --output-dir radix",
    "curve t.jsonl --engine ideal --output-dir curve",
    "curve t.jsonl --points 5 --output-dir curve-replayed",
    "sweep t.jsonl --engine ideal --eviction lru,s3-fifo,random,w-tinylfu --capacity 10%,50% --output-dir sweep",
    "experiment chats.jsonl.zst --tokenizer chars --output-dir experiment",
    "capacity --model llama-3-8b --memory 80GiB --json",
    "simulate t.jsonl --preset llama-8b-pd-4-4 --seeds 0,1 --results runs --chrome-trace chrome.json",
    "simulate t.jsonl --preset llama-8b-pd-4-4 --autoscaler heteroscale --metrics vidur --output-dir run",
    "matrix t.jsonl --rates 2,8 --preset llama-8b-pd-4-4 --autoscaler no_autoscaling,kpa --seeds 0,1 --results matrix",
    "compare matrix --json --output-dir comparison",
    "report matrix --output page.html --animate page.gif",
    "report analysis",
    "report sweep",
    "study lengths.csv --preset llama-8b-pd-4-4 --autoscaler kpa --test-instances 2 --test-requests 20 --output-dir study",
    "profile --preset llama-8b-pd-4-4 --prefill-points 2 --contexts 2 --loads 2 --output-dir profile",
    "plan t.jsonl --profile profile --interval 5 --output plan.csv",
    "plan t.jsonl --interval 5 --backtest --json",
    "tune threshold t.jsonl --max-threshold 2 --seeds 0,1 --resamples 100 --output-dir thresholds",
    "tune select thresholds --resamples 100 --json",
    "tune aging t.jsonl --ratios 100 --seeds 0,1 --set pool.0.instances=1 --set workload.time_scale=0.1 --set scheduler.enable_dynamic_chunking_schedule=true --set scheduler.chunk_schedule_max_tokens=2048 --output-dir aging",
    "tune compare-samples before.csv after.csv --column x --json",
    "calibrate lengths.csv --measured measured.csv --profile kernels --model llama-3-8b --num-gpu-blocks 2588 --json",
    "export t.jsonl --to mooncake --output mooncake.jsonl",
    "export t.jsonl --to vllm-sim --output vllm-sim.jsonl.zst",
    "completions bash",
    "man --output-dir man",
];

/// The files that the cases read and no case writes.
fn inputs(reverse: bool) -> Vec<(&'static str, String)> {
    let mut lengths = "arrived_at,num_prefill_tokens,num_decode_tokens\n".to_owned();
    let mut measured = "request_id,arrival_time,first_token_ts,last_token_ts\n".to_owned();
    for i in 0..24 {
        let at = f64::from(i) / 4.0;
        lengths += &format!("{at},{},{}\n", 40 + 7 * (i % 5), 3 + i % 4);
        let (first, last) = (at + 0.01, at + 0.05 + 0.001 * f64::from(i % 4));
        measured += &format!("{i},{at},{first},{last}\n");
    }
    let sample = |step: i32| {
        let rows: String = (0..9).map(|i| format!("{}\n", i * step)).collect();
        format!("x\n{rows}")
    };
    let mut files = vec![
        ("lengths.csv", lengths),
        ("measured.csv", measured),
        ("before.csv", sample(2)),
        ("after.csv", sample(3)),
        (
            "kernels/dense.csv",
            "layer,tokens,time_us\nlayernorm,1,1\nlayernorm,101,2\nqkv_proj,1,10\nqkv_proj,101,60\nembedding,1,5\n".into(),
        ),
        (
            "kernels/per_sequence.csv",
            "layer,sequences,time_us\nlm_head,1,100\nsampler,1,10\nlm_head,3,120\n".into(),
        ),
        (
            "kernels/attention.csv",
            "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,100,2\n0,0,1,200,4\n0,0,3,100,6\n0,0,3,200,8\n\
             50,0,0,0,10\n100,0,0,0,20\n100,100,0,0,30\n100,0,1,100,23\n"
                .into(),
        ),
    ];
    if reverse {
        files.reverse();
    }
    files
}

/// What a machine has of its own.
struct Machine {
    threads: &'static str,
    /// How the number of threads is given, by an option or by the environment.
    option: bool,
    environment: &'static [(&'static str, &'static str)],
    reverse: bool,
}

const MACHINES: [Machine; 2] = [
    Machine {
        threads: "1",
        option: true,
        environment: &[
            ("TZ", "UTC"),
            ("LC_ALL", "C"),
            ("LANG", "C"),
            ("COLUMNS", "60"),
            ("HOME", "/nonexistent"),
        ],
        reverse: false,
    },
    Machine {
        threads: "7",
        option: false,
        environment: &[
            ("TZ", "Asia/Kathmandu"),
            ("LC_ALL", "de_DE.UTF-8"),
            ("LANG", "tr_TR.UTF-8"),
            ("COLUMNS", "220"),
            ("HOME", "/"),
            ("TERM", "xterm-256color"),
        ],
        reverse: true,
    },
];

/// What every case prints, and every file that there is in the end.
fn everything(machine: &Machine) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir(root.join("kernels")).unwrap();
    for (name, content) in inputs(machine.reverse) {
        std::fs::write(root.join(name), content).unwrap();
    }
    let mut found = BTreeMap::new();
    for case in CASES {
        let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
        command.args(case.split(' ')).current_dir(root);
        match machine.option {
            true => drop(command.args(["--threads", machine.threads])),
            false => drop(command.env("RAYON_NUM_THREADS", machine.threads)),
        }
        command.envs(machine.environment.iter().copied());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{case}: {told}");
        assert!(!told.contains("panicked"), "{case}: {told}");
        found.insert(format!("(printed by {case})"), output.stdout);
    }
    collect(root, root, &mut found);
    let path = root.to_str().unwrap().to_owned();
    for (name, content) in &found {
        let plain = kvreplay::base::io::Input::from_bytes(Path::new(name), content.clone())
            .and_then(kvreplay::base::io::Input::read_to_end)
            .unwrap();
        let told = plain
            .windows(path.len())
            .any(|part| part == path.as_bytes());
        assert!(!told, "{name} tells where it was made");
    }
    found
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(root, &path, files),
            false => {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
}

#[test]
fn every_command_gives_the_same_bytes_on_every_machine() {
    let [first, other] = std::thread::scope(|scope| {
        let runs = MACHINES
            .each_ref()
            .map(|machine| scope.spawn(|| everything(machine)));
        runs.map(|run| run.join().unwrap())
    });
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&first), names(&other));
    let endings: BTreeSet<&str> = first
        .keys()
        .filter_map(|name| name.rsplit_once('.'))
        .map(|(_, ending)| ending)
        .collect();
    for ending in [
        "csv", "gif", "gz", "html", "json", "jsonl", "md", "png", "svg", "toml", "zst",
    ] {
        assert!(
            endings.contains(ending),
            "no file ends in {ending}: {endings:?}"
        );
    }
    let differing: Vec<&String> = first
        .keys()
        .filter(|name| first[*name] != other[*name])
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn every_command_has_a_case() {
    let mut missing = Vec::new();
    let mut check = |name: &str| {
        if !CASES
            .iter()
            .any(|case| format!("{case} ").starts_with(&format!("{name} ")))
        {
            missing.push(name.to_owned());
        }
    };
    for name in commands(&[]) {
        let inner = commands(&[&name]);
        match inner.is_empty() {
            true => check(&name),
            false => inner
                .iter()
                .for_each(|inner| check(&format!("{name} {inner}"))),
        }
    }
    assert!(missing.is_empty(), "add a case of: {missing:?}");
}
