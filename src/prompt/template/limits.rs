//! The limits of chat templates: what a source may hold, and what one rendering may compute, keep and print.
//!
//! The engine counts steps, its fuel: one for each instruction and one for each 64 bytes that it makes. The filters and methods
//! of this crate charge what they make before they make it. Values that a template binds to a name have a limited depth, so
//! that printing, comparing and dropping them cannot overflow the stack; see `bindings`.

use minijinja::value::ObjectRepr;
use minijinja::{Error, ErrorKind, State, Value};

/// Maximum size of a source, in bytes. The longest templates in use have about 40 kB.
pub(super) const SOURCE_BYTES: usize = 1 << 18;
/// Maximum number of tokens in one tag.
pub(super) const TAG_TOKENS: usize = 5_000;
/// Maximum number of operators that can nest in one expression: parentheses, filters, attributes and calls count.
pub(super) const OPERATORS: usize = 500;
/// Maximum depth of nested statements; each `elif` counts as one more level of its `if`.
pub(super) const STATEMENTS: usize = 100;
/// Maximum number of slices in a source.
pub(super) const SLICES: usize = 200;
/// Maximum depth of a value that is bound to a name.
pub(super) const DEPTH: usize = 64;
/// Maximum depth of a value that is printed.
pub(super) const PRINTED_DEPTH: usize = 200;
/// Maximum width, precision or indent in a format.
pub(super) const WIDTH: u64 = 10_000;
/// Maximum length of the message of `raise_exception`, in bytes.
pub(super) const MESSAGE: usize = 1_000;

/// Steps of every rendering, steps for each message, and steps for each byte of the messages' contents.
const STEPS: u64 = 4_000_000;
const STEPS_OF_MESSAGE: u64 = 20_000;
const STEPS_OF_BYTE: u64 = 4;
/// The fuel of an environment; a rendering gives back at its start what exceeds its own steps.
pub(super) const MOST_STEPS: u64 = 1 << 40;

/// Maximum number of steps to render `messages` messages with `bytes` bytes of contents.
pub(super) fn steps(messages: usize, bytes: usize) -> u64 {
    STEPS
        .saturating_add(STEPS_OF_MESSAGE.saturating_mul(messages as u64))
        .saturating_add(STEPS_OF_BYTE.saturating_mul(bytes as u64))
        .min(MOST_STEPS - 1)
}

/// A limit that a rendering exceeds, as the source of the engine's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Exceeded(String);

/// The engine's error for a limit that is exceeded.
pub(super) fn exceeded(problem: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.clone()).with_source(Exceeded(problem))
}

/// The line and the limit, if that is why a rendering ended; `steps` was its limit.
pub(super) fn limit_of(error: &Error, steps: u64) -> Option<(Option<u64>, String)> {
    let mut line = None;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Exceeded(problem)) = error.downcast_ref() {
            return Some((line, problem.clone()));
        }
        if let Some(error) = error.downcast_ref::<Error>() {
            // Each macro wraps the error once more; the innermost line is the place.
            line = error.line().map(|line| line as u64).or(line);
            if error.kind() == ErrorKind::OutOfFuel {
                return Some((
                    line,
                    format!("takes more than {steps} steps for one conversation"),
                ));
            }
            if error.detail() == Some("recursion limit exceeded") {
                return Some((line, "nests calls of macros or loops too deeply".to_owned()));
            }
        }
        cause = error.source();
    }
    None
}

/// Charges a step and those of some bytes, before they are made.
pub(super) fn charge(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(1 + bytes as u64 / 64)
}

/// Refuses a width, a precision or an indent above the limit.
pub(super) fn width(what: &str, width: u64) -> Result<(), Error> {
    if width <= WIDTH {
        return Ok(());
    }
    Err(exceeded(format!(
        "has {what} of {width}, above the limit of {WIDTH}"
    )))
}

/// Refuses to print a value that is nested too deeply.
pub(super) fn printable(depth: usize) -> Result<(), Error> {
    if depth <= PRINTED_DEPTH {
        return Ok(());
    }
    Err(exceeded(format!(
        "prints a value that is nested more than {PRINTED_DEPTH} levels deep"
    )))
}

/// Size of a value when it is printed, about; it is charged, and every use of a part that occurs several times counts.
pub(super) fn size(state: &State, value: &Value) -> Result<usize, Error> {
    Walk {
        state,
        kept: false,
        most: PRINTED_DEPTH,
    }
    .size(value, 0)
}

/// Checks a value that is bound to a name.
pub(super) fn bounded(state: &State, value: &Value) -> Result<Value, Error> {
    if value.as_object().is_some() {
        Walk {
            state,
            kept: false,
            most: DEPTH,
        }
        .size(value, 0)?;
    }
    Ok(value.clone())
}

/// Checks the argument of a macro. What is computed on demand becomes a list, so that such values cannot nest.
pub(super) fn argument(state: &State, value: &Value) -> Result<Value, Error> {
    bounded(state, &listed(state, value)?)
}

/// Checks a value that becomes an attribute of a namespace. A namespace lives on from iteration to iteration, so it holds only
/// what cannot contain the namespace itself: text, numbers, and lists and dicts of them.
pub(super) fn kept(state: &State, value: &Value) -> Result<Value, Error> {
    let value = listed(state, value)?;
    if value.as_object().is_some() {
        Walk {
            state,
            kept: true,
            most: DEPTH,
        }
        .size(&value, 0)?;
    }
    Ok(value)
}

/// The list of what an iterable gives; other values as they are.
fn listed(state: &State, value: &Value) -> Result<Value, Error> {
    let lazy = value
        .as_object()
        .is_some_and(|object| object.repr() == ObjectRepr::Iterable);
    if !lazy {
        return Ok(value.clone());
    }
    let mut items = Vec::new();
    for item in value.try_iter()? {
        charge(state, 32)?;
        items.push(item);
    }
    Ok(Value::from(items))
}

struct Walk<'a, 's, 'e> {
    state: &'a State<'s, 'e>,
    kept: bool,
    most: usize,
}

impl Walk<'_, '_, '_> {
    fn size(&self, value: &Value, depth: usize) -> Result<usize, Error> {
        if let Some(text) = value.as_str() {
            charge(self.state, text.len())?;
            return Ok(text.len() + 2);
        }
        let Some(object) = value.as_object() else {
            charge(self.state, 0)?;
            return Ok(8);
        };
        if depth >= self.most {
            return Err(exceeded(format!(
                "builds a value that is nested more than {} levels deep",
                self.most
            )));
        }
        let mut size = 2;
        match object.repr() {
            ObjectRepr::Map => {
                if let Some(what) = live(object.type_name()).filter(|_| self.kept) {
                    return Err(unkept(what));
                }
                for (key, value) in object.try_iter_pairs().into_iter().flatten() {
                    size += 4 + self.size(&key, depth + 1)? + self.size(&value, depth + 1)?;
                }
            }
            ObjectRepr::Seq | ObjectRepr::Iterable => {
                if self.kept && object.repr() == ObjectRepr::Iterable {
                    return Err(unkept("an iterator"));
                }
                for item in value.try_iter()? {
                    size += 2 + self.size(&item, depth + 1)?;
                }
            }
            _ if self.kept => return Err(unkept("a macro or another object")),
            _ => {}
        }
        charge(self.state, 0)?;
        Ok(size)
    }
}

/// What an object is that the engine changes later, by the name of its type in the engine.
fn live(type_name: &str) -> Option<&'static str> {
    if type_name.ends_with("::Namespace") {
        Some("a namespace")
    } else if type_name.contains("::vm::") {
        Some("a macro or another object")
    } else {
        None
    }
}

fn unkept(what: &str) -> Error {
    exceeded(format!(
        "stores {what} in a namespace, which can hold text, numbers, lists and dicts only"
    ))
}
