//! Linear interpolation between measured points.

use std::path::{Path, PathBuf};

/// Linear interpolation on a nested grid of `N` axes.
///
/// Each value of the first axis has its own values of the second, each of these its own of the third, and so on: measured
/// grids are seldom a full product. Between two values of an axis the two nested results are weighted by distance, so
/// that measured points are reproduced exactly and the result is continuous. Outside, the nearest edge is used.
#[derive(Debug, Clone)]
pub(super) struct Grid<const N: usize> {
    axes: [Axis; N],
    values: Vec<f64>,
}

/// The keys of one axis under every key of the axis before it, one run after the other.
#[derive(Debug, Clone, Default)]
struct Axis {
    keys: Vec<f64>,
    /// Start of each key's run in the next axis, or the index of its value; one more at the end.
    starts: Vec<u32>,
}

impl<const N: usize> Grid<N> {
    /// From rows of keys and value, in any order; the values of equal keys are averaged. `None` without rows.
    pub(super) fn new(mut rows: Vec<([f64; N], f64)>) -> Option<Self> {
        rows.sort_by(|(a, _), (b, _)| {
            let mut pairs = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
            pairs
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        let mut grid = Self {
            axes: std::array::from_fn(|_| Axis::default()),
            values: Vec::with_capacity(rows.len()),
        };
        let mut last: Option<[f64; N]> = None;
        let mut equal = 0.0;
        for (keys, value) in rows {
            let depth = last.map_or(0, |last| {
                (0..N).find(|axis| last[*axis] != keys[*axis]).unwrap_or(N)
            });
            if depth == N {
                equal += 1.0;
                if let Some(mean) = grid.values.last_mut() {
                    *mean += (value - *mean) / equal;
                }
                continue;
            }
            equal = 1.0;
            for (axis, key) in keys.iter().enumerate().skip(depth) {
                let start = match grid.axes.get(axis + 1) {
                    Some(next) => next.keys.len(),
                    None => grid.values.len(),
                };
                grid.axes[axis].keys.push(*key);
                grid.axes[axis].starts.push(start as u32);
            }
            grid.values.push(value);
            last = Some(keys);
        }
        last?;
        for axis in 0..N {
            let end = match grid.axes.get(axis + 1) {
                Some(next) => next.keys.len(),
                None => grid.values.len(),
            };
            grid.axes[axis].starts.push(end as u32);
        }
        Some(grid)
    }

    /// The value at a point; sets `outside` if an axis had to be clamped. An axis with one value is ignored.
    pub(super) fn at(&self, point: &[f64; N], outside: &mut bool) -> f64 {
        self.nested(0, 0..self.axes[0].keys.len(), point, outside)
    }

    /// The smallest value of all.
    pub(super) fn smallest(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn nested(
        &self,
        depth: usize,
        run: std::ops::Range<usize>,
        point: &[f64; N],
        outside: &mut bool,
    ) -> f64 {
        let axis = &self.axes[depth];
        let keys = &axis.keys[run.clone()];
        let wanted = point[depth];
        let below = |index: usize, outside: &mut bool| {
            let (start, end) = (axis.starts[index] as usize, axis.starts[index + 1] as usize);
            if depth + 1 == N {
                self.values[start]
            } else {
                self.nested(depth + 1, start..end, point, outside)
            }
        };
        let above = keys.partition_point(|key| *key < wanted);
        if above == keys.len() {
            *outside |= keys.len() > 1;
            return below(run.end - 1, outside);
        }
        if keys[above] == wanted || above == 0 {
            *outside |= keys[above] != wanted && keys.len() > 1;
            return below(run.start + above, outside);
        }
        let (low, high) = (keys[above - 1], keys[above]);
        let part = (wanted - low) / (high - low);
        let under = below(run.start + above - 1, outside);
        let over = below(run.start + above, outside);
        under + part * (over - under)
    }
}

impl Grid<1> {
    /// The points where the curve bends.
    pub(super) fn knots(&self) -> &[f64] {
        &self.axes[0].keys
    }
}

/// A file of a folder, plain or compressed.
pub(super) fn file_in(folder: &Path, name: &str) -> Option<PathBuf> {
    ["", ".gz", ".zst"]
        .iter()
        .map(|ending| folder.join(format!("{name}{ending}")))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use crate::sim::latency::grid::*;
    use proptest::prelude::*;

    #[test]
    fn between_measured_points() {
        // At 0 there is one value of the second axis; at 10 there are two.
        let rows = vec![
            ([10.0, 4.0], 20.0),
            ([0.0, 0.0], 2.0),
            ([10.0, 0.0], 10.0),
            ([10.0, 4.0], 22.0),
        ];
        let grid = Grid::new(rows).expect("rows");
        let at = |a, b| {
            let mut outside = false;
            (grid.at(&[a, b], &mut outside), outside)
        };
        assert_eq!(at(0.0, 0.0), (2.0, false));
        // The mean of 20 and 22, which were measured at the same place.
        assert_eq!(at(10.0, 4.0), (21.0, false));
        // Half of the way: at 0, 2 whatever the second is; at 10, 10 + (21 - 10) / 4.
        assert_eq!(at(5.0, 1.0), (0.5 * 2.0 + 0.5 * 12.75, false));
        assert_eq!(at(10.0, 9.0), (21.0, true));
        assert_eq!(at(11.0, 0.0), (10.0, true));
        assert_eq!(Grid::<1>::new(Vec::new()).map(|grid| grid.smallest()), None);
    }

    proptest! {
        /// Within the smallest and largest value, continuous, and exact at measured points.
        #[test]
        fn interpolation_stays_within(
            rows in prop::collection::vec((prop::array::uniform3(0u8..6), 0u16..1000), 1..40),
            point in prop::array::uniform3(-1.0f64..7.0),
        ) {
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(keys, value)| (keys.map(f64::from), f64::from(value)))
                .collect();
            let grid = Grid::new(rows.clone()).expect("rows");
            let mut outside = false;
            let found = grid.at(&point, &mut outside);
            let largest = rows.iter().map(|(_, value)| *value).fold(0.0, f64::max);
            prop_assert!(found >= grid.smallest() - 1e-9 && found <= largest + 1e-9);
            let near = grid.at(&point.map(|axis| axis + 1e-9), &mut outside);
            prop_assert!((near - found).abs() < 1e-4, "{near} {found}");
            for (keys, _) in &rows {
                let equal: Vec<f64> = rows.iter().filter(|(other, _)| other == keys).map(|(_, value)| *value).collect();
                let mean = equal.iter().sum::<f64>() / equal.len() as f64;
                prop_assert!((grid.at(keys, &mut outside) - mean).abs() < 1e-9);
            }
        }
    }
}
