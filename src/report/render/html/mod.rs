//! `report.html`: a page of tables, interactive charts and definitions. It is one file and loads nothing from the network.

mod chart_data;
mod elements;

use std::path::Path;

use serde_json::Value;

use super::chart::Chart;
use crate::base::error::{Error, Result};
use crate::base::io::write_file;

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Its text.
    pub text: String,
    /// The number that it sorts by; `None` sorts by text.
    pub value: Option<f64>,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self {
            text: text.into(),
            value: None,
        }
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its caption.
    pub caption: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
}

/// A chart that is shown while certain choices are selected.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The chart. Charts of the same name share a position on the page.
    pub chart: Chart,
    /// The choices: names and values, e.g. `percentile` and `P90`.
    pub choices: Vec<(&'static str, String)>,
}

/// The content of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Heading.
    pub title: String,
    /// Line below the heading.
    pub lead: String,
    /// The answer in a sentence, shown first; empty if there is none.
    pub answer: String,
    /// The main figures: value and name.
    pub tiles: Vec<(String, String)>,
    /// HTML of a warning above the charts; empty if there is none.
    pub warning: &'static str,
    /// Tables of all figures.
    pub tables: Vec<Table>,
    /// Charts that are always shown.
    pub charts: Vec<Chart>,
    /// Charts of which one per name is shown, selected by choices for the whole page.
    pub variants: Vec<Variant>,
    /// Notes on values that the charts omit or thin.
    pub notes: Vec<String>,
    /// HTML with the definitions of the figures.
    pub definitions: &'static str,
    /// The configuration of the command, as TOML.
    pub configuration: Value,
    /// The command line.
    pub command: String,
}

impl Page {
    /// Writes the page.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let page = self.render().map_err(|source| Error::write(path, source))?;
        write_file(path, page.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use crate::report::render::chart::{Axis, Scale};
    use crate::report::render::html::*;
    use serde_json::json;

    #[test]
    fn texts_cannot_leave_their_place() {
        let evil = "</script><b onmouseover='x'>\"&";
        let page = Page {
            title: evil.into(),
            lead: evil.into(),
            answer: evil.into(),
            tiles: vec![(evil.into(), evil.into())],
            warning: "<section>warning</section>\n",
            tables: vec![Table {
                caption: evil.into(),
                header: vec![evil.into()],
                rows: vec![vec![evil.into()]],
            }],
            charts: vec![Chart {
                name: "empty",
                title: evil.into(),
                x: Axis::new(evil, Scale::Linear),
                y: Axis::new(evil, Scale::Log),
                categories: vec![evil.into()],
                series: Vec::new(),
            }],
            variants: Vec::new(),
            notes: vec![evil.into()],
            definitions: "",
            configuration: json!({"text": evil}),
            command: evil.into(),
        };
        let text = page.render().expect("renders");
        assert!(!text.contains("<b onmouseover"), "escaped everywhere");
        // The three scripts of the page itself.
        assert_eq!(text.matches("</script>").count(), 3);
        assert!(text.len() < 1_600_000, "{}", text.len());
    }
}
