//! A policy that the user writes as a script in Rhai, with one function `fn decide(signals)`.
//!
//! `signals` has every name of [`SIGNALS`], `time` and `window` in seconds, `ttft`, `tbt` and `e2e` (each with
//! `at(percentile)`, `mean()` and `len()`), and a map for each fleet with every name of [`FLEET_SIGNALS`]. The function returns
//! a map with the new number of instances of each fleet that is to change and, optionally, `reason`; an empty result keeps all
//! sizes. `this` is a map that persists between calls. Scripts have no access to files, clocks or random numbers, and they have
//! limits (`engine`). A script that fails ends the run.

mod answer;
mod engine;

use std::path::PathBuf;
use std::sync::Arc;

use rhai::{AST, CallFnOptions, Dynamic, Engine, Map, Scope};
use serde::{Deserialize, Serialize};

use super::{Decision, Pace, PolicyConfig, PolicyContext, ScalingPolicy};
use crate::autoscale::signals::{FLEET_SIGNALS, SIGNALS, Signals};
use crate::base::error::{Error, Location, Result};
use crate::base::foreign::on_deep_stack;
use crate::base::io::read_configuration;
use crate::base::registry::Card;
use engine::Clock;

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
    clock: Clock,
    ast: AST,
    state: Dynamic,
    /// The script's file, or the key that holds it.
    name: String,
    /// Line of the function `decide`.
    line: u64,
    fault: Option<Error>,
}

const REMEDY: &str =
    "correct the script; docs/autoscaling.md describes what it returns and its limits";

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
        let remedy = "a policy is `fn decide(signals) { #{ prefill: 2, decode: 4, reason: \"why\" } }`; see docs/autoscaling.md";
        let at = |line| Location {
            path: place.clone(),
            line,
        };
        if code.len() > engine::SOURCE_BYTES {
            let (most, size) = (engine::SOURCE_BYTES, code.len());
            let problem = format!("the script has {size} bytes, more than {most}");
            return Err(Error::input(at(None), problem, "shorten the script"));
        }
        let (engine, clock) = engine::new(&place.display().to_string());
        clock.begin();
        let ast = on_deep_stack(|| engine.compile(&code))
            .map_err(|panic| Error::input(at(None), format!("the script {panic}"), remedy))?
            .map_err(|error| {
                let line = engine::line_of(error.position());
                Error::input(at(line.or(Some(1))), error.err_type().to_string(), remedy)
            })?;
        let decides = |function: rhai::ScriptFnMetadata<'_>| {
            function.name == "decide" && function.params.len() == 1
        };
        if !ast.iter_functions().any(decides) {
            return Err(Error::input(
                at(None),
                "has no function `decide` with one argument",
                remedy,
            ));
        }
        let before = code.split("fn decide").next().unwrap_or_default();
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count() as u64;
        Ok(Self {
            engine,
            clock,
            ast,
            state: Dynamic::from_map(Map::new()),
            name: place.display().to_string(),
            line,
            fault: None,
        })
    }

    /// Calls the script's function. After an error the script must not be called again.
    fn call(&mut self, signals: &Signals) -> Result<Decision> {
        let Self {
            engine,
            clock,
            ast,
            state,
            ..
        } = self;
        clock.begin();
        let called = on_deep_stack(|| {
            let options = CallFnOptions::new().bind_this_ptr(state);
            let arguments = (map(signals),);
            let outcome = engine
                .call_fn_with_options(options, &mut Scope::new(), ast, "decide", arguments)
                .map_err(|error| engine::explain(*error))
                .and_then(|answer: Dynamic| {
                    engine::check_kept(engine, state)
                        .and_then(|()| answer::decision(answer, signals))
                        .map_err(|problem| (None, problem))
                });
            if outcome.is_err() {
                // It may nest too deeply to be dropped elsewhere.
                *state = Dynamic::UNIT;
            }
            outcome
        });
        let (line, problem) = match called {
            Ok(Ok(decision)) => return Ok(decision),
            Ok(Err(fault)) => fault,
            Err(panic) => (None, panic),
        };
        let at = Location::line(&self.name, line.unwrap_or(self.line));
        let problem = format!("the script {problem}, {} s after the start", signals.time);
        Err(Error::input(at, problem, REMEDY))
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
        map.insert(name.into(), Dynamic::from(Arc::new(sample.clone())));
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

impl ScalingPolicy for Script {
    fn pace(&self) -> Pace {
        Pace::every(10.0)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        self.call(signals).unwrap_or_else(|error| {
            self.fault = Some(error);
            Decision::hold(signals, "the script failed")
        })
    }

    fn fault(&mut self) -> Option<Error> {
        self.fault.take()
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
        Ok(())
    }

    /// What a script ends the run with, at its first decision for 3 prefill and 5 decode instances.
    fn fault(code: &str) -> String {
        let mut policy = match script(code) {
            Ok(policy) => policy,
            Err(error) => return error.to_string(),
        };
        let signals = signals(3, 5);
        assert_eq!(policy.decide(&signals).targets, [3, 5]);
        let error = policy.fault();
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        let place = "autoscaling.script.code:";
        let after = format!(", {} s after the start; {REMEDY}", signals.time);
        let text = text.strip_prefix(place).unwrap_or(&text);
        text.strip_suffix(&after).unwrap_or(text).to_owned()
    }

    #[test]
    fn wrong_answers_name_what_is_expected() {
        let cases = [
            (
                "#{ decod: 4 }",
                "returns an unknown key `decod` (did you mean `decode`? known: prefill, decode, reason)",
            ),
            (
                "#{ mixed: 4 }",
                "returns an unknown key `mixed` (known: prefill, decode, reason)",
            ),
            (
                "4",
                "returns a value of type i64, where a map such as #{ decode: 4 } is expected",
            ),
            (
                "#{ decode: \"many\" }",
                "returns a `decode` of type string, where a number of instances is expected",
            ),
            (
                "#{ decode: -1 }",
                "returns -1 for `decode`, where 0 to 100000 instances are expected",
            ),
            (
                "#{ decode: 0.0 / 0.0 }",
                "returns NaN for `decode`, where 0 to 100000 instances are expected",
            ),
            (
                "#{ decode: 2147483648 }",
                "returns 2147483648 for `decode`, where 0 to 100000 instances are expected",
            ),
            (
                "#{ reason: 3 }",
                "returns a `reason` of type i64, where a text is expected",
            ),
        ];
        for (answer, problem) in cases {
            let text = fault(&format!("// comment\nfn decide(s) {{ {answer} }}"));
            assert_eq!(text, format!("2: the script {problem}"), "{answer}");
        }
    }

    #[test]
    fn scripts_have_limits() {
        let large = "makes a value that is too large: arrays and maps have at most 1024 entries, and texts 10000 bytes";
        let cases = [
            (
                "loop { }",
                "takes more than 1000000 operations for one decision",
            ),
            ("let x = [1]; loop { x += x; }", large),
            ("let x = []; x.pad(10000000000, 1);", large),
            ("let x = blob(3000000000, 1);", large),
            ("let x = \"a\"; loop { x += x; }", large),
            ("let x = \"\"; x.pad(100000000000, \"a\");", large),
            (
                "let x = []; for i in 0..100000 { x = [x]; } this.x = x;",
                large,
            ),
            ("let x = #{}; for i in 0..100000 { x = #{ x: x }; }", large),
            (
                "let x = []; for i in 0..100000 { let y = []; y.push(x); x = y; }",
                large,
            ),
            (
                "let x = []; for i in 0..100 { x = [x]; } this.x = x;",
                "keeps a value in `this` that is nested more than 32 levels deep",
            ),
            (
                "this.x = s.ttft;",
                "keeps something other than numbers, texts, arrays and maps in `this`",
            ),
            (
                "for i in 0..4 { this[`k${i}`] = []; this[`k${i}`].pad(500, i); }",
                "keeps too much in `this`: all its arrays and maps have at most 1024 entries, and its texts 10000 bytes",
            ),
            (
                "sleep(1000);",
                "fails: Runtime error: a policy cannot sleep, it only decides",
            ),
            (
                "sleep(0.5);",
                "fails: Runtime error: a policy cannot sleep, it only decides",
            ),
            ("throw \"no\";", "fails: Runtime error: no"),
            ("decide(s);", "nests more than 32 calls or 64 expressions"),
        ];
        for (code, problem) in cases {
            let text = fault(&format!("fn decide(s) {{\n {code}\n #{{}} }}"));
            let found = text.split_once(": the script ").map(|(_, problem)| problem);
            assert_eq!(found, Some(problem), "{code}: {text}");
        }
        assert_eq!(
            fault("fn decide(s) {\n throw \"no\"; }"),
            "2: the script fails: Runtime error: no"
        );
        let long = format!("fn decide(s) {{ let x = 1{}; }}", "+1".repeat(30_000));
        assert!(
            fault(&long).contains("Expression exceeds maximum complexity"),
            "{}",
            fault(&long)
        );
        assert!(fault("fn decide(s) { eval(\"1\") }").contains("eval"));
        let curried = fault("fn decide(s) {\n let f = Fn(\"g\"); f = f.curry(f); }");
        assert!(
            curried.starts_with("autoscaling.script.code:2: Expecting name of a property;"),
            "{curried}"
        );
        let curried = fault("fn decide(s) {\n let f = curry(Fn(\"g\"), 1); }");
        assert!(
            curried.starts_with("autoscaling.script.code:2: reserved keyword 'curry' is disabled;"),
            "{curried}"
        );
    }

    #[test]
    fn reasons_are_one_short_line() -> Result<()> {
        let mut policy =
            script("fn decide(s) { let r = \"a\\nb\"; r.pad(999, 'c'); #{ reason: r } }")?;
        let decision = policy.decide(&signals(3, 5));
        assert_eq!(decision.reason, format!("a b{}", "c".repeat(197)));
        assert!(policy.fault().is_none());
        Ok(())
    }
}
