//! Python's operators that become filters: `%`, `*` and `~`.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::{formats, limits, python};

/// Python's `%`: formatting for strings, the floored remainder for numbers.
pub(super) fn rem(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        let args = if right.is_tuple() {
            right.try_iter()?.collect()
        } else {
            vec![right.clone()]
        };
        formats::charge_printf(state, text, &args)?;
        // Containers are printed by Python's rules, which minijinja's formatter does not implement.
        let args = args
            .into_iter()
            .map(|value| match value.kind() {
                ValueKind::Seq | ValueKind::Iterable => python::str(state, &value).map(Value::from),
                _ => Ok(value),
            })
            .collect::<Result<Vec<Value>, Error>>()?;
        return format(FormatStyle::Printf, text, &args).map(Value::from);
    }
    match numbers(left, right)? {
        Some(Numbers::Integers(a, b)) => {
            if let Some(remainder) = a.checked_rem(b) {
                let floored = if remainder != 0 && (remainder < 0) != (b < 0) {
                    remainder + b
                } else {
                    remainder
                };
                return Ok(integer(floored));
            }
        }
        Some(Numbers::Floats(a, b)) if b != 0.0 => {
            let remainder = a % b;
            return Ok(Value::from(match remainder == 0.0 {
                true => 0.0_f64.copysign(b),
                false if (remainder < 0.0) != (b < 0.0) => remainder + b,
                false => remainder,
            }));
        }
        _ => {}
    }
    Err(impossible(left, "%", right))
}

/// Python's `*`: repetition for strings and lists, the product of numbers.
pub(super) fn mul(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(Numbers::Integers(a, b)) = numbers(left, right)? {
        return match a.checked_mul(b) {
            Some(product) => Ok(integer(product)),
            None => Err(limits::exceeded(format!(
                "multiplies {a} by {b}, above the range of integers"
            ))),
        };
    }
    if let Some(Numbers::Floats(a, b)) = numbers(left, right)? {
        return Ok(Value::from(a * b));
    }
    let (repeated, times) = if is_number(right) {
        (left, right)
    } else {
        (right, left)
    };
    let Some(times) = i128::try_from(times.clone())
        .ok()
        .filter(|_| !is_float(times))
    else {
        return Err(impossible(left, "*", right));
    };
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    if let Some(text) = repeated.as_str() {
        limits::charge(state, text.len().saturating_mul(times))?;
        return Ok(Value::from(text.repeat(times)));
    }
    if !matches!(repeated.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Err(impossible(left, "*", right));
    }
    let mut items = Vec::new();
    for item in repeated.try_iter()? {
        limits::charge(state, 32)?;
        items.push(item);
    }
    limits::charge(state, items.len().saturating_mul(32).saturating_mul(times))?;
    let items: Vec<Value> = std::iter::repeat_n(items, times).flatten().collect();
    Ok(if repeated.is_tuple() {
        Value::from(Tuple::from(items))
    } else {
        Value::from(items)
    })
}

/// `~`: the text of both operands.
pub(super) fn concat(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    let mut out = match left.as_str() {
        Some(text) => {
            let other = right.as_str().map_or(0, str::len);
            limits::charge(state, text.len() + other)?;
            let mut out = String::with_capacity(text.len() + other);
            out.push_str(text);
            out
        }
        None => python::str(state, left)?,
    };
    match right.as_str() {
        Some(text) => {
            limits::charge(state, out.len() + text.len())?;
            out.push_str(text);
        }
        None => out.push_str(&python::str(state, right)?),
    }
    Ok(Value::from(out))
}

enum Numbers {
    Integers(i128, i128),
    Floats(f64, f64),
}

/// Both operands as numbers of one type; `None` if one is something else.
fn numbers(left: &Value, right: &Value) -> Result<Option<Numbers>, Error> {
    if !is_number(left) || !is_number(right) {
        return Ok(None);
    }
    if !is_float(left)
        && !is_float(right)
        && let (Ok(a), Ok(b)) = (i128::try_from(left.clone()), i128::try_from(right.clone()))
    {
        return Ok(Some(Numbers::Integers(a, b)));
    }
    let (a, b) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
    Ok(Some(Numbers::Floats(a, b)))
}

fn integer(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

fn is_number(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
}

fn is_float(value: &Value) -> bool {
    value.kind() == ValueKind::Number && !value.is_integer()
}

fn impossible(left: &Value, operator: &str, right: &Value) -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!(
            "cannot calculate {} {operator} {}",
            left.kind(),
            right.kind()
        ),
    )
}
