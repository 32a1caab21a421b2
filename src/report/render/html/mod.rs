//! `report.html`: tables, charts to zoom and hover, definitions. One file that asks nothing of the network.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::chart::{Axis, Chart, Marks, Scale, Series, Sign};
use crate::base::error::{Error, Result};
use crate::base::io::write_file;

/// Draws the charts; see `assets/NOTICE`.
const ECHARTS: &[u8] = include_bytes!("assets/echarts.common.min.js.zst");
const STYLE: &str = include_str!("assets/report.css");
const SCRIPT: &str = include_str!("assets/report.js");

/// Bytes of a tile's value beyond which it is a sentence and no figure.
const LONG_TILE: usize = 40;

/// A cell, and what it sorts by where that is not its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// As people read it.
    pub text: String,
    /// As it sorts.
    pub value: Option<f64>,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self {
            text: text.into(),
            value: None,
        }
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
}

/// A picture that is shown where the choices are its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The picture; those with one name share a place.
    pub chart: Chart,
    /// Names of choices and what is chosen, as percentile and P90.
    pub choices: Vec<(&'static str, String)>,
}

/// What a page says.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The heading.
    pub title: String,
    /// A line below it.
    pub lead: String,
    /// The few figures that one came for: value and name.
    pub tiles: Vec<(String, String)>,
    /// HTML of a warning that stands above the charts; empty without one.
    pub warning: &'static str,
    /// All figures.
    pub tables: Vec<Table>,
    /// The pictures.
    pub charts: Vec<Chart>,
    /// Pictures of which one of several is shown, by choices for the whole page.
    pub variants: Vec<Variant>,
    /// What was left out or thinned, and by how much.
    pub notes: Vec<String>,
    /// What the figures mean, as HTML of the page's own.
    pub definitions: &'static str,
    /// What was in force.
    pub configuration: Value,
    /// What made it.
    pub command: String,
}

impl Page {
    /// Writes the page.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let page = self.render().map_err(|source| Error::write(path, source))?;
        write_file(path, page.as_bytes())
    }

    /// The page's text.
    fn render(&self) -> std::io::Result<String> {
        let library =
            String::from_utf8(zstd::stream::decode_all(ECHARTS)?).map_err(std::io::Error::other)?;
        let plots = self.plots();
        let mut out = String::with_capacity(1 << 20);
        // Nothing may be loaded, so that a report can be opened anywhere and tells nobody.
        out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n");
        element(&mut out, "title", &self.title);
        out.push_str("<style>\n");
        out.push_str(STYLE);
        out.push_str("</style>\n</head>\n<body>\n<header>\n");
        element(&mut out, "h1", &self.title);
        element(&mut out, "p class=\"soft\"", &self.lead);
        // Made by the script: without one there is no other theme than the system's.
        out.push_str("<div id=\"theme\"></div>\n</header>\n<main>\n<ul class=\"tiles\">\n");
        for (value, name) in &self.tiles {
            let (value, name) = (escape(value), escape(name));
            push(
                &mut out,
                // A sentence needs the whole width.
                format_args!(
                    "<li{}><b>{value}</b><span>{name}</span></li>\n",
                    if value.len() > LONG_TILE {
                        " class=\"sentence\""
                    } else {
                        ""
                    }
                ),
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
        // A text with a closing tag in it would end the element.
        out.push_str(&data.to_string().replace('<', "\\u003c"));
        out.push_str("</script>\n<script>");
        out.push_str(&library);
        out.push_str("</script>\n<script>\n");
        out.push_str(SCRIPT);
        out.push_str("</script>\n</body>\n</html>\n");
        Ok(out)
    }

    /// The places of the page, each with its charts: as they are, without what cannot be drawn, and when they are shown.
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

/// Text as HTML, within elements and within quoted attributes.
pub fn escape(text: &str) -> String {
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
    // A string takes all that is written to it.
    let _ = out.write_fmt(arguments);
}

/// An element with text, and attributes behind its name.
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
    // A box that scrolls has to be reachable without a mouse.
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

/// A chart as it is, without what cannot be drawn, and the choices under which it is shown.
type Plot<'a> = (&'a Chart, Chart, &'a [(&'static str, String)]);

fn plot_json(plot: &[Plot<'_>]) -> Value {
    let one = |(_, chart, choices): &Plot<'_>| {
        let mut value = chart_json(chart);
        let choices = choices
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)));
        value["choices"] = Value::Object(choices.collect());
        value
    };
    json!({"name": plot[0].0.name, "variants": plot.iter().map(one).collect::<Vec<_>>()})
}

fn chart_json(chart: &Chart) -> Value {
    let axis = |axis: &Axis| json!({"label": axis.label, "scale": scale_name(axis.scale)});
    let points = |points: &[(f64, f64)]| {
        json!(
            points
                .iter()
                .map(|p| [short(p.0), short(p.1)])
                .collect::<Vec<_>>()
        )
    };
    let values =
        |values: &[Option<f64>]| json!(values.iter().map(|v| v.map(short)).collect::<Vec<_>>());
    let drawn = |series: &&Series| !matches!(series.marks, Marks::Room(_));
    let series = chart.series.iter().filter(drawn).map(|series| {
        let mut one = json!({"name": series.name, "color": series.color, "dashed": series.dashed});
        let (kind, data) = match &series.marks {
            Marks::Line(all) => ("line", points(all)),
            Marks::Step(all) => ("step", points(all)),
            Marks::Bars(all) => ("bars", values(all)),
            Marks::Rules(of, all) => {
                one["of"] = json!(of);
                ("rules", values(all))
            }
            Marks::Styled(all, look) => {
                one["look"] = json!({"sign": look.sign.map(Sign::name), "dash": look.dash});
                (if look.step { "step" } else { "line" }, points(all))
            }
            Marks::Tagged(all) => {
                one["colors"] = json!(all.iter().map(|(_, color)| color).collect::<Vec<_>>());
                let all: Vec<Option<f64>> = all.iter().map(|(value, _)| *value).collect();
                ("bars", values(&all))
            }
            Marks::Limit(at) => ("limit", json!([short(*at)])),
            Marks::Room(all) => ("room", points(all)),
        };
        one["kind"] = json!(kind);
        one["data"] = data;
        one
    });
    json!({"name": chart.name, "title": chart.title, "x": axis(&chart.x), "y": axis(&chart.y),
        "categories": chart.categories, "series": series.collect::<Vec<_>>()})
}

fn scale_name(scale: Scale) -> &'static str {
    match scale {
        Scale::Linear => "linear",
        Scale::Log => "log",
        Scale::Percent | Scale::PercentUsed => "percent",
    }
}

/// Twelve digits: enough to sort by, and the same whether a figure comes from memory or from a file.
fn sortable(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// Seven digits: more than a screen shows, at half the size.
fn short(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use crate::report::render::html::*;

    #[test]
    fn texts_cannot_leave_their_place() {
        let evil = "</script><b onmouseover='x'>\"&";
        let page = Page {
            title: evil.into(),
            lead: evil.into(),
            tiles: vec![(evil.into(), evil.into())],
            warning: "<section>warning</section>\n",
            tables: vec![Table {
                caption: evil.into(),
                header: vec![evil.into()],
                rows: vec![vec![evil.into()]],
            }],
            charts: vec![Chart {
                name: "empty",
                title: evil.into(),
                x: Axis::new(evil, Scale::Linear),
                y: Axis::new(evil, Scale::Log),
                categories: vec![evil.into()],
                series: Vec::new(),
            }],
            variants: Vec::new(),
            notes: vec![evil.into()],
            definitions: "",
            configuration: json!({"text": evil}),
            command: evil.into(),
        };
        let text = page.render().expect("renders");
        assert!(!text.contains("<b onmouseover"), "escaped everywhere");
        // The three scripts of the page's own.
        assert_eq!(text.matches("</script>").count(), 3);
        assert!(text.len() < 1_600_000, "{}", text.len());
    }
}
