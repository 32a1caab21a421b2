//! The last values of a series.

use std::collections::VecDeque;

/// The last `window` values, without the zeros before the first load.
#[derive(Debug, Clone)]
pub struct Series {
    values: VecDeque<f64>,
    window: usize,
    /// Number of values added, those that have left the window included.
    taken: u64,
}

impl Series {
    /// An empty series of at most `window` values.
    pub fn new(window: usize) -> Self {
        Self {
            values: VecDeque::new(),
            window: window.max(1),
            taken: 0,
        }
    }

    /// Adds a value; returns whether it counts.
    pub fn push(&mut self, value: f64) -> bool {
        // Values that are not finite, or negative, count as no load.
        let value = if value.is_finite() {
            value.max(0.0)
        } else {
            0.0
        };
        if value == 0.0 && self.taken == 0 {
            return false;
        }
        if self.values.len() == self.window {
            self.values.pop_front();
        }
        self.values.push_back(value);
        self.taken += 1;
        true
    }

    /// The values, oldest first.
    pub fn values(&mut self) -> &[f64] {
        self.values.make_contiguous()
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Index of the window's first value among all values added.
    pub fn first_index(&self) -> u64 {
        self.taken - self.values.len() as u64
    }

    /// The last value; 0 without values.
    pub fn last(&self) -> f64 {
        self.values.back().copied().unwrap_or(0.0)
    }

    /// The mean; 0 without values.
    pub fn mean(&self) -> f64 {
        match self.values.len() {
            0 => 0.0,
            count => self.values.iter().sum::<f64>() / count as f64,
        }
    }

    /// Whether all values are the same.
    pub fn is_constant(&self) -> bool {
        self.values.iter().all(|value| *value == self.last())
    }
}
