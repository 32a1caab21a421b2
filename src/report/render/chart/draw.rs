//! Charts drawn with kuva; the only place that knows of it.

use kuva::backend::png::PngBackend;
use kuva::backend::svg::SvgBackend;
use kuva::plot::bar::{BarGroup, BarValue};
use kuva::plot::legend::{LegendEntry, LegendPosition, LegendShape};
use kuva::plot::{BarPlot, LinePlot};
use kuva::render::annotations::{ReferenceLine, TextAnnotation};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, TextAnchor, render_multiple};
use kuva::render::theme::Theme;

use super::look;
use super::{Chart, Marks, Scale, Series};

/// Of the plot's canvas, in SVG units; two thirds of a page's width in print at 10 pt.
const SIZE: (f64, f64) = (720.0, 440.0);

/// Pixels of the PNG by unit: sharp on paper and on dense screens.
const PIXELS: f32 = 2.0;

/// Left and right of the axes: room for `100 %` and `10,000` beside the one and for half a label at the other.
const MARGINS: (f64, f64) = (70.0, 34.0);

/// Size of the axes' labels.
const LABEL: u32 = 14;

/// Where the y axis's label stands, between title and axes.
const Y_LABEL_AT: f64 = 52.0;

/// How much of a category's place its bars fill together.
const BARS_WIDTH: f64 = 0.76;

/// A count of 1 has to be seen on a log axis, so bars begin below it.
const LOG_BARS_FROM: f64 = 0.5;

pub(super) fn svg(chart: &Chart) -> String {
    svg_of(&scene(chart, SIZE, true), chart.name)
}

pub(super) fn png(chart: &Chart) -> Result<Vec<u8>, String> {
    png_of(scene(chart, SIZE, true))
}

/// A scene as SVG; `name` makes its ids unique in a page.
pub(super) fn svg_of(scene: &Scene, name: &str) -> String {
    // kuva numbers clip paths over the life of the process; the bytes must not depend on what was drawn before.
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

/// A scene as PNG.
pub(super) fn png_of(scene: Scene) -> Result<Vec<u8>, String> {
    png_scaled(scene, PIXELS)
}

/// A scene as PNG with so many pixels by unit.
pub(super) fn png_scaled(mut scene: Scene, pixels: f32) -> Result<Vec<u8>, String> {
    // The library counts the parts of broken lines in pixels, and all else in units.
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

/// A chart at a size of its plot's canvas, with its legend or without.
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
        // Keeps the line free on which the y axis's label goes.
        .with_subtitle(" ")
        .with_subtitle_size(LABEL)
        .with_force_margins(MARGINS.0, MARGINS.1)
        .with_x_axis_min(x_range.0)
        .with_x_axis_max(x_range.1)
        .with_y_axis_min(y_range.0)
        .with_y_axis_max(y_range.1)
        .with_x_tick_format(format(chart.x.scale))
        .with_y_tick_format(if y_range.0 == LOG_BARS_FROM {
            // There is no half block.
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
                // Above a limit that would cross it.
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
        // All lies within the axes; only signs on their edge would lose a half.
        let clip = |element: &Primitive| {
            matches!(element, Primitive::ClipStart { .. } | Primitive::ClipEnd)
        };
        scene.elements.retain(|element| !clip(element));
    }
    // Level above its axis: kuva turns letters without smoothing them, and nobody likes to turn the head.
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

fn plots(chart: &Chart, floor: f64) -> Vec<Plot> {
    let mut plots = Vec::new();
    let bars: Vec<usize> = (0..chart.series.len())
        .filter(|index| matches!(chart.series[*index].marks, Marks::Bars(_)))
        .collect();
    if !bars.is_empty() && !chart.is_empty() {
        plots.push(Plot::Bar(bar_plot(chart, &bars, floor)));
    }
    for series in &chart.series {
        match &series.marks {
            Marks::Line(points) if !points.is_empty() => plots.push(curve(series, points, false)),
            Marks::Step(points) if !points.is_empty() => plots.push(curve(series, points, true)),
            Marks::Styled(points, look) if !points.is_empty() => {
                plots.extend(look::plots(points, *look, series.color));
            }
            Marks::Tagged(values) => {
                let mut plot = BarPlot::new().with_width(BARS_WIDTH);
                if values.iter().all(|(value, _)| value.is_none()) {
                    continue;
                }
                for (label, (value, color)) in chart.categories.iter().zip(values) {
                    let bar = BarValue {
                        value: value.unwrap_or(floor),
                        color: (*color).into(),
                    };
                    plot.groups.push(BarGroup {
                        label: label.clone(),
                        bars: vec![bar],
                    });
                }
                plots.push(Plot::Bar(plot));
            }
            Marks::Rules(of, values) => {
                let Some(slot) = bars.iter().position(|index| index == of) else {
                    continue;
                };
                let width = BARS_WIDTH / bars.len() as f64;
                for (place, value) in values.iter().enumerate() {
                    let Some(value) = value else { continue };
                    let left = place as f64 + 1.0 - BARS_WIDTH / 2.0 + width * slot as f64;
                    // White below dark, so that it is seen on a bar of any colour.
                    let ends = [(left, *value), (left + width, *value)];
                    for (color, stroke) in [("#FFFFFF", 6.0), (series.color, 3.0)] {
                        plots.push(Plot::Line(
                            LinePlot::new()
                                .with_data(ends)
                                .with_color(color)
                                .with_stroke_width(stroke),
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    if plots.is_empty() {
        // The axes are drawn around something.
        plots.push(Plot::Line(
            LinePlot::new().with_data(Vec::<(f64, f64)>::new()),
        ));
    }
    plots
}

fn bar_plot(chart: &Chart, bars: &[usize], floor: f64) -> BarPlot {
    let mut plot = BarPlot::new().with_width(BARS_WIDTH);
    for (place, label) in chart.categories.iter().enumerate() {
        let value = |index: &usize| {
            let series = &chart.series[*index];
            let value = match &series.marks {
                Marks::Bars(values) => values.get(place).copied().flatten(),
                _ => None,
            };
            BarValue {
                value: value.unwrap_or(floor),
                color: series.color.into(),
            }
        };
        plot.groups.push(BarGroup {
            label: label.clone(),
            bars: bars.iter().map(value).collect(),
        });
    }
    plot
}

fn curve(series: &Series, points: &[(f64, f64)], step: bool) -> Plot {
    let mut line = LinePlot::new()
        .with_data(points.iter().copied())
        .with_color(series.color)
        .with_stroke_width(2.4);
    if step {
        line = line.with_step();
    }
    if series.dashed {
        line = line.with_dashed();
    }
    Plot::Line(line)
}

/// An entry by name: figures to compare with belong to several series, and have one name.
fn legend(chart: &Chart) -> Vec<LegendEntry> {
    let mut entries: Vec<LegendEntry> = Vec::new();
    for series in &chart.series {
        let span = matches!(series.marks, Marks::Room(_));
        if !span && entries.iter().all(|entry| entry.label != series.name) {
            entries.push(entry(series));
        }
    }
    entries
}

fn entry(series: &Series) -> LegendEntry {
    let dash = match &series.marks {
        Marks::Limit(_) => Some("6 4"),
        Marks::Styled(_, look) => look.dash.filter(|dash| !dash.is_empty()),
        _ => series.dashed.then_some("8 4"),
    };
    LegendEntry {
        label: series.name.clone(),
        color: series.color.into(),
        shape: match &series.marks {
            Marks::Bars(_) | Marks::Tagged(_) => LegendShape::Rect,
            Marks::Styled(_, look) => look::legend_shape(*look),
            _ => LegendShape::Line,
        },
        dasharray: dash.map(Into::into),
    }
}

/// The categories; none where they would run into each other and the bars' colours tell them.
fn labels(chart: &Chart, width: f64) -> Vec<String> {
    let tagged = |series: &Series| matches!(series.marks, Marks::Tagged(_));
    let room = (width - MARGINS.0 - MARGINS.1) / chart.categories.len() as f64;
    let wide = |label: &String| label.chars().count() as f64 * 7.6 > room - 6.0;
    if chart.series.iter().any(tagged) && chart.categories.iter().any(wide) {
        return vec![" ".into(); chart.categories.len()];
    }
    chart.categories.clone()
}

/// A value on its bar, to three digits.
fn tag(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e6 {
        return format!("{value}");
    }
    let digits = 2 - (value.abs().max(1e-9).log10().floor() as i32).clamp(-4, 2);
    format!("{value:.*}", digits.max(0) as usize)
}

/// Smallest and largest of all values on one axis.
fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

fn x_range(chart: &Chart) -> (f64, f64) {
    if !chart.categories.is_empty() {
        return (0.5, chart.categories.len() as f64 + 0.5);
    }
    let xs = chart.series.iter().flat_map(|series| match &series.marks {
        Marks::Line(points)
        | Marks::Step(points)
        | Marks::Styled(points, _)
        | Marks::Room(points) => points.as_slice(),
        _ => &[],
    });
    range(extent(xs.map(|point| point.0)), chart.x.scale)
}

fn y_range(chart: &Chart) -> (f64, f64) {
    let of = |series: &Series| match &series.marks {
        Marks::Line(points)
        | Marks::Step(points)
        | Marks::Styled(points, _)
        | Marks::Room(points) => points.iter().map(|point| point.1).collect(),
        // Room for the value above the highest bar.
        Marks::Tagged(values) => values
            .iter()
            .filter_map(|v| v.0)
            .map(|v| v * 1.12)
            .collect(),
        Marks::Limit(at) => vec![*at],
        Marks::Bars(values) | Marks::Rules(_, values) => {
            values.iter().flatten().copied().collect::<Vec<_>>()
        }
    };
    let (low, high) = range(extent(chart.series.iter().flat_map(of)), chart.y.scale);
    let bars = |series: &Series| matches!(series.marks, Marks::Bars(_) | Marks::Tagged(_));
    if chart.y.scale == Scale::Log && chart.series.iter().any(bars) {
        (low.min(LOG_BARS_FROM), high)
    } else {
        (low, high)
    }
}

/// A range that begins and ends at ticks.
fn range(extent: Option<(f64, f64)>, scale: Scale) -> (f64, f64) {
    match (scale, extent) {
        (Scale::Percent, _) => (0.0, 1.0),
        (Scale::PercentUsed, extent) => {
            // Ticks at whole per cents need five of them.
            let high = extent.map_or(1.0, |(_, high)| high).clamp(0.05, 1.0);
            let step = step(high);
            (0.0, ((high / step - 1e-9).ceil() * step).min(1.0))
        }
        (Scale::Log, None) => (1.0, 100.0),
        (Scale::Log, Some((low, high))) => {
            let (low, high) = (round_down(low), round_up(high));
            if high > low * 1.5 {
                (low, high)
            } else {
                (low / 2.0, high * 2.0)
            }
        }
        (Scale::Linear, None) => (0.0, 1.0),
        (Scale::Linear, Some((low, high))) => {
            let low = low.min(0.0);
            let high = if high > low { high } else { low + 1.0 };
            let step = step(high - low);
            ((low / step).floor() * step, (high / step).ceil() * step)
        }
    }
}

fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [5.0, 2.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|tick| *tick <= value)
        .unwrap_or(power)
}

fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|tick| *tick >= value)
        .unwrap_or(power * 10.0)
}

/// A round distance that cuts a length into four to ten.
fn step(length: f64) -> f64 {
    let power = 10f64.powf((length / 4.0).log10().floor());
    [5.0, 2.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step * 4.0 <= length * 1.000_001)
        .unwrap_or(power)
}

fn format(scale: Scale) -> TickFormat {
    let text: fn(f64) -> String = match scale {
        Scale::Percent | Scale::PercentUsed => |value| format!("{:.0} %", value * 100.0),
        _ => number,
    };
    TickFormat::Custom(std::sync::Arc::new(text))
}

/// `0.001`, `20`, `5,000`, `2M`; what is beyond as a power.
fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".into()
    } else if !(1e-4..1e12).contains(&size) {
        format!("{value:.0e}")
    } else if size >= 1e9 {
        format!("{}G", value / 1e9)
    } else if size >= 1e6 {
        format!("{}M", value / 1e6)
    } else if size >= 1e3 && value > 0.0 {
        crate::report::render::number::thousands(value.round() as u64)
    } else {
        // Ticks are sums of steps, with their rounding errors.
        format!("{}", (value * 1e6).round() / 1e6)
    }
}
