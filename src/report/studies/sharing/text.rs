//! The table of the terminal output of `analyze`.

use crate::base::Distribution;
use crate::cache::engine::TierSummary;
use crate::metrics::Summary;
use crate::report::render::number::{bytes, or_dash, percent, seconds, thousands};
use crate::report::render::table::{pairs, table};
use crate::report::studies::answer;
use serde_json::json;

/// Formats the table for the terminal.
pub fn text(summary: &Summary) -> String {
    let s = summary;
    let settings = &s.settings;
    let capacity = settings
        .capacity_blocks
        .map_or("unbounded".into(), |blocks| {
            format!("{} blocks", thousands(u64::from(blocks)))
        });
    let capacity = match &s.tiers {
        Some(tiers) => format!("{capacity} in {} tiers", tiers.len()),
        None => capacity,
    };
    let mut rows = vec![
        (
            "engine".to_owned(),
            format!(
                "{}, {} tokens a block, capacity {capacity}{}",
                settings.engine,
                settings.block_size,
                rules(s)
            ),
        ),
        ("requests".into(), thousands(s.requests)),
        (
            "prompt tokens".into(),
            format!(
                "{}, of which cached {}",
                thousands(s.prompt_tokens),
                thousands(s.cached_tokens)
            ),
        ),
        (
            "token hit ratio".into(),
            format!("{}   (prefill tokens saved)", ratio(s.token_hit_ratio)),
        ),
        (
            "mean request hit ratio".into(),
            format!(
                "{}   (block look-ups, each request counts the same)",
                ratio(s.mean_request_hit_ratio)
            ),
        ),
        (
            "block hit ratio".into(),
            format!(
                "{}   ({} of {} look-ups)",
                ratio(s.block_hit_ratio),
                thousands(s.block_hits),
                thousands(s.block_lookups)
            ),
        ),
        ("distinct blocks".into(), thousands(s.distinct_blocks)),
        ("resident blocks".into(), thousands(s.resident_blocks)),
    ];
    if settings.capacity_blocks.is_some() {
        rows.push(("evictions".into(), thousands(s.evictions)));
    }
    if s.rejected_requests > 0 {
        rows.push((
            "rejected".into(),
            format!(
                "{} need more blocks than there are",
                thousands(s.rejected_requests)
            ),
        ));
    }
    if s.cut_outputs > 0 {
        rows.push((
            "cut outputs".into(),
            format!(
                "{} need more blocks than there are",
                thousands(s.cut_outputs)
            ),
        ));
    }
    if let Some(overlap) = &s.overlap {
        let waits = &overlap.waiting_seconds;
        let times = if overlap.waiting_requests > 0 {
            format!(
                " requests, {} in all, {} each, {} at most",
                seconds(overlap.waiting_seconds_total),
                or_dash(waits.mean, seconds),
                or_dash(waits.max, seconds)
            )
        } else {
            " requests".into()
        };
        rows.push((
            "waited for blocks".into(),
            thousands(overlap.waiting_requests) + times.as_str(),
        ));
        rows.push((
            "preempted".into(),
            format!(
                "{} requests, {} times",
                thousands(overlap.preempted_requests),
                thousands(overlap.preemptions)
            ),
        ));
    }
    if let Some(continuity) = s.continuity.filter(|continuity| continuity.lost() >= 0.005) {
        rows.push((
            "lost between turns".into(),
            format!(
                "{}   (of what a turn could share with the one before: the template renders it differently)",
                percent(continuity.lost())
            ),
        ));
    }
    if let Some(gib) = s.savings.gib_held {
        rows.push(("cache held".into(), bytes(gib * (1u64 << 30) as f64)));
    }
    if let Some(flops) = s.savings.prefill_flops_avoided {
        rows.push((
            "prefill avoided".into(),
            format!("{:.3} PFLOP", flops / 1e15),
        ));
    }
    let distribution = |name: &str, d: &Distribution, show: &dyn Fn(f64) -> String| {
        let mut row = vec![name.to_owned()];
        row.extend([d.mean, d.p5, d.p50, d.p90, d.p99, d.max].map(|v| or_dash(v, show)));
        row
    };
    let mut spread = vec![
        distribution("sharing fraction", &s.sharing_fraction, &percent),
        distribution("accesses per block", &s.block_accesses, &|n| {
            format!("{n:.2}")
        }),
        distribution("reuse gap", &s.reuse_gap_seconds, &seconds),
        distribution("reuse gap, requests", &s.reuse_gap_requests, &|n| {
            format!("{n:.1}")
        }),
    ];
    if let Some(stack) = &s.reuse_stack_distance_blocks {
        spread.push(distribution("stack distance, blocks", stack, &|n| {
            thousands(n.round() as u64)
        }));
    }
    if let Some(residency) = &s.residency {
        spread.push(distribution(
            "block lifetime",
            &residency.block_lifetime_seconds,
            &seconds,
        ));
        spread.push(distribution(
            "idle before eviction",
            &residency.block_idle_before_evict_seconds,
            &seconds,
        ));
        let again = &residency.reuse_after_eviction_seconds;
        rows.push((
            "wanted after eviction".into(),
            format!("{} blocks", thousands(again.count)),
        ));
        spread.push(distribution("eviction to reuse", again, &seconds));
    }
    let tiers = s
        .tiers
        .as_deref()
        .map_or(String::new(), |tiers| format!("\n{}\n", tier_table(tiers)));
    let turns: Vec<_> = s
        .by_turn
        .iter()
        .take(8)
        .map(|group| {
            vec![
                group.label.clone(),
                thousands(group.requests),
                percent(group.token_hit_ratio()),
                percent(group.mean_sharing_fraction),
            ]
        })
        .collect();
    let mut out = format!(
        "{}\n\n{}\n",
        pairs(&rows),
        table(&["", "mean", "p5", "p50", "p90", "p99", "max"], &spread)
    );
    out.push_str(&tiers);
    if s.by_turn.len() > 1 {
        out.push_str(&format!(
            "\n{}\n",
            table(
                &["turn", "requests", "token hit ratio", "mean request"],
                &turns
            )
        ));
        if s.by_turn.len() > turns.len() {
            out.push_str(&format!("  ... {} turns in all\n", s.by_turn.len()));
        }
    }
    out.push_str(&format!("\n{}\n", answer::analysis(&s.into())));
    out
}

/// Returns the figures as JSON, with the answer.
///
/// # Errors
/// Does not occur for a valid summary.
pub fn value(summary: &Summary) -> serde_json::Result<serde_json::Value> {
    let mut value = serde_json::to_value(summary)?;
    value["answer"] = json!(answer::analysis(&summary.into()));
    Ok(value)
}

/// Hits of each tier, and the bytes moved: read from the tier into the first one, and written into it from the tier above.
fn tier_table(tiers: &[TierSummary]) -> String {
    let moved = |blocks: u64, size: Option<u64>, time: Option<f64>| {
        let size = size.map_or_else(
            || format!("{} blocks", thousands(blocks)),
            |size| bytes(size as f64),
        );
        match time {
            Some(time) => format!("{size} in {}", seconds(time)),
            None => size,
        }
    };
    let rows: Vec<_> = tiers
        .iter()
        .map(|tier| {
            let capacity = tier
                .capacity_blocks
                .map(|blocks| thousands(u64::from(blocks)));
            vec![
                tier.name.clone(),
                capacity.unwrap_or_else(|| "unbounded".into()),
                thousands(tier.hits),
                thousands(tier.hit_tokens),
                moved(tier.blocks_read, tier.bytes_read, tier.seconds_read),
                moved(
                    tier.blocks_written,
                    tier.bytes_written,
                    tier.seconds_written,
                ),
                thousands(tier.resident_blocks),
            ]
        })
        .collect();
    table(
        &[
            "tier",
            "blocks",
            "hits",
            "hit tokens",
            "read",
            "written",
            "resident",
        ],
        &rows,
    )
}

fn ratio(value: f64) -> String {
    format!("{value:.6}")
}

fn rules(summary: &Summary) -> String {
    let settings = &summary.settings;
    let mut words = String::new();
    if settings.engine == "vllm" {
        words.push_str(if settings.cache_output {
            ", outputs cached"
        } else {
            ", prompts only"
        });
        if !settings.last_token_cap {
            words.push_str(", no last-token cap");
        }
        if settings.free_order != "current" {
            words.push_str(", legacy free order");
        }
    } else if settings.cache_output {
        words.push_str(", outputs cached");
    }
    if settings.hold != "none" {
        words.push_str(&format!(", hold {}", settings.hold));
    }
    words
}
