//! A quantity that keeps each value until the next change: its minimum, maximum and mean over time.

use crate::base::table::float;

/// A meter that starts with 0 at time 0, as Vidur's do.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    over_time: bool,
    last: (f64, f64),
    sum: f64,
    weight: f64,
    most: f64,
}

impl Meter {
    /// Mean weighted by time.
    pub(super) fn over_time() -> Self {
        Self {
            over_time: true,
            last: (0.0, 0.0),
            sum: 0.0,
            weight: 0.0,
            most: 0.0,
        }
    }

    /// Mean over the values without weights, including the initial 0.
    pub(super) fn over_values() -> Self {
        Self {
            over_time: false,
            weight: 1.0,
            ..Self::over_time()
        }
    }

    /// Sets the value from `time` on. The time since time 0 does not count, because Vidur treats a time of 0 as
    /// missing.
    pub(super) fn put(&mut self, time: f64, value: f64) {
        let (since, held) = self.last;
        if !self.over_time {
            self.sum += value;
            self.weight += 1.0;
        } else if since != 0.0 {
            self.sum += held * (time - since);
            self.weight += time - since;
        }
        self.last = (time, value);
        self.most = self.most.max(value);
    }

    /// The figures as one line of JSON; `None` if there is nothing to average.
    pub(super) fn json(&self, name: &str) -> Option<String> {
        let most = if self.most.fract() == 0.0 {
            format!("{:.0}", self.most)
        } else {
            float(self.most)
        };
        (self.weight > 0.0).then(|| {
            let mean = float(self.sum / self.weight);
            format!(
                "{{\"{name}_min\": 0, \"{name}_max\": {most}, \"{name}_weighted_mean\": {mean}}}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::compat::vidur::meter::*;

    #[test]
    fn means_over_time_begin_after_time_0() {
        let mut meter = Meter::over_time();
        meter.put(0.0, 50.0);
        meter.put(1.0, 100.0);
        meter.put(3.0, 10.0);
        meter.put(4.0, 0.0);
        // (2 s at 100 and 1 s at 10) / 3 s; the second at 50 does not count.
        assert_eq!(
            meter.json("x").expect("time passed"),
            "{\"x_min\": 0, \"x_max\": 100, \"x_weighted_mean\": 70.0}"
        );
        let mut meter = Meter::over_values();
        meter.put(1.0, 4.5);
        meter.put(9.0, 3.0);
        // (0 + 4.5 + 3) / 3.
        assert_eq!(
            meter.json("x").expect("values"),
            "{\"x_min\": 0, \"x_max\": 4.5, \"x_weighted_mean\": 2.5}"
        );
    }
}
