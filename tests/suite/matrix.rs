//! `replay matrix`: a cell is run again if anything that it depends on has changed, and only then.

use std::path::Path;

use crate::common::{replay, text};

/// One cluster under a policy of the user's own.
fn matrix(folder: &Path, more: &[&str]) -> String {
    let file = |name: &str| text(&folder.join(name)).to_owned();
    let (trace, config, results) = (file("conv.csv"), file("cluster.toml"), file("results"));
    let mut args = vec![
        "matrix",
        &trace,
        "--config",
        &config,
        "--autoscaler",
        "script",
        "--results",
        &results,
    ];
    args.extend(more);
    let output = replay(&args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let line = said.lines().find(|line| line.contains("cells run"));
    line.unwrap_or_else(|| panic!("{said}")).to_owned()
}

const RUN: &str = "1 cells run, 0 there already, 0 failed";
const PRESENT: &str = "0 cells run, 1 there already, 0 failed";

#[test]
fn a_cell_is_run_again_if_something_it_depends_on_has_changed() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, content: &str| std::fs::write(path(name), content).expect("writes");
    let trace = |prompt: u32| {
        let mut content = "arrived_at,num_prefill_tokens,num_decode_tokens\n".to_owned();
        for i in 0..20 {
            content += &format!("{i},{prompt},3\n");
        }
        content
    };
    write("conv.csv", &trace(100));
    write("policy.rhai", "fn decide(signals) { #{ decode: 2 } }");
    let script = path("policy.rhai");
    write(
        "cluster.toml",
        &format!(
            "[[pool]]\nname = \"prefill\"\nrole = \"prefill\"\nblocks = 1000\n\
             [[pool]]\nname = \"decode\"\nrole = \"decode\"\nblocks = 1000\n\
             [autoscaling.script]\npath = {:?}\n",
            text(&script)
        ),
    );
    let run = |more: &[&str]| matrix(folder.path(), more);
    assert_eq!(run(&[]), RUN);
    assert_eq!(run(&[]), PRESENT);

    // The same file, written anew: its content counts, not its age.
    write("conv.csv", &trace(100));
    write("policy.rhai", "fn decide(signals) { #{ decode: 2 } }");
    assert_eq!(run(&[]), PRESENT);

    // Another script under the same name is another policy, and another trace another load.
    write("policy.rhai", "fn decide(signals) { #{ decode: 1 } }");
    assert_eq!(run(&[]), RUN);
    assert_eq!(run(&[]), PRESENT);
    write("conv.csv", &trace(101));
    assert_eq!(run(&[]), RUN);
    assert_eq!(run(&[]), PRESENT);

    // A key of the configuration, a file it no longer has, and --force.
    assert_eq!(run(&["--set", "slo.ttft_seconds=1.5"]), RUN);
    assert_eq!(run(&["--set", "slo.ttft_seconds=1.5"]), PRESENT);
    let cell = "results/0/prefill-1_decode-1/conv/cluster/llama-3-8b/vllm-v1/script";
    std::fs::remove_file(path(cell).join("summary.json")).expect("is there");
    assert_eq!(run(&["--set", "slo.ttft_seconds=1.5"]), RUN);
    assert_eq!(run(&["--set", "slo.ttft_seconds=1.5", "--force"]), RUN);

    // What `simulate` has made with the same inputs need not be made again.
    std::fs::remove_dir_all(path("results")).expect("is there");
    let (trace, config, results) = (path("conv.csv"), path("cluster.toml"), path("results"));
    let made = replay(&[
        "simulate",
        text(&trace),
        "--config",
        text(&config),
        "--autoscaler",
        "script",
        "--results",
        text(&results),
    ]);
    assert!(made.status.success());
    assert_eq!(run(&[]), PRESENT);
}
