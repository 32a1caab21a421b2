//! A value that holds until the next one comes: its least, its most and its mean over time.

use crate::report::tables::float;

/// Begins with 0 at time 0, as Vidur's meters do.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    last: (f64, f64),
    weighted: f64,
    time: f64,
    most: f64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            last: (0.0, 0.0),
            weighted: 0.0,
            time: 0.0,
            most: 0.0,
        }
    }
}

impl Meter {
    /// From `time` on it is `value`. What held since time 0 does not count: Vidur takes a time of 0 for none.
    pub(super) fn put(&mut self, time: f64, value: f64) {
        let (since, held) = self.last;
        if since != 0.0 {
            self.weighted += held * (time - since);
            self.time += time - since;
        }
        self.last = (time, value);
        self.most = self.most.max(value);
    }

    /// As JSON in one line; `None` if no time has passed.
    pub(super) fn json(&self, name: &str) -> Option<String> {
        let most = if self.most.fract() == 0.0 {
            format!("{:.0}", self.most)
        } else {
            float(self.most)
        };
        (self.time > 0.0).then(|| {
            let mean = float(self.weighted / self.time);
            format!(
                "{{\"{name}_min\": 0, \"{name}_max\": {most}, \"{name}_weighted_mean\": {mean}}}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_begins_after_time_0() {
        let mut meter = Meter::default();
        meter.put(0.0, 50.0);
        meter.put(1.0, 100.0);
        meter.put(3.0, 10.0);
        meter.put(4.0, 0.0);
        // (2 s at 100 and 1 s at 10) / 3 s; the second at 50 does not count.
        assert_eq!(
            meter.json("x").expect("time passed"),
            "{\"x_min\": 0, \"x_max\": 100, \"x_weighted_mean\": 70.0}"
        );
    }
}
