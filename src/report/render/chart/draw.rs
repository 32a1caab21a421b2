//! Charts drawn with kuva: the picture around the series, as SVG or PNG.

use kuva::backend::png::PngBackend;
use kuva::backend::svg::SvgBackend;
use kuva::plot::legend::LegendPosition;
use kuva::render::annotations::{ReferenceLine, TextAnnotation};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::render::{Primitive, Scene, TextAnchor, render_multiple};
use kuva::render::theme::Theme;

use super::axes::{LOG_BARS_FROM, format, number, step, tag, x_range, y_range};
use super::marks::{legend, plots};
use super::{Chart, Marks, Scale, Series};

/// Size of the plot in SVG units. At two thirds of a page's width in print, letters have 10 pt.
const SIZE: (f64, f64) = (720.0, 440.0);

/// Pixels of the PNG per SVG unit, for print and high-resolution screens.
const PIXELS: f32 = 2.0;

/// Margins left and right of the plot: room for `100 %` or `10,000` on the left and half a label on the right.
const MARGINS: (f64, f64) = (70.0, 34.0);

/// Font size of the axis labels.
const LABEL: u32 = 14;

/// Vertical position of the y axis's label, between the title and the plot.
const Y_LABEL_AT: f64 = 52.0;

pub(super) fn svg(chart: &Chart) -> String {
    svg_of(&scene(chart, SIZE, true), chart.name)
}

pub(super) fn png(chart: &Chart) -> Result<Vec<u8>, String> {
    png_of(scene(chart, SIZE, true))
}

/// Renders a scene as SVG; `name` makes its ids unique within a page.
pub(super) fn svg_of(scene: &Scene, name: &str) -> String {
    // kuva numbers clip paths across the whole process; the output must not depend on what was drawn before.
    let text = SvgBackend::new().render_scene(scene);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    const ID: &str = "kuva-clip-";
    while let Some(at) = rest.find(ID) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        out.push_str(name);
        out.push_str("-clip");
        rest = after[ID.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out.push_str(rest);
    out
}

/// Renders a scene as PNG.
pub(super) fn png_of(scene: Scene) -> Result<Vec<u8>, String> {
    png_scaled(scene, PIXELS)
}

/// Renders a scene as PNG with this many pixels per SVG unit.
pub(super) fn png_scaled(mut scene: Scene, pixels: f32) -> Result<Vec<u8>, String> {
    // kuva measures dashes in pixels and everything else in SVG units.
    for element in &mut scene.elements {
        let dash = match element {
            Primitive::Line {
                stroke_dasharray, ..
            }
            | Primitive::PolyLine {
                stroke_dasharray, ..
            } => stroke_dasharray,
            Primitive::Path(path) => &mut path.stroke_dasharray,
            _ => continue,
        };
        if let Some(text) = dash {
            let part = |part: &str| {
                let length: f32 = part.parse().unwrap_or(1.0);
                (length * pixels).to_string()
            };
            *text = text.split(' ').map(part).collect::<Vec<_>>().join(" ");
        }
    }
    PngBackend::new().with_scale(pixels).render_scene(&scene)
}

/// Draws a chart of this size, with or without its legend.
pub(super) fn scene(chart: &Chart, size: (f64, f64), with_legend: bool) -> Scene {
    let (x_range, y_range) = (x_range(chart), y_range(chart));
    let theme = Theme {
        grid_color: "#E4E4E4".into(),
        axis_color: "#333333".into(),
        tick_color: "#333333".into(),
        text_color: "#1A1A1A".into(),
        ..Theme::light()
    };
    let mut layout = Layout::new(x_range, y_range)
        .with_width(size.0)
        .with_height(size.1)
        .with_theme(theme)
        .with_font_family("DejaVu Sans, Helvetica, Arial, sans-serif")
        .with_title(chart.title.clone())
        .with_title_size(17)
        .with_label_size(LABEL)
        .with_tick_size(12)
        .with_body_size(13)
        .with_x_label(chart.x.label.clone())
        // Leaves the line of the y axis's label empty.
        .with_subtitle(" ")
        .with_subtitle_size(LABEL)
        .with_force_margins(MARGINS.0, MARGINS.1)
        .with_x_axis_min(x_range.0)
        .with_x_axis_max(x_range.1)
        .with_y_axis_min(y_range.0)
        .with_y_axis_max(y_range.1)
        .with_x_tick_format(format(chart.x.scale))
        .with_y_tick_format(if y_range.0 == LOG_BARS_FROM {
            // No label below 1, because half a block does not exist.
            TickFormat::Custom(std::sync::Arc::new(|value| match value {
                value if value < 1.0 => String::new(),
                value => number(value),
            }))
        } else {
            format(chart.y.scale)
        });
    if chart.x.scale == Scale::Log {
        layout = layout.with_log_x();
    } else {
        layout = layout.with_x_tick_step(step(x_range.1 - x_range.0));
    }
    if chart.y.scale == Scale::Log {
        layout = layout.with_log_y();
    } else {
        layout = layout.with_y_tick_step(step(y_range.1 - y_range.0));
    }
    if !chart.categories.is_empty() {
        layout = layout.with_x_categories(labels(chart, size.0));
    }
    if with_legend && chart.series.len() > 1 && !chart.is_empty() {
        layout = layout
            .with_legend_entries(legend(chart))
            .with_legend_position(LegendPosition::OutsideBottomColumns)
            .with_legend_box(false);
    }
    let limits: Vec<f64> = chart
        .series
        .iter()
        .filter_map(|series| match series.marks {
            Marks::Limit(at) => Some(at),
            _ => None,
        })
        .collect();
    for series in &chart.series {
        if let Marks::Limit(at) = series.marks {
            let mut line = ReferenceLine::horizontal(at).with_color(series.color);
            line.stroke_width = 1.6;
            layout = layout.with_reference_line(line);
        }
        if let Marks::Tagged(values) = &series.marks {
            for (place, (value, _)) in values.iter().enumerate() {
                let Some(value) = *value else { continue };
                let lift = (y_range.1 - y_range.0) * 0.025;
                // The text is above a limit line that would cross it.
                let near = |at: &f64| (value..value + 4.0 * lift).contains(at);
                let from = limits.iter().copied().find(near).unwrap_or(value);
                let tag = TextAnnotation::new(tag(value), place as f64 + 1.0, from + lift);
                let letters = if values.len() > 7 { 10 } else { 13 };
                layout = layout.with_annotation(tag.with_font_size(letters).with_color("#1A1A1A"));
            }
        }
    }
    if chart.is_empty() {
        let middle = |(low, high): (f64, f64), scale| match scale {
            Scale::Log => (low * high).sqrt(),
            _ => f64::midpoint(low, high),
        };
        let note = TextAnnotation::new(
            "no data",
            middle(x_range, chart.x.scale),
            middle(y_range, chart.y.scale),
        );
        layout = layout.with_annotation(note.with_font_size(20).with_color("#777777"));
    }
    let mut scene = render_multiple(plots(chart, y_range.0), layout);
    if chart
        .series
        .iter()
        .any(|series| matches!(series.marks, Marks::Styled(..) | Marks::Tagged(_)))
    {
        // All points are within the axes, and clipping would truncate markers at the edge.
        let clip = |element: &Primitive| {
            matches!(element, Primitive::ClipStart { .. } | Primitive::ClipEnd)
        };
        scene.elements.retain(|element| !clip(element));
    }
    // The label is horizontal and above the axis: kuva draws rotated text without smoothing, which is harder to read.
    scene.add(Primitive::Text {
        x: MARGINS.0 - 8.0,
        y: Y_LABEL_AT,
        content: chart.y.label.clone(),
        size: LABEL,
        anchor: TextAnchor::Start,
        rotate: None,
        bold: false,
        color: None,
    });
    scene
}

/// Labels of the categories; blank if they would overlap and the bars' colours identify the categories.
fn labels(chart: &Chart, width: f64) -> Vec<String> {
    let tagged = |series: &Series| matches!(series.marks, Marks::Tagged(_));
    let room = (width - MARGINS.0 - MARGINS.1) / chart.categories.len() as f64;
    let wide = |label: &String| label.chars().count() as f64 * 7.6 > room - 6.0;
    if chart.series.iter().any(tagged) && chart.categories.iter().any(wide) {
        return vec![" ".into(); chart.categories.len()];
    }
    chart.categories.clone()
}
