//! Runs the simulator at increasing thresholds, as `offline_get_threshold.sh` of Charmstok/sarathi-serve runs the engine;
//! [`super::select`] chooses from the results.

use std::sync::atomic::AtomicU64;

use rayon::prelude::*;

use super::select::{Column, METRICS, ThresholdRun};
use super::trace_variants::{TraceVariants, with_opt_sarathi};
use crate::base::error::{Error, Result};
use crate::dataset::time::Date;
use crate::metrics::serving::request_times::{TIMES, completion_order, times};
use crate::scenario::{Scenario, ScenarioConfig};
use crate::sim::RequestRecord;

/// Simulates the trace once for each seed and threshold, on all cores. Returns one [`Run`] per seed, under the given names.
///
/// # Errors
/// A threshold that the scheduler rejects, or a run in which no request finished.
pub fn runs(
    variants: &TraceVariants,
    config: &ScenarioConfig,
    thresholds: &[u32],
    names: &[String],
    done: &AtomicU64,
) -> Result<Vec<ThresholdRun>> {
    let prepared: Vec<Scenario> = thresholds
        .iter()
        .map(|threshold| {
            with_opt_sarathi(config, |own| own.min_chunk_threshold = *threshold).prepare()
        })
        .collect::<Result<_>>()?;
    let pairs: Vec<(usize, usize)> = (0..names.len())
        .flat_map(|seed| (0..thresholds.len()).map(move |threshold| (seed, threshold)))
        .collect();
    let one = |(seed, threshold): (usize, usize)| {
        let records = variants.serve(&prepared[threshold], seed, done)?;
        columns(&records).ok_or_else(|| {
            Error::usage(
                format!("no request finished at threshold {}", thresholds[threshold]),
                "give instances enough blocks for a request, and an end_seconds that is late enough",
            )
        })
    };
    let mut served: Vec<[Column; 5]> = pairs.into_par_iter().map(one).collect::<Result<_>>()?;
    let mut runs = Vec::new();
    for name in names {
        let rest = served.split_off(thresholds.len());
        runs.push(ThresholdRun {
            name: name.clone(),
            thresholds: thresholds
                .iter()
                .map(|threshold| i128::from(*threshold))
                .zip(served)
                .collect(),
        });
        served = rest;
    }
    Ok(runs)
}

/// Metrics of the requests that finished, in order of completion; `None` if none finished.
fn columns(records: &[RequestRecord]) -> Option<[Column; 5]> {
    let ended = completion_order(records);
    if ended.is_empty() {
        return None;
    }
    let places = METRICS.map(|metric| TIMES.iter().position(|name| *name == metric));
    Some(std::array::from_fn(|metric| {
        let value = |id: &usize| {
            times(&records[*id])
                .zip(places[metric])
                .map(|(times, at)| times[at])
        };
        Column {
            values: ended.iter().filter_map(value).collect(),
            ids: ended.iter().map(usize::to_string).collect(),
        }
    }))
}

/// Parses a time in the form of the script's folder names, `2025-12-18_14-30-00`, to seconds since 1970.
pub fn parse_time(text: &str) -> Option<u64> {
    let (date, clock) = text.split_once('_')?;
    let time = Date::parse(&format!("{date}T{}Z", clock.replace('-', ":")))?;
    let seconds = u64::try_from(time.since_1970 / 1_000_000_000).ok()?;
    (time_name(seconds) == text).then_some(seconds)
}

/// Formats seconds since 1970 in the form of the script's folder names.
pub fn time_name(seconds: u64) -> String {
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil calendar: years begin in March, and 400 years have 146 097 days.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{day_of_month:02}_{:02}-{:02}-{:02}",
        era * 400 + year + next,
        clock / 3600,
        clock / 60 % 60,
        clock % 60
    )
}

#[cfg(test)]
mod tests {
    use crate::tune::select::{SelectOptions, select};
    use crate::tune::threshold::*;
    use crate::tune::trace_variants::testing::{config, trace};

    #[test]
    fn times_have_names() {
        for (seconds, name) in [
            (0, "1970-01-01_00-00-00"),
            (951_823_800, "2000-02-29_11-30-00"),
            (1_709_251_199, "2024-02-29_23-59-59"),
            (4_102_444_800, "2100-01-01_00-00-00"),
        ] {
            assert_eq!(time_name(seconds), name);
            assert_eq!(parse_time(name), Some(seconds));
        }
        for text in [
            "",
            "2024-02-30_00-00-00",
            "2024-02-03 00:00:00",
            "now",
            "2024-2-3_00-00-00",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn every_seed_and_threshold_is_served_whatever_the_threads() {
        let variants = TraceVariants::new(&trace(40), 0.05, &[0, 5], true).expect("is made");
        let names = ["a".to_owned(), "b".to_owned()];
        let all = || {
            runs(
                &variants,
                &config(),
                &[0, 4, 100],
                &names,
                &AtomicU64::new(0),
            )
            .expect("runs")
        };
        let found = all();
        assert_eq!(found.len(), 2);
        assert!(found[0].thresholds != found[1].thresholds, "seeds differ");
        for run in &found {
            assert_eq!(
                run.thresholds.keys().copied().collect::<Vec<_>>(),
                [0, 4, 100]
            );
            assert!(
                run.thresholds
                    .values()
                    .flatten()
                    .all(|column| column.values.len() == 80 && column.ids.len() == 80)
            );
        }
        assert!(
            found[0].thresholds[&0] != found[0].thresholds[&100],
            "a high threshold is felt"
        );
        let alone = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .expect("a pool");
        assert_eq!(alone.install(all), found);
        assert!(select(&found, &SelectOptions::default()).is_ok());
        // 0.3 of the chunk size of 512.
        let error =
            runs(&variants, &config(), &[154], &names, &AtomicU64::new(0)).expect_err("is refused");
        assert!(
            error.to_string().contains("is not below 0.3 of chunk_size"),
            "{error}"
        );
    }
}
