//! Parses rate shapes: `NAME:KEY=VALUE,KEY=VALUE`, `file:PATH`, `trace:PATH,bin=SECONDS`.

use std::path::Path;

use super::{LeftOut, RateShape, Segment};
use crate::base::error::{Error, Location, Result};
use crate::base::io::read_configuration;
use crate::base::limits::{INTERVAL, MULTIPLE};
use crate::base::units::parse_seconds;
use crate::trace::Nanos;
use crate::trace::format::{ReadOptions, read_trace};

/// Names of the shapes.
const NAMES: &[&str] = &[
    "steady", "diurnal", "ramp", "spike", "square", "file", "trace",
];

/// Default seconds per bin of a replayed trace.
const BIN: f64 = 60.0;

/// `KEY=VALUE` pairs, removed one by one.
struct Keys<'a> {
    shape: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
    known: &'static [&'static str],
}

impl<'a> Keys<'a> {
    fn read(shape: &'a str, text: Option<&'a str>, known: &'static [&'static str]) -> Result<Self> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for part in text.unwrap_or_default().split(',') {
            if part.trim().is_empty() && text.is_none_or(|text| text.trim().is_empty()) {
                continue;
            }
            let Some((key, value)) = part.split_once('=') else {
                return Err(Error::usage(
                    format!("the rate shape {shape}: `{part}` is not KEY=VALUE"),
                    format!("known keys: {}", known.join(", ")),
                ));
            };
            let (key, value) = (key.trim(), value.trim());
            if !known.contains(&key) {
                let what = format!("key of the rate shape {shape}");
                return Err(Error::unknown_name(&what, key, known));
            }
            if pairs.iter().any(|pair| pair.0 == key) {
                return Err(Error::usage(
                    format!("the rate shape {shape} has {key} twice"),
                    "give it once",
                ));
            }
            pairs.push((key, value));
        }
        Ok(Self {
            shape,
            pairs,
            known,
        })
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        debug_assert!(self.known.contains(&key), "{key}");
        let pair = self.pairs.iter().find(|pair| pair.0 == key)?;
        Some(pair.1)
    }

    /// A multiple of the rate: 0 or more.
    fn factor(&self, key: &str, default: f64) -> Result<f64> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        text.parse()
            .ok()
            .filter(|factor| MULTIPLE.holds(*factor))
            .ok_or_else(|| self.refuse(key, text, &format!("a multiple of `rate`, {MULTIPLE}")))
    }

    /// Seconds, 0 or more.
    fn time(&self, key: &str, default: f64) -> Result<f64> {
        match self.text(key) {
            None => Ok(default),
            Some(text) => parse_seconds(text).ok_or_else(|| {
                self.refuse(key, text, "seconds, or a time such as 90s, 15m, 24h, 7d")
            }),
        }
    }

    /// Seconds, a millisecond or more.
    fn length(&self, key: &str, default: f64) -> Result<f64> {
        let time = self.time(key, default)?;
        if INTERVAL.holds(time) {
            return Ok(time);
        }
        let text = self.text(key).unwrap_or_default();
        Err(self.refuse(key, text, &format!("a time {INTERVAL} s")))
    }

    fn refuse(&self, key: &str, text: &str, wanted: &str) -> Error {
        Error::usage(
            format!("the rate shape {}: {key}={text}", self.shape),
            format!("give {wanted}"),
        )
    }
}

impl RateShape {
    /// Parses `steady`, `diurnal`, `ramp`, `spike` or `square` with `KEY=VALUE` pairs after a colon; `file:PATH`, a CSV of
    /// times and rates; or `trace:PATH`, the arrivals of a trace.
    ///
    /// # Errors
    /// An unknown shape or key, a value out of range, or a file that gives no rate.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name.trim(), Some(rest)),
            None => (text.trim(), None),
        };
        let mut left_out = None;
        let (segments, cyclic) = match name {
            "steady" => {
                Keys::read(name, rest, &[])?;
                return Ok(Self::steady());
            }
            "diurnal" => (diurnal(rest)?, true),
            "ramp" => (ramp(rest)?, false),
            "spike" => (spike(rest)?, false),
            "square" => (square(rest)?, true),
            "file" | "trace" => {
                let Some(path) = rest.filter(|path| !path.is_empty()) else {
                    return Err(Error::usage(
                        format!("the rate shape {name} names no file"),
                        format!("give it as {name}:PATH"),
                    ));
                };
                let steps = if name == "file" {
                    steps_of_file(Path::new(path))?
                } else {
                    let (steps, failures) = steps_of_trace(path)?;
                    left_out = failures;
                    steps
                };
                (steps, true)
            }
            _ => return Err(Error::unknown_name("rate shape", name, NAMES)),
        };
        Ok(Self {
            left_out,
            ..Self::new(text, segments, cyclic)
        })
    }
}

fn flat(length: f64, rate: f64) -> Segment {
    Segment::Linear {
        length,
        from: rate,
        to: rate,
    }
}

fn low_and_high(keys: &Keys<'_>) -> Result<(f64, f64)> {
    let (low, high) = (keys.factor("low", 0.5)?, keys.factor("high", 1.5)?);
    if low > high || high == 0.0 {
        return Err(Error::usage(
            format!("the rate shape {}: low={low}, high={high}", keys.shape),
            "give a high above 0 that is not below low",
        ));
    }
    Ok((low, high))
}

fn diurnal(text: Option<&str>) -> Result<Vec<Segment>> {
    let keys = Keys::read("diurnal", text, &["period", "low", "high", "peak"])?;
    let length = keys.length("period", 86_400.0)?;
    let (low, high) = low_and_high(&keys)?;
    Ok(vec![Segment::Sine {
        length,
        middle: f64::midpoint(low, high),
        swing: (high - low) / 2.0,
        peak: keys.time("peak", length / 2.0)?,
    }])
}

fn square(text: Option<&str>) -> Result<Vec<Segment>> {
    let keys = Keys::read("square", text, &["period", "low", "high", "duty"])?;
    let length = keys.length("period", 60.0)?;
    let (low, high) = low_and_high(&keys)?;
    let duty = keys.factor("duty", 0.5)?;
    if !(duty > 0.0 && duty < 1.0) {
        return Err(keys.refuse(
            "duty",
            &duty.to_string(),
            "a fraction of the period, between 0 and 1",
        ));
    }
    Ok(vec![
        flat(length * duty, high),
        flat(length * (1.0 - duty), low),
    ])
}

fn ramp(text: Option<&str>) -> Result<Vec<Segment>> {
    let keys = Keys::read("ramp", text, &["from", "to", "over"])?;
    let (from, to) = (keys.factor("from", 0.0)?, keys.factor("to", 2.0)?);
    if to == 0.0 {
        return Err(keys.refuse(
            "to",
            "0",
            "a rate above 0, because it holds for the rest of the trace",
        ));
    }
    let length = keys.length("over", 600.0)?;
    Ok(vec![
        Segment::Linear { length, from, to },
        flat(f64::INFINITY, to),
    ])
}

fn spike(text: Option<&str>) -> Result<Vec<Segment>> {
    let keys = Keys::read("spike", text, &["at", "factor", "width", "rise", "decay"])?;
    let factor = keys.factor("factor", 5.0)?;
    let mut segments = Vec::new();
    for (length, from, to) in [
        (keys.time("at", 60.0)?, 1.0, 1.0),
        (keys.time("rise", 0.0)?, 1.0, factor),
        (keys.time("width", 60.0)?, factor, factor),
    ] {
        if length > 0.0 {
            segments.push(Segment::Linear { length, from, to });
        }
    }
    let decay = keys.time("decay", 0.0)?;
    segments.push(if decay > 0.0 {
        Segment::Decay {
            base: 1.0,
            extra: factor - 1.0,
            decay,
        }
    } else {
        flat(f64::INFINITY, 1.0)
    });
    Ok(segments)
}

/// Scales steps to a mean of 1.
fn scaled(steps: &[(f64, f64)]) -> Option<Vec<Segment>> {
    let time: f64 = steps.iter().map(|(length, _)| length).sum();
    let count: f64 = steps.iter().map(|(length, rate)| length * rate).sum();
    let mean = count / time;
    (mean.is_finite() && mean > 0.0).then(|| {
        steps
            .iter()
            .map(|(length, rate)| flat(*length, rate / mean))
            .collect()
    })
}

/// Parses lines of `time,rate`: each rate holds until the next time, the last as long as the one before it.
fn steps_of_file(path: &Path) -> Result<Vec<Segment>> {
    let text = String::from_utf8_lossy(&read_configuration(path)?).into_owned();
    let mut rows: Vec<(f64, f64)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = Location::line(path, index as u64 + 1);
        let numbers = line.split_once(',').and_then(|(time, rate)| {
            let time: f64 = time.trim().parse().ok()?;
            let rate: f64 = rate.trim().parse().ok()?;
            Some((time, rate))
        });
        let Some((time, rate)) = numbers else {
            let heading = rows.is_empty()
                && line
                    .split(',')
                    .all(|word| word.trim().parse::<f64>().is_err());
            if heading && line.contains(',') {
                continue;
            }
            return Err(Error::input(
                at,
                format!("`{line}` is not a time and a rate"),
                "give lines such as 60,2.5: seconds, and arrivals per second from then on",
            ));
        };
        if !(time.is_finite() && rate.is_finite() && rate >= 0.0) {
            return Err(Error::input(
                at,
                format!("a time of {time} and a rate of {rate}"),
                "give finite numbers, and rates of 0 or more",
            ));
        }
        if let Some((last, _)) = rows.last()
            && time <= *last
        {
            return Err(Error::input(
                at,
                format!("the time {time} follows {last}, which is not earlier"),
                "sort the lines by time, and give each time only once",
            ));
        }
        rows.push((time, rate));
    }
    let mut steps: Vec<(f64, f64)> = rows
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0, pair[0].1))
        .collect();
    if let Some((_, rate)) = rows.last() {
        let length = steps.last().map_or(1.0, |(length, _)| *length);
        steps.push((length, *rate));
    }
    scaled(&steps).ok_or_else(|| {
        Error::input(
            Location::file(path),
            "no rate above 0",
            "give lines such as 60,2.5: seconds, and arrivals per second from then on",
        )
    })
}

/// The arrivals of a trace in bins of equal duration, from its first arrival to its last, and the failed requests that its reader left
/// out, if any.
fn steps_of_trace(text: &str) -> Result<(Vec<Segment>, Option<LeftOut>)> {
    let (path, bin) = match text.rsplit_once(",bin=") {
        Some((path, bin)) => {
            let in_range = |bin: &f64| INTERVAL.holds(*bin);
            let bin = parse_seconds(bin).filter(in_range).ok_or_else(|| {
                Error::usage(
                    format!("the rate shape trace: bin={bin}"),
                    format!("give seconds {INTERVAL}, or a time such as 90s, 15m, 24h"),
                )
            })?;
            (path, bin)
        }
        None => (text, BIN),
    };
    let read = read_trace(Path::new(path), &ReadOptions::default())?;
    let left_out = (read.report.failures > 0).then(|| LeftOut {
        path: path.into(),
        failures: read.report.failures,
        requests: read.report.records,
    });
    let trace = read.trace;
    let arrivals: Vec<Nanos> = trace
        .requests()
        .iter()
        .map(|request| request.arrival)
        .collect();
    let (Some(first), Some(last)) = (arrivals.iter().min(), arrivals.iter().max()) else {
        return Err(Error::input(
            Location::file(path),
            "has no requests",
            "give a trace with at least one",
        ));
    };
    let span = (*last - *first).as_secs_f64();
    if span <= 0.0 {
        return Err(Error::input(
            Location::file(path),
            "all requests arrive at once",
            "give a trace whose arrivals spread over some time",
        ));
    }
    let bins = ((span / bin).round() as usize).clamp(1, 10_000_000);
    let length = span / bins as f64;
    let mut counts = vec![0u64; bins];
    for arrival in &arrivals {
        let index = ((*arrival - *first).as_secs_f64() / length) as usize;
        counts[index.min(bins - 1)] += 1;
    }
    let steps: Vec<(f64, f64)> = counts.iter().map(|count| (length, *count as f64)).collect();
    let steps = scaled(&steps).ok_or_else(|| {
        Error::input(
            Location::file(path),
            "has no requests",
            "give a trace with at least one",
        )
    })?;
    Ok((steps, left_out))
}

#[cfg(test)]
mod tests {
    use crate::trace::rate_shape::parse::*;

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            (
                "diurnel",
                "unknown rate shape `diurnel`; did you mean `diurnal`?",
            ),
            (
                "diurnal:perod=5",
                "unknown key of the rate shape diurnal `perod`; did you mean `period`?",
            ),
            (
                "diurnal:5",
                "the rate shape diurnal: `5` is not KEY=VALUE; known keys: period, low, high, peak",
            ),
            (
                "diurnal:low=2,high=1",
                "the rate shape diurnal: low=2, high=1; give a high above 0",
            ),
            (
                "diurnal:period=0",
                "the rate shape diurnal: period=0; give a time from 0.001",
            ),
            (
                "diurnal:period=1w",
                "the rate shape diurnal: period=1w; give seconds, or a time such as",
            ),
            (
                "diurnal:low=-1",
                "the rate shape diurnal: low=-1; give a multiple of `rate`",
            ),
            (
                "square:duty=1",
                "the rate shape square: duty=1; give a fraction of the period",
            ),
            ("square:low=0,low=1", "the rate shape square has low twice"),
            (
                "ramp:to=0",
                "the rate shape ramp: to=0; give a rate above 0",
            ),
            ("steady:x=1", "unknown key of the rate shape steady `x`"),
            ("spike:factor=nan", "the rate shape spike: factor=nan"),
            (
                "file",
                "the rate shape file names no file; give it as file:PATH",
            ),
            ("trace:t.jsonl,bin=0", "the rate shape trace: bin=0"),
            (
                "trace:t.jsonl,bin=1e-300",
                "the rate shape trace: bin=1e-300; give seconds from 0.001 to 1000000000, or a time",
            ),
            (
                "ramp:to=1e300",
                "the rate shape ramp: to=1e300; give a multiple of `rate`, from 0 to 1000000",
            ),
            (
                "square:period=1e-300",
                "the rate shape square: period=1e-300; give a time from 0.001 to 1000000000 s",
            ),
        ] {
            let error = RateShape::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    fn written(content: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rates.csv");
        std::fs::write(&path, content).expect("writes");
        let text = format!("file:{}", path.display());
        (folder, text)
    }

    #[test]
    fn steps_come_from_a_file_and_are_scaled_to_a_mean_of_one() {
        let (_folder, text) = written("time,rate\n# night\n10,1\n20,4\n\n30,1\n");
        let shape = RateShape::parse(&text).expect("parses");
        // 10 s each of 1, 4 and 1: a mean of 2, and again from 30 s on.
        for (time, rate) in [
            (0.0, 0.5),
            (9.9, 0.5),
            (10.0, 2.0),
            (25.0, 0.5),
            (41.0, 2.0),
        ] {
            assert_eq!(shape.rate(time), rate, "at {time}");
        }
        assert!((shape.cumulative(30.0) - 30.0).abs() < 1e-12);
        for (content, expected) in [
            (
                "1,2\n1,3\n",
                ":2: the time 1 follows 1, which is not earlier",
            ),
            ("1,2\nx\n", ":2: `x` is not a time and a rate"),
            ("1,-2\n", ":1: a time of 1 and a rate of -2"),
            ("1,0\n2,0\n", "no rate above 0"),
            ("", "no rate above 0"),
        ] {
            let (_folder, text) = written(content);
            let error = RateShape::parse(&text).expect_err(content).to_string();
            assert!(error.contains(expected), "{content}: {error}");
        }
    }

    #[test]
    fn steps_come_from_the_arrivals_of_a_trace() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trace.csv");
        let mut rows = "arrived_at,num_prefill_tokens,num_decode_tokens\n".to_owned();
        // Nine arrivals in the first 10 seconds, three in the second.
        for time in [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 15, 20] {
            rows.push_str(&format!("{time},10,10\n"));
        }
        std::fs::write(&path, rows).expect("writes");
        let text = format!("trace:{},bin=10s", path.display());
        let shape = RateShape::parse(&text).expect("parses");
        for (time, rate) in [(5.0, 1.5), (15.0, 0.5), (25.0, 1.5)] {
            assert!((shape.rate(time) - rate).abs() < 1e-12, "at {time}");
        }
    }
}
