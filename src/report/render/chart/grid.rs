//! Heat maps: values by two categories, as colours and numbers.

use std::path::Path;
use std::sync::Arc;

use kuva::plot::{ColorMap, Heatmap};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, render_multiple};
use kuva::render::theme::Theme;

use super::{draw, write_pictures};
use crate::base::error::Result;

/// A heat map of fractions, shown in per cent.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Title, with the unit.
    pub title: String,
    /// Label of the columns.
    pub x_label: String,
    /// Names of the rows, from top to bottom.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Values by row and column; `None` leaves a cell empty.
    pub values: Vec<Vec<Option<f64>>>,
}

/// Colour of a fraction: from nearly white to a blue on which black text is readable.
fn shade(part: f64) -> String {
    let mix = |from: f64, to: f64| (from + (to - from) * part.clamp(0.0, 1.0)).round() as u8;
    format!(
        "rgb({},{},{})",
        mix(250.0, 86.0),
        mix(252.0, 160.0),
        mix(255.0, 220.0)
    )
}

impl Grid {
    /// Writes `<stem>.svg` and `<stem>.png`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path, stem: &str) -> Result<()> {
        let scene = self.scene();
        write_pictures(
            folder,
            stem,
            &draw::svg_of(&scene, stem),
            draw::png_of(scene),
        )
    }

    fn scene(&self) -> Scene {
        let shown = |value: &Option<f64>| value.map_or(f64::NAN, |v| v * 100.0);
        // kuva draws rows from bottom to top.
        let data: Vec<Vec<f64>> = self
            .values
            .iter()
            .rev()
            .map(|row| row.iter().map(shown).collect())
            .collect();
        let rows: Vec<String> = self.rows.iter().rev().cloned().collect();
        let plots = vec![Plot::Heatmap(
            Heatmap::new()
                .with_data(data)
                .with_color_map(ColorMap::Custom(Arc::new(shade)))
                .with_values(),
        )];
        let layout = Layout::auto_from_plots(&plots)
            .with_width(170.0 + 80.0 * self.columns.len() as f64)
            .with_height(130.0 + 26.0 * self.rows.len() as f64)
            .with_theme(Theme::light())
            .with_font_family("DejaVu Sans, Helvetica, Arial, sans-serif")
            .with_title(self.title.clone())
            .with_title_size(17)
            .with_label_size(14)
            .with_tick_size(12)
            .with_body_size(12)
            .with_x_label(self.x_label.clone())
            .with_x_categories(self.columns.clone())
            .with_y_categories(rows);
        render_multiple(plots, layout)
    }
}
