//! The environment in which transformers renders chat templates, on minijinja.
//!
//! Source: `_cached_compile_jinja_template` of `transformers/utils/chat_template_utils.py`.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value};

use super::bindings::{ARGUMENT_FILTER, BOUND_FILTER, KEPT_FILTER};
use super::operators::{CHARGED_FILTER, CONCAT_FILTER, ITER_FILTER, MUL_FILTER, REM_FILTER};
use super::python::{self, Day, JsonStyle};
use super::{arithmetic, limits, strings};

/// Function that gives back the fuel that exceeds the steps of a rendering.
pub(super) const STEPS_FUNCTION: &str = "__steps";
/// Variable with the steps of a rendering.
pub(super) const STEPS_VARIABLE: &str = "__most_steps";

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
    env.set_formatter(|out, state, value| {
        match value.as_str() {
            Some(text) => out.write_str(text),
            None => out.write_str(&python::str(state, value)?),
        }
        .map_err(Error::from)
    });
    // The same messages in every build of the program.
    env.set_debug(false);
    env.set_fuel(Some(limits::MOST_STEPS));
    env.add_function(STEPS_FUNCTION, |state: &State| -> Result<(), Error> {
        let steps = state
            .lookup(STEPS_VARIABLE)
            .and_then(|steps| u64::try_from(steps).ok());
        state.consume_fuel(limits::MOST_STEPS - steps.unwrap_or_default())
    });
    // Jinja2 has none of these. They make values that change with a namespace, or print everything.
    for filter in ["chain", "zip"] {
        env.remove_filter(filter);
    }
    env.remove_global("debug");

    env.add_function(
        "raise_exception",
        |state: &State, message: Value| -> Result<Value, Error> {
            let mut message = python::str(state, &message)?;
            message.truncate(message.floor_char_boundary(limits::MESSAGE));
            Err(Error::new(ErrorKind::InvalidOperation, message.clone())
                .with_source(Raised(message)))
        },
    );
    env.add_function(
        "strftime_now",
        move |state: &State, format: &str| -> Result<String, Error> {
            // A directive of two characters gives at most 24.
            limits::charge(state, format.len().saturating_mul(12))?;
            Ok(day.strftime(format))
        },
    );

    env.add_filter("tojson", tojson);
    env.add_filter("string", |state: &State, value: &Value| {
        match value.as_str() {
            Some(_) => Ok(value.clone()),
            None => python::str(state, value).map(Value::from),
        }
    });
    env.add_filter(
        "trim",
        |state: &State, value: &Value, chars: Option<Value>| -> Result<Value, Error> {
            if value.as_str().is_some() {
                return strings::strip(state, value, chars.as_ref(), true, true);
            }
            let text = Value::from(python::str(state, value)?);
            strings::strip(state, &text, chars.as_ref(), true, true)
        },
    );
    env.add_filter(CHARGED_FILTER, charged);
    env.add_filter(BOUND_FILTER, limits::bounded);
    env.add_filter(ARGUMENT_FILTER, limits::argument);
    env.add_filter(KEPT_FILTER, limits::kept);
    env.add_filter(REM_FILTER, arithmetic::rem);
    env.add_filter(MUL_FILTER, arithmetic::mul);
    env.add_filter(CONCAT_FILTER, arithmetic::concat);
    env.add_filter(ITER_FILTER, |state: &State, value: &Value| {
        match value.as_str() {
            Some(text) => {
                limits::charge(state, text.len().saturating_mul(32))?;
                Ok(text.chars().map(Value::from).collect())
            }
            None if value.is_none() => Err(Error::new(
                ErrorKind::InvalidOperation,
                "'NoneType' object is not iterable",
            )),
            None => Ok(value.clone()),
        }
    });
    for (name, is_upper) in [("upper", true), ("lower", false)] {
        env.add_test(name, move |value: &Value| {
            value.as_str().is_some_and(|text| {
                let upper = text.contains(char::is_uppercase);
                let lower = text.contains(char::is_lowercase);
                upper != lower && upper == is_upper
            })
        });
    }

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

/// Calls a filter of the engine after charging what it may print of its arguments.
fn charged(
    state: &mut State,
    value: &Value,
    name: &str,
    args: Rest<Value>,
) -> Result<Value, Error> {
    let mut all = Vec::with_capacity(1 + args.len());
    all.push(value.clone());
    all.extend(args.iter().cloned());
    for arg in all.iter().filter(|arg| arg.as_object().is_some()) {
        limits::size(state, arg)?;
    }
    state.apply_filter(name, &all).map_err(|error| {
        if error.kind() == ErrorKind::UnknownFilter && error.detail().is_none() {
            Error::new(
                ErrorKind::UnknownFilter,
                format!("filter {name} is unknown"),
            )
        } else {
            error
        }
    })
}

/// `tojson` as transformers defines it: `json.dumps` without escapes for HTML.
fn tojson(
    state: &State,
    value: &Value,
    args: Rest<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let argument = |at: usize, name: &str| -> Result<Option<Value>, Error> {
        let given = match args.get(at) {
            Some(value) => Some(value.clone()),
            None => kwargs.get::<Option<Value>>(name)?,
        };
        Ok(given.filter(|value| !value.is_none()))
    };
    let indent = match argument(1, "indent")? {
        Some(value) => Some(match value.as_str() {
            Some(text) => text.to_owned(),
            None => {
                let width = value.as_usize().unwrap_or(0);
                limits::width("an indent", width as u64)?;
                " ".repeat(width)
            }
        }),
        None => None,
    };
    let separators = match argument(2, "separators")? {
        Some(pair) => (
            python::str(state, &pair.get_item(&Value::from(0))?)?,
            python::str(state, &pair.get_item(&Value::from(1))?)?,
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
    python::json(&mut out, state, value, &style, 0)?;
    Ok(out)
}
