//! What a script returns: the sizes of fleets, by their names, and the reason.

use rhai::{Dynamic, Map};

use super::engine::one_line;
use crate::autoscale::policy::{Decision, Rounding};
use crate::autoscale::signals::{FleetKind, Signals};
use crate::base::error::Error;

/// Maximum number of instances that a script can request for a fleet.
const INSTANCES: f64 = 100_000.0;
/// Maximum length of a reason, in bytes.
const REASON: usize = 200;

/// The decision that a script returned; an error says what is wrong with it.
pub(super) fn decision(answer: Dynamic, signals: &Signals) -> Result<Decision, String> {
    if answer.is_unit() {
        return Ok(Decision::hold(signals, "the script returned nothing"));
    }
    let kind = answer.type_name();
    let Some(desired) = answer.try_cast::<Map>() else {
        return Err(format!(
            "returns a value of type {kind}, where a map such as #{{ decode: 4 }} is expected"
        ));
    };
    let names: Vec<&str> = signals.fleets.iter().map(|f| f.kind.name()).collect();
    for key in desired.keys() {
        let known: Vec<&str> = names.iter().copied().chain(["reason"]).collect();
        if !known.contains(&key.as_str()) {
            let key = one_line(key, REASON);
            return Err(unknown(&key, &known));
        }
    }
    let reason = match desired.get("reason") {
        None => "script".to_owned(),
        Some(reason) => match reason.as_immutable_string_ref() {
            Ok(reason) => one_line(&reason, REASON),
            Err(kind) => {
                return Err(format!(
                    "returns a `reason` of type {kind}, where a text is expected"
                ));
            }
        },
    };
    let mut targets = Vec::with_capacity(signals.fleets.len());
    for fleet in &signals.fleets {
        targets.push(match desired.get(fleet.kind.name()) {
            None => fleet.provisioned(),
            Some(value) => instances(fleet.kind, value)?,
        });
    }
    Ok(Decision { targets, reason })
}

/// The problem of an unknown key, with the known ones and the closest of them.
fn unknown(key: &str, known: &[&str]) -> String {
    match Error::unknown_name("key", key, known) {
        Error::Usage { problem, remedy } => {
            format!("returns an {problem} ({remedy})")
        }
        other => other.to_string(),
    }
}

/// A number of instances; fractions are rounded up.
fn instances(fleet: FleetKind, value: &Dynamic) -> Result<u32, String> {
    let name = fleet.name();
    let number = value
        .as_float()
        .or_else(|_| value.as_int().map(|int| int as f64));
    let Ok(number) = number else {
        return Err(format!(
            "returns a `{name}` of type {}, where a number of instances is expected",
            value.type_name()
        ));
    };
    if !(0.0..=INSTANCES).contains(&number) {
        return Err(format!(
            "returns {number} for `{name}`, where 0 to {INSTANCES} instances are expected"
        ));
    }
    Ok(Rounding::Up.apply(number))
}
