//! The options by which `gen-trace` and `experiment` read, render and tokenize conversations.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use clap::builder::{ArgPredicate, Resettable};
use clap::{Args, ValueEnum};

use super::output;
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cli::ranges::number;
use crate::dataset::sharegpt::{Dataset, Join, LoadOptions};
use crate::prompt::template::{ChatTemplate, SpecialTokens};
use crate::prompt::tokenizer::{self, Tokenizer};
use crate::report::render::number::thousands;
use crate::trace::arrival::{ARRIVALS, ArrivalProcess, ServiceTime, THINK_TIMES, ThinkTime};
use crate::trace::{
    ArrangedTrace, BuildReport, GenerateOptions, Mode, Overlong, RateShape, RateUnit, TakeOptions,
    Trace, arrange_trace, build_trace,
};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum JoinArg {
    /// Where their ids and texts say that they belong together
    Auto,
    /// Wherever their ids say so
    Always,
    /// Never
    Never,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OverlongArg {
    /// Leave the request out
    Drop,
    /// Truncate the prompt on the left
    Truncate,
    /// End the session
    EndSession,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RateUnitArg {
    /// Sessions
    Session,
    /// Requests
    Request,
}

/// Conversations, how they become token ids, and when they arrive.
#[derive(Debug, Args)]
#[command(next_help_heading = "Conversations")]
pub(super) struct ConversationArgs {
    /// Conversation files in ShareGPT's or OpenAI's form, as a JSON array or JSON lines, plain, .gz or .zst; - is standard input
    #[arg(required = true, value_name = "CONVERSATIONS", help_heading = Resettable::Reset)]
    input: Vec<PathBuf>,

    /// Built-in tokenizer (qwen2, qwen3, llama3, gpt2, cl100k, o200k, chars), the file of a model's tokenizer (tokenizer.json,
    /// tekken.json, tokenizer.model, tiktoken.model) or a model folder
    #[arg(
        long,
        default_value = tokenizer::DEFAULT,
        default_value_if("preset", ArgPredicate::IsPresent, "chars"),
        value_name = "NAME|PATH|DIR"
    )]
    tokenizer: OsString,

    /// Built-in chat template (chatml, simple, llama3, llama3.1), a .jinja file, a tokenizer_config.json or a folder [default:
    /// the tokenizer's own, or chatml]
    #[arg(
        long,
        default_value_if("preset", ArgPredicate::IsPresent, "simple"),
        value_name = "NAME|PATH"
    )]
    chat_template: Option<OsString>,

    /// When to join the parts of a conversation that the data set has split
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        default_value_if("preset", ArgPredicate::IsPresent, "never")
    )]
    join_chunks: JoinArg,

    /// Use at most this many conversations
    #[arg(
        long,
        default_value_if("preset", ArgPredicate::IsPresent, "100"),
        value_name = "N", value_parser = number::<usize>(limits::COUNT))]
    max_conversations: Option<usize>,

    /// Fail at the first record that would be skipped
    #[arg(long)]
    strict: bool,

    /// Longest prompt in tokens [default: no limit]
    #[arg(long, value_name = "TOKENS", value_parser = number::<u32>(limits::TOKENS))]
    max_model_len: Option<u32>,

    /// What to do with longer prompts
    #[arg(long, value_enum, default_value = "drop")]
    overlong: OverlongArg,

    #[command(flatten)]
    arrivals: ArrivalArgs,

    /// Seed of all random draws
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = number::<u64>(limits::ANY))]
    seed: u64,
}

/// When sessions start and how their turns follow.
#[derive(Debug, Args)]
#[command(next_help_heading = "Arrivals")]
struct ArrivalArgs {
    /// Arrival process of sessions: poisson, gamma, uniform, fixed, or timestamps (the data's own)
    #[arg(long, default_value = "poisson", value_name = "PROCESS", value_parser = clap::builder::PossibleValuesParser::new(ARRIVALS))]
    arrival: String,

    /// Coefficient of variation of gamma arrivals
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2.0,
        allow_negative_numbers = true, value_parser = number::<f64>(limits::VARIATION))]
    cv: f64,

    /// Mean arrival rate per second
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2.0,
        allow_negative_numbers = true, value_parser = number::<f64>(limits::RATE))]
    rate: f64,

    /// What the rate counts
    #[arg(long, value_enum, default_value = "request")]
    rate_unit: RateUnitArg,

    /// How the rate varies over time, in multiples of --rate: steady, diurnal, ramp, spike, square, file:PATH or trace:PATH
    ///
    /// Options follow a colon, e.g. diurnal:period=24h,low=0.2,high=1.8. Times are in seconds or have a unit (s, m, h, d). Later
    /// turns of a session follow by their think times.
    ///
    /// steady: constant.
    ///
    /// diurnal: a sine between low (0.5) and high (1.5) with a period (24h), highest at peak (half the period).
    ///
    /// ramp: a straight line from (0) to (2) over (10m), then constant.
    ///
    /// spike: 1 until at (60s), then factor (5) for width (60s); rise (0s) is linear, decay (0s) exponential.
    ///
    /// square: high (1.5) for a fraction duty (0.5) of a period (60s), then low (0.5).
    ///
    /// file:PATH: lines of time,rate, repeated, scaled to a mean of --rate.
    ///
    /// trace:PATH[,bin=60s]: arrivals per bin of any readable trace, repeated, scaled to a mean of --rate.
    #[arg(long, default_value = "steady", value_name = "SHAPE")]
    rate_shape: String,

    /// Mean think time between an answer and the next question, in seconds
    #[arg(
        long,
        default_value_t = 1.0,
        value_name = "SECONDS",
        allow_negative_numbers = true, value_parser = number::<f64>(limits::SECONDS))]
    turn_delay: f64,

    /// Distribution of the think time
    #[arg(long, default_value = "fixed", value_name = "DISTRIBUTION", value_parser = clap::builder::PossibleValuesParser::new(THINK_TIMES))]
    think_time: String,

    /// Service time of a request, after which its user reads the answer: seconds, or linear:PREFILL_MS,DECODE_MS per token
    #[arg(long, default_value = "0", value_name = "MODEL")]
    service_time: String,

    /// Start each session only after the one before has ended
    #[arg(long, default_value_if("preset", ArgPredicate::IsPresent, "true"))]
    sequential: bool,
}

/// Everything that is loaded once and used for one or more traces.
pub(super) struct Conversations {
    dataset: Dataset,
    tokenizer: Box<dyn Tokenizer>,
    template: ChatTemplate,
    take: TakeOptions,
}

impl ConversationArgs {
    /// Opens the files, and loads tokenizer and template in parallel.
    pub(super) fn open(&self) -> anyhow::Result<Conversations> {
        let (dataset, model) = rayon::join(
            || Dataset::open(&self.input, self.load_options()),
            || load_model(&self.tokenizer, self.chat_template.as_deref()),
        );
        // Errors in options are reported before errors in the data.
        let (tokenizer, template) = model?;
        Ok(Conversations {
            dataset: dataset?,
            tokenizer,
            template,
            take: self.take(),
        })
    }

    /// Returns an option whose value differs from the course project's rules.
    pub(super) fn unlike_course_project(&self) -> Option<&'static str> {
        let like = [
            ("--tokenizer", self.tokenizer == "chars"),
            (
                "--chat-template",
                self.chat_template.as_deref() == Some(OsStr::new("simple")),
            ),
            ("--join-chunks", matches!(self.join_chunks, JoinArg::Never)),
            ("--max-conversations", self.max_conversations == Some(100)),
            ("--sequential", self.arrivals.sequential),
        ];
        like.iter()
            .find_map(|(option, like)| (!like).then_some(*option))
    }

    /// The tokenizer as named by the user.
    pub(super) fn tokenizer(&self) -> &OsStr {
        &self.tokenizer
    }

    /// Opens the same files with a real vocabulary and its template, and joins chunks as given.
    pub(super) fn open_as(&self, join: Join) -> Result<Conversations> {
        let options = LoadOptions {
            join,
            ..self.load_options()
        };
        let named = if self.tokenizer == "chars" {
            OsStr::new(tokenizer::DEFAULT)
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
        let rate_shape = RateShape::parse(&self.arrivals.rate_shape)?;
        if let Some(left_out) = rate_shape.left_out() {
            output::note(&format!(
                "{}: {} of {} requests failed (no output tokens) and do not count in the rate shape",
                left_out.path.display(),
                thousands(left_out.failures),
                thousands(left_out.failures + left_out.requests)
            ));
        }
        Ok(GenerateOptions {
            mode,
            arrival: ArrivalProcess::by_name(&self.arrivals.arrival, self.arrivals.cv)?,
            rate: self.arrivals.rate,
            rate_unit: match self.arrivals.rate_unit {
                RateUnitArg::Session => RateUnit::Session,
                RateUnitArg::Request => RateUnit::Request,
            },
            rate_shape,
            turn_delay: self.arrivals.turn_delay,
            think_time: ThinkTime::by_name(&self.arrivals.think_time)?,
            service_time: ServiceTime::parse(&self.arrivals.service_time)?,
            sequential: self.arrivals.sequential,
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

/// Loads a tokenizer and its template.
pub(super) fn load_model(
    tokenizer: &OsStr,
    template: Option<&OsStr>,
) -> Result<(Box<dyn Tokenizer>, ChatTemplate)> {
    let path = Path::new(tokenizer);
    let name = tokenizer.to_str();
    let is_builtin = name.is_some_and(|name| tokenizer::builtin_names().contains(&name));
    let is_file = path.exists() && !is_builtin;
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
            None => ChatTemplate::builtin(default_template(name.unwrap_or_default())),
        },
    };
    let file = path.is_dir().then(|| tokenizer::file_in(path)).flatten();
    if let Some(name) = file
        .filter(|_| is_file)
        .and_then(|file| Some(file.file_name()?.to_owned()))
        && !name.to_string_lossy().starts_with("tokenizer.json")
    {
        output::note(&format!(
            "the tokenizer is read from {} of the folder, which has no tokenizer.json",
            name.to_string_lossy()
        ));
    }
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
        output::with_progress(what(options.mode), self.dataset.len() as u64, &done, || {
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

    /// Arranges one trace that is written to `output`.
    pub(super) fn arrange(
        &self,
        options: &GenerateOptions,
        output: &Path,
    ) -> Result<(ArrangedTrace, BuildReport)> {
        let done = AtomicU64::new(0);
        let what = what(options.mode);
        output::with_progress(what, self.dataset.len() as u64, &done, || {
            arrange_trace(
                &self.dataset,
                &self.template,
                self.tokenizer.as_ref(),
                options,
                self.take,
                output,
                &done,
            )
        })
    }
}

/// What a progress bar counts.
fn what(mode: Mode) -> &'static str {
    match mode {
        Mode::Single => "single-turn",
        Mode::Multi => "multi-turn",
    }
}

/// Lines that state how many records were read, skipped and dropped.
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
    if let Some(form) = report.time_form {
        lines.push(format!("times    {}", form.name()));
    }
    let made = &report.generate;
    for (count, what) in [
        (
            made.dropped_overlong,
            "prompts longer than --max-model-len were left out",
        ),
        (
            made.truncated,
            "prompts longer than --max-model-len were truncated on the left",
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

/// Prints the warnings of a load.
pub(super) fn warn_about(report: &BuildReport) {
    for warning in &report.load.warnings {
        output::warn(warning);
    }
}
