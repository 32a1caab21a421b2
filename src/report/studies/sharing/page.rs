//! The page of an analysis, and the sections that other pages of hit ratios share with it.

use serde_json::{Value, json};

use super::charts;
use super::curves::ShownReplay;
use crate::base::Distribution;
use crate::metrics::{Group, Summary};
use crate::report::render::html::{Cell, Page, Table};
use crate::report::render::number::{or_dash, percent, seconds, thousands};
use crate::report::studies::answer;

/// Warning on pages of the engine `naive`.
const NAIVE: &str = "\
<section class=\"warn\" aria-label=\"Caution\">
<p><b>These figures are of engine <code>naive</code>, which no server runs.</b> They can be compared with published figures that
were counted in the same way. They differ from what an engine serves:</p>
<ul>
<li>The tokenizer <code>chars</code> makes one token of each character, so a block of 16 tokens is a few words.</li>
<li>Each block is hashed alone, so it counts as reused wherever the same tokens occurred before. An engine's hash covers all
tokens before the block too, because keys and values depend on them; it can reuse only a leading run of blocks.</li>
<li>The partial block at the end of a prompt counts like a full one; engines cache full blocks only.</li>
<li>Nothing is ever evicted; an engine has a limited capacity.</li>
<li>With <code>--sequential</code> each session ends before the next begins; on a server they interleave.</li>
</ul>
<p>If the same chats were also measured as an engine serves them, the columns and curves <i>as served</i> show those figures.</p>
</section>
";

/// Returns the warning for pages of an engine; empty if it needs none.
pub(in crate::report::studies) fn warning(engine: &str) -> &'static str {
    if engine == "naive" { NAIVE } else { "" }
}

/// Definitions of the metrics.
pub(in crate::report::studies) const DEFINITIONS: &str = "\
<h2>How it was counted</h2>
<details>
<summary>Definitions of the metrics</summary>
<dl>
<dt>block</dt><dd>Prompts are divided into blocks of equal numbers of tokens. The hash of a block covers its tokens and all tokens
before them (engine <code>naive</code>: its tokens alone).</dd>
<dt>sharing fraction</dt><dd>For one request: prompt tokens found in the cache, divided by its prompt tokens.</dd>
<dt>token hit ratio</dt><dd>For all requests together: prompt tokens found in the cache, divided by prompt tokens. This is the
fraction of prefill that the cache saves.</dd>
<dt>mean request hit ratio</dt><dd>The fraction of a request's block look-ups that hit, averaged over requests with equal weight.</dd>
<dt>block hit ratio, block reuse rate</dt><dd>Block look-ups that hit, divided by all block look-ups.</dd>
<dt>accesses of a block</dt><dd>Number of look-ups of a block by prompts, including the first; 1 means that it was never reused.</dd>
<dt>reuse gap</dt><dd>Trace time between two consecutive accesses of a block, measured by the arrival times of the trace. It is also
given as a number of requests, and as the stack distance: the number of different blocks used in between.</dd>
<dt>block lifetime, idle before eviction</dt><dd>Time from insertion, and from the last use, to eviction; only with a limited
capacity.</dd>
<dt>percentiles</dt><dd>Linear interpolation between the two nearest ranks, as in numpy.</dd>
</dl>
</details>
";

/// The origin of a page's figures.
#[derive(Debug, Clone)]
pub(in crate::report::studies) struct Origin {
    /// The trace.
    pub(in crate::report::studies) source: String,
    /// How the trace was made, from its header.
    pub(in crate::report::studies) meta: Value,
    /// The command that analyzed it.
    pub(in crate::report::studies) command: String,
}

/// The page of one analysis.
pub(in crate::report::studies) fn of_replay(replay: &ShownReplay<'_>, origin: &Origin) -> Page {
    let s: &Summary = &replay.summary;
    let (source, meta) = (&origin.source, &origin.meta);
    let mut tables = vec![distributions(s)];
    for (caption, name, groups) in [
        ("By turn", "turn", &s.by_turn),
        (
            "By session length",
            "requests of the session",
            &s.by_session_length,
        ),
        ("By prompt length", "prompt tokens", &s.by_prompt_length),
    ] {
        tables.push(group_table(caption, name, groups));
    }
    Page {
        title: "Prefix sharing".into(),
        lead: format!("{source}: {}", settings(s)),
        answer: answer::analysis(&s.into()),
        tiles: tiles(s, ""),
        warning: warning(&s.settings.engine),
        tables,
        charts: charts::distributions(std::slice::from_ref(replay)),
        variants: Vec::new(),
        notes: Vec::new(),
        definitions: DEFINITIONS,
        configuration: json!({"trace": source, "settings": s.settings, "tokenizer": meta["tokenizer"],
            "template": meta["template"], "mode": meta["mode"], "arrival": meta["arrival"], "seed": meta["seed"],
            "generator": meta["generator"]}),
        command: origin.command.clone(),
    }
}

pub(in crate::report::studies) fn settings(s: &Summary) -> String {
    let capacity = s.settings.capacity_blocks.map_or_else(
        || "unbounded".into(),
        |blocks| {
            let blocks = thousands(u64::from(blocks));
            format!("{blocks} blocks, policy {}", s.settings.policy)
        },
    );
    format!(
        "engine {}, {} tokens a block, capacity {capacity}",
        s.settings.engine, s.settings.block_size
    )
}

pub(in crate::report::studies) fn tiles(s: &Summary, of: &str) -> Vec<(String, String)> {
    vec![
        (percent(s.token_hit_ratio), format!("token hit ratio{of}")),
        (
            or_dash(s.sharing_fraction.p50, percent),
            format!("median sharing fraction{of}"),
        ),
        (percent(s.block_hit_ratio), format!("block hit ratio{of}")),
        (thousands(s.requests), format!("requests{of}")),
        (thousands(s.prompt_tokens), format!("prompt tokens{of}")),
        (thousands(s.distinct_blocks), format!("distinct blocks{of}")),
        (thousands(s.evictions), format!("evictions{of}")),
    ]
}

fn number(value: f64, show: impl Fn(f64) -> String) -> Cell {
    Cell {
        text: show(value),
        value: Some(value),
    }
}

/// A name, a distribution, and the function that formats its values.
type Spread<'a> = (&'a str, &'a Distribution, &'a dyn Fn(f64) -> String);

fn distributions(s: &Summary) -> Table {
    let two: &dyn Fn(f64) -> String = &|value| format!("{value:.2}");
    let whole: &dyn Fn(f64) -> String = &|value| thousands(value.round() as u64);
    let mut all: Vec<Spread<'_>> = vec![
        ("sharing fraction", &s.sharing_fraction, &percent),
        ("accesses per block", &s.block_accesses, two),
        ("reuse gap", &s.reuse_gap_seconds, &seconds),
        ("reuse gap, requests", &s.reuse_gap_requests, two),
    ];
    if let Some(stack) = &s.reuse_stack_distance_blocks {
        all.push(("stack distance, blocks", stack, whole));
    }
    if let Some(residency) = &s.residency {
        all.push((
            "block lifetime",
            &residency.block_lifetime_seconds,
            &seconds,
        ));
        all.push((
            "idle before eviction",
            &residency.block_idle_before_evict_seconds,
            &seconds,
        ));
        all.push((
            "reuse after eviction",
            &residency.reuse_after_eviction_seconds,
            &seconds,
        ));
    }
    let row = |(name, d, show): Spread<'_>| {
        let mut row = vec![Cell::from(name)];
        let values = [
            d.mean, d.min, d.p5, d.p25, d.p50, d.p75, d.p90, d.p99, d.max,
        ];
        row.extend(values.map(|value| Cell {
            text: or_dash(value, show),
            value,
        }));
        row
    };
    Table {
        caption: "Distributions".into(),
        header: [
            "", "mean", "min", "p5", "p25", "p50", "p75", "p90", "p99", "max",
        ]
        .map(Into::into)
        .to_vec(),
        rows: all.into_iter().map(row).collect(),
    }
}

pub(in crate::report::studies) fn group_table(
    caption: &str,
    name: &str,
    groups: &[Group],
) -> Table {
    let count = |value: u64| number(value as f64, |_| thousands(value));
    let row = |(place, group): (usize, &Group)| {
        vec![
            // Ranges are sorted by their order, not as text.
            Cell {
                text: group.label.clone(),
                value: Some(place as f64),
            },
            count(group.requests),
            count(group.prompt_tokens),
            number(group.token_hit_ratio(), percent),
            number(group.mean_sharing_fraction, percent),
        ]
    };
    Table {
        caption: caption.into(),
        header: [
            name,
            "requests",
            "prompt tokens",
            "token hit ratio",
            "mean sharing fraction",
        ]
        .map(Into::into)
        .to_vec(),
        rows: groups.iter().enumerate().map(row).collect(),
    }
}
