//! The charts of replays against a cache, and of their comparison.

use std::borrow::Cow;
use std::path::Path;

use super::analyzed::AnalyzedTrace;
use super::course;
use super::curves::{ACCESSES, Curves, FRACTIONS, GAPS, ShownReplay, bin_label};
use super::experiment::Columns;
use crate::base::error::Result;
use crate::metrics::{Group, Summary};
use crate::report::render::chart::{
    Axis, BLUE, Chart, GREY, Marks, ORANGE, SKY, Scale, Series, VERMILLION,
};

/// Turns that are shown; the few longer sessions would make the bars too thin to read.
const MOST_TURNS: usize = 20;

/// The one replay of an analysis.
pub(super) fn alone<'a>(summary: Cow<'a, Summary>, curves: Curves) -> ShownReplay<'a> {
    ShownReplay {
        name: THIS_TRACE,
        color: BLUE,
        dashed: false,
        summary,
        curves,
    }
}

/// Name of the one replay of an analysis.
pub(super) const THIS_TRACE: &str = "this trace";

/// The charts of an experiment: those of an analysis with all replays in each, and the comparison.
pub(super) fn of_columns(runs: &[ShownReplay<'_>]) -> Vec<Chart> {
    let mut charts = distributions(runs);
    charts.push(comparison(runs));
    charts
}

/// Writes charts as SVG and PNG.
///
/// # Errors
/// A file that cannot be written.
pub fn save(charts: &[Chart], folder: &Path) -> Result<()> {
    charts.iter().try_for_each(|chart| chart.save(folder))
}

/// The replays of an experiment.
pub(super) fn of_experiment<'a>(columns: &Columns<'a>) -> Vec<ShownReplay<'a>> {
    let one = |name, color, dashed, run: &AnalyzedTrace<'a>| ShownReplay {
        name,
        color,
        dashed,
        summary: Cow::Borrowed(run.summary),
        curves: Curves::new(run.analysis),
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

/// The charts of an analysis; those of several replays have all of them in each.
pub(super) fn distributions(runs: &[ShownReplay<'_>]) -> Vec<Chart> {
    vec![
        Chart {
            name: FRACTIONS,
            title: "How much of each prompt was already cached".into(),
            x: Axis::new("sharing fraction of the request", Scale::Percent),
            y: Axis::new("share of requests", Scale::Percent),
            categories: Vec::new(),
            series: series(runs, |run| {
                let mut points = run.curves.fractions.clone();
                // The curve goes on at the top to the end of the axis.
                if points.last().is_some_and(|last| last.0 < 1.0) {
                    points.push((1.0, 1.0));
                }
                Marks::Step(points)
            }),
        },
        block_hits(runs),
        Chart {
            name: GAPS,
            title: "Time until a block is used again".into(),
            x: Axis::new("reuse gap (seconds of trace time)", Scale::Log),
            y: Axis::new("share of reuses", Scale::Percent),
            categories: Vec::new(),
            series: series(runs, |run| Marks::Step(run.curves.gaps.clone())),
        },
        by_turn(runs),
    ]
}

fn series<'a, 'b: 'a>(
    runs: impl IntoIterator<Item = &'a ShownReplay<'b>>,
    marks: impl Fn(&ShownReplay<'_>) -> Marks,
) -> Vec<Series> {
    let one = |run: &ShownReplay<'_>| Series {
        name: run.name.into(),
        color: run.color,
        dashed: run.dashed,
        marks: marks(run),
    };
    runs.into_iter().map(one).collect()
}

fn block_hits(runs: &[ShownReplay<'_>]) -> Chart {
    let most = runs.iter().map(|run| run.curves.accesses.len()).max();
    Chart {
        name: ACCESSES,
        title: "How often each block was used".into(),
        x: Axis::new("accesses of the block (1 is never reused)", Scale::Linear),
        y: Axis::new("blocks", Scale::Log),
        categories: (0..most.unwrap_or(0)).map(bin_label).collect(),
        series: series(runs, |run| {
            let bars = run.curves.accesses.iter();
            Marks::Bars(bars.map(|n| (*n > 0).then_some(*n as f64)).collect())
        }),
    }
}

fn by_turn(runs: &[ShownReplay<'_>]) -> Chart {
    let most = runs
        .iter()
        .map(|run| run.summary.by_turn.len())
        .max()
        .unwrap_or(0)
        .min(MOST_TURNS);
    // Where others have many turns, one bar at the first tells little and makes all thinner.
    let runs: Vec<&ShownReplay<'_>> = runs
        .iter()
        .filter(|run| most < 2 || run.summary.by_turn.len() > 1)
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
            let groups = &run.summary.by_turn;
            Marks::Bars(labels.iter().map(|label| ratio(groups, label)).collect())
        }),
        categories: labels,
    }
}

fn turns_label(runs: &[&ShownReplay<'_>], shown: usize) -> String {
    let longest = runs.iter().map(|run| run.summary.by_turn.len());
    match longest.max() {
        Some(longest) if longest > shown => {
            format!("turn of the conversation (first {shown} of {longest})")
        }
        _ => "turn of the conversation".into(),
    }
}

fn comparison(runs: &[ShownReplay<'_>]) -> Chart {
    let mut all = series(runs, |run| {
        let summary = &run.summary;
        Marks::Bars(vec![
            Some(summary.sharing_fraction.mean),
            Some(summary.sharing_fraction.p50),
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
