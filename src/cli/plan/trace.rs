//! A plan for a trace, and the errors of predictors on a trace.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::PlanArgs;
use super::config::InstanceGpus;
use crate::autoscale::open_loop::{self, Interval};
use crate::autoscale::planner::backtest::{self, Score, WARM_UP};
use crate::autoscale::planner::{Budget, Decision, Planner, PlannerConfig};
use crate::base::error::{Error, Result};
use crate::base::io::OutputFile;
use crate::cli::output;
use crate::cli::trace_input::TraceArgs;
use crate::metrics::analyze;
use crate::report::render::number::thousands;
use crate::report::render::table::table;
use crate::report::studies::answer;
use crate::trace::{Content, Trace};

/// Reads the trace, with the tokens that a prefix cache would hold if the options request it.
fn read(args: &PlanArgs, file: &Path, interval: f64) -> anyhow::Result<Vec<Interval>> {
    let input = TraceArgs {
        trace: file.to_path_buf(),
        format: args.format.clone(),
        tokenizer: args.tokenizer.clone(),
    };
    let read = input.read(args.block_size, false)?;
    let cached = if args.cache {
        Some(cached_tokens(args, file, &read.trace)?)
    } else {
        None
    };
    let intervals = open_loop::intervals(&read.trace, interval, cached.as_deref())?;
    if intervals.is_empty() {
        return Err(Error::usage(
            format!(
                "{}: the trace has no whole interval of {interval} s",
                file.display()
            ),
            "give a smaller --interval",
        )
        .into());
    }
    Ok(intervals)
}

fn cached_tokens(args: &PlanArgs, file: &Path, trace: &Trace) -> anyhow::Result<Vec<u32>> {
    if trace.content() == Content::Lengths {
        return Err(Error::usage(
            format!(
                "{}: the trace has lengths only, so the prefixes that its prompts share are unknown",
                file.display()
            ),
            "leave --cache out",
        )
        .into());
    }
    let model = args.engine.model()?;
    let blocks = args.engine.blocks(trace, args.block_size)?;
    let options = args
        .engine
        .options(&blocks, model.as_ref(), args.seed.seed)?;
    let analysis = analyze(trace, &blocks, &options)?;
    let requests = analysis.requests.iter();
    Ok(requests.map(|request| request.cached_tokens).collect())
}

/// Measures the errors of the load predictors on a trace.
pub(super) fn backtest(
    args: &PlanArgs,
    file: &Path,
    config: &PlannerConfig,
    json: bool,
) -> anyhow::Result<()> {
    let intervals = read(args, file, config.adjustment_interval_sec)?;
    let series: Vec<f64> = intervals.iter().map(|i| i.num_req as f64).collect();
    if series.len() <= WARM_UP {
        return Err(Error::usage(
            format!(
                "{}: the trace has {} whole intervals of {} s, and the first {WARM_UP} are not scored",
                file.display(),
                series.len(),
                config.adjustment_interval_sec
            ),
            "give a smaller --interval or a longer trace",
        )
        .into());
    }
    let options = config.predictor_options();
    let scores = backtest::scores(&options, &series)?;
    if json {
        let value = json!({
            "interval_sec": config.adjustment_interval_sec,
            "intervals": series.len(),
            "window": options.window,
            "first_counted": WARM_UP,
            "mean": series.iter().sum::<f64>() / series.len() as f64,
            "predictors": scores,
        });
        return output::print(&serde_json::to_string_pretty(&value)?);
    }
    let rows: Vec<_> = scores.iter().map(score_row).collect();
    output::print(&format!(
        "{}\n\nrequests in {} intervals of {} s, each predicted from up to {} before it; the first {WARM_UP} are not scored",
        table(&["predictor", "MAE", "RMSE", "bias"], &rows),
        thousands(series.len() as u64),
        config.adjustment_interval_sec,
        options.window,
    ))
}

fn score_row(score: &Score) -> Vec<String> {
    let mut row = vec![score.predictor.clone()];
    row.extend([score.mae, score.rmse, score.bias].map(|value| format!("{value:.2}")));
    row
}

/// Plans for a trace, in an open loop.
pub(super) fn plan(
    args: &PlanArgs,
    file: &Path,
    config: PlannerConfig,
    instance_gpus: &InstanceGpus,
    json: bool,
) -> anyhow::Result<()> {
    let interval = config.adjustment_interval_sec;
    let intervals = read(args, file, interval)?;
    let budget = Budget::new(&config);
    let mut planner = Planner::new(config)?;
    let start = args.start(budget.min);
    let decisions = open_loop::plan(&mut planner, &intervals, interval, start);
    if let Some(path) = &args.output {
        write_csv(path, &intervals, &decisions)?;
    }
    let gpus = |d: &Decision| budget.cost([d.prefill, d.decode]);
    let answer = answer::plan(&answer::Planned {
        interval_sec: interval,
        decided: decisions
            .iter()
            .map(|d| (d.prefill, d.decode, gpus(d)))
            .collect(),
        ttft_ms: planner.config().target_ttft_ms,
        itl_ms: planner.config().target_itl_ms,
        missed: missed(&decisions, planner.config()),
    });
    if json {
        let ticks: Vec<_> = intervals
            .iter()
            .zip(&decisions)
            .map(|(interval, decision)| json!({"start_sec": interval.start_sec, "decision": decision}))
            .collect();
        let value = json!({
            "config": planner.config(),
            "gpus_per_instance_from": {"prefill": instance_gpus.prefill, "decode": instance_gpus.decode},
            "ticks": ticks,
            "answer": answer,
        });
        return output::print(&serde_json::to_string_pretty(&value)?);
    }
    if args
        .output
        .as_ref()
        .is_some_and(|path| path.as_os_str() == "-")
    {
        return Ok(());
    }
    let rows: Vec<_> = intervals
        .iter()
        .zip(&decisions)
        .map(|(i, d)| row(i, d, gpus(d)))
        .collect();
    let mut text = table(
        &[
            "from", "requests", "isl", "osl", "hits", "TTFT ms", "ITL ms", "next", "c_p", "c_d",
            "raw P", "raw D", "P", "D", "GPUs", "why",
        ],
        &rows,
    );
    text += &format!("\n\n{}", instance_gpus.sentence(planner.config()));
    let clamped = decisions.last().map_or(0, |d| d.clamped_queries);
    if clamped > 0 {
        text += &format!(
            "\n{} look-ups lay outside the profile and used its edge",
            thousands(clamped)
        );
    }
    text += &format!("\n\n{answer}");
    output::print(&text)
}

/// Number of intervals in which the performance model's latencies are above the targets.
fn missed(decisions: &[Decision], config: &PlannerConfig) -> usize {
    let misses = |decision: &&Decision| {
        let seen = &decision.observed;
        seen.ttft_ms
            .is_some_and(|ttft| ttft > config.target_ttft_ms)
            || seen.itl_ms.is_some_and(|itl| itl > config.target_itl_ms)
    };
    decisions.iter().filter(misses).count()
}

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"))
}

fn row(interval: &Interval, decision: &Decision, gpus: u64) -> Vec<String> {
    let seen = &decision.observed;
    let count = |count: Option<u32>| count.map_or_else(|| "-".into(), |count| count.to_string());
    let hits = seen.cache_hit_ratio.map(|ratio| 100.0 * ratio);
    vec![
        format!("{:.0} s", interval.start_sec),
        interval.num_req.to_string(),
        optional(seen.isl, 0),
        optional(seen.osl, 0),
        hits.map_or_else(|| "-".into(), |hits| format!("{hits:.0} %")),
        optional(seen.ttft_ms, 1),
        optional(seen.itl_ms, 2),
        optional(decision.predicted.map(|load| load.num_req), 1),
        format!("{:.3}", decision.c_p),
        format!("{:.3}", decision.c_d),
        count(decision.raw_prefill),
        count(decision.raw_decode),
        decision.prefill.to_string(),
        decision.decode.to_string(),
        gpus.to_string(),
        decision.reason.clone(),
    ]
}

/// Formats one line per interval; unknown values are empty.
fn write_csv(path: &Path, intervals: &[Interval], decisions: &[Decision]) -> Result<()> {
    let mut out = OutputFile::create(path)?;
    let fail = |source| Error::write(path, source);
    let header = "start_sec,num_req,isl,osl,cache_hit_ratio,ttft_ms,itl_ms,ready_prefill,ready_decode,predicted_num_req,predicted_isl,predicted_osl,c_p,c_d,raw_prefill,raw_decode,prefill,decode,held,reason";
    writeln!(out, "{header}").map_err(fail)?;
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let count = |value: Option<u32>| value.map_or_else(String::new, |value| value.to_string());
    for (interval, decision) in intervals.iter().zip(decisions) {
        let seen = &decision.observed;
        let load = decision.predicted;
        let fields = [
            interval.start_sec.to_string(),
            interval.num_req.to_string(),
            number(seen.isl),
            number(seen.osl),
            number(seen.cache_hit_ratio),
            number(seen.ttft_ms),
            number(seen.itl_ms),
            seen.ready_prefill.to_string(),
            seen.ready_decode.to_string(),
            number(load.map(|load| load.num_req)),
            number(load.map(|load| load.isl)),
            number(load.map(|load| load.osl)),
            decision.c_p.to_string(),
            decision.c_d.to_string(),
            count(decision.raw_prefill),
            count(decision.raw_decode),
            decision.prefill.to_string(),
            decision.decode.to_string(),
            decision.held.to_string(),
            format!("\"{}\"", decision.reason.replace('"', "\"\"")),
        ];
        writeln!(out, "{}", fields.join(",")).map_err(fail)?;
    }
    out.finish()
}
