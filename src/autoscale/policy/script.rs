//! A policy that the user writes as a script in Rhai, with one function `fn decide(signals)`.
//!
//! `signals` has every name of [`SIGNALS`], `time` and `window` in seconds, `ttft`, `tbt` and `e2e` (each with
//! `at(percentile)`, `mean()` and `len()`), and a map for each fleet with every name of [`FLEET_SIGNALS`]. The function returns
//! a map with the new number of instances of each fleet that is to change and, optionally, `reason`; an empty result keeps all
//! sizes. `this` is a map that persists between calls. Scripts have no access to files, clocks or random numbers.

use std::path::PathBuf;

use rhai::{AST, CallFnOptions, Dynamic, Engine, Map, Scope};
use serde::{Deserialize, Serialize};

use super::{Decision, Pace, PolicyConfig, PolicyContext, ScalingPolicy};
use crate::autoscale::signals::{FLEET_SIGNALS, SIGNALS, Sample, Signals};
use crate::base::error::{Error, Location, Result};
use crate::base::io::read_configuration;
use crate::base::registry::Card;

/// Configuration; exactly one of the keys is given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScriptConfig {
    /// Path of the script's file.
    pub path: Option<PathBuf>,
    /// The script's text.
    pub code: Option<String>,
}

impl PolicyConfig for ScriptConfig {
    const CARD: Card = Card::new("script", "your own `fn decide(signals)` in a Rhai script");
    const COLOR: &'static str = "#44AA99";

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(Script::new(&self)?))
    }
}

/// The scaling policy `script`.
#[derive(Debug)]
pub struct Script {
    engine: Engine,
    ast: AST,
    state: Dynamic,
}

/// Maximum number of Rhai operations in one decision, about one second of work; it ends endless loops.
const MOST_OPERATIONS: u64 = 10_000_000;

impl Script {
    /// Compiles the script.
    ///
    /// # Errors
    /// A file that cannot be read, or a syntax error, with its line.
    pub fn new(config: &ScriptConfig) -> Result<Self> {
        let (code, place) = match (&config.path, &config.code) {
            (Some(path), None) => {
                let bytes = read_configuration(path)?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                (text, path.clone())
            }
            (None, Some(code)) => (code.clone(), PathBuf::from("autoscaling.script.code")),
            _ => {
                return Err(Error::usage(
                    "policy `script` has no script",
                    "give autoscaling.script.path=FILE, a Rhai script with `fn decide(signals) { #{ decode: 4 } }`",
                ));
            }
        };
        let mut engine = Engine::new();
        engine.set_max_operations(MOST_OPERATIONS);
        engine.disable_symbol("eval");
        engine
            .register_type_with_name::<Sample>("Sample")
            .register_fn("at", |sample: &mut Sample, percentile: f64| {
                sample.at(percentile)
            })
            .register_fn("at", |sample: &mut Sample, percentile: i64| {
                sample.at(percentile as f64)
            })
            .register_fn("mean", |sample: &mut Sample| sample.mean())
            .register_fn("len", |sample: &mut Sample| sample.len() as i64);
        let remedy = "a policy is `fn decide(signals) { #{ prefill: 2, decode: 4, reason: \"why\" } }`; see docs/autoscaling.md";
        let ast = engine.compile(&code).map_err(|error| {
            let line = error.position().line().unwrap_or(1) as u64;
            Error::input(Location::line(&place, line), error.to_string(), remedy)
        })?;
        let decides = |function: rhai::ScriptFnMetadata<'_>| {
            function.name == "decide" && function.params.len() == 1
        };
        if !ast.iter_functions().any(decides) {
            return Err(Error::input(
                Location::file(&place),
                "has no function `decide` with one argument",
                remedy,
            ));
        }
        Ok(Self {
            engine,
            ast,
            state: Dynamic::from_map(Map::new()),
        })
    }
}

/// The signals as a Rhai map.
fn map(signals: &Signals) -> Map {
    let mut map: Map = SIGNALS
        .iter()
        .map(|signal| (signal.name.into(), (signal.get)(signals).into()))
        .collect();
    map.insert("time".into(), signals.time.into());
    map.insert("window".into(), signals.window.into());
    for (name, sample) in [
        ("ttft", &signals.ttft),
        ("tbt", &signals.tbt),
        ("e2e", &signals.e2e),
    ] {
        map.insert(name.into(), Dynamic::from(sample.clone()));
    }
    for fleet in &signals.fleets {
        let mut one: Map = FLEET_SIGNALS
            .iter()
            .map(|signal| (signal.name.into(), (signal.get)(fleet).into()))
            .collect();
        let provisioned = f64::from(fleet.provisioned());
        one.insert("provisioned".into(), provisioned.into());
        map.insert(fleet.kind.name().into(), one.into());
    }
    map
}

/// A number of instances; fractions are rounded up.
fn instances(value: &Dynamic) -> Option<u32> {
    let number = value
        .as_float()
        .or_else(|_| value.as_int().map(|int| int as f64));
    let number = number.ok().filter(|number| number.is_finite())?;
    Some(super::Rounding::Up.apply(number))
}

impl ScalingPolicy for Script {
    fn pace(&self) -> Pace {
        Pace::every(10.0)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let options = CallFnOptions::new().bind_this_ptr(&mut self.state);
        let answer = self.engine.call_fn_with_options::<Dynamic>(
            options,
            &mut Scope::new(),
            &self.ast,
            "decide",
            (map(signals),),
        );
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Decision::hold(signals, format!("the script failed: {error}")),
        };
        if answer.is_unit() {
            return Decision::hold(signals, "the script returned nothing");
        }
        let Some(desired) = answer.try_cast::<Map>() else {
            return Decision::hold(signals, "the script failed: it returned no map");
        };
        let reason = desired
            .get("reason")
            .map_or_else(|| "script".to_owned(), ToString::to_string);
        let mut wrong = None;
        let decision = Decision::map(signals, "", |fleet| {
            let name = fleet.kind.name();
            match desired.get(name).map(|value| (value, instances(value))) {
                None => fleet.provisioned(),
                Some((_, Some(size))) => size,
                Some((value, None)) => {
                    wrong = Some(format!("the script failed: {name} is {value}, no number"));
                    fleet.provisioned()
                }
            }
        });
        Decision {
            reason: wrong.unwrap_or(reason),
            ..decision
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::script::*;
    use crate::autoscale::testing::{all, signals};

    fn script(code: &str) -> Result<Script> {
        Script::new(&ScriptConfig {
            path: None,
            code: Some(code.to_owned()),
        })
    }

    #[test]
    fn sees_signals_and_remembers() -> Result<()> {
        let mut policy = script(
            r#"fn decide(signals) {
                this.calls = (this.calls ?? 0) + 1;
                if signals.ttft.at(90) > 1.0 && signals.decode.kv_usage < 0.5 {
                    return #{ prefill: signals.prefill.provisioned * 1.5, reason: `call ${this.calls}` };
                }
            }"#,
        )?;
        let mut seen = signals(3, 5);
        assert_eq!(policy.decide(&seen).targets, [3, 5]);
        seen.ttft = all(2.0);
        let decision = policy.decide(&seen);
        assert_eq!(decision.targets, [5, 5]);
        assert_eq!(decision.reason, "call 2");
        Ok(())
    }

    #[test]
    fn faults_are_told() -> Result<()> {
        let text = |error: Option<Error>| error.map(|e| e.to_string()).unwrap_or_default();
        let error = text(script("fn decide(signals) {\n let = 3 }").err());
        assert!(error.contains("autoscaling.script.code:2"), "{error}");
        let error = text(script("fn decied(signals) { }").err());
        assert!(error.contains("no function `decide`"), "{error}");
        // A script that loops endlessly or returns an invalid value keeps all sizes.
        let mut policy = script("fn decide(signals) { loop { } }")?;
        let decision = policy.decide(&signals(3, 5));
        assert_eq!(decision.targets, [3, 5]);
        assert!(decision.reason.contains("failed"));
        let mut policy = script("fn decide(signals) { #{ prefill: \"many\" } }")?;
        assert!(policy.decide(&signals(3, 5)).reason.contains("no number"));
        Ok(())
    }
}
