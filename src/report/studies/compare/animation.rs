//! A comparison as an animated GIF, with one image for each request rate.

use std::path::Path;

use super::charts;
use super::read::METRIC_NAMES;
use super::{ScenarioGroup, key};
use crate::base::error::{Error, Result};
use crate::base::io::write_file;
use crate::report::render::chart::{Chart, Marks, Panels, Scale, Series};

/// Width in pixels.
const WIDTH: f64 = 900.0;

/// Display times, in hundredths of a second, of each image and of the last one.
const DELAYS: (u16, u16) = (90, 300);

/// Writes one image for each request rate, from the lowest on. The lines grow while the axes remain the same.
///
/// # Errors
/// Fewer than two rates, or a file that cannot be written.
pub fn write(scenario: &ScenarioGroup<'_>, path: &Path) -> Result<()> {
    let traces = scenario.traces();
    if !scenario.rated() || traces.len() < 2 {
        return Err(Error::usage(
            format!(
                "{}: fewer than two request rates, so there is no growing load to animate",
                path.display()
            ),
            "compare runs of traces whose names end in _RATE",
        ));
    }
    let fail = |problem: String| Error::write(path, std::io::Error::other(problem));
    let frames = traces
        .iter()
        .map(|trace| frame(scenario, key::rate(trace).unwrap_or_default()).png(WIDTH))
        .collect::<std::result::Result<Vec<_>, String>>()
        .map_err(fail)?;
    // The last image has every line, so its palette is used for all images.
    let last = frames.len() - 1;
    let images = frames
        .iter()
        .map(|png| pixels(png))
        .collect::<std::result::Result<Vec<_>, String>>()
        .map_err(fail)?;
    let palette = Palette::of(&images[last].2);
    let (width, height) = (images[last].0, images[last].1);
    let bytes =
        encode(&images, &palette, (width, height)).map_err(|error| fail(error.to_string()))?;
    write_file(path, &bytes)
}

fn encode(
    images: &[Image],
    palette: &Palette,
    (width, height): (u16, u16),
) -> std::result::Result<Vec<u8>, gif::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, width, height, &palette.colors)?;
    encoder.set_repeat(gif::Repeat::Infinite)?;
    for (number, (width, height, rgb)) in images.iter().enumerate() {
        let last = number + 1 == images.len();
        let frame = gif::Frame {
            width: *width,
            height: *height,
            delay: if last { DELAYS.1 } else { DELAYS.0 },
            buffer: palette.indices(rgb).into(),
            ..gif::Frame::default()
        };
        encoder.write_frame(&frame)?;
    }
    drop(encoder);
    Ok(bytes)
}

/// Decodes a PNG to width, height, and the red, green and blue values of each pixel.
type Image = (u16, u16, Vec<u8>);

fn pixels(bytes: &[u8]) -> std::result::Result<Image, String> {
    let decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let size = reader
        .output_buffer_size()
        .ok_or("a picture that is too large")?;
    let mut buffer = vec![0; size];
    let info = reader
        .next_frame(&mut buffer)
        .map_err(|error| error.to_string())?;
    let step = info.color_type.samples();
    if step < 3 {
        return Err("a picture without colours".into());
    }
    let rgb = buffer[..info.buffer_size()]
        .chunks_exact(step)
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect();
    let side =
        |length: u32| u16::try_from(length).map_err(|_| "a picture that is too large".to_owned());
    Ok((side(info.width)?, side(info.height)?, rgb))
}

/// The most frequent colours, quantised to five bits for each of red, green and blue.
struct Palette {
    colors: Vec<u8>,
    nearest: Vec<u8>,
}

impl Palette {
    fn of(rgb: &[u8]) -> Self {
        let mut counts = vec![0u32; 1 << 15];
        for pixel in rgb.chunks_exact(3) {
            counts[cell(pixel)] += 1;
        }
        let mut order: Vec<usize> = (0..counts.len()).filter(|cell| counts[*cell] > 0).collect();
        order.sort_by(|a, b| counts[*b].cmp(&counts[*a]).then(a.cmp(b)));
        order.truncate(256);
        let colors: Vec<u8> = order.iter().flat_map(|cell| color(*cell)).collect();
        let nearest = (0..counts.len()).map(|cell| {
            let [r, g, b] = color(cell).map(i32::from);
            let distance = |entry: &&[u8]| {
                let [x, y, z] = [entry[0], entry[1], entry[2]].map(i32::from);
                (r - x).pow(2) + (g - y).pow(2) + (b - z).pow(2)
            };
            let best = colors
                .chunks_exact(3)
                .enumerate()
                .min_by_key(|(_, entry)| distance(entry));
            best.map_or(0, |(index, _)| index as u8)
        });
        let nearest = nearest.collect();
        Self { colors, nearest }
    }

    fn indices(&self, rgb: &[u8]) -> Vec<u8> {
        rgb.chunks_exact(3)
            .map(|pixel| self.nearest[cell(pixel)])
            .collect()
    }
}

fn cell(pixel: &[u8]) -> usize {
    (usize::from(pixel[0] >> 3) << 10)
        | (usize::from(pixel[1] >> 3) << 5)
        | usize::from(pixel[2] >> 3)
}

/// The colour of a palette cell; white remains exactly white.
fn color(cell: usize) -> [u8; 3] {
    [10, 5, 0].map(|shift| {
        let part = ((cell >> shift) & 31) as u32;
        ((part * 255 + 15) / 31) as u8
    })
}

/// P90 of TTFT, TBT and E2E, and the requests that missed the SLO, up to a rate.
fn frame(scenario: &ScenarioGroup<'_>, up_to: f64) -> Panels {
    let mut charts: Vec<Chart> = (0..3)
        .map(|metric| {
            let name = METRIC_NAMES[metric];
            let of = move |figures: &super::Figures| figures.times[metric][1];
            charts::by_rate(
                scenario,
                &format!("{name} (P90)"),
                &format!("{name} (s)"),
                None,
                &of,
            )
        })
        .collect();
    for chart in &mut charts {
        chart.y.scale = charts::scale(charts::lines(chart).into_iter());
    }
    let mut missed = charts::by_rate(
        scenario,
        "Requests that missed the SLO",
        &scenario.missed_label(),
        None,
        &|figures| figures.missed(),
    );
    missed.y.scale = Scale::PercentUsed;
    charts.push(missed);
    charts.retain(|chart| !chart.is_empty());
    charts.iter_mut().for_each(|chart| cut(chart, up_to));
    Panels {
        name: "animation",
        title: format!("Policies at up to {up_to} requests/s"),
        columns: 2,
        charts,
    }
}

/// Removes points beyond a rate from the lines without changing the axes.
fn cut(chart: &mut Chart, up_to: f64) {
    let mut room = Vec::new();
    for series in &mut chart.series {
        if let Marks::Styled(points, _) = &mut series.marks {
            room.extend(points.iter().copied());
            points.retain(|point| point.0 <= up_to);
        }
    }
    chart.series.push(Series {
        name: String::new(),
        color: crate::report::render::chart::GREY,
        dashed: false,
        marks: Marks::Room(room),
    });
}

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::animation::*;

    #[test]
    fn few_colours_are_kept_as_they_are() {
        let rgb = [255, 255, 255, 0, 0, 0, 0, 114, 178];
        let palette = Palette::of(&rgb);
        assert_eq!(palette.colors.len(), 9);
        let indices = palette.indices(&rgb);
        let of = |pixel: usize| {
            let at = usize::from(indices[pixel]) * 3;
            &palette.colors[at..at + 3]
        };
        assert_eq!((of(0), of(1)), (&[255u8, 255, 255][..], &[0u8, 0, 0][..]));
        assert!(
            of(2)
                .iter()
                .zip([0u8, 114, 178])
                .all(|(a, b)| a.abs_diff(b) <= 8)
        );
    }
}
