//! Plans for a live cluster from its Prometheus metrics.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::PlanArgs;
use super::act::ActArgs;
use super::config::InstanceGpus;
use super::serve::Latest;
use crate::autoscale::planner::{Budget, Decision, Planner, PlannerConfig};
use crate::autoscale::prometheus::{self, Http, Source};
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cli::output;
use crate::cli::ranges::number;

/// Where the cluster's measurements come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Live cluster")]
pub(super) struct LiveArgs {
    /// Prometheus of the cluster to plan for, e.g. http://localhost:9090
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,

    /// Names of the servers' metrics: vllm or dynamo
    #[arg(
        long,
        value_name = "NAME",
        default_value = "vllm",
        requires = "prometheus"
    )]
    metrics: String,

    /// Use only series with these labels, e.g. 'job="vllm"'
    #[arg(long, value_name = "MATCHERS", requires = "prometheus")]
    selector: Option<String>,

    /// Labels of prefill instances, which have TTFT, prompt tokens, cache and queue
    #[arg(long, value_name = "MATCHERS", requires = "prometheus")]
    prefill_selector: Option<String>,

    /// Labels of decode instances, which have requests, ITL, output tokens and duration
    #[arg(long, value_name = "MATCHERS", requires = "prometheus")]
    decode_selector: Option<String>,

    /// PromQL for the number of ready prefill instances [default: the last decision]
    #[arg(long, value_name = "PROMQL", requires = "prometheus")]
    ready_prefill: Option<String>,

    /// PromQL for the number of ready decode instances [default: the last decision]
    #[arg(long, value_name = "PROMQL", requires = "prometheus")]
    ready_decode: Option<String>,

    /// Age in seconds at which a server's newest sample is too old [default: half the interval, at least 30]
    #[arg(long, value_name = "SECONDS", requires = "prometheus", value_parser = number::<f64>(limits::SOME_SECONDS))]
    stale_after: Option<f64>,

    /// Timeout of a query to Prometheus, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 10.0,
        requires = "prometheus", value_parser = number::<f64>(limits::TIMEOUT))]
    timeout: f64,

    /// Decide once and exit
    #[arg(long, requires = "prometheus", conflicts_with = "ticks")]
    once: bool,

    /// Exit after this many decisions [default: never]
    #[arg(long, value_name = "N", requires = "prometheus", value_parser = number::<u64>(limits::COUNT))]
    ticks: Option<u64>,

    /// Serve the latest decision as JSON over HTTP at this address, e.g. 127.0.0.1:9099
    #[arg(long, value_name = "ADDRESS", requires = "prometheus")]
    listen: Option<String>,

    #[command(flatten)]
    act: ActArgs,
}

impl LiveArgs {
    /// Whether a Prometheus server is given.
    pub(super) fn is_asked(&self) -> bool {
        self.prometheus.is_some()
    }

    fn check(&self) -> Result<()> {
        for (flag, url) in [
            ("--prometheus", self.prometheus.as_deref()),
            ("--scale-webhook", self.act.webhook()),
        ] {
            let Some(url) = url else { continue };
            if !url.starts_with("http://") {
                return Err(Error::usage(
                    format!("{flag} {url}"),
                    "give an address such as http://localhost:9090; https needs a proxy in between",
                ));
            }
        }
        Ok(())
    }
}

pub(super) fn run(
    args: &PlanArgs,
    config: PlannerConfig,
    gpus: &InstanceGpus,
) -> anyhow::Result<()> {
    let live = &args.live;
    live.check()?;
    let Some(address) = &live.prometheus else {
        return Err(Error::usage("nothing to plan for", "give a trace or --prometheus").into());
    };
    let interval = config.adjustment_interval_sec;
    let source = Source {
        names: prometheus::by_name(&live.metrics)?,
        // With Prometheus, --model is the name that the servers report.
        model: args.engine.model_name().map(str::to_owned),
        selector: live.selector.clone(),
        prefill_selector: live.prefill_selector.clone(),
        decode_selector: live.decode_selector.clone(),
        interval_sec: interval,
        stale_after_sec: live
            .stale_after
            .unwrap_or_else(|| (interval / 2.0).max(30.0)),
        ready_prefill: live.ready_prefill.clone(),
        ready_decode: live.ready_decode.clone(),
    };
    let server = Http::new(address, Duration::from_secs_f64(live.timeout));
    let latest = live.listen.as_deref().map(Latest::listen).transpose()?;
    let mut current = args.start(Budget::new(&config).min);
    let mut planner = Planner::new(config)?;
    output::note(&gpus.sentence(planner.config()));
    let ticks = if live.once { Some(1) } else { live.ticks };
    let start = Instant::now();
    let mut tick = 0_u64;
    while ticks.is_none_or(|ticks| tick < ticks) {
        // The first decision is made at once, because Prometheus has past samples already.
        let due = start + Duration::from_secs_f64(interval * tick as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut seen = source.observe(&server, current);
        // Instances of the last decision that are not yet ready are starting.
        for (ready, asked, starting, decided) in [
            (
                seen.ready_prefill,
                live.ready_prefill.is_some(),
                &mut seen.starting_prefill,
                current[0],
            ),
            (
                seen.ready_decode,
                live.ready_decode.is_some(),
                &mut seen.starting_decode,
                current[1],
            ),
        ] {
            if asked && live.act.is_asked() && tick > 0 {
                *starting = decided.saturating_sub(ready);
            }
        }
        let decision = planner.tick(&seen);
        let there = [
            seen.ready_prefill + seen.starting_prefill,
            seen.ready_decode + seen.starting_decode,
        ];
        let acted = act(live, &planner, &decision, there);
        if acted == Some(Ok(())) {
            current = [decision.prefill, decision.decode];
        } else if acted.is_none() && !decision.held {
            current = there;
        }
        let line = json!({
            "tick": tick,
            "decision": decision,
            "scaled": acted == Some(Ok(())),
            "scaling_fault": acted.and_then(Result::err),
        })
        .to_string();
        output::print(&line)?;
        if let Some(latest) = &latest {
            latest.set(&line);
        }
        tick += 1;
    }
    Ok(())
}

/// Scales if the decision changes the cluster and a command or webhook is given.
fn act(
    live: &LiveArgs,
    planner: &Planner,
    decision: &Decision,
    there: [u32; 2],
) -> Option<Result<(), String>> {
    let changes = [decision.prefill, decision.decode] != there;
    let asked = live.act.is_asked() && !planner.config().no_operation;
    if !(changes && asked) || decision.held {
        return None;
    }
    let outcome = live.act.scale(decision);
    if let Err(problem) = &outcome {
        output::warn(problem);
    }
    Some(outcome)
}
