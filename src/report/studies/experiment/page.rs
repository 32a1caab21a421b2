//! The page, charts and files of an experiment.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Value, json};

use super::course;
use super::tables::{Figures, SingleAndMulti, by_block_size, figures, json, published_figures};
use crate::base::error::{Error, Location, Result};
use crate::base::io::write_json;
use crate::base::version::VERSION;
use crate::metrics::Summary;
use crate::report::render::chart::{
    self, Axis, BLUE, Chart, GREY, Marks, ORANGE, SKY, Scale, Series, VERMILLION,
};
use crate::report::render::html::{Page, Table};
use crate::report::studies::json_file;
use crate::report::studies::sharing::charts::{distributions, series};
use crate::report::studies::sharing::curves::{self, Curves, ShownReplay};
use crate::report::studies::sharing::page::{DEFINITIONS, group_table, settings, tiles, warning};
use crate::report::studies::sharing::trace_meta;

/// Writes `summary.json`, `charts.csv`, the charts and `report.html`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(columns: &SingleAndMulti<'_>, folder: &Path, command: &str) -> Result<()> {
    let mut value = json(columns);
    let meta = trace_meta(columns.multi.trace);
    if let Some(entries) = value.as_object_mut() {
        entries.insert("command".into(), json!(command));
        entries.insert("trace_meta".into(), meta.clone());
        entries.insert("version".into(), json!(VERSION));
    }
    let figures = columns.figures();
    let mut runs = vec![&columns.single, &columns.multi];
    runs.extend(
        columns
            .truth
            .iter()
            .flat_map(|(single, multi)| [single, multi]),
    );
    let drawn = runs.iter().map(|run| Curves::new(run.analysis));
    let replays = shown(&figures, drawn);
    curves::write(&replays, folder)?;
    let page = page(&figures, &replays, &meta, command);
    chart::save_all(&page.charts, folder)?;
    page.write(&folder.join("report.html"))?;
    write_json(folder.join("summary.json"), &value)
}

/// Builds the page that [`write`] wrote from the other files of the folder.
///
/// # Errors
/// Missing files, or files that [`write`] did not write.
pub(in crate::report::studies) fn read_page(folder: &Path) -> Result<Page> {
    let path = folder.join("summary.json");
    let value = json_file::read(&path)?;
    let summary = |value: &Value| -> Result<Cow<'static, Summary>> {
        let refuse = |error: serde_json::Error| {
            Error::input(
                Location::file(&path),
                format!("has no summaries of an experiment: {error}"),
                "run `replay experiment` again",
            )
        };
        let summary: Summary = serde_json::from_value(value.clone()).map_err(refuse)?;
        Ok(Cow::Owned(summary))
    };
    let both = |value: &Value| -> Result<[Cow<'static, Summary>; 2]> {
        Ok([
            summary(&value["single_turn"])?,
            summary(&value["multi_turn"])?,
        ])
    };
    let as_served = &value["as_served"];
    let medians = &value["sharing_fraction_upper_median"];
    let figures = Figures {
        replays: both(&value)?,
        as_served: (!as_served.is_null())
            .then(|| both(as_served))
            .transpose()?,
        others: value["other_block_sizes"]
            .as_array()
            .map_or([].as_slice(), Vec::as_slice)
            .iter()
            .map(both)
            .collect::<Result<_>>()?,
        published: !value["published"].is_null(),
        upper_medians: ["single_turn", "multi_turn"]
            .map(|mode| medians[mode].as_f64().unwrap_or(f64::NAN)),
    };
    let replays = shown(&figures, Curves::read(folder, REPLAYS.map(|one| one.0))?);
    let command = value["command"].as_str().unwrap_or_default();
    Ok(page(&figures, &replays, &value["trace_meta"], command))
}

/// Names of the replays in legends, their colours, and whether they are dashed.
const REPLAYS: [(&str, &str, bool); 4] = [
    ("single-turn", VERMILLION, false),
    ("multi-turn", BLUE, false),
    ("single-turn, as served", ORANGE, true),
    ("multi-turn, as served", SKY, true),
];

/// The replays of an experiment with their curves.
fn shown<'a>(
    figures: &Figures<'a>,
    curves: impl IntoIterator<Item = Curves>,
) -> Vec<ShownReplay<'a>> {
    let summaries = figures
        .replays
        .iter()
        .chain(figures.as_served.iter().flatten());
    let one =
        |((summary, curves), (name, color, dashed)): ((&Cow<'a, Summary>, _), _)| ShownReplay {
            name,
            color,
            dashed,
            summary: summary.clone(),
            curves,
        };
    summaries.zip(curves).zip(REPLAYS).map(one).collect()
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
            summary.sharing_fraction.mean,
            summary.sharing_fraction.p50,
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
fn page(all: &Figures<'_>, replays: &[ShownReplay<'_>], meta: &Value, command: &str) -> Page {
    let [single, multi] = &all.replays;
    let (header, rows) = figures(all);
    let mut tables = vec![plain("Single-turn and multi-turn", header, rows)];
    if !all.others.is_empty() {
        let (header, rows) = by_block_size(all);
        tables.push(plain("By block size", header, rows));
    }
    if all.published {
        let (header, rows) = published_figures(all);
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
    let mut tiles = tiles(single, ", single-turn");
    tiles.truncate(1);
    tiles.extend(self::tiles(multi, ", multi-turn"));
    Page {
        title: "Prefix sharing: single-turn and multi-turn".into(),
        lead: settings(multi),
        answer: all.answer(),
        tiles,
        warning: warning(&multi.settings.engine),
        tables,
        charts: charts(replays, all.published),
        variants: Vec::new(),
        notes: Vec::new(),
        definitions: DEFINITIONS,
        configuration: json!({"settings": multi.settings, "tokenizer": meta["tokenizer"], "template": meta["template"],
            "arrival": meta["arrival"], "seed": meta["seed"], "generator": meta["generator"]}),
        command: command.into(),
    }
}

/// Rows with columns of mixed values, which are sorted as text.
fn plain(caption: &str, header: Vec<String>, rows: Vec<Vec<String>>) -> Table {
    let cells = |row: Vec<String>| row.iter().map(|text| text.as_str().into()).collect();
    Table {
        caption: caption.into(),
        header,
        rows: rows.into_iter().map(cells).collect(),
    }
}
