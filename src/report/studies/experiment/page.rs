//! The page, charts and files of an experiment.

use std::borrow::Cow;
use std::path::Path;

use serde_json::json;

use super::course;
use super::tables::{SingleAndMulti, by_block_size, figures, json, published_figures};
use crate::base::error::Result;
use crate::base::io::write_json;
use crate::report::render::chart::{
    self, Axis, BLUE, Chart, GREY, Marks, ORANGE, SKY, Scale, Series, VERMILLION,
};
use crate::report::render::html::{Page, Table};
use crate::report::studies::answer::ANSWER;
use crate::report::studies::sharing::AnalyzedTrace;
use crate::report::studies::sharing::charts::{distributions, series};
use crate::report::studies::sharing::curves::{self, Curves, ShownReplay};
use crate::report::studies::sharing::page::{DEFINITIONS, group_table, settings, tiles, warning};

/// Writes `summary.json`, `charts.csv`, the charts and `report.html`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(columns: &SingleAndMulti<'_>, folder: &Path, command: &str) -> Result<()> {
    let mut value = json(columns);
    if let Some(entries) = value.as_object_mut() {
        entries.insert("command".into(), json!(command));
        entries.insert("version".into(), json!(crate::base::version::VERSION));
    }
    write_json(&folder.join("summary.json"), &value)?;
    let replays = shown(columns);
    curves::write(&replays, folder)?;
    let page = page(columns, &replays, command);
    chart::save_all(&page.charts, folder)?;
    page.write(&folder.join("report.html"))
}

/// The replays of an experiment.
fn shown<'a>(columns: &SingleAndMulti<'a>) -> Vec<ShownReplay<'a>> {
    let one = |name, color, dashed, run: &AnalyzedTrace<'a>| ShownReplay {
        name,
        color,
        dashed,
        summary: Cow::Borrowed(run.summary),
        curves: Curves::new(run.analysis),
    };
    let mut runs = vec![
        one("single-turn", VERMILLION, false, &columns.single),
        one("multi-turn", BLUE, false, &columns.multi),
    ];
    if let Some((single, multi)) = &columns.truth {
        runs.push(one("single-turn, as served", ORANGE, true, single));
        runs.push(one("multi-turn, as served", SKY, true, multi));
    }
    runs
}

/// The charts of an experiment: those of an analysis with all replays in each, and the comparison.
fn charts(runs: &[ShownReplay<'_>], published: bool) -> Vec<Chart> {
    let mut charts = distributions(runs);
    charts.push(comparison(runs, published));
    charts
}

fn comparison(runs: &[ShownReplay<'_>], with_published: bool) -> Chart {
    let mut all = series(runs, |run| {
        let summary = &run.summary;
        Marks::Bars(vec![
            Some(summary.sharing_fraction.mean),
            Some(summary.sharing_fraction.p50),
            Some(summary.block_hit_ratio),
            Some(summary.token_hit_ratio),
        ])
    });
    // The course project published no token hit ratio.
    let published = [(0, course::SINGLE), (1, course::MULTI)].map(|(of, figures)| {
        Marks::Rules(
            of,
            vec![
                Some(figures.mean),
                Some(figures.median),
                Some(figures.reuse_rate),
                None,
            ],
        )
    });
    let published = published.into_iter().filter(|_| with_published);
    all.extend(published.map(|marks| Series {
        name: "published figure".into(),
        color: GREY,
        dashed: false,
        marks,
    }));
    Chart {
        name: "comparison",
        title: "Single-turn and multi-turn".into(),
        x: Axis::new(
            if with_published {
                "rules: the course project's first 100 ShareGPT records"
            } else {
                ""
            },
            Scale::Linear,
        ),
        y: Axis::new("share", Scale::Percent),
        categories: [
            "sharing fraction, mean",
            "sharing fraction, median",
            "block reuse rate",
            "token hit ratio",
        ]
        .map(Into::into)
        .to_vec(),
        series: all,
    }
}

/// The page of an experiment.
fn page(columns: &SingleAndMulti<'_>, replays: &[ShownReplay<'_>], command: &str) -> Page {
    let (single, multi) = (columns.single.summary, columns.multi.summary);
    let (header, rows) = figures(columns);
    let mut tables = vec![plain("Single-turn and multi-turn", header, rows)];
    if !columns.others.is_empty() {
        let (header, rows) = by_block_size(columns);
        tables.push(plain("By block size", header, rows));
    }
    if columns.published {
        let (header, rows) = published_figures(columns);
        tables.push(plain(
            "The course project's published figures (first 100 ShareGPT records) beside this run's",
            header,
            rows,
        ));
    }
    tables.push(group_table("Multi-turn, by turn", "turn", &multi.by_turn));
    tables.push(group_table(
        "Multi-turn, by prompt length",
        "prompt tokens",
        &multi.by_prompt_length,
    ));
    let mut tiles = vec![(columns.answer(), ANSWER.to_owned())];
    tiles.extend(self::tiles(single, ", single-turn").into_iter().take(1));
    tiles.extend(self::tiles(multi, ", multi-turn"));
    let meta = &columns.multi.trace.meta;
    Page {
        title: "Prefix sharing: single-turn and multi-turn".into(),
        lead: settings(multi),
        tiles,
        warning: warning(&multi.settings.engine),
        tables,
        charts: charts(replays, columns.published),
        variants: Vec::new(),
        notes: Vec::new(),
        definitions: DEFINITIONS,
        configuration: json!({"settings": multi.settings, "tokenizer": meta.tokenizer, "template": meta.template,
            "arrival": meta.arrival, "seed": meta.seed, "generator": meta.generator}),
        command: command.into(),
    }
}

/// Rows whose columns have values of many kinds, which sort by text.
fn plain(caption: &str, header: Vec<String>, rows: Vec<Vec<String>>) -> Table {
    let cells = |row: Vec<String>| row.iter().map(|text| text.as_str().into()).collect();
    Table {
        caption: caption.into(),
        header,
        rows: rows.into_iter().map(cells).collect(),
    }
}
