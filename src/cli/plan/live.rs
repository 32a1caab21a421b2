//! Plans for a live cluster from its Prometheus metrics.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::PlanArgs;
use super::act::{ActArgs, Scaler};
use super::config::InstanceGpus;
use super::serve::Latest;
use super::web_args::{TlsArgs, token};
use crate::autoscale::planner::{Budget, Decision, Planner, PlannerConfig};
use crate::autoscale::prometheus::{self, Http, Source};
use crate::autoscale::web::WebOptions;
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cli::output;
use crate::cli::ranges::number;

/// Where the cluster's measurements come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Live cluster")]
pub(super) struct LiveArgs {
    /// Prometheus of the cluster to plan for, e.g. http://localhost:9090 or https://prometheus.example
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,

    /// File with Prometheus's bearer token [default: the environment variable REPLAY_PROMETHEUS_TOKEN]
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    prometheus_token_file: Option<PathBuf>,

    #[command(flatten)]
    tls: TlsArgs,

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

    /// Decide once and exit, with exit code 2 if there are no measurements to decide on
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

    /// The Prometheus server; `None` if none is given.
    fn server(&self) -> Result<Option<Http>> {
        let Some(address) = &self.prometheus else {
            return Ok(None);
        };
        let options = WebOptions {
            timeout: Duration::from_secs_f64(self.timeout),
            token: token(
                self.prometheus_token_file.as_deref(),
                "REPLAY_PROMETHEUS_TOKEN",
            )?,
            ..self.tls.options()
        };
        Http::new(address, &options).map(Some)
    }
}

/// Longest timeout and interval, in seconds: a year.
const LONGEST_SEC: f64 = 31_536_000.0;

/// Shortest interval between two looks at a live cluster, in seconds.
const SHORTEST_INTERVAL_SEC: f64 = 0.1;

pub(super) fn run(
    args: &PlanArgs,
    config: PlannerConfig,
    gpus: &InstanceGpus,
    json: bool,
) -> anyhow::Result<()> {
    let live = &args.live;
    let Some(server) = live.server()? else {
        return Err(Error::usage("nothing to plan for", "give a trace or --prometheus").into());
    };
    let scaler = live.act.scaler(&live.tls)?;
    let webhook = scaler.as_ref().and_then(Scaler::webhook);
    for server in [Some(server.server()), webhook].into_iter().flatten() {
        if server.shows_token() {
            output::warn(&format!(
                "the token for {} is sent without encryption; use https",
                server.shown()
            ));
        }
    }
    let interval = config.adjustment_interval_sec;
    if !(SHORTEST_INTERVAL_SEC..=LONGEST_SEC).contains(&interval) {
        return Err(Error::usage(
            format!("an interval of {interval:?} s for a live cluster"),
            format!("give {SHORTEST_INTERVAL_SEC} to {LONGEST_SEC} s"),
        )
        .into());
    }
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
    let latest = live.listen.as_deref().map(Latest::listen).transpose()?;
    let mut current = args.start(Budget::new(&config).min);
    let mut planner = Planner::new(config)?;
    let ticks = if live.once { Some(1) } else { live.ticks };
    let start = Instant::now();
    let mut tick = 0_u64;
    while ticks.is_none_or(|ticks| tick < ticks) {
        // The first decision is made at once, because Prometheus has past samples already.
        let due = start + Duration::from_secs_f64(interval * tick as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut seen = source.observe(&server, current);
        if let Some(fault) = &seen.fault {
            let problem = format!("{}: {fault}", server.server().shown());
            if live.once {
                return Err(Error::usage(
                    problem,
                    "give the address of a Prometheus that scrapes the servers (see --metrics, --model and --selector), or leave --once out to wait for it",
                )
                .into());
            }
            output::warn(&format!("{problem}; the instances stay as they are"));
        }
        if tick == 0 {
            output::note(&gpus.sentence(planner.config()));
        }
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
            if asked && scaler.is_some() && tick > 0 {
                *starting = decided.saturating_sub(ready);
            }
        }
        let decision = planner.tick(&seen);
        let there = [
            seen.ready_prefill + seen.starting_prefill,
            seen.ready_decode + seen.starting_decode,
        ];
        let acted = act(scaler.as_ref(), &planner, &decision, there);
        if acted == Some(Ok(())) {
            current = [decision.prefill, decision.decode];
        } else if acted.is_none() && !decision.held {
            current = there;
        }
        let text = readable(tick, &decision, there, acted.as_ref());
        let line = json!({
            "tick": tick,
            "decision": decision,
            "scaled": acted == Some(Ok(())),
            "scaling_fault": acted.and_then(Result::err),
        })
        .to_string();
        match json {
            true => output::print(&line)?,
            false => output::print(&text)?,
        }
        if let Some(latest) = &latest {
            latest.set(&line);
        }
        tick += 1;
    }
    Ok(())
}

/// Scales if the decision changes the cluster and a command or webhook is given.
fn act(
    scaler: Option<&Scaler<'_>>,
    planner: &Planner,
    decision: &Decision,
    there: [u32; 2],
) -> Option<Result<(), String>> {
    let changes = [decision.prefill, decision.decode] != there;
    let scaler = scaler.filter(|_| changes && !planner.config().no_operation && !decision.held)?;
    let outcome = scaler.scale(decision);
    if let Err(problem) = &outcome {
        output::warn(&format!("not scaled: {problem}"));
    }
    Some(outcome)
}

/// A decision in one line, for people.
fn readable(
    tick: u64,
    decision: &Decision,
    [prefill, decode]: [u32; 2],
    acted: Option<&Result<(), String>>,
) -> String {
    let pool = |name: &str, there: u32, wanted: u32| match there == wanted {
        true => format!("{name} {there}"),
        false => format!("{name} {there} -> {wanted}"),
    };
    let mut line = format!(
        "tick {tick}: {}, {}",
        pool("prefill", prefill, decision.prefill),
        pool("decode", decode, decision.decode)
    );
    match acted {
        Some(Ok(())) => line += ", scaled",
        Some(Err(_)) => line += ", NOT scaled",
        None => {}
    }
    let seen = &decision.observed;
    let mut measured = Vec::new();
    for (name, value, unit) in [
        ("requests", seen.num_req, ""),
        ("TTFT", seen.ttft_ms, " ms"),
        ("ITL", seen.itl_ms, " ms"),
    ] {
        measured.extend(value.map(|value| format!("{name} {value:.1}{unit}")));
    }
    if !measured.is_empty() {
        line += &format!(" ({})", measured.join(", "));
    }
    if !decision.reason.is_empty() {
        line += &format!(": {}", decision.reason.replace(['\n', '\r'], " "));
    }
    line
}
