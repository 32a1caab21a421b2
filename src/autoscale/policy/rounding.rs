//! Rounding of fractional fleet sizes to whole numbers of instances.

use serde::{Deserialize, Serialize};

/// Rounding modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rounding {
    /// Rounds up.
    Up,
    /// Rounds to the nearest whole number, halves to the even one, as Python's `round`.
    Nearest,
    /// Truncates, as Python's `int`.
    Down,
}

impl Rounding {
    /// Rounds a size; a value within a billionth of a whole number counts as that number.
    pub fn apply(self, size: f64) -> u32 {
        let near = size.round();
        let exact = if (size - near).abs() < 1e-9 {
            near
        } else {
            size
        };
        let whole = match self {
            Self::Up => exact.ceil(),
            Self::Nearest => exact.round_ties_even(),
            Self::Down => exact.floor(),
        };
        whole.clamp(0.0, f64::from(u32::MAX)) as u32
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::rounding::Rounding::{Down, Nearest, Up};

    #[test]
    fn rounds_by_hand() {
        assert_eq!(
            [Up.apply(2.1), Nearest.apply(2.5), Down.apply(4.8)],
            [3, 2, 4]
        );
        // 10 * 0.7 / 0.7 is slightly below 10 in floating point.
        assert_eq!(Up.apply(10.0 * 0.7 / 0.7 + 1e-12), 10);
        assert_eq!(Up.apply(-1.0), 0);
    }
}
