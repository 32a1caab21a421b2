//! The tables of an experiment, its figures as JSON, and its answer.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::course;
use crate::metrics::Summary;
use crate::report::render::number::{or_dash, percent, seconds, thousands};
use crate::report::render::table::table;
use crate::report::studies::answer::{self, Cached};
use crate::report::studies::sharing::AnalyzedTrace;

/// The replays of an experiment.
pub struct SingleAndMulti<'a> {
    /// The replay with one request per conversation.
    pub single: AnalyzedTrace<'a>,
    /// The replay with one request per turn.
    pub multi: AnalyzedTrace<'a>,
    /// Single-turn and multi-turn replays of the same chats under an engine's rules; only if this run counts differently.
    pub truth: Option<(AnalyzedTrace<'a>, AnalyzedTrace<'a>)>,
    /// Single-turn and multi-turn figures at further block sizes.
    pub others: Vec<(&'a Summary, &'a Summary)>,
    /// Whether this run follows the course project's rules, so that its published figures are comparable.
    pub published: bool,
}

/// The figures of an experiment's replays, from memory or from `summary.json`.
#[derive(Debug, Clone)]
pub(super) struct Figures<'a> {
    /// Figures of the single-turn and of the multi-turn replay.
    pub(super) replays: [Cow<'a, Summary>; 2],
    /// Figures of the same chats under an engine's rules.
    pub(super) as_served: Option<[Cow<'a, Summary>; 2]>,
    /// Figures of both replays at further block sizes.
    pub(super) others: Vec<[Cow<'a, Summary>; 2]>,
    /// Whether the course project's published figures are comparable.
    pub(super) published: bool,
    /// Medians of the sharing fractions of both replays, as the course project computed them.
    pub(super) upper_medians: [f64; 2],
}

impl<'a> SingleAndMulti<'a> {
    pub(super) fn figures(&self) -> Figures<'a> {
        let summary = |run: &AnalyzedTrace<'a>| Cow::Borrowed(run.summary);
        let median = |run: &AnalyzedTrace<'_>| {
            let mut fractions = run.analysis.sharing_fractions();
            fractions.sort_unstable_by(f64::total_cmp);
            course::upper_median(&fractions)
        };
        let truth = self.truth.as_ref();
        Figures {
            replays: [&self.single, &self.multi].map(summary),
            as_served: truth.map(|(single, multi)| [single, multi].map(summary)),
            others: self
                .others
                .iter()
                .map(|(single, multi)| [Cow::Borrowed(*single), Cow::Borrowed(*multi)])
                .collect(),
            published: self.published,
            upper_medians: [&self.single, &self.multi].map(median),
        }
    }
}

/// Formats the tables for the terminal.
pub fn text(columns: &SingleAndMulti<'_>) -> String {
    let multi = columns.multi.summary;
    let all = columns.figures();
    let (header, rows) = figures(&all);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let settings = &multi.settings;
    let mut out = format!(
        "engine {}, {} tokens a block{}\n{}\n",
        settings.engine,
        settings.block_size,
        settings
            .capacity_blocks
            .map_or(String::new(), |blocks| format!(
                ", capacity {} blocks",
                thousands(u64::from(blocks))
            )),
        table(&header, &rows)
    );
    if columns.truth.is_some() {
        out.push_str("as served: chunks joined, real tokens, chained block hashes by vLLM's rules, sessions interleaved\n");
    }
    if !all.others.is_empty() {
        let (header, rows) = by_block_size(&all);
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        out.push_str(&format!("\n{}\n", table(&header, &rows)));
    }
    if all.published {
        out.push_str(&format!("\nThe course project's published figures (first 100 ShareGPT records) beside this run's\n{}\n", published(columns)));
    }
    out.push_str(&format!("\n{}", all.answer()));
    out
}

impl Figures<'_> {
    /// Single-turn and multi-turn figures at every block size; the first block size has all figures.
    fn sizes(&self) -> impl Iterator<Item = &[Cow<'_, Summary>; 2]> {
        std::iter::once(&self.replays).chain(&self.others)
    }

    /// The answer in a sentence.
    pub(super) fn answer(&self) -> String {
        let sizes = self.sizes().map(|[single, multi]| {
            let single: &Summary = single;
            let multi: &Summary = multi;
            (Cached::from(single), Cached::from(multi))
        });
        answer::experiment(&sizes.collect::<Vec<_>>())
    }
}

/// Header and rows of the comparison of block sizes.
pub(super) fn by_block_size(figures: &Figures<'_>) -> Cells {
    let header = [
        "tokens a block",
        "single-turn: token hit ratio",
        "distinct blocks",
        "multi-turn: token hit ratio",
        "distinct blocks",
    ];
    let row = |[single, multi]: &[Cow<'_, Summary>; 2]| {
        vec![
            single.settings.block_size.to_string(),
            percent(single.token_hit_ratio),
            thousands(single.distinct_blocks),
            percent(multi.token_hit_ratio),
            thousands(multi.distinct_blocks),
        ]
    };
    (
        header.map(Into::into).to_vec(),
        figures.sizes().map(row).collect(),
    )
}

/// Header and rows of the comparison.
pub(super) fn figures(figures: &Figures<'_>) -> Cells {
    let mut header = vec!["", "single-turn", "multi-turn"];
    let mut of: Vec<&Summary> = figures.replays.iter().map(|summary| &**summary).collect();
    if let Some(as_served) = &figures.as_served {
        header.extend(["single-turn, as served", "multi-turn, as served"]);
        of.extend(as_served.iter().map(|summary| &**summary));
    }
    let rows: Vec<Row> = vec![
        ("requests", Box::new(|s| thousands(s.requests))),
        ("prompt tokens", Box::new(|s| thousands(s.prompt_tokens))),
        ("token hit ratio", Box::new(|s| percent(s.token_hit_ratio))),
        (
            "mean request hit ratio",
            Box::new(|s| percent(s.mean_request_hit_ratio)),
        ),
        (
            "block hit ratio (reuse rate)",
            Box::new(|s| percent(s.block_hit_ratio)),
        ),
        (
            "sharing fraction, mean",
            Box::new(|s| or_dash(s.sharing_fraction.mean, percent)),
        ),
        (
            "sharing fraction, median",
            Box::new(|s| or_dash(s.sharing_fraction.p50, percent)),
        ),
        (
            "accesses per block, mean",
            Box::new(|s| or_dash(s.block_accesses.mean, |n| format!("{n:.2}"))),
        ),
        (
            "accesses per block, max",
            Box::new(|s| or_dash(s.block_accesses.max, |n| format!("{n:.0}"))),
        ),
        (
            "reuse gap, median",
            Box::new(|s| or_dash(s.reuse_gap_seconds.p50, seconds)),
        ),
        (
            "distinct blocks",
            Box::new(|s| thousands(s.distinct_blocks)),
        ),
        ("evictions", Box::new(|s| thousands(s.evictions))),
    ];
    let cells = rows.iter().map(|(name, show)| {
        let mut row = vec![(*name).to_owned()];
        row.extend(of.iter().map(|summary| show(summary)));
        row
    });
    (
        header.into_iter().map(Into::into).collect(),
        cells.collect(),
    )
}

/// Header and rows of a table.
type Cells = (Vec<String>, Vec<Vec<String>>);

type Row = (&'static str, Box<dyn Fn(&Summary) -> String>);

/// Header and rows of the published figures and this run's.
pub(super) fn published_figures(figures: &Figures<'_>) -> Cells {
    let [single, multi] = &figures.replays;
    let hits = |mean: Option<f64>, max: Option<f64>| {
        let (mean, max) = (
            or_dash(mean, |n| format!("{n:.2}")),
            or_dash(max, |n| format!("{n:.0}")),
        );
        format!("{mean} / {max}")
    };
    let row = |name: &str, p: [String; 2], r: [String; 2]| {
        let [p1, p2] = p;
        let [r1, r2] = r;
        vec![name.to_owned(), p1, r1, p2, r2]
    };
    let both = |of: &dyn Fn(&Summary) -> String| [of(single), of(multi)];
    let (ps, pm) = (course::SINGLE, course::MULTI);
    let rows = [
        row(
            "sharing fraction, mean",
            [percent(ps.mean), percent(pm.mean)],
            both(&|s| or_dash(s.sharing_fraction.mean, percent)),
        ),
        row(
            "sharing fraction, median",
            [percent(ps.median), percent(pm.median)],
            figures.upper_medians.map(percent),
        ),
        row(
            "block reuse rate",
            [percent(ps.reuse_rate), percent(pm.reuse_rate)],
            both(&|s| percent(s.block_hit_ratio)),
        ),
        row(
            "block hit count, mean / max",
            [
                hits(Some(ps.mean_hits), Some(f64::from(ps.max_hits))),
                hits(Some(pm.mean_hits), Some(f64::from(pm.max_hits))),
            ],
            both(&|s| hits(s.block_accesses.mean, s.block_accesses.max)),
        ),
    ];
    let header = [
        "",
        "single: published",
        "this run",
        "multi: published",
        "this run",
    ];
    (header.map(Into::into).to_vec(), rows.to_vec())
}

fn published(columns: &SingleAndMulti<'_>) -> String {
    let (header, rows) = published_figures(&columns.figures());
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    table(&header, &rows)
}

/// All figures as JSON.
pub fn json(columns: &SingleAndMulti<'_>) -> Value {
    let published = |p: course::Published| {
        json!({"sharing_fraction_mean": p.mean, "sharing_fraction_median": p.median, "block_reuse_rate": p.reuse_rate,
            "block_hits_mean": p.mean_hits, "block_hits_max": p.max_hits})
    };
    let all = columns.figures();
    let medians = all.upper_medians;
    json!({
        "single_turn": columns.single.summary,
        "multi_turn": columns.multi.summary,
        "as_served": columns.truth.as_ref().map(|(single, multi)| json!({"single_turn": single.summary, "multi_turn": multi.summary})),
        "sharing_fraction_upper_median": {"single_turn": medians[0], "multi_turn": medians[1]},
        "other_block_sizes": all.others.iter().map(|[single, multi]| json!({
            "block_size": single.settings.block_size, "single_turn": single, "multi_turn": multi,
        })).collect::<Vec<_>>(),
        "published": all.published.then(|| json!({
            "single_turn": published(course::SINGLE), "multi_turn": published(course::MULTI),
        })),
        "answer": all.answer(),
    })
}
