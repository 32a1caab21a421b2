//! The environment in which transformers renders chat templates, on minijinja.
//!
//! Source: `_cached_compile_jinja_template` of `transformers/utils/chat_template_utils.py`.

use minijinja::formatting::{FormatStyle, format};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value};

use super::operators::{ITER_FILTER, REM_FILTER};
use super::python::{self, Day, JsonStyle};
use super::strings;

/// Argument of `raise_exception`, as the source of the engine's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub(super) String);

/// An environment without templates.
pub(super) fn environment(day: Day) -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    // Whitespace control has been done by `source::rewrite`.
    env.set_syntax(
        SyntaxConfig::builder()
            .keep_trailing_newline(true)
            .build()?,
    );
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_unknown_method_callback(strings::method);
    env.set_formatter(|out, _state, value| {
        match value.as_str() {
            Some(text) => out.write_str(text),
            None => out.write_str(&python::str(value)),
        }
        .map_err(Error::from)
    });

    env.add_function(
        "raise_exception",
        |message: Value| -> Result<Value, Error> {
            let message = python::str(&message);
            Err(Error::new(ErrorKind::InvalidOperation, message.clone())
                .with_source(Raised(message)))
        },
    );
    env.add_function("strftime_now", move |format: &str| day.strftime(format));

    env.add_filter("tojson", tojson);
    env.add_filter("string", |value: &Value| match value.as_str() {
        Some(_) => value.clone(),
        None => Value::from(python::str(value)),
    });
    env.add_filter(
        "trim",
        |value: &Value, chars: Option<Value>| -> Result<Value, Error> {
            let text = Value::from(python::str(value));
            strings::strip(
                if value.as_str().is_some() {
                    value
                } else {
                    &text
                },
                chars.as_ref(),
                true,
                true,
            )
        },
    );
    env.add_filter(REM_FILTER, rem);
    env.add_filter(ITER_FILTER, |value: &Value| match value.as_str() {
        Some(text) => Ok(text.chars().map(Value::from).collect()),
        None if value.is_none() => Err(Error::new(
            ErrorKind::InvalidOperation,
            "'NoneType' object is not iterable",
        )),
        None => Ok(value.clone()),
    });

    // Jinja2 requires only `len()` and `[]` of a sequence: strings, dicts and undefined have them.
    env.add_test("sequence", |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined
        )
    });
    env.add_test("iterable", |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::String
                | ValueKind::Seq
                | ValueKind::Map
                | ValueKind::Iterable
                | ValueKind::Undefined
        )
    });
    env.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
    Ok(env)
}

/// `tojson` as transformers defines it: `json.dumps` without escapes for HTML.
fn tojson(value: &Value, args: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    let argument = |at: usize, name: &str| -> Result<Option<Value>, Error> {
        let given = match args.get(at) {
            Some(value) => Some(value.clone()),
            None => kwargs.get::<Option<Value>>(name)?,
        };
        Ok(given.filter(|value| !value.is_none()))
    };
    let indent = argument(1, "indent")?.map(|value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => " ".repeat(value.as_usize().unwrap_or(0)),
    });
    let separators = match argument(2, "separators")? {
        Some(pair) => (
            python::str(&pair.get_item(&Value::from(0))?),
            python::str(&pair.get_item(&Value::from(1))?),
        ),
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let style = JsonStyle {
        ascii: argument(0, "ensure_ascii")?.is_some_and(|value| value.is_true()),
        indent,
        separators,
        sort_keys: argument(3, "sort_keys")?.is_some_and(|value| value.is_true()),
    };
    kwargs.assert_all_used()?;
    let mut out = String::new();
    python::json(&mut out, value, &style, 0)?;
    Ok(out)
}

/// Python's `%`: formatting for strings, the floored remainder for numbers.
fn rem(_state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        let args = if right.is_tuple() {
            right.try_iter()?.collect()
        } else {
            vec![right.clone()]
        };
        // Containers are printed by Python's rules, which minijinja's formatter does not implement.
        let args: Vec<Value> = args
            .into_iter()
            .map(|value| match value.kind() {
                ValueKind::Seq | ValueKind::Iterable => Value::from(python::str(&value)),
                _ => value,
            })
            .collect();
        return format(FormatStyle::Printf, text, &args).map(Value::from);
    }
    let number = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if number(left) && number(right) {
        if let (Ok(a), Ok(b)) = (i128::try_from(left.clone()), i128::try_from(right.clone()))
            && !is_float(left)
            && !is_float(right)
        {
            if let Some(remainder) = a.checked_rem(b) {
                let floored = if remainder != 0 && (remainder < 0) != (b < 0) {
                    remainder + b
                } else {
                    remainder
                };
                return Ok(
                    i64::try_from(floored).map_or_else(|_| Value::from(floored), Value::from)
                );
            }
        } else {
            let (a, b) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
            if b != 0.0 {
                let remainder = a % b;
                return Ok(Value::from(match remainder == 0.0 {
                    true => 0.0_f64.copysign(b),
                    false if (remainder < 0.0) != (b < 0.0) => remainder + b,
                    false => remainder,
                }));
            }
        }
    }
    Err(Error::new(
        ErrorKind::InvalidOperation,
        format!("cannot calculate {} % {}", left.kind(), right.kind()),
    ))
}

fn is_float(value: &Value) -> bool {
    value.kind() == ValueKind::Number && !value.is_integer()
}
