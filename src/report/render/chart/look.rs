//! Markers and line patterns, which distinguish series without colour.

use kuva::plot::legend::LegendShape;
use kuva::plot::line::LineStyle;
use kuva::plot::scatter::MarkerShape;
use kuva::plot::{LinePlot, ScatterPlot};
use kuva::render::plots::Plot;

/// A marker at a point. All are filled but [`Sign::Cross`] and [`Sign::Plus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// A circle, filled.
    Circle,
    /// A square.
    Square,
    /// A triangle that points up.
    Triangle,
    /// A square that is rotated by 45 degrees.
    Diamond,
    /// A triangle that points down.
    TriangleDown,
    /// A star with five points.
    Star,
    /// A pentagon.
    Pentagon,
    /// A hexagon.
    Hexagon,
    /// Two diagonal strokes.
    Cross,
    /// A horizontal and a vertical stroke.
    Plus,
    /// A pale disc around another marker, to highlight it.
    Halo,
}

impl Sign {
    /// The marker's name in the data of a page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Diamond => "diamond",
            Self::TriangleDown => "triangle-down",
            Self::Star => "star",
            Self::Pentagon => "pentagon",
            Self::Hexagon => "hexagon",
            Self::Cross => "cross",
            Self::Plus => "plus",
            Self::Halo => "halo",
        }
    }
}

/// How the points of a series are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Marker at each point; `None` for lines without markers.
    pub sign: Option<Sign>,
    /// Dash pattern of the line in SVG's notation, empty for a solid line; `None` for points without a line.
    pub dash: Option<&'static str>,
    /// Whether the line is level until the next point.
    pub step: bool,
}

/// Markers in the order of series.
const SIGNS: [Sign; 10] = [
    Sign::Circle,
    Sign::Square,
    Sign::Triangle,
    Sign::Diamond,
    Sign::TriangleDown,
    Sign::Star,
    Sign::Pentagon,
    Sign::Hexagon,
    Sign::Cross,
    Sign::Plus,
];

/// Line patterns in the order of series. There are seven, so that pairs of marker and pattern repeat only after 70 series.
const DASHES: [&str; 7] = [
    "",
    "8 4",
    "2 3",
    "9 3 2 3",
    "12 4 4 4",
    "5 2",
    "10 3 2 3 2 3",
];

impl Look {
    /// The look of the series with this number, with or without markers.
    pub fn of(number: usize, signs: bool) -> Self {
        Self {
            sign: signs.then(|| SIGNS[number % SIGNS.len()]),
            dash: Some(DASHES[number % DASHES.len()]),
            step: false,
        }
    }

    /// The same look with a stepped line.
    pub fn stepped(self) -> Self {
        Self { step: true, ..self }
    }

    /// The same look with markers only.
    pub fn alone(self) -> Self {
        Self { dash: None, ..self }
    }
}

/// Radius of the markers: large enough to be distinguished in print.
const RADIUS: f64 = 4.4;

pub(super) fn plots(points: &[(f64, f64)], look: Look, color: &str) -> Vec<Plot> {
    let mut plots = Vec::new();
    if let Some(dash) = look.dash {
        let mut line = LinePlot::new()
            .with_data(points.iter().copied())
            .with_color(color)
            .with_stroke_width(2.0);
        if look.step {
            line = line.with_step();
        }
        if !dash.is_empty() {
            line = line.with_line_style(LineStyle::Custom(dash.into()));
        }
        plots.push(Plot::Line(line));
    }
    if let Some(sign) = look.sign {
        let mut signs = ScatterPlot::new()
            .with_data(points.iter().copied())
            .with_color(color)
            .with_size(RADIUS)
            .with_marker(shape(sign));
        if sign == Sign::Halo {
            signs = signs.with_size(2.3 * RADIUS).with_marker_opacity(0.3);
        }
        plots.push(Plot::Scatter(signs));
    }
    plots
}

pub(super) fn legend_shape(look: Look) -> LegendShape {
    match (look.sign, look.dash) {
        (Some(sign), _) => LegendShape::Marker(shape(sign)),
        (None, _) => LegendShape::Line,
    }
}

fn shape(sign: Sign) -> MarkerShape {
    match sign {
        Sign::Circle | Sign::Halo => MarkerShape::Circle,
        Sign::Square => MarkerShape::Square,
        Sign::Triangle => MarkerShape::Triangle,
        Sign::Diamond => MarkerShape::Diamond,
        Sign::TriangleDown => MarkerShape::TriangleDown,
        Sign::Star => MarkerShape::Star,
        Sign::Pentagon => MarkerShape::Pentagon,
        Sign::Hexagon => MarkerShape::Hexagon,
        Sign::Cross => MarkerShape::Cross,
        Sign::Plus => MarkerShape::Plus,
    }
}
