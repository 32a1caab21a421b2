//! `replay inspect`

use clap::Args;

use super::output;
use super::trace_input::TraceArgs;
use crate::base::Distribution;
use crate::base::limits;
use crate::cli::ranges::number;
use crate::report::render::number::{or_dash, seconds, thousands};
use crate::report::render::table::{pairs, table};
use crate::trace::inspect::Summary;

/// Arguments of `replay inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay inspect trace.jsonl.zst
  replay inspect AzureLLMInferenceTrace_conv.csv --json")]
pub(super) struct InspectArgs {
    #[command(flatten)]
    input: TraceArgs,

    /// Tokens per hash id [default: as the file says]
    #[arg(long, value_name = "TOKENS", help_heading = "Input", value_parser = number::<u32>(limits::BLOCK_SIZE))]
    block_size: Option<u32>,
}

pub(super) fn run(args: &InspectArgs, json: bool) -> anyhow::Result<()> {
    let read = args.input.read(args.block_size, true)?;
    let summary = Summary::new(&read);
    if json {
        return output::print(&serde_json::to_string_pretty(&summary)?);
    }
    output::print(&text(&summary))
}

fn text(s: &Summary) -> String {
    let rate = |rate: Option<f64>, unit: &str| {
        rate.map_or("-".into(), |rate| format!("{rate:.3} {unit}/s"))
    };
    let block = s
        .block_size
        .map_or(String::new(), |size| format!(" of {size} tokens"));
    let mut rows: Vec<(String, String)> = vec![
        ("format".into(), s.format.clone()),
        (
            "content".into(),
            format!("{}{block}", s.content.replace('_', " ")),
        ),
        (
            "requests".into(),
            format!(
                "{}   {}",
                thousands(s.requests),
                rate(s.request_rate, "requests")
            ),
        ),
        (
            "sessions".into(),
            format!(
                "{}   {}",
                thousands(s.sessions),
                rate(s.session_rate, "sessions")
            ),
        ),
        (
            "prompt tokens".into(),
            format!(
                "{}   {}",
                thousands(s.input_tokens),
                rate(s.input_token_rate, "tokens")
            ),
        ),
        (
            "output tokens".into(),
            format!(
                "{}   {}",
                thousands(s.output_tokens),
                rate(s.output_token_rate, "tokens")
            ),
        ),
        ("time span".into(), seconds(s.span_seconds)),
        ("broken lines".into(), thousands(s.broken_lines)),
    ];
    for (name, count) in [
        ("without prompt", s.requests_without_prompt),
        ("without output", s.requests_without_output),
        ("failures left out", s.failures_left_out),
    ] {
        if count > 0 {
            rows.push((name.into(), format!("{} requests", thousands(count))));
        }
    }
    if let Some(problem) = &s.first_problem {
        let lines: Vec<_> = s.first_broken_lines.iter().map(u64::to_string).collect();
        rows.push((
            "first broken".into(),
            format!("line {}: {problem}", lines.join(", ")),
        ));
    }
    let row = |name: &str, d: &Distribution| {
        let mut row = vec![name.to_owned()];
        row.extend(
            [
                d.mean, d.min, d.p5, d.p25, d.p50, d.p75, d.p90, d.p99, d.max,
            ]
            .map(|n| or_dash(n, |n| format!("{n:.1}"))),
        );
        row
    };
    let quantiles = table(
        &[
            "", "mean", "min", "p5", "p25", "p50", "p75", "p90", "p99", "max",
        ],
        &[
            row("input length", &s.input_length),
            row("output length", &s.output_length),
            row("turns per session", &s.turns_per_session),
        ],
    );
    format!("{}\n\n{quantiles}\n", pairs(&rows))
}
