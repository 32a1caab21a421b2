//! `replay synth-dataset`: synthetic conversations from a seed, in ShareGPT's format.

use std::path::PathBuf;

use serde_json::json;

use super::output;
use crate::base::io::ShownPath;
use crate::base::limits;
use crate::cli::ranges::number;
use crate::dataset::synth::{SynthOptions, generate};
use crate::dataset::write_sharegpt;

/// Arguments of `replay synth-dataset`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Turns and message lengths follow distributions measured on ShareGPT; every word, system prompt and shared opening is invented. The \
same options give the same bytes on every machine, and conversation i is the same however many are made. Good for demonstrations, \
tests and CI; not for conclusions about real traffic.

Examples:
  replay synth-dataset --output conversations.jsonl.zst
  replay synth-dataset --conversations 100000 --seed 7 --output big.jsonl.zst
  replay synth-dataset --system-prompt-share 1 --output assistants.json
  replay synth-dataset --starts-per-second 2 --output timed.jsonl")]
pub(super) struct SynthDatasetArgs {
    /// Number of conversations
    #[arg(long, short = 'n', value_name = "N", default_value_t = SynthOptions::default().conversations, value_parser = number::<usize>(limits::COUNT))]
    conversations: usize,

    /// Seed of all random draws
    #[arg(long, value_name = "N", default_value_t = SynthOptions::default().seed, value_parser = number::<u64>(limits::ANY))]
    seed: u64,

    /// File to write: .jsonl (a record a line) or .json (an array), optionally .gz or .zst; - is standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// Fraction (0..1) of conversations with one of twelve shared system prompts (ShareGPT: 0.004)
    #[arg(long, value_name = "FRACTION", default_value_t = SynthOptions::default().system_prompt_share, value_parser = number::<f64>(limits::FRACTION))]
    system_prompt_share: f64,

    /// Fraction (0..1) of conversations that open with a popular question or a popular instruction
    #[arg(long, value_name = "FRACTION", default_value_t = SynthOptions::default().shared_opening_share, value_parser = number::<f64>(limits::FRACTION))]
    shared_opening_share: f64,

    /// Fraction (0..1) of conversations in Spanish, Chinese or German
    #[arg(long, value_name = "FRACTION", default_value_t = SynthOptions::default().other_language_share, value_parser = number::<f64>(limits::FRACTION))]
    other_language_share: f64,

    /// Most turns of a conversation
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = number::<u32>(limits::TURNS))]
    max_turns: u32,

    /// Give conversations timestamps at this rate [default: none]
    #[arg(long, value_name = "RATE", value_parser = number::<f64>(limits::RATE))]
    starts_per_second: Option<f64>,
}

impl SynthDatasetArgs {
    fn options(&self) -> SynthOptions {
        SynthOptions {
            conversations: self.conversations,
            seed: self.seed,
            system_prompt_share: self.system_prompt_share,
            shared_opening_share: self.shared_opening_share,
            other_language_share: self.other_language_share,
            max_turns: self.max_turns as usize,
            starts_per_second: self.starts_per_second,
            ..SynthOptions::default()
        }
    }
}

/// Runs the command. Its result is printed to standard output, unless the conversations themselves are.
///
/// # Errors
/// Output that cannot be written.
pub(super) fn run(args: &SynthDatasetArgs, json: bool) -> anyhow::Result<()> {
    let written = write_sharegpt(&args.output, generate(&args.options()))?;
    if args.output.as_os_str() == "-" {
        return Ok(());
    }
    let value = || {
        Ok(
            json!({"output": ShownPath(&args.output), "conversations": written.conversations, "messages": written.messages,
            "bytes": written.bytes, "seed": args.seed}),
        )
    };
    let text = || {
        format!(
            "{} conversations, {} messages, {:.1} MB of JSON (seed {})",
            written.conversations,
            written.messages,
            written.bytes as f64 / 1e6,
            args.seed
        )
    };
    output::result(json, value, text)?;
    output::wrote(&args.output);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::cli::synth_dataset::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Tool {
        #[command(flatten)]
        args: SynthDatasetArgs,
    }

    #[test]
    fn flags_reach_the_options_and_defaults_are_the_librarys() {
        let tool = Tool::try_parse_from(["t", "--output", "x.jsonl"]).expect("parses");
        assert_eq!(tool.args.options(), SynthOptions::default());
        for wrong in [
            ["--system-prompt-share", "1.5"],
            ["--starts-per-second", "0"],
            ["--max-turns", "0"],
        ] {
            let words = ["t", "--output", "x.jsonl"].into_iter().chain(wrong);
            assert!(Tool::try_parse_from(words).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_file_is_written() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.jsonl");
        let output = path.to_str().expect("UTF-8");
        let words = ["t", "-n", "3", "--seed", "5", "--output", output];
        run(&Tool::try_parse_from(words).expect("parses").args, false).expect("runs");
        let text = std::fs::read_to_string(&path).expect("reads");
        assert_eq!(text.lines().count(), 3);
    }
}
