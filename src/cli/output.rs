//! Terminal output: results on standard output; notes, warnings, errors and progress on standard error.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use serde_json::Value;

use super::global::{ColorArg, GlobalArgs};
use crate::base::error::Error;

/// Prints a result.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let end: &[u8] = if text.ends_with('\n') { b"" } else { b"\n" };
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(end))
        .and_then(|()| out.flush())
        .map_err(|source| Error::write("-", source))?;
    Ok(())
}

/// Whether notes and progress are suppressed.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Whether the words `error` and `warning` are coloured.
static COLOR: AtomicBool = AtomicBool::new(false);

/// Applies the global output options; called once, before anything is printed.
pub(super) fn configure(global: GlobalArgs) {
    QUIET.store(global.quiet, Ordering::Relaxed);
    let color = match global.color {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => {
            let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            std::io::stderr().is_terminal() && !unwanted
        }
    };
    COLOR.store(color, Ordering::Relaxed);
}

/// Returns an error's message without line breaks.
pub(super) fn message(error: &anyhow::Error) -> String {
    // Messages of the library's errors contain their cause; other errors are formatted with their chain of causes.
    let text = match error.downcast_ref::<Error>() {
        Some(ours) => ours.to_string(),
        None => format!("{error:#}"),
    };
    text.replace(['\n', '\r'], " ")
}

/// Prints an error's message.
pub(super) fn complain(message: &str) {
    labelled("error", "31", message);
}

/// Prints a warning in one line.
pub(super) fn warn(text: &str) {
    labelled("warning", "33", &text.replace('\n', " "));
}

fn labelled(label: &str, color: &str, text: &str) {
    let _ = if COLOR.load(Ordering::Relaxed) {
        writeln!(std::io::stderr(), "\x1b[1;{color}m{label}:\x1b[0m {text}")
    } else {
        writeln!(std::io::stderr(), "{label}: {text}")
    };
}

/// Prints a message that does not belong to the result, to standard error.
pub(super) fn note(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// Prints a note that a file or a folder was written.
pub(super) fn wrote(path: &Path) {
    note(&format!("wrote {}", path.display()));
}

/// Prints a result, as JSON if requested and as text otherwise.
pub(super) fn result(
    json: bool,
    value: impl FnOnce() -> serde_json::Result<Value>,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if json {
        print(&serde_json::to_string_pretty(&value()?)?)
    } else {
        print(&text())
    }
}

/// Runs `work` with a progress bar that follows a counter. The bar is hidden during the first second, and if standard error is
/// not a terminal.
pub(super) fn with_progress<T>(
    what: &str,
    total: u64,
    counter: &AtomicU64,
    work: impl FnOnce() -> T,
) -> T {
    if QUIET.load(Ordering::Relaxed) || !std::io::stderr().is_terminal() {
        return work();
    }
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| follow(what, total, counter, &finished));
        let result = work();
        finished.store(true, Ordering::Relaxed);
        result
    })
}

fn follow(what: &str, total: u64, counter: &AtomicU64, finished: &AtomicBool) {
    let tick = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    let mut bar: Option<ProgressBar> = None;
    while !finished.load(Ordering::Relaxed) {
        std::thread::sleep(tick);
        waited += tick;
        if bar.is_none() && waited >= Duration::from_secs(1) {
            let new = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            if let Ok(style) =
                ProgressStyle::with_template("{msg} [{bar:30}] {human_pos}/{human_len} {eta}")
            {
                new.set_style(style.progress_chars("=> "));
            }
            new.set_message(what.to_owned());
            bar = Some(new);
        }
        if let Some(bar) = &bar {
            bar.set_position(counter.load(Ordering::Relaxed));
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Limits the number of threads of all parallel work. Only the first call has an effect.
pub(super) fn set_threads(threads: Option<usize>) -> anyhow::Result<()> {
    if let Some(threads) = threads {
        // Fails only if a limit is set already.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global();
    }
    Ok(())
}
