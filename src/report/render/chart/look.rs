//! Signs and patterns that tell series apart without their colours.

use kuva::plot::legend::LegendShape;
use kuva::plot::line::LineStyle;
use kuva::plot::scatter::MarkerShape;
use kuva::plot::{LinePlot, ScatterPlot};
use kuva::render::plots::Plot;

/// A sign at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Filled, as all but the last two.
    Circle,
    /// Upright.
    Square,
    /// On its base.
    Triangle,
    /// A square on its corner.
    Diamond,
    /// On its tip.
    TriangleDown,
    /// With five points.
    Star,
    /// On its base.
    Pentagon,
    /// On its tip.
    Hexagon,
    /// Two strokes across.
    Cross,
    /// Two strokes upright.
    Plus,
    /// A pale disc around another sign, which marks it.
    Halo,
}

impl Sign {
    /// As pages name it.
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

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// At each point; none where there are too many of them.
    pub sign: Option<Sign>,
    /// Pattern of the line between them as SVG has it, empty for a whole one; none for points alone.
    pub dash: Option<&'static str>,
    /// Level until the next point.
    pub step: bool,
}

/// Signs in the order of series.
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

/// Patterns in the order of series; seven, so that signs and patterns together repeat after seventy.
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
    /// Of the series with this number, with signs or without.
    pub fn of(number: usize, signs: bool) -> Self {
        Self {
            sign: signs.then(|| SIGNS[number % SIGNS.len()]),
            dash: Some(DASHES[number % DASHES.len()]),
            step: false,
        }
    }

    /// The same, level until the next point.
    pub fn stepped(self) -> Self {
        Self { step: true, ..self }
    }

    /// The same without a line.
    pub fn alone(self) -> Self {
        Self { dash: None, ..self }
    }
}

/// A radius at which the signs are told apart in print.
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
