//! The page of an experiment in a headless browser.

use std::path::Path;
use std::process::Command;

use crate::common::pages::{PICTURES, experiment};
use crate::harness::Need::Program;
use crate::harness::tests;

tests! {
    a_browser_draws_the_charts: [Program(CHROMIUM)];
}

/// The browser's name.
pub(crate) const CHROMIUM: &str = "chromium";

/// Opens a page in a headless browser; what the browser prints and what it logs.
pub(crate) fn browser(arguments: &[String], page: &Path) -> (String, String) {
    let profile = tempfile::tempdir().expect("folder");
    let out = Command::new(CHROMIUM)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
        ])
        .args(arguments)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&out.stdout), text(&out.stderr))
}

fn a_browser_draws_the_charts() {
    let folder = tempfile::tempdir().expect("folder");
    experiment(folder.path(), &["--engine", "naive"]);
    let page = folder.path().join("report.html");
    let (dom, log) = browser(&["--dump-dom".to_owned()], &page);
    assert!(
        dom.contains(&format!("data-ready=\"{}\"", PICTURES.len())),
        "charts not drawn: {log}"
    );
    assert!(dom.matches("<canvas").count() >= PICTURES.len());
    let errors: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}
