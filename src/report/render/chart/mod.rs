//! Charts as data, and their images. Only `draw`, `marks`, `look`, `grid` and `panels` use the drawing library.

mod axes;
mod draw;
mod grid;
mod look;
mod marks;
mod panels;

pub use grid::Grid;
pub use look::{Look, Sign};
pub use panels::Panels;

use std::path::Path;

use crate::base::error::Result;
use crate::base::io::write_file;

/// Maximum number of points of a curve. More cannot be distinguished on paper, and they would make pages large.
const MOST_POINTS: usize = 1000;

/// The colours of Okabe and Ito, which people with colour vision deficiencies can distinguish.
pub const VERMILLION: &str = "#D55E00";
/// Blue of the same palette.
pub const BLUE: &str = "#0072B2";
/// Orange of the same palette, for a variant of a vermillion series.
pub const ORANGE: &str = "#E69F00";
/// Sky blue of the same palette, for a variant of a blue series.
pub const SKY: &str = "#56B4E9";
/// Grey, for published figures.
pub const GREY: &str = "#4D4D4D";

/// Colour of the series with this number, and whether it is dashed: eight colours, then the same eight dashed.
pub fn color(number: usize) -> (&'static str, bool) {
    const COLORS: [&str; 8] = [
        BLUE, VERMILLION, "#009E73", "#CC79A7", ORANGE, SKY, GREY, "#B8A800",
    ];
    (COLORS[number % 8], number % 16 >= 8)
}

/// Scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Linear.
    Linear,
    /// Logarithmic; values of 0 and below are not drawn.
    Log,
    /// Linear from 0 to 1, labelled as percentages.
    Percent,
    /// Linear from 0 to the largest value, labelled as percentages.
    PercentUsed,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What the axis shows, with the unit.
    pub label: String,
    /// Its scale.
    pub scale: Scale,
}

impl Axis {
    /// Creates an axis with this label and scale.
    pub fn new(label: &str, scale: Scale) -> Self {
        Self {
            label: label.into(),
            scale,
        }
    }
}

/// The values of a series and how they are drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Marks {
    /// Straight lines from point to point.
    Line(Vec<(f64, f64)>),
    /// Steps: level until the next point.
    Step(Vec<(f64, f64)>),
    /// One bar per category; no bar for a category without a value.
    Bars(Vec<Option<f64>>),
    /// A short line across each bar of the series with this number, for a reference value.
    Rules(usize, Vec<Option<f64>>),
    /// Points with markers and a line pattern, which distinguish series without colour.
    Styled(Vec<(f64, f64)>, Look),
    /// A bar per category, each in its own colour and with its value above it.
    Tagged(Vec<(Option<f64>, &'static str)>),
    /// A horizontal line across the chart: a limit.
    Limit(f64),
    /// Nothing visible: extends the axes to these points, so that several charts have the same axes.
    Room(Vec<(f64, f64)>),
}

/// A series of values.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Colour as `#RRGGBB`.
    pub color: &'static str,
    /// Whether its line is dashed.
    pub dashed: bool,
    /// The values.
    pub marks: Marks,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Stem of its file names, and id of its element in a page.
    pub name: &'static str,
    /// Title.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Categories of bars; empty for curves.
    pub categories: Vec<String>,
    /// Series in drawing order.
    pub series: Vec<Series>,
}

impl Chart {
    /// Returns the chart without values that cannot be drawn: those that are not finite, or not above 0 on a logarithmic axis.
    pub fn cleaned(&self) -> Self {
        let drawable =
            |value: f64, scale| value.is_finite() && (scale != Scale::Log || value > 0.0);
        let point = |&(x, y): &(f64, f64)| drawable(x, self.x.scale) && drawable(y, self.y.scale);
        let points =
            |points: &[(f64, f64)]| points.iter().copied().filter(point).collect::<Vec<_>>();
        let values = |values: &[Option<f64>]| {
            let keep = |value: &Option<f64>| value.filter(|v| drawable(*v, self.y.scale));
            values
                .iter()
                .map(keep)
                .take(self.categories.len())
                .collect::<Vec<_>>()
        };
        let mut chart = self.clone();
        for series in &mut chart.series {
            series.marks = match &series.marks {
                Marks::Line(all) => Marks::Line(points(all)),
                Marks::Step(all) => Marks::Step(points(all)),
                Marks::Bars(all) => Marks::Bars(values(all)),
                Marks::Rules(of, all) => Marks::Rules(*of, values(all)),
                Marks::Styled(all, look) => Marks::Styled(points(all), *look),
                Marks::Tagged(all) => {
                    let keep = |(value, color): &(Option<f64>, _)| {
                        (value.filter(|v| drawable(*v, self.y.scale)), *color)
                    };
                    Marks::Tagged(all.iter().map(keep).take(self.categories.len()).collect())
                }
                Marks::Limit(at) => Marks::Limit(*at),
                Marks::Room(all) => Marks::Room(points(all)),
            };
        }
        let limit = |series: &Series| match series.marks {
            Marks::Limit(at) => drawable(at, self.y.scale),
            _ => true,
        };
        chart.series.retain(limit);
        chart
    }

    /// Whether there are no values to draw.
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| match &series.marks {
            Marks::Line(points) | Marks::Step(points) => points.is_empty(),
            Marks::Bars(values) | Marks::Rules(_, values) => values.iter().all(Option::is_none),
            Marks::Styled(points, _) => points.is_empty(),
            Marks::Tagged(values) => values.iter().all(|(value, _)| value.is_none()),
            Marks::Limit(_) | Marks::Room(_) => true,
        })
    }

    /// Draws the chart as SVG.
    pub fn svg(&self) -> String {
        draw::svg(&self.cleaned())
    }

    /// Writes `<name>.svg` and `<name>.png`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        self.save_as(folder, self.name)
    }

    /// Writes `<stem>.svg` and `<stem>.png`, for several charts of the same name.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save_as(&self, folder: &Path, stem: &str) -> Result<()> {
        let chart = self.cleaned();
        write_pictures(folder, stem, &draw::svg(&chart), draw::png(&chart))
    }
}

/// Writes charts as SVG and PNG.
///
/// # Errors
/// A file that cannot be written.
pub fn save_all(charts: &[Chart], folder: &Path) -> Result<()> {
    charts.iter().try_for_each(|chart| chart.save(folder))
}

fn write_pictures(
    folder: &Path,
    stem: &str,
    svg: &str,
    png: std::result::Result<Vec<u8>, String>,
) -> Result<()> {
    write_file(folder.join(format!("{stem}.svg")), svg.as_bytes())?;
    let path = folder.join(format!("{stem}.png"));
    let png =
        png.map_err(|error| crate::base::error::Error::write(&path, std::io::Error::other(error)))?;
    write_file(&path, &png)
}

/// Cumulative distribution of values, given as pairs of value and count. Returns rising pairs of a value and the fraction of
/// all values up to it, starting at fraction 0. Long distributions are thinned to about a thousand points, evenly by fraction.
pub fn cumulative(mut pairs: Vec<(f64, u64)>) -> Vec<(f64, f64)> {
    pairs.retain(|(value, weight)| value.is_finite() && *weight > 0);
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: u64 = pairs.iter().map(|(_, weight)| weight).sum();
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut sum = 0;
    for (value, weight) in pairs {
        sum += weight;
        let share = sum as f64 / total as f64;
        match points.last_mut() {
            Some(last) if last.0 == value => last.1 = share,
            None => points.extend([(value, 0.0), (value, share)]),
            _ => points.push((value, share)),
        }
    }
    thin(points)
}

/// Keeps the last point of each of equal intervals of the fraction, and both ends.
fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let part = |share: f64| (share * (MOST_POINTS - 3) as f64) as usize;
    let last = points.len() - 1;
    let keep = |index: usize| {
        index < 2 || index == last || part(points[index].1) != part(points[index + 1].1)
    };
    (0..=last)
        .filter(|index| keep(*index))
        .map(|index| points[index])
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::report::render::chart::*;

    fn chart(scale: Scale, marks: Marks) -> Chart {
        Chart {
            name: "test",
            title: "Test".into(),
            x: Axis::new("x (s)", scale),
            y: Axis::new("y", Scale::Percent),
            categories: vec!["a".into(), "b".into()],
            series: vec![Series {
                name: "one".into(),
                color: BLUE,
                dashed: false,
                marks,
            }],
        }
    }

    #[test]
    fn a_distribution_ends_at_one_and_stays_short() {
        assert_eq!(cumulative(Vec::new()), []);
        assert_eq!(
            cumulative(vec![(2.0, 1), (f64::NAN, 9), (1.0, 3)]),
            [(1.0, 0.0), (1.0, 0.75), (2.0, 1.0)]
        );
        let long = cumulative((0..100_000).map(|i| (f64::from(i), 1)).collect());
        assert!(long.len() <= MOST_POINTS, "{}", long.len());
        assert!(long.len() > 900, "{}", long.len());
        assert_eq!(long.last(), Some(&(99_999.0, 1.0)));
    }

    #[test]
    fn nothing_and_nonsense_are_drawn_without_panic() {
        for scale in [
            Scale::Linear,
            Scale::Log,
            Scale::Percent,
            Scale::PercentUsed,
        ] {
            for marks in [
                Marks::Step(Vec::new()),
                Marks::Step(vec![(f64::NAN, 0.5), (0.0, 1.0), (f64::INFINITY, 1.0)]),
                Marks::Line(vec![(3.0, 0.5)]),
                Marks::Bars(vec![None, Some(f64::NAN)]),
                Marks::Bars(vec![Some(0.0), Some(0.0)]),
                Marks::Rules(7, vec![Some(0.1)]),
                Marks::Styled(vec![(f64::NAN, 0.5), (0.0, 0.0)], Look::of(12, true)),
                Marks::Tagged(vec![(None, BLUE), (Some(0.5), BLUE), (Some(1.0), BLUE)]),
                Marks::Limit(f64::NAN),
                Marks::Limit(0.0),
            ] {
                let chart = chart(scale, marks);
                assert!(chart.svg().starts_with("<svg"), "{chart:?}");
                let folder = tempfile::tempdir().expect("folder");
                chart.save(folder.path()).expect("saves");
            }
        }
    }

    #[test]
    fn the_same_chart_gives_the_same_bytes() {
        let chart = chart(Scale::Log, Marks::Step(vec![(1.0, 0.0), (50.0, 1.0)]));
        assert_eq!(chart.svg(), chart.svg());
    }
}
