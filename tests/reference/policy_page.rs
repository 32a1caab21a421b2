//! The pages of `report` in a browser: what they draw and what their controls do.

use std::path::{Path, PathBuf};

use crate::browser::{CHROMIUM, browser};
use crate::common::pages::{results, studies};
use crate::common::stdout;
use crate::harness::Need::Program;
use crate::harness::tests;

tests! {
    the_page_of_policies_is_drawn_and_answers: [Program(CHROMIUM)];
    pages_of_sweeps_curves_and_studies_are_drawn: [Program(CHROMIUM)];
}

fn complaints(log: &str) -> Vec<&str> {
    log.lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect()
}

/// The page with a script behind its own.
fn with_script(page: &Path, name: &str, script: &str) -> PathBuf {
    let text = std::fs::read_to_string(page).expect("page");
    // The library's code has such a text, too.
    let (before, after) = text.rsplit_once("</body>").expect("a body");
    let text = format!("{before}<script>{script}</script></body>{after}");
    let path = page.with_file_name(name);
    std::fs::write(&path, text).expect("writes");
    path
}

/// What a user does, and what the page says then.
const ACTIONS: &str = r##"
const act = () => {
  if (!document.documentElement.dataset.ready) { setTimeout(act, 20); return; }
  const told = [];
  const tell = (name, value) => told.push(name + "=" + value);
  const root = document.documentElement;
  const policy = [...document.querySelectorAll("#policies button")].find((b) => b.textContent === "hpa_gpu");
  const plot = () => echarts.getInstanceByDom(document.querySelector("#ttft .plot")).getOption();
  const names = () => plot().series.map((s) => s.name).join("+");
  tell("before", names());
  policy.click();
  tell("without", names() + policy.getAttribute("aria-pressed"));
  policy.click();
  tell("after", names());
  const percentile = document.getElementById("choose-percentile");
  const title = () => document.querySelector("#ttft h3").textContent;
  tell("title", title());
  percentile.value = "P99";
  percentile.dispatchEvent(new Event("change"));
  tell("chosen", title());
  const trace = document.getElementById("choose-trace");
  tell("trace", document.querySelector("#instances h3").textContent);
  trace.value = "conv_20";
  trace.dispatchEvent(new Event("change"));
  tell("other", document.querySelector("#instances h3").textContent);
  const log = [...document.querySelectorAll("#ttft .tools button")].find((b) => b.textContent.includes("axis"));
  tell("axis", plot().yAxis[0].type);
  log.click();
  tell("flipped", plot().yAxis[0].type);
  const theme = document.querySelector("#theme button");
  const back = () => getComputedStyle(document.body).backgroundColor;
  const light = back();
  theme.click();
  tell("theme", root.dataset.theme + (back() !== light));
  const head = document.querySelector("table.sortable thead th:nth-child(3) button");
  head.click();
  tell("sorted", head.closest("th").getAttribute("aria-sort"));
  const details = document.querySelector("#ttft details");
  details.open = true;
  const reachable = [...document.querySelectorAll("button, select, summary")].every((e) => e.tabIndex === 0);
  tell("reachable", reachable);
  tell("wide", document.documentElement.scrollWidth <= innerWidth);
  setTimeout(() => {
    tell("values", details.querySelectorAll("tbody tr").length);
    root.dataset.told = told.join(";");
  }, 50);
};
addEventListener("load", act);
"##;

fn the_page_of_policies_is_drawn_and_answers() {
    let folder = tempfile::tempdir().expect("folder");
    let root = results(folder.path());
    stdout(&["report", &root]);
    let page = Path::new(&root).join("comparison/report.html");
    let text = std::fs::read_to_string(&page).expect("page");

    // At a phone's width, too.
    let acted = with_script(&page, "acted.html", ACTIONS);
    let dump = [
        "--dump-dom",
        "--virtual-time-budget=4000",
        "--window-size=500,900",
    ]
    .map(str::to_owned);
    let (dom, log) = browser(&dump, &acted);
    assert!(complaints(&log).is_empty(), "{:?}", complaints(&log));
    let figures = text.matches("<figure id=").count();
    assert!(
        dom.contains(&format!("data-ready=\"{figures}\"")),
        "charts not drawn: {log}"
    );
    for told in [
        "before=no_autoscaling+hpa_gpu",
        "without=no_autoscalingfalse",
        "after=no_autoscaling+hpa_gpu",
        "title=TTFT, P90",
        "chosen=TTFT, P99",
        "trace=Instances in service, conv_60",
        "other=Instances in service, conv_20",
        "axis=value",
        "flipped=log",
        "theme=darktrue",
        "sorted=descending",
        "reachable=true",
        "wide=true",
        "values=4",
    ] {
        assert!(
            dom.contains(told),
            "{told}: {:?}",
            dom.split("data-told").nth(1).map(|t| &t[..600])
        );
    }
    looks(&page);
}

/// Pictures of the page as it is, as it is again, without a policy, and dark.
fn looks(page: &Path) {
    let click = |name: &str, which: &str| {
        let script = format!(
            "addEventListener('load', () => [...document.querySelectorAll('{which}')].find((b) => b.textContent.includes('{name}')).click());"
        );
        with_script(page, &format!("{}.html", name.replace(' ', "-")), &script)
    };
    let shot = |page: &Path| {
        let png = page.with_extension("png");
        let arguments = [
            format!("--screenshot={}", png.display()),
            "--window-size=1200,2400".to_owned(),
            "--virtual-time-budget=2000".to_owned(),
        ];
        browser(&arguments, page);
        blocks(&png)
    };
    let first = shot(page);
    let again = shot(&with_script(page, "again.html", ""));
    let without = shot(&click("hpa_gpu", "#policies button"));
    let dark = shot(&click("Dark theme", "#theme button"));
    let differ = |other: &[[f64; 3]]| {
        let far =
            |(a, b): (&[f64; 3], &[f64; 3])| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 4.0);
        first.iter().zip(other).filter(|pair| far(*pair)).count()
    };
    assert_eq!(first.len(), again.len());
    assert!(first.len() > 500, "{}", first.len());
    // Letters may be smoothed in another way; a chart that is missing is many blocks.
    assert!(differ(&again) <= 2, "{}", differ(&again));
    let changed = differ(&without);
    assert!(changed >= 8, "a policy less is seen: {changed}");
    assert!(
        changed < first.len() / 4,
        "and little else changes: {changed}"
    );
    let mean =
        |blocks: &[[f64; 3]]| blocks.iter().flatten().sum::<f64>() / (3 * blocks.len()) as f64;
    assert!(
        mean(&first) > 200.0 && mean(&dark) < 80.0,
        "{} {}",
        mean(&first),
        mean(&dark)
    );
    // Both policies' colours are on the page.
    let colour = |near: [f64; 3]| {
        let reader = std::fs::File::open(page.with_extension("png")).expect("picture");
        let (_, _, pixels) = pixels(reader);
        let close = |p: &[u8]| {
            near.iter()
                .zip(p)
                .all(|(a, b)| (a - f64::from(*b)).abs() < 12.0)
        };
        pixels.chunks_exact(3).filter(|p| close(p)).count()
    };
    assert!(colour([213.0, 94.0, 0.0]) > 200);
    assert!(colour([77.0; 3]) > 200);
}

fn pixels(file: std::fs::File) -> (usize, usize, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::BufReader::new(file))
        .read_info()
        .expect("PNG");
    let mut buffer = vec![0; reader.output_buffer_size().expect("size")];
    let info = reader.next_frame(&mut buffer).expect("picture");
    let samples = info.color_type.samples();
    let rgb = buffer[..info.buffer_size()]
        .chunks_exact(samples)
        .flat_map(|p| [p[0], p[1], p[2]]);
    (info.width as usize, info.height as usize, rgb.collect())
}

/// Mean colours of squares of 40 pixels.
fn blocks(png: &Path) -> Vec<[f64; 3]> {
    let (width, height, rgb) = pixels(std::fs::File::open(png).expect("picture"));
    let mut all = Vec::new();
    for top in (0..height - 39).step_by(40) {
        for left in (0..width - 39).step_by(40) {
            let mut sum = [0.0; 3];
            for y in top..top + 40 {
                for x in left..left + 40 {
                    for part in 0..3 {
                        sum[part] += f64::from(rgb[(y * width + x) * 3 + part]);
                    }
                }
            }
            all.push(sum.map(|sum| sum / 1600.0));
        }
    }
    all
}

fn pages_of_sweeps_curves_and_studies_are_drawn() {
    let folder = tempfile::tempdir().expect("folder");
    for (study, _) in studies(folder.path()) {
        let page = format!("{study}/page.html");
        stdout(&["report", &study, "--output", &page]);
        let dump = [
            "--dump-dom".to_owned(),
            "--virtual-time-budget=2000".to_owned(),
        ];
        let (dom, log) = browser(&dump, Path::new(&page));
        assert!(
            complaints(&log).is_empty(),
            "{study}: {:?}",
            complaints(&log)
        );
        assert!(dom.contains("data-ready="), "{study}");
        assert!(dom.contains("<canvas"), "{study}");
    }
}
