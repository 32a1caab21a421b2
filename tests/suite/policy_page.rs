//! The pages that `report` writes for studies, and the animation.

use std::path::Path;

use crate::common::pages::{results, studies};
use crate::common::{replay, stdout, text};

#[test]
fn a_page_and_an_animation_of_policies() {
    let folder = tempfile::tempdir().expect("folder");
    let root = results(folder.path());
    let gif = folder.path().join("growth.gif");
    stdout(&["report", &root, "--animate", text(&gif)]);
    let page = Path::new(&root).join("comparison/report.html");
    let text = std::fs::read_to_string(&page).expect("page");
    assert!(text.len() < 5_000_000, "{} bytes", text.len());
    for loading in ["<link", "<img", "<iframe", "@import"] {
        let own = text.split("<script").next().expect("head");
        assert!(!own.contains(loading), "{loading}");
    }
    let figures = text.matches("<figure id=").count();
    assert!(figures >= 15, "{figures}");
    assert_eq!(frames(&gif), 2, "a picture for each rate");
}

fn frames(gif: &Path) -> usize {
    let file = std::fs::File::open(gif).expect("GIF");
    let mut decoder = gif::DecodeOptions::new().read_info(file).expect("GIF");
    let mut frames = 0;
    while decoder.read_next_frame().expect("frame").is_some() {
        frames += 1;
    }
    frames
}

#[test]
fn sweeps_curves_and_studies_have_pages_too() {
    let folder = tempfile::tempdir().expect("folder");
    for (study, figure) in studies(folder.path()) {
        let page = format!("{study}/page.html");
        stdout(&["report", &study, "--output", &page]);
        let text = std::fs::read_to_string(&page).expect("page");
        assert!(
            text.contains(&format!("<figure id=\"{figure}\">")),
            "{study}"
        );
    }
    let nothing = folder.path().join("nothing");
    std::fs::create_dir_all(&nothing).expect("folder");
    let output = replay(&["report", text(&nothing)]);
    assert_eq!(output.status.code(), Some(2));
}
