//! Turns series into kuva's plots and legend entries.

use kuva::plot::bar::{BarGroup, BarValue};
use kuva::plot::legend::{LegendEntry, LegendShape};
use kuva::plot::{BarPlot, LinePlot};
use kuva::render::plots::Plot;

use super::look;
use super::{Chart, Marks, Series};

/// Fraction of a category's width that its bars occupy together.
const BARS_WIDTH: f64 = 0.76;

/// All series of a chart as plots; bars begin at `floor`.
pub(super) fn plots(chart: &Chart, floor: f64) -> Vec<Plot> {
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
                    // A white line below a dark one is visible on a bar of any colour.
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
        // kuva draws axes only around a plot.
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

/// The legend: one entry per name, because reference figures are several series of one name.
pub(super) fn legend(chart: &Chart) -> Vec<LegendEntry> {
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
