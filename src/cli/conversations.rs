//! The flags by which `gen-trace` and `experiment` read, render and tokenize conversations.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use clap::{Args, ValueEnum};

use super::output;
use crate::base::error::{Error, Result};
use crate::dataset::sharegpt::{Dataset, Join, LoadOptions};
use crate::prompt::template::{ChatTemplate, SpecialTokens};
use crate::prompt::tokenizer::{self, Tokenizer};
use crate::trace::arrival::{ARRIVALS, ArrivalProcess, ServiceTime, THINK_TIMES, ThinkTime};
use crate::trace::{
    BuildReport, GenerateOptions, Mode, Overlong, RateShape, RateUnit, TakeOptions, Trace,
    build_trace,
};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum JoinArg {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OverlongArg {
    Drop,
    Truncate,
    EndSession,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RateUnitArg {
    Session,
    Request,
}

/// Input, tokenizer, template and arrivals.
#[derive(Debug, Args)]
pub(super) struct ConversationArgs {
    /// Conversation files: ShareGPT or OpenAI messages as a JSON array or JSON lines, plain, .gz or .zst; - is stdin
    #[arg(long, short, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,

    /// Built-in name (qwen2, qwen3, llama3, gpt2, cl100k, o200k, chars), a tokenizer.json, or a model folder
    #[arg(long, default_value = tokenizer::DEFAULT, value_name = "NAME|PATH|DIR")]
    tokenizer: String,

    /// Built-in name (chatml, simple, llama3, llama3.1), a .jinja file, a tokenizer_config.json or a folder.
    /// By default the tokenizer's own, or chatml
    #[arg(long, value_name = "NAME|PATH")]
    chat_template: Option<String>,

    /// Whether chunks of a split chat are put together again: where their ids and texts say so, always, or never
    #[arg(long, value_enum, default_value = "auto")]
    join_chunks: JoinArg,

    /// Take at most so many conversations
    #[arg(long, value_name = "N")]
    max_conversations: Option<usize>,

    /// Fail at the first record that would be skipped
    #[arg(long)]
    strict: bool,

    /// How sessions follow each other: poisson, gamma, uniform, fixed, or the data's own timestamps
    #[arg(long, default_value = "poisson", value_name = "PROCESS", value_parser = clap::builder::PossibleValuesParser::new(ARRIVALS))]
    arrival: String,

    /// Coefficient of variation of gamma arrivals
    #[arg(long, default_value_t = 2.0, allow_negative_numbers = true)]
    cv: f64,

    /// Arrivals per second
    #[arg(long, default_value_t = 2.0, allow_negative_numbers = true)]
    rate: f64,

    /// What the rate counts
    #[arg(long, value_enum, default_value = "request")]
    rate_unit: RateUnitArg,

    /// How the rate varies in time, in multiples of --rate: steady, diurnal, ramp, spike, square, file:PATH or trace:PATH
    ///
    /// Options follow a colon, as in diurnal:period=24h,low=0.2,high=1.8. Times are seconds, or have s, m, h or d behind them.
    ///
    /// steady: the same all the time.
    /// diurnal: a sine between low (0.5) and high (1.5) per period (24h), highest at peak (half the period).
    /// ramp: a straight line from (0) to (2) over (10m), then on at to.
    /// spike: 1 until at (60s), then factor (5) for width (60s); it may rise (0s) in a line and decay (0s) exponentially.
    /// square: high (1.5) for duty (0.5) of a period (60s), then low (0.5).
    /// file:PATH: lines of time,rate, repeated, scaled to a mean of --rate.
    /// trace:PATH[,bin=60s]: the arrivals per bin of any readable trace, repeated, scaled to a mean of --rate.
    ///
    /// Arrivals keep the burstiness of their --arrival. Sessions start by this rate; later turns come their think times
    /// after.
    #[arg(
        long,
        default_value = "steady",
        value_name = "SHAPE",
        verbatim_doc_comment
    )]
    rate_shape: String,

    /// Mean think time between an answer and the next question, in seconds
    #[arg(
        long,
        default_value_t = 1.0,
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    turn_delay: f64,

    /// Distribution of the think time
    #[arg(long, default_value = "fixed", value_name = "DISTRIBUTION", value_parser = clap::builder::PossibleValuesParser::new(THINK_TIMES))]
    think_time: String,

    /// How long a request takes, to know when its answer is there: seconds, or linear:PREFILL_MS,DECODE_MS per token
    #[arg(long, default_value = "0", value_name = "MODEL")]
    service_time: String,

    /// Start a session only after the one before has ended
    #[arg(long)]
    sequential: bool,

    /// Longest prompt in tokens
    #[arg(long, value_name = "TOKENS")]
    max_model_len: Option<u32>,

    /// What becomes of longer prompts
    #[arg(long, value_enum, default_value = "drop")]
    overlong: OverlongArg,

    /// Seed of all random draws
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Everything that is loaded once and used for one or more traces.
pub(super) struct Conversations {
    dataset: Dataset,
    tokenizer: Box<dyn Tokenizer>,
    template: ChatTemplate,
    take: TakeOptions,
}

impl ConversationArgs {
    /// Opens the files and loads tokenizer and template, side by side.
    pub(super) fn open(&self) -> anyhow::Result<Conversations> {
        output::set_threads(self.threads)?;
        let (dataset, model) = rayon::join(
            || Dataset::open(&self.input, self.load_options()),
            || load_model(&self.tokenizer, self.chat_template.as_deref()),
        );
        // What is wrong with the flags comes before what is wrong with the data.
        let (tokenizer, template) = model?;
        Ok(Conversations {
            dataset: dataset?,
            tokenizer,
            template,
            take: self.take(),
        })
    }

    /// The tokenizer as it was named.
    pub(super) fn tokenizer(&self) -> &str {
        &self.tokenizer
    }

    /// The same files with a real vocabulary, its template, and chunks joined as said.
    pub(super) fn open_as(&self, join: Join) -> Result<Conversations> {
        let options = LoadOptions {
            join,
            ..self.load_options()
        };
        let named = if self.tokenizer == "chars" {
            tokenizer::DEFAULT
        } else {
            &self.tokenizer
        };
        let (tokenizer, template) = load_model(named, None)?;
        Ok(Conversations {
            dataset: Dataset::open(&self.input, options)?,
            tokenizer,
            template,
            take: self.take(),
        })
    }

    fn take(&self) -> TakeOptions {
        TakeOptions {
            max_conversations: self.max_conversations,
            strict: self.strict,
        }
    }

    fn load_options(&self) -> LoadOptions {
        let join = match self.join_chunks {
            JoinArg::Auto => Join::Auto,
            JoinArg::Always => Join::Always,
            JoinArg::Never => Join::Never,
        };
        LoadOptions {
            join,
            strict: self.strict,
        }
    }

    /// The options of generation.
    pub(super) fn generate_options(&self, mode: Mode) -> Result<GenerateOptions> {
        if self.max_model_len == Some(0) {
            return Err(Error::usage(
                "--max-model-len 0",
                "give a length of 1 or more tokens",
            ));
        }
        Ok(GenerateOptions {
            mode,
            arrival: ArrivalProcess::by_name(&self.arrival, self.cv)?,
            rate: self.rate,
            rate_unit: match self.rate_unit {
                RateUnitArg::Session => RateUnit::Session,
                RateUnitArg::Request => RateUnit::Request,
            },
            rate_shape: RateShape::parse(&self.rate_shape)?,
            turn_delay: self.turn_delay,
            think_time: ThinkTime::by_name(&self.think_time)?,
            service_time: ServiceTime::parse(&self.service_time)?,
            sequential: self.sequential,
            max_model_len: self.max_model_len,
            overlong: match self.overlong {
                OverlongArg::Drop => Overlong::Drop,
                OverlongArg::Truncate => Overlong::Truncate,
                OverlongArg::EndSession => Overlong::EndSession,
            },
            seed: self.seed,
        })
    }
}

/// A tokenizer and the template that goes with it.
pub(super) fn load_model(
    tokenizer: &str,
    template: Option<&str>,
) -> Result<(Box<dyn Tokenizer>, ChatTemplate)> {
    let path = Path::new(tokenizer);
    let is_file = path.exists() && !tokenizer::builtin_names().contains(&tokenizer);
    let template = match template {
        Some(spec) => {
            let tokens = if is_file {
                SpecialTokens::of_tokenizer(path)?
            } else {
                Default::default()
            };
            ChatTemplate::find(spec, &tokens)
        }
        None => match if is_file {
            ChatTemplate::of_tokenizer(path)?
        } else {
            None
        } {
            Some(template) => Ok(template),
            None => ChatTemplate::builtin(default_template(tokenizer)),
        },
    };
    let tokenizer = tokenizer::load(tokenizer)?;
    Ok((tokenizer, template?))
}

fn default_template(tokenizer: &str) -> &'static str {
    match tokenizer {
        "llama3" => "llama3",
        "chars" => "simple",
        _ => "chatml",
    }
}

impl Conversations {
    /// Builds one trace.
    pub(super) fn build(&self, options: &GenerateOptions) -> Result<(Trace, BuildReport)> {
        let done = AtomicU64::new(0);
        let what = match options.mode {
            Mode::Single => "single-turn",
            Mode::Multi => "multi-turn",
        };
        output::with_progress(what, self.dataset.len() as u64, &done, || {
            build_trace(
                &self.dataset,
                &self.template,
                self.tokenizer.as_ref(),
                options,
                self.take,
                &done,
            )
        })
    }
}

/// What was read, skipped and written, as lines.
pub(super) fn describe(report: &BuildReport) -> String {
    use crate::report::render::number::thousands as n;
    let load = &report.load;
    let mut lines = vec![format!("read     {} records", n(load.records))];
    if load.joined_chats > 0 {
        lines.push(format!(
            "joined   {} chats from {} parts{}",
            n(load.joined_chats),
            n(load.joined_parts),
            if load.gaps > 0 {
                format!(", {} of them end at a gap", n(load.gaps))
            } else {
                String::new()
            }
        ));
    }
    for skipped in &load.skipped {
        lines.push(format!(
            "skipped  {} records: {} (first: {})",
            n(skipped.count),
            skipped.reason.name(),
            skipped.first
        ));
    }
    for (words, count) in &report.refused {
        lines.push(format!("skipped  {} conversations: {words}", n(*count)));
    }
    if load.dropped_messages + load.leading_messages + load.unpaired_messages > 0 {
        lines.push(format!(
            "dropped  {} messages without text, {} before the first user message, {} out of turn",
            n(load.dropped_messages),
            n(load.leading_messages),
            n(load.unpaired_messages)
        ));
    }
    let made = &report.generate;
    for (count, what) in [
        (
            made.dropped_overlong,
            "prompts longer than --max-model-len were left out",
        ),
        (
            made.truncated,
            "prompts longer than --max-model-len were cut from the left",
        ),
        (made.ended_sessions, "sessions ended at --max-model-len"),
        (made.empty_sessions, "conversations gave no request"),
    ] {
        if count > 0 {
            lines.push(format!("         {} {what}", n(count)));
        }
    }
    lines.join("\n")
}

/// Warnings that a load brought up.
pub(super) fn warn_about(report: &BuildReport) {
    for warning in &report.load.warnings {
        output::warn(warning);
    }
}
