//! The tables of an experiment, its figures as JSON, and its answer.

use serde_json::{Value, json};

use super::course;
use crate::metrics::Summary;
use crate::report::render::number::{percent, seconds, thousands};
use crate::report::render::table::table;
use crate::report::studies::answer;
use crate::report::studies::sharing::AnalyzedTrace;

/// The replays of an experiment.
pub struct SingleAndMulti<'a> {
    /// The replay with one request per conversation.
    pub single: AnalyzedTrace<'a>,
    /// The replay with one request per turn.
    pub multi: AnalyzedTrace<'a>,
    /// Single-turn and multi-turn replays of the same chats as an engine serves them; only where this run counts differently.
    pub truth: Option<(AnalyzedTrace<'a>, AnalyzedTrace<'a>)>,
    /// Single-turn and multi-turn figures at further block sizes.
    pub others: Vec<(&'a Summary, &'a Summary)>,
    /// Whether this run counts by the course project's rules, so that its published figures belong beside these.
    pub published: bool,
}

/// Formats the tables for the terminal.
pub fn text(columns: &SingleAndMulti<'_>) -> String {
    let multi = columns.multi.summary;
    let (header, rows) = figures(columns);
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
    if !columns.others.is_empty() {
        let (header, rows) = by_block_size(columns);
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        out.push_str(&format!("\n{}\n", table(&header, &rows)));
    }
    if columns.published {
        out.push_str(&format!("\nThe course project's published figures (first 100 ShareGPT records) beside this run's\n{}\n", published(columns)));
    }
    out.push_str(&format!("\n{}", columns.answer()));
    out
}

impl<'a> SingleAndMulti<'a> {
    /// Single-turn and multi-turn at every block size, the first of which has all figures.
    fn sizes(&self) -> Vec<(&'a Summary, &'a Summary)> {
        let first = (self.single.summary, self.multi.summary);
        [&[first], self.others.as_slice()].concat()
    }

    /// The answer in a sentence.
    pub fn answer(&self) -> String {
        let sizes = self.sizes().into_iter();
        let sizes: Vec<_> = sizes
            .map(|(single, multi)| (single.into(), multi.into()))
            .collect();
        answer::experiment(&sizes)
    }
}

/// Header and rows of the comparison of block sizes.
pub(super) fn by_block_size(columns: &SingleAndMulti<'_>) -> Cells {
    let header = [
        "tokens a block",
        "single-turn: token hit ratio",
        "distinct blocks",
        "multi-turn: token hit ratio",
        "distinct blocks",
    ];
    let row = |(single, multi): &(&Summary, &Summary)| {
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
        columns.sizes().iter().map(row).collect(),
    )
}

/// Header and rows of the comparison.
pub(super) fn figures(columns: &SingleAndMulti<'_>) -> Cells {
    let (single, multi) = (columns.single.summary, columns.multi.summary);
    let mut header = vec!["", "single-turn", "multi-turn"];
    let mut of: Vec<&Summary> = vec![single, multi];
    if let Some((single, multi)) = &columns.truth {
        header.extend(["single-turn, as served", "multi-turn, as served"]);
        of.extend([single.summary, multi.summary]);
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
            Box::new(|s| percent(s.sharing_fraction.mean)),
        ),
        (
            "sharing fraction, median",
            Box::new(|s| percent(s.sharing_fraction.p50)),
        ),
        (
            "accesses per block, mean",
            Box::new(|s| format!("{:.2}", s.block_accesses.mean)),
        ),
        (
            "accesses per block, max",
            Box::new(|s| format!("{:.0}", s.block_accesses.max)),
        ),
        (
            "reuse gap, median",
            Box::new(|s| seconds(s.reuse_gap_seconds.p50)),
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

/// Header and rows of the published figures beside this run's.
pub(super) fn published_figures(columns: &SingleAndMulti<'_>) -> Cells {
    let (single, multi) = (columns.single.summary, columns.multi.summary);
    let median = |run: &AnalyzedTrace<'_>| {
        let mut fractions = run.analysis.sharing_fractions();
        fractions.sort_unstable_by(f64::total_cmp);
        percent(course::upper_median(&fractions))
    };
    let hits = |mean: f64, max: f64| format!("{mean:.2} / {max:.0}");
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
            both(&|s| percent(s.sharing_fraction.mean)),
        ),
        row(
            "sharing fraction, median",
            [percent(ps.median), percent(pm.median)],
            [median(&columns.single), median(&columns.multi)],
        ),
        row(
            "block reuse rate",
            [percent(ps.reuse_rate), percent(pm.reuse_rate)],
            both(&|s| percent(s.block_hit_ratio)),
        ),
        row(
            "block hit count, mean / max",
            [
                hits(ps.mean_hits, f64::from(ps.max_hits)),
                hits(pm.mean_hits, f64::from(pm.max_hits)),
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
    let (header, rows) = published_figures(columns);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    table(&header, &rows)
}

/// All figures as JSON.
pub fn json(columns: &SingleAndMulti<'_>) -> Value {
    let published = |p: course::Published| {
        json!({"sharing_fraction_mean": p.mean, "sharing_fraction_median": p.median, "block_reuse_rate": p.reuse_rate,
            "block_hits_mean": p.mean_hits, "block_hits_max": p.max_hits})
    };
    json!({
        "single_turn": columns.single.summary,
        "multi_turn": columns.multi.summary,
        "as_served": columns.truth.as_ref().map(|(single, multi)| json!({"single_turn": single.summary, "multi_turn": multi.summary})),
        "by_block_size": columns.sizes().iter().map(|(single, multi)| json!({
            "block_size": single.settings.block_size, "single_turn": single, "multi_turn": multi,
        })).collect::<Vec<_>>(),
        "published": columns.published.then(|| json!({
            "single_turn": published(course::SINGLE), "multi_turn": published(course::MULTI),
        })),
        "answer": columns.answer(),
    })
}
