//! The Rhai engine with its limits: a script is foreign code and must end soon, in little memory.
//!
//! Arrays, maps and texts are small, so that no function of the engine can make more than a few hundred megabytes in one call,
//! and values cannot nest deeper than the stack of [`on_deep_stack`](crate::base::foreign::on_deep_stack) allows. Functions
//! cannot capture variables: captured values are not counted by the engine.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rhai::{Dynamic, Engine, EvalAltResult, Position};

use crate::autoscale::signals::Sample;

/// Maximum size of a script, in bytes.
pub(super) const SOURCE_BYTES: usize = 1 << 16;
/// Maximum number of Rhai operations in one decision, about a tenth of a second of work.
pub(super) const OPERATIONS: u64 = 1_000_000;
/// Maximum time of one decision.
const TIME: Duration = Duration::from_secs(5);
/// Maximum number of entries of an array, a map or a blob, with those of the values in it.
const ENTRIES: usize = 1_024;
/// Maximum length of a text, in bytes.
const TEXT: usize = 10_000;
/// Maximum depth of calls.
const CALLS: usize = 32;
/// Maximum depth of expressions.
const EXPRESSIONS: usize = 64;
/// Maximum number of variables.
const VARIABLES: usize = 128;
/// Maximum number of functions.
const FUNCTIONS: usize = 256;
/// Maximum number of lines that `print` and `debug` write in one run.
const LINES: usize = 100;
/// Maximum depth of `this`.
const KEPT_DEPTH: usize = 32;

/// The time at which a decision began, for the limit of its time.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    base: Instant,
    begun: Arc<AtomicU64>,
}

impl Clock {
    fn new() -> Self {
        Self {
            base: Instant::now(),
            begun: Arc::default(),
        }
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Begins a decision.
    pub(super) fn begin(&self) {
        self.begun.store(self.nanos(), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        let begun = self.begun.load(Ordering::Relaxed);
        Duration::from_nanos(self.nanos().saturating_sub(begun)) > TIME
    }
}

/// An engine for scripts; `name` stands before the lines that a script prints.
pub(super) fn new(name: &str) -> (Engine, Clock) {
    let mut engine = Engine::new();
    let clock = Clock::new();
    engine
        .set_max_operations(OPERATIONS)
        .set_max_array_size(ENTRIES)
        .set_max_map_size(ENTRIES)
        .set_max_string_size(TEXT)
        .set_max_call_levels(CALLS)
        .set_max_expr_depths(EXPRESSIONS, EXPRESSIONS)
        .set_max_variables(VARIABLES)
        .set_max_functions(FUNCTIONS);
    for symbol in ["eval", "curry"] {
        engine.disable_symbol(symbol);
    }
    let timer = clock.clone();
    // Few operations take long, but some copy thousands of entries.
    engine.on_progress(move |operations| {
        (operations % 16 == 0 && timer.is_over()).then_some(Dynamic::UNIT)
    });
    engine
        .register_fn("sleep", |_: i64| no_sleep())
        .register_fn("sleep", |_: f64| no_sleep())
        .register_type_with_name::<Arc<Sample>>("Sample")
        .register_fn("at", |sample: &mut Arc<Sample>, percentile: f64| {
            sample.at(percentile)
        })
        .register_fn("at", |sample: &mut Arc<Sample>, percentile: i64| {
            sample.at(percentile as f64)
        })
        .register_fn("mean", |sample: &mut Arc<Sample>| sample.mean())
        .register_fn("len", |sample: &mut Arc<Sample>| sample.len() as i64);
    let lines = Arc::new(Lines {
        name: name.to_owned(),
        count: AtomicUsize::new(0),
    });
    let printed = Arc::clone(&lines);
    engine.on_print(move |text| printed.write(None, text));
    engine.on_debug(move |text, _, position| lines.write(position.line(), text));
    (engine, clock)
}

fn no_sleep() -> Result<(), Box<EvalAltResult>> {
    Err("a policy cannot sleep, it only decides".into())
}

/// What a script prints, on standard error.
#[derive(Debug)]
struct Lines {
    name: String,
    count: AtomicUsize,
}

impl Lines {
    fn write(&self, line: Option<usize>, text: &str) {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let text = match count {
            0..LINES => one_line(text, 1_000),
            LINES => format!("printed {LINES} lines; further ones are not shown"),
            _ => return,
        };
        let name = &self.name;
        // There is nowhere to report that standard error is closed.
        let _ = match line {
            Some(line) => writeln!(std::io::stderr(), "{name}:{line}: {text}"),
            None => writeln!(std::io::stderr(), "{name}: {text}"),
        };
    }
}

/// A text without control characters, cut to a length in bytes.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let cut = &text[..text.floor_char_boundary(most)];
    cut.replace(char::is_control, " ")
}

/// Line and problem of a script's error.
pub(super) fn explain(error: EvalAltResult) -> (Option<u64>, String) {
    let mut error = error;
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _) = error {
        error = *inner;
    }
    let position = error.take_position();
    let problem = match &error {
        EvalAltResult::ErrorTooManyOperations(_) => {
            format!("takes more than {OPERATIONS} operations for one decision")
        }
        EvalAltResult::ErrorTerminated(..) => {
            format!("takes more than {} s for one decision", TIME.as_secs())
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            format!("nests more than {CALLS} calls or {EXPRESSIONS} expressions")
        }
        EvalAltResult::ErrorDataTooLarge(..) => format!(
            "makes a value that is too large: arrays and maps have at most {ENTRIES} entries, and texts {TEXT} bytes"
        ),
        other => format!("fails: {other}"),
    };
    (line_of(position), problem)
}

pub(super) fn line_of(position: Position) -> Option<u64> {
    position.line().map(|line| line as u64)
}

/// Checks what a script keeps in `this`; an error says what is wrong with it.
pub(super) fn check_kept(engine: &Engine, kept: &Dynamic) -> Result<(), String> {
    check_plain(kept, 0)?;
    engine.ensure_data_size_within_limits(kept).map_err(|_| {
        format!("keeps too much in `this`: all its arrays and maps have at most {ENTRIES} entries, and its texts {TEXT} bytes")
    })
}

fn check_plain(value: &Dynamic, depth: usize) -> Result<(), String> {
    if depth > KEPT_DEPTH {
        return Err(format!(
            "keeps a value in `this` that is nested more than {KEPT_DEPTH} levels deep"
        ));
    }
    if let Ok(array) = value.as_array_ref() {
        return array
            .iter()
            .try_for_each(|item| check_plain(item, depth + 1));
    }
    if let Ok(map) = value.as_map_ref() {
        return map
            .values()
            .try_for_each(|item| check_plain(item, depth + 1));
    }
    let is_plain = value.is_unit()
        || value.is_bool()
        || value.is_int()
        || value.is_float()
        || value.is_char()
        || value.is_string()
        || value.is_blob();
    if is_plain {
        return Ok(());
    }
    Err("keeps something other than numbers, texts, arrays and maps in `this`".to_owned())
}
