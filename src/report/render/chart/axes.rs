//! Ranges, ticks and labels of axes.

use kuva::render::layout::TickFormat;

use super::{Chart, Marks, Scale, Series};

/// Lower end of bars on a logarithmic axis: below 1, so that a count of 1 is visible.
pub(super) const LOG_BARS_FROM: f64 = 0.5;

/// Smallest and largest value.
fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

pub(super) fn x_range(chart: &Chart) -> (f64, f64) {
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

pub(super) fn y_range(chart: &Chart) -> (f64, f64) {
    let of = |series: &Series| match &series.marks {
        Marks::Line(points)
        | Marks::Step(points)
        | Marks::Styled(points, _)
        | Marks::Room(points) => points.iter().map(|point| point.1).collect(),
        // Room for the text above the highest bar.
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

/// The range of an axis, extended to whole ticks.
fn range(extent: Option<(f64, f64)>, scale: Scale) -> (f64, f64) {
    match (scale, extent) {
        (Scale::Percent, _) => (0.0, 1.0),
        (Scale::PercentUsed, extent) => {
            // At least 5 %, so that ticks are whole percentages.
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

/// A round tick distance that divides a length into four to ten intervals.
pub(super) fn step(length: f64) -> f64 {
    let power = 10f64.powf((length / 4.0).log10().floor());
    [5.0, 2.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step * 4.0 <= length * 1.000_001)
        .unwrap_or(power)
}

pub(super) fn format(scale: Scale) -> TickFormat {
    let text: fn(f64) -> String = match scale {
        Scale::Percent | Scale::PercentUsed => |value| format!("{:.0} %", value * 100.0),
        _ => number,
    };
    TickFormat::Custom(std::sync::Arc::new(text))
}

/// Formats a tick: `0.001`, `20`, `5,000`, `2M`; with an exponent beyond.
pub(super) fn number(value: f64) -> String {
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
        // Ticks are sums of steps and contain rounding errors.
        format!("{}", (value * 1e6).round() / 1e6)
    }
}

/// Formats the value above a bar, to three digits.
pub(super) fn tag(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e6 {
        return format!("{value}");
    }
    let digits = 2 - (value.abs().max(1e-9).log10().floor() as i32).clamp(-4, 2);
    format!("{value:.*}", digits.max(0) as usize)
}
