//! The HTML of a page.

use std::fmt::Write;

use serde_json::Value;

use super::chart_data::{Plot, plot_json};
use super::{Chart, Page, Table};

/// Apache ECharts, which draws the charts; see `assets/NOTICE`.
const ECHARTS: &[u8] = include_bytes!("assets/echarts.common.min.js.zst");
const STYLE: &str = include_str!("assets/report.css");
const SCRIPT: &str = include_str!("assets/report.js");

impl Page {
    /// The HTML of the page.
    pub(super) fn render(&self) -> std::io::Result<String> {
        let library =
            String::from_utf8(zstd::stream::decode_all(ECHARTS)?).map_err(std::io::Error::other)?;
        let plots = self.plots();
        let mut out = String::with_capacity(1 << 20);
        // The content security policy forbids loading anything: a report works offline and discloses nothing.
        out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n");
        element(&mut out, "title", &self.title);
        out.push_str("<style>\n");
        out.push_str(STYLE);
        out.push_str("</style>\n</head>\n<body>\n<header>\n");
        element(&mut out, "h1", &self.title);
        element(&mut out, "p class=\"soft\"", &self.lead);
        // The script fills this element; without scripts the page has the system's theme.
        out.push_str("<div id=\"theme\"></div>\n</header>\n<main>\n");
        if !self.answer.is_empty() {
            element(&mut out, "p class=\"answer\"", &self.answer);
        }
        out.push_str("<ul class=\"tiles\">\n");
        for (value, name) in &self.tiles {
            let (value, name) = (escape(value), escape(name));
            push(
                &mut out,
                format_args!("<li><b>{value}</b><span>{name}</span></li>\n"),
            );
        }
        out.push_str("</ul>\n");
        out.push_str(self.warning);
        out.push_str("<h2>Charts</h2>\n<div id=\"choices\"></div>\n<div class=\"charts\">\n");
        for plot in &plots {
            if let Some((chart, cleaned, _)) = plot.first() {
                figure(&mut out, chart, cleaned);
            }
        }
        if !self.notes.is_empty() {
            out.push_str("</div>\n<ul class=\"soft notes\">\n");
            for note in &self.notes {
                element(&mut out, "li", note);
            }
            out.push_str("</ul>\n<div>");
        }
        out.push_str("</div>\n<h2>Figures</h2>\n<div class=\"tables\">\n");
        for one in &self.tables {
            table(&mut out, one);
        }
        out.push_str("</div>\n");
        out.push_str(self.definitions);
        out.push_str("<details>\n<summary>Configuration and command</summary>\n");
        element(&mut out, "pre", &self.command);
        let configuration = serde_json::to_string_pretty(&self.configuration)?;
        element(&mut out, "pre", &configuration);
        let version = crate::base::version::VERSION;
        push(
            &mut out,
            format_args!(
                "<p class=\"soft\">replay {version}. Charts in this page: Apache ECharts, Apache License 2.0.</p>\n"
            ),
        );
        out.push_str("</details>\n</main>\n<script type=\"application/json\" id=\"chart-data\">");
        let data = Value::Array(plots.iter().map(|plot| plot_json(plot)).collect());
        // A closing tag within a text would end the element.
        out.push_str(&data.to_string().replace('<', "\\u003c"));
        out.push_str("</script>\n<script>");
        out.push_str(&library);
        out.push_str("</script>\n<script>\n");
        out.push_str(SCRIPT);
        out.push_str("</script>\n</body>\n</html>\n");
        Ok(out)
    }

    /// The positions of charts on the page, each with the charts that can be shown at that position.
    fn plots(&self) -> Vec<Vec<Plot<'_>>> {
        let alone = self.charts.iter().map(|chart| (chart, [].as_slice()));
        let chosen = self
            .variants
            .iter()
            .map(|one| (&one.chart, one.choices.as_slice()));
        let mut plots: Vec<Vec<Plot<'_>>> = Vec::new();
        for (chart, choices) in alone.chain(chosen) {
            let plot = (chart, chart.cleaned(), choices);
            let same = |plot: &&mut Vec<Plot<'_>>| plot[0].0.name == chart.name;
            match plots.iter_mut().find(same) {
                Some(place) => place.push(plot),
                None => plots.push(vec![plot]),
            }
        }
        plots
    }
}

/// Escapes text for elements and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(arguments);
}

/// Appends an element with text; `opening` is its name and attributes.
fn element(out: &mut String, opening: &str, text: &str) {
    let name = opening.split(' ').next().unwrap_or_default();
    push(out, format_args!("<{opening}>{}</{name}>\n", escape(text)));
}

fn figure(out: &mut String, chart: &Chart, cleaned: &Chart) {
    let title = escape(&chart.title);
    let said = escape(&format!(
        "{}: {} by {}",
        chart.title, chart.y.label, chart.x.label
    ));
    push(
        out,
        format_args!(
            "<figure id=\"{}\">\n<h3>{title}</h3>\n<div class=\"tools\"></div>\n<div class=\"plot\" role=\"img\" aria-label=\"{said}\"></div>\n",
            chart.name
        ),
    );
    out.push_str("<noscript>\n");
    out.push_str(&cleaned.svg());
    out.push_str(
        "\n</noscript>\n<details><summary>Values as a table</summary></details>\n</figure>\n",
    );
}

fn table(out: &mut String, table: &Table) {
    // A scrolling box must be reachable by keyboard.
    out.push_str("<div class=\"scroll\" tabindex=\"0\">\n<table class=\"sortable\">\n");
    element(out, "caption", &table.caption);
    out.push_str("<thead><tr>");
    for name in &table.header {
        element(out, "th scope=\"col\"", name);
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let value = cell.value.map_or(String::new(), |value| {
                format!(" data-v=\"{}\"", sortable(value))
            });
            let (name, scope) = match column {
                0 => ("th", " scope=\"row\""),
                _ => ("td", ""),
            };
            let text = escape(&cell.text);
            push(out, format_args!("<{name}{scope}{value}>{text}</{name}>"));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

/// Rounds to twelve digits, so that a figure read back from a file sorts and prints as the original.
fn sortable(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}
