//! What goes to the terminal: results to standard output, complaints and progress to standard error.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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

/// Prints an error, as one line.
pub(super) fn complain(error: &anyhow::Error) {
    // Our own messages hold their cause already; others are told with the chain of theirs.
    let text = match error.downcast_ref::<Error>() {
        Some(ours) => ours.to_string(),
        None => format!("{error:#}"),
    };
    let text = text.replace(['\n', '\r'], " ");
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

/// Prints to standard error what would go to standard output if that were not taken by a result.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a warning, as one line.
pub(super) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {}", text.replace('\n', " "));
}

/// Runs `work` with a progress bar that follows a counter. Nothing is shown within the first second, or where standard
/// error is no terminal.
pub(super) fn with_progress<T>(
    what: &str,
    total: u64,
    counter: &AtomicU64,
    work: impl FnOnce() -> T,
) -> T {
    if !std::io::stderr().is_terminal() {
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

/// Limits the number of threads of everything that runs in parallel.
pub(super) fn set_threads(threads: Option<usize>) -> anyhow::Result<()> {
    if let Some(threads) = threads {
        anyhow::ensure!(threads > 0, "--threads 0; give 1 or more");
        // Fails only if the pool was built before, which nothing does.
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()?;
    }
    Ok(())
}
