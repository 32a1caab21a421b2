//! The folder that `analyze --output-dir` writes, and the page built from its files.

use std::borrow::Cow;
use std::path::Path;

use serde_json::json;

use super::analyzed::AnalyzedTrace;
use super::curves::{self, Curves};
use super::page::{self, Origin};
use super::{charts, csv_files, text};
use crate::base::error::{Error, Location, Result};
use crate::base::io::{StagedFolder, write_json};
use crate::metrics::Summary;
use crate::report::render::chart;
use crate::report::render::html::Page;
use crate::report::studies::json_file;
use crate::trace::Trace;

/// Writes `summary.json`, `requests.csv`, `blocks.csv`, `charts.csv`, the charts and `report.html`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(run: &AnalyzedTrace<'_>, folder: &Path, source: &str, command: &str) -> Result<()> {
    let origin = Origin {
        source: source.to_owned(),
        meta: trace_meta(run.trace),
        command: command.to_owned(),
    };
    let mut value = text::value(run.summary).unwrap_or_default();
    if let Some(entries) = value.as_object_mut() {
        entries.insert("trace".into(), json!(source));
        entries.insert("trace_meta".into(), origin.meta.clone());
        entries.insert("command".into(), json!(command));
        entries.insert("version".into(), json!(crate::base::version::VERSION));
    }
    let begun = StagedFolder::begin(folder)?;
    let folder = begun.path();
    csv_files::requests(run, &folder.join("requests.csv"))?;
    csv_files::blocks(run, &folder.join("blocks.csv"))?;
    let replay = charts::alone(Cow::Borrowed(run.summary), Curves::new(run.analysis));
    curves::write(std::slice::from_ref(&replay), folder)?;
    let page = page::of_replay(&replay, &origin);
    chart::save_all(&page.charts, folder)?;
    page.write(&folder.join("report.html"))?;
    write_json(folder.join("summary.json"), &value)?;
    begun.finish(&["summary.json"])
}

/// Builds the page that [`write`] wrote from the other files of the folder.
///
/// # Errors
/// Missing files, or files that [`write`] did not write.
pub(in crate::report) fn read_page(folder: &Path) -> Result<Page> {
    let path = folder.join("summary.json");
    let value = json_file::read(&path)?;
    let summary: Summary = serde_json::from_value(value.clone()).map_err(|error| {
        Error::input(
            Location::file(&path),
            format!("is not a summary of an analysis: {error}"),
            "run `replay analyze` again",
        )
    })?;
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let origin = Origin {
        source: text("trace"),
        meta: value["trace_meta"].clone(),
        command: text("command"),
    };
    let [curves] = Curves::read(folder, [charts::THIS_TRACE])?;
    let replay = charts::alone(Cow::Owned(summary), curves);
    Ok(page::of_replay(&replay, &origin))
}

/// Describes how a trace was made, from its header.
pub(in crate::report::studies) fn trace_meta(trace: &Trace) -> serde_json::Value {
    let meta = &trace.meta;
    json!({"generator": meta.generator, "seed": meta.seed, "tokenizer": meta.tokenizer, "template": meta.template,
        "mode": meta.mode, "arrival": meta.arrival, "counts": meta.counts})
}
