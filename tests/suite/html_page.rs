//! `report.html` as the program writes it.

use crate::common::pages::{PICTURES, experiment};

#[test]
fn the_page_is_whole_and_asks_nothing_of_the_network() {
    let folder = tempfile::tempdir().expect("folder");
    let page = experiment(folder.path(), &[]);
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    // The library's own code has such texts too; no element of the page does.
    let elements: String = page
        .split("<script")
        .map(|part| {
            part.split_once("</script>")
                .map_or(part, |(_, after)| after)
        })
        .collect();
    for loading in ["<link", "<img", "<iframe", "src=", "@import"] {
        assert!(!elements.contains(loading), "{loading}");
    }
    assert!(page.contains("default-src 'none'"));
    assert_eq!(page.matches("<noscript>").count(), PICTURES.len());
    for name in PICTURES {
        assert!(page.contains(&format!("<figure id=\"{name}\">")), "{name}");
        let png = std::fs::read(folder.path().join(format!("{name}.png"))).expect("png");
        assert!(png.starts_with(b"\x89PNG"), "{name}");
        let svg = std::fs::read_to_string(folder.path().join(format!("{name}.svg"))).expect("svg");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"), "{name}");
    }
    assert!(!page.contains("which no server runs"));
}

#[test]
fn figures_of_engine_naive_come_with_a_caution() {
    let folder = tempfile::tempdir().expect("folder");
    let page = experiment(folder.path(), &["--engine", "naive"]);
    assert!(page.contains("which no server runs"));
    assert!(page.contains("multi-turn, as served"));
}

#[test]
fn analyze_writes_the_same_bytes_again() {
    let folder = tempfile::tempdir().expect("folder");
    experiment(folder.path(), &[]);
    let files: Vec<Vec<Vec<u8>>> = ["a", "b"]
        .map(|name| {
            let out = folder.path().join(name);
            assert_cmd::Command::cargo_bin("replay")
                .expect("binary")
                .arg("analyze")
                .arg(folder.path().join("multi_turn.jsonl.zst"))
                .arg("--output-dir")
                .arg(&out)
                .assert()
                .success();
            let read = |file: &str| std::fs::read(out.join(file)).expect("file");
            vec![
                read("sharing_fraction_cdf.svg"),
                read("sharing_fraction_cdf.png"),
                read("block_hit_distribution.svg"),
                read("reuse_gap_cdf.png"),
            ]
        })
        .to_vec();
    assert!(files[0] == files[1]);
}
