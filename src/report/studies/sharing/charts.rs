//! The charts of replays against a cache.

use std::borrow::Cow;

use super::curves::{ACCESSES, Curves, FRACTIONS, GAPS, ShownReplay, bin_label};
use crate::metrics::{Group, Summary};
use crate::report::render::chart::{Axis, BLUE, Chart, Marks, Scale, Series};

/// Number of turns in charts by turn. The few longer sessions would make the bars too thin to read.
const MOST_TURNS: usize = 20;

/// The single replay of an analysis.
pub(in crate::report::studies) fn alone<'a>(
    summary: Cow<'a, Summary>,
    curves: Curves,
) -> ShownReplay<'a> {
    ShownReplay {
        name: THIS_TRACE,
        color: BLUE,
        dashed: false,
        summary,
        curves,
    }
}

/// Name of the single replay of an analysis.
pub(in crate::report::studies) const THIS_TRACE: &str = "this trace";

/// The charts of an analysis; each shows all replays.
pub(in crate::report::studies) fn distributions(runs: &[ShownReplay<'_>]) -> Vec<Chart> {
    vec![
        Chart {
            name: FRACTIONS,
            title: "How much of each prompt was already cached".into(),
            x: Axis::new("sharing fraction of the request", Scale::Percent),
            y: Axis::new("share of requests", Scale::Percent),
            categories: Vec::new(),
            series: series(runs, |run| {
                let mut points = run.curves.fractions.clone();
                // Extends the curve at 1 to the end of the axis.
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

pub(in crate::report::studies) fn series<'a, 'b: 'a>(
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
    // A replay with one turn is omitted beside replays with many turns: its single bar would only make all bars thinner.
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
