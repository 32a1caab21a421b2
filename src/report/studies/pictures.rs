//! Which charts show a replay, and a comparison.

use std::path::Path;

use super::course;
use super::experiment::Columns;
use super::sharing::Run;
use crate::base::error::Result;
use crate::metrics::{Analysis, Group};
use crate::report::render::chart::{
    Axis, BLUE, Chart, GREY, Marks, ORANGE, SKY, Scale, Series, VERMILLION, cumulative,
};

/// Turns that are shown; the few longer sessions would make the bars too thin to read.
const MOST_TURNS: usize = 20;

/// A replay under its name in the legend.
struct Named<'a> {
    name: &'static str,
    color: &'static str,
    dashed: bool,
    run: &'a Run<'a>,
}

/// The charts of one analysis.
pub fn of_run(run: &Run<'_>) -> Vec<Chart> {
    distributions(&[Named {
        name: "this trace",
        color: BLUE,
        dashed: false,
        run,
    }])
}

/// The charts of an experiment: those of an analysis with both modes in each, and the comparison.
pub fn of_columns(columns: &Columns<'_>) -> Vec<Chart> {
    let runs = named(columns);
    let mut charts = distributions(&runs);
    charts.push(comparison(&runs));
    charts
}

/// Writes charts as SVG and PNG.
///
/// # Errors
/// A file that cannot be written.
pub fn save(charts: &[Chart], folder: &Path) -> Result<()> {
    charts.iter().try_for_each(|chart| chart.save(folder))
}

fn named<'a>(columns: &'a Columns<'a>) -> Vec<Named<'a>> {
    let one = |name, color, dashed, run| Named {
        name,
        color,
        dashed,
        run,
    };
    let mut runs = vec![
        one("single-turn", VERMILLION, false, &columns.single),
        one("multi-turn", BLUE, false, &columns.multi),
    ];
    if let Some((single, multi)) = &columns.truth {
        runs.push(one("single-turn, as served", ORANGE, true, single));
        runs.push(one("multi-turn, as served", SKY, true, multi));
    }
    runs
}

fn distributions(runs: &[Named<'_>]) -> Vec<Chart> {
    let curves = |points: &dyn Fn(&Analysis) -> Vec<(f64, f64)>| {
        series(runs, |run| Marks::Step(points(run.analysis)))
    };
    vec![
        Chart {
            name: "sharing_fraction_cdf",
            title: "How much of each prompt was already cached".into(),
            x: Axis::new("sharing fraction of the request", Scale::Percent),
            y: Axis::new("share of requests", Scale::Percent),
            categories: Vec::new(),
            series: curves(&|analysis| {
                let fractions = analysis.sharing_fractions();
                let mut points = cumulative(fractions.into_iter().map(|f| (f, 1)).collect());
                // The curve goes on at the top to the end of the axis.
                if points.last().is_some_and(|last| last.0 < 1.0) {
                    points.push((1.0, 1.0));
                }
                points
            }),
        },
        block_hits(runs),
        Chart {
            name: "reuse_gap_cdf",
            title: "Time until a block is used again".into(),
            x: Axis::new("reuse gap (seconds of trace time)", Scale::Log),
            y: Axis::new("share of reuses", Scale::Percent),
            categories: Vec::new(),
            series: curves(&|analysis| cumulative(analysis.gaps.seconds())),
        },
        by_turn(runs),
    ]
}

fn series<'a>(
    runs: impl IntoIterator<Item = &'a Named<'a>>,
    marks: impl Fn(&Run<'_>) -> Marks,
) -> Vec<Series> {
    let one = |named: &Named<'_>| Series {
        name: named.name.into(),
        color: named.color,
        dashed: named.dashed,
        marks: marks(named.run),
    };
    runs.into_iter().map(one).collect()
}

/// The bin of a number of accesses: 1, 2, 3-4, 5-8, ...
fn bin(accesses: u32) -> usize {
    (u32::BITS - accesses.saturating_sub(1).leading_zeros()) as usize
}

fn bin_label(bin: usize) -> String {
    match bin {
        0 => "1".into(),
        1 => "2".into(),
        _ => format!("{}-{}", (1u64 << (bin - 1)) + 1, 1u64 << bin),
    }
}

fn block_hits(runs: &[Named<'_>]) -> Chart {
    let counts = |run: &Run<'_>| {
        let mut bins: Vec<u64> = Vec::new();
        for (accesses, blocks) in run.analysis.access_counts() {
            let bin = bin(accesses);
            bins.resize(bins.len().max(bin + 1), 0);
            bins[bin] += blocks;
        }
        bins
    };
    let most = runs.iter().map(|named| counts(named.run).len()).max();
    Chart {
        name: "block_hit_distribution",
        title: "How often each block was used".into(),
        x: Axis::new("accesses of the block (1 is never reused)", Scale::Linear),
        y: Axis::new("blocks", Scale::Log),
        categories: (0..most.unwrap_or(0)).map(bin_label).collect(),
        series: series(runs, |run| {
            let bars = counts(run).into_iter();
            Marks::Bars(bars.map(|n| (n > 0).then_some(n as f64)).collect())
        }),
    }
}

fn by_turn(runs: &[Named<'_>]) -> Chart {
    let most = runs
        .iter()
        .map(|named| named.run.analysis.groups.by_turn.len())
        .max()
        .unwrap_or(0)
        .min(MOST_TURNS);
    // Where others have many turns, one bar at the first tells little and makes all thinner.
    let runs: Vec<&Named<'_>> = runs
        .iter()
        .filter(|named| most < 2 || named.run.analysis.groups.by_turn.len() > 1)
        .collect();
    let labels: Vec<String> = (1..=most).map(|turn| turn.to_string()).collect();
    let ratio = |groups: &[Group], label: &String| {
        let group = groups.iter().find(|group| group.label == *label);
        group.map(Group::token_hit_ratio)
    };
    Chart {
        name: "sharing_by_turn",
        title: "Prompt tokens found in the cache, by turn".into(),
        x: Axis::new(&turns_label(&runs, most), Scale::Linear),
        y: Axis::new("token hit ratio", Scale::Percent),
        series: series(runs.iter().copied(), |run| {
            let groups = &run.analysis.groups.by_turn;
            Marks::Bars(labels.iter().map(|label| ratio(groups, label)).collect())
        }),
        categories: labels,
    }
}

fn turns_label(runs: &[&Named<'_>], shown: usize) -> String {
    let longest = runs
        .iter()
        .map(|named| named.run.analysis.groups.by_turn.len());
    match longest.max() {
        Some(longest) if longest > shown => {
            format!("turn of the conversation (first {shown} of {longest})")
        }
        _ => "turn of the conversation".into(),
    }
}

fn comparison(runs: &[Named<'_>]) -> Chart {
    let mut all = series(runs, |run| {
        let summary = run.summary;
        Marks::Bars(vec![
            summary.sharing_fraction.mean,
            summary.sharing_fraction.p50,
            Some(summary.block_hit_ratio),
            Some(summary.token_hit_ratio),
        ])
    });
    // The course project published no token hit ratio.
    let published = [(0, course::SINGLE), (1, course::MULTI)].map(|(of, figures)| {
        Marks::Rules(
            of,
            vec![
                Some(figures.mean),
                Some(figures.median),
                Some(figures.reuse_rate),
                None,
            ],
        )
    });
    all.extend(published.map(|marks| Series {
        name: "published figure".into(),
        color: GREY,
        dashed: false,
        marks,
    }));
    Chart {
        name: "comparison",
        title: "Single-turn and multi-turn".into(),
        x: Axis::new(
            "rules: the course project's first 100 ShareGPT records",
            Scale::Linear,
        ),
        y: Axis::new("share", Scale::Percent),
        categories: [
            "sharing fraction, mean",
            "sharing fraction, median",
            "block reuse rate",
            "token hit ratio",
        ]
        .map(Into::into)
        .to_vec(),
        series: all,
    }
}

#[cfg(test)]
mod tests {
    use crate::report::studies::pictures::*;

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
