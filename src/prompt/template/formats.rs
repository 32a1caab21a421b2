//! What a format string can print at most: the widths that it names, and each argument once for each conversion.

use minijinja::{Error, State, Value};

use super::limits;

/// Checks and charges `text % args` before it is made.
pub(super) fn charge_printf(state: &State, text: &str, args: &[Value]) -> Result<(), Error> {
    let mut uses = 0;
    let mut widths = 0;
    let mut rest = text;
    while let Some((_, spec)) = rest.split_once('%') {
        if let Some(after) = spec.strip_prefix('%') {
            rest = after;
            continue;
        }
        let spec = match spec.strip_prefix('(').and_then(|key| key.split_once(')')) {
            Some((_, spec)) => spec,
            None => spec,
        };
        let end = spec.find(char::is_alphabetic).unwrap_or(spec.len());
        uses += 1;
        widths += width(&spec[..end])?;
        rest = &spec[end..];
    }
    charge(state, text, args, uses, widths)
}

/// Checks and charges `text.format(args)` before it is made.
pub(super) fn charge_braces(state: &State, text: &str, args: &[Value]) -> Result<(), Error> {
    let mut uses = 0;
    let mut widths = 0;
    let mut rest = text;
    while let Some((_, field)) = rest.split_once('{') {
        if let Some(after) = field.strip_prefix('{') {
            rest = after;
            continue;
        }
        let end = field.find('}').unwrap_or(field.len());
        uses += 1;
        if let Some((_, spec)) = field[..end].split_once(':') {
            widths += width(spec)?;
        }
        rest = &field[end..];
    }
    charge(state, text, args, uses, widths)
}

fn charge(
    state: &State,
    text: &str,
    args: &[Value],
    uses: usize,
    widths: u64,
) -> Result<(), Error> {
    let mut size = 0_usize;
    for arg in args {
        size = size.saturating_add(limits::size(state, arg)?);
    }
    let widths = usize::try_from(widths).unwrap_or(usize::MAX);
    let made = size.saturating_mul(uses).saturating_add(widths);
    limits::charge(state, made.saturating_add(text.len()))
}

/// Sum of the numbers in a conversion; each is a width or a precision.
fn width(spec: &str) -> Result<u64, Error> {
    let mut sum = 0;
    for digits in spec.split(|c: char| !c.is_ascii_digit()) {
        if !digits.is_empty() {
            let number = digits.parse().unwrap_or(u64::MAX);
            limits::width("a width in a format", number)?;
            sum += number;
        }
    }
    Ok(sum)
}
