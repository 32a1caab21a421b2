//! Several charts in one image with a common legend.

use std::path::Path;

use kuva::plot::LinePlot;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, TextAnchor, render_multiple};

use super::{Chart, Marks, Series, draw, look, write_pictures};
use crate::base::error::Result;

/// Charts arranged in rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Panels {
    /// Stem of the file names.
    pub name: &'static str,
    /// Common title.
    pub title: String,
    /// Number of charts in a row.
    pub columns: usize,
    /// The charts; their titles state how they differ.
    pub charts: Vec<Chart>,
}

/// Size of a chart in SVG units.
const CELL: (f64, f64) = (430.0, 330.0);
/// Size of a chart in a picture with one column.
const ALONE: (f64, f64) = (720.0, 400.0);
/// Height of the common title.
const TITLE: f64 = 44.0;
/// Height of a row of the legend.
const ROW: f64 = 24.0;
/// Font size of the legend.
const LETTERS: u32 = 14;
/// Length of a sample line in the legend.
const SWATCH: f64 = 40.0;

impl Panels {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.charts.iter().all(Chart::is_empty)
    }

    /// Writes `<name>.svg` and `<name>.png`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let scene = self.scene();
        let svg = draw::svg_of(&scene, self.name);
        write_pictures(folder, self.name, &svg, draw::png_of(scene))
    }

    /// Draws the picture as PNG, about this many pixels wide.
    ///
    /// # Errors
    /// A failure of the drawing library.
    pub(crate) fn png(&self, width: f64) -> std::result::Result<Vec<u8>, String> {
        let scene = self.scene();
        let scale = (width / scene.width) as f32;
        draw::png_scaled(scene, scale)
    }

    fn scene(&self) -> Scene {
        let columns = self.columns.clamp(1, self.charts.len().max(1));
        let rows = self.charts.len().div_ceil(columns);
        let cell = if columns == 1 { ALONE } else { CELL };
        let width = cell.0 * columns as f64;
        let entries = self.entries();
        let lines = layout(&entries, width - 40.0);
        let height = TITLE + cell.1 * rows as f64 + ROW * lines.len() as f64 + 18.0;
        let mut scene = Scene::new(width, height);
        scene.font_family = Some("DejaVu Sans, Helvetica, Arial, sans-serif".into());
        scene.text_color = Some("#1A1A1A".into());
        scene.add(Primitive::Text {
            x: width / 2.0,
            y: 28.0,
            content: self.title.clone(),
            size: 18,
            anchor: TextAnchor::Middle,
            rotate: None,
            bold: true,
            color: None,
        });
        for (number, chart) in self.charts.iter().enumerate() {
            let place = (
                cell.0 * (number % columns) as f64,
                TITLE + cell.1 * (number / columns) as f64,
            );
            let panel = draw::scene(&chart.cleaned(), cell, false);
            place_at(&mut scene, panel, place, &format!("{}-{number}", self.name));
        }
        let top = height - ROW * lines.len() as f64 - 6.0;
        for (line, (entries, length)) in lines.iter().enumerate() {
            let mut x = (width - length) / 2.0;
            let y = top + ROW * line as f64 + ROW / 2.0;
            for series in entries {
                swatch(&mut scene, series, (x, y), &format!("{}-{line}", self.name));
                x += SWATCH + 8.0;
                scene.add(Primitive::Text {
                    x,
                    y: y + 5.0,
                    content: series.name.clone(),
                    size: LETTERS,
                    anchor: TextAnchor::Start,
                    rotate: None,
                    bold: false,
                    color: None,
                });
                x += length_of(&series.name) + 26.0;
            }
        }
        scene
    }

    /// Series of the legend: one per name, in the order in which they first appear.
    fn entries(&self) -> Vec<&Series> {
        let mut entries: Vec<&Series> = Vec::new();
        for series in self.charts.iter().flat_map(|chart| &chart.series) {
            if matches!(series.marks, Marks::Room(_)) {
                continue;
            }
            match entries.iter_mut().find(|entry| entry.name == series.name) {
                None => entries.push(series),
                // A line sample shows more properties than the colour of a bar.
                Some(entry) if matches!(entry.marks, Marks::Tagged(_)) => *entry = series,
                Some(_) => {}
            }
        }
        entries
    }
}

/// Approximate width of a text in DejaVu Sans.
fn length_of(text: &str) -> f64 {
    text.chars().count() as f64 * f64::from(LETTERS) * 0.62
}

/// Distributes entries over lines no longer than `width`; returns each line with its length.
fn layout<'a>(entries: &[&'a Series], width: f64) -> Vec<(Vec<&'a Series>, f64)> {
    let mut lines: Vec<(Vec<&Series>, f64)> = Vec::new();
    for entry in entries {
        let length = SWATCH + 34.0 + length_of(&entry.name);
        match lines.last_mut() {
            Some((line, sum)) if *sum + length <= width => {
                line.push(entry);
                *sum += length;
            }
            _ => lines.push((vec![entry], length)),
        }
    }
    lines
}

/// Inserts an image into another.
fn place_at(scene: &mut Scene, part: Scene, (x, y): (f64, f64), name: &str) {
    scene.add(Primitive::GroupStart {
        transform: Some(format!("translate({x},{y})")),
        title: None,
        extra_attrs: None,
    });
    for (number, mut element) in part.elements.into_iter().enumerate() {
        // kuva numbers ids across the whole process.
        if let Primitive::ClipStart { id, .. } = &mut element {
            *id = format!("{name}-clip-{number}");
        }
        scene.add(element);
    }
    scene.add(Primitive::GroupEnd);
}

/// Draws a sample of a series for the legend at a position.
fn swatch(scene: &mut Scene, series: &Series, (x, y): (f64, f64), name: &str) {
    if matches!(series.marks, Marks::Bars(_) | Marks::Tagged(_)) {
        scene.add(Primitive::Rect {
            x: x + SWATCH - 16.0,
            y: y - 8.0,
            width: 16.0,
            height: 16.0,
            fill: series.color.into(),
            stroke: None,
            stroke_width: None,
            opacity: None,
        });
        return;
    }
    let look = match &series.marks {
        Marks::Styled(_, look) => *look,
        _ => look::Look {
            sign: None,
            dash: Some(match series.marks {
                Marks::Limit(_) => "6 4",
                _ if series.dashed => "8 4",
                _ => "",
            }),
            step: false,
        },
    };
    let level = [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0)];
    let mut plots = look::plots(&level, look::Look { sign: None, ..look }, series.color);
    let middle = [(0.5, 0.0)];
    plots.extend(look::plots(
        &middle,
        look::Look { dash: None, ..look },
        series.color,
    ));
    if plots.is_empty() {
        plots.push(Plot::Line(LinePlot::new()));
    }
    let (low, high) = ((-0.1, 1.1), (-1.0, 1.0));
    let layout = Layout::new(low, high)
        .with_width(SWATCH)
        .with_height(18.0)
        .with_force_margins(0.0, 0.0)
        .with_force_margins_y(0.0, 0.0)
        .with_show_grid(false);
    let drawn = render_multiple(plots, layout);
    // Keeps the series and removes axes, frame and text of the small image.
    let strokes = drawn.elements.into_iter().filter(|element| match element {
        Primitive::Line { stroke, .. } | Primitive::PolyLine { stroke, .. } => {
            *stroke == series.color.into()
        }
        Primitive::Path(path) => path.stroke == series.color.into(),
        Primitive::Circle { fill, .. }
        | Primitive::CircleBatch { fill, .. }
        | Primitive::Rect { fill, .. } => *fill == series.color.into(),
        _ => false,
    });
    let part = Scene {
        elements: strokes.collect(),
        ..Scene::new(SWATCH, 18.0)
    };
    place_at(scene, part, (x, y - 9.0), name);
}
