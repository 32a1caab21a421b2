//! The curves of replays, from memory or from `charts.csv`, so that `report` draws the same charts as `analyze`.

use std::borrow::Cow;
use std::path::Path;

use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::table::{CsvFile, TableReader, float};
use crate::metrics::{Analysis, Summary};
use crate::report::render::chart::cumulative;

/// Name of the file with the curves.
const FILE: &str = "charts.csv";

/// A replay as shown in charts and pages.
#[derive(Debug, Clone)]
pub(in crate::report::studies) struct ShownReplay<'a> {
    /// Name in legends.
    pub(in crate::report::studies) name: &'static str,
    /// Colour, as `#RRGGBB`.
    pub(in crate::report::studies) color: &'static str,
    /// Whether its lines are dashed.
    pub(in crate::report::studies) dashed: bool,
    /// Its figures.
    pub(in crate::report::studies) summary: Cow<'a, Summary>,
    /// Its curves.
    pub(in crate::report::studies) curves: Curves,
}

/// The data of a replay's charts that its summary does not contain.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::report::studies) struct Curves {
    /// Cumulative distribution of the requests' sharing fractions.
    pub(in crate::report::studies) fractions: Vec<(f64, f64)>,
    /// Number of blocks by number of accesses, in the bins of [`bin`].
    pub(in crate::report::studies) accesses: Vec<u64>,
    /// Cumulative distribution of reuse gaps in seconds.
    pub(in crate::report::studies) gaps: Vec<(f64, f64)>,
}

/// Returns the bin of a number of accesses: 1, 2, 3-4, 5-8, ...
fn bin(accesses: u32) -> usize {
    (u32::BITS - accesses.saturating_sub(1).leading_zeros()) as usize
}

/// Returns the label of a bin on axes.
pub(in crate::report::studies) fn bin_label(bin: usize) -> String {
    match bin {
        0 => "1".into(),
        1 => "2".into(),
        _ => format!("{}-{}", (1u64 << (bin - 1)) + 1, 1u64 << bin),
    }
}

/// Names of the curves in the file, equal to those of their charts.
pub(in crate::report::studies) const FRACTIONS: &str = "sharing_fraction_cdf";
pub(in crate::report::studies) const ACCESSES: &str = "block_hit_distribution";
pub(in crate::report::studies) const GAPS: &str = "reuse_gap_cdf";

impl Curves {
    /// Computes the curves of an analysis.
    pub(in crate::report::studies) fn new(analysis: &Analysis) -> Self {
        let fractions = analysis.sharing_fractions();
        let mut accesses: Vec<u64> = Vec::new();
        for (count, blocks) in analysis.access_counts() {
            let bin = bin(count);
            accesses.resize(accesses.len().max(bin + 1), 0);
            accesses[bin] += blocks;
        }
        Self {
            fractions: cumulative(fractions.into_iter().map(|f| (f, 1)).collect()),
            accesses,
            gaps: cumulative(analysis.gaps.seconds()),
        }
    }

    /// Reads the curves of the replays with these names from a folder.
    ///
    /// # Errors
    /// A missing file, or a file that [`write`] did not write.
    pub(in crate::report::studies) fn read<const N: usize>(
        folder: &Path,
        names: [&str; N],
    ) -> Result<[Self; N]> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Err(Error::input(
                Location::file(folder),
                format!("lacks {FILE}, from which the charts are drawn"),
                "run the command that wrote the folder again",
            ));
        }
        let mut all = std::array::from_fn(|_| Self::default());
        let columns = ["chart", "replay", "x", "y"];
        TableReader::open(Input::open(&path)?, &columns, columns.len())?.each_row(|row| {
            let replay = row.text(1)?;
            let Some(place) = names.iter().position(|name| *name == replay) else {
                return Ok(());
            };
            let curves: &mut Self = &mut all[place];
            match row.text(0)? {
                FRACTIONS => curves.fractions.push((row.number(2)?, row.number(3)?)),
                GAPS => curves.gaps.push((row.number(2)?, row.number(3)?)),
                ACCESSES => curves.accesses.push(row.number(3)? as u64),
                _ => {}
            }
            Ok(())
        })?;
        Ok(all)
    }
}

/// Writes `charts.csv`, one line per point of a chart.
///
/// # Errors
/// A file that cannot be written.
pub(in crate::report::studies) fn write(replays: &[ShownReplay<'_>], folder: &Path) -> Result<()> {
    let mut csv = CsvFile::create(&folder.join(FILE), &["chart", "replay", "x", "y"])?;
    for replay in replays {
        let curves = &replay.curves;
        for (chart, points) in [(FRACTIONS, &curves.fractions), (GAPS, &curves.gaps)] {
            for (x, y) in points {
                csv.row([chart, replay.name, &float(*x), &float(*y)])?;
            }
        }
        for (bin, blocks) in curves.accesses.iter().enumerate() {
            csv.row([ACCESSES, replay.name, &bin_label(bin), &blocks.to_string()])?;
        }
    }
    csv.finish()
}

#[cfg(test)]
mod tests {
    use crate::report::studies::sharing::curves::*;

    #[test]
    fn bins_and_labels_agree() {
        for (accesses, label) in [
            (1, "1"),
            (2, "2"),
            (3, "3-4"),
            (4, "3-4"),
            (5, "5-8"),
            (8, "5-8"),
            (9, "9-16"),
            (1025, "1025-2048"),
        ] {
            assert_eq!(bin_label(bin(accesses)), label);
        }
    }
}
