//! The list of the tests, and the report of those that cannot run because something they need is missing.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Something that a checkout does not contain and that a test needs.
#[derive(Clone, Copy)]
pub(crate) enum Need {
    /// A file or folder below the folder of the reference data.
    Data(&'static str),
    /// The same, made by `scripts/reference/rebuild.py`. CI does not have to have it.
    Rebuilt(&'static str),
    /// A program that is called by this name.
    Program(&'static str),
    /// An environment variable. CI does not have to set it.
    Variable(&'static str),
}

impl Need {
    /// Names what is missing, or `None` where the need is met.
    fn missing(self) -> Option<String> {
        match self {
            Self::Data(path) | Self::Rebuilt(path) => {
                (!root().join(path).exists()).then(|| path.to_owned())
            }
            Self::Program(name) => Command::new(name)
                .arg("--version")
                .output()
                .is_err()
                .then(|| format!("the program {name}")),
            Self::Variable(name) => std::env::var_os(name)
                .is_none()
                .then(|| format!("the environment variable {name}")),
        }
    }
}

/// A test and what it needs. Each module lists its own through [`tests!`].
pub(crate) struct Test {
    /// The path of the module and of the function.
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [Need],
    pub(crate) run: fn(),
}

/// Defines `TESTS`, the list of a module's test functions: `function: [need, need];` for each.
macro_rules! tests {
    ($($function:ident: [$($need:expr),* $(,)?];)*) => {
        pub(crate) const TESTS: &[$crate::harness::Test] = &[$($crate::harness::Test {
            name: concat!(module_path!(), "::", stringify!($function)),
            needs: &[$($need),*],
            run: $function,
        }),*];
    };
}
pub(crate) use tests;

/// The folder of the reference data: `REPLAY_SHARED`, or `shared` beside the checkout.
fn root() -> PathBuf {
    std::env::var_os("REPLAY_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    )
}

/// A file or folder of the reference data. The test must list it as a need.
pub(crate) fn shared(path: &str) -> PathBuf {
    let file = root().join(path);
    assert!(file.exists(), "{} is missing", file.display());
    file
}

/// Runs the tests that the command line selects. A test that lacks something is ignored and the reason stands before its
/// name; where the variable `CI` is set, it fails instead.
pub(crate) fn run(modules: &[&'static [Test]]) -> ExitCode {
    let arguments = Arguments::from_args();
    let is_ci = std::env::var_os("CI").is_some();
    let mut without: BTreeMap<String, usize> = BTreeMap::new();
    let mut trials = Vec::new();
    for test in modules.iter().copied().flatten() {
        let missing: Vec<(Need, String)> = test
            .needs
            .iter()
            .filter_map(|need| Some((*need, need.missing()?)))
            .collect();
        let reason = missing
            .iter()
            .map(|(_, name)| name.as_str())
            .collect::<Vec<_>>()
            .join(" and ");
        let is_required =
            |(need, _): &(Need, String)| matches!(need, Need::Data(_) | Need::Program(_));
        let must_run = is_ci && missing.iter().any(is_required);
        let ignored = !missing.is_empty() && !must_run;
        if ignored {
            *without.entry(reason.clone()).or_default() += 1;
        }
        // All that is missing is in the note at the end; a line has room for the first.
        let kind = match missing.as_slice() {
            [(_, first), rest @ ..] if ignored => {
                let more = if rest.is_empty() { "" } else { ", ..." };
                format!("needs {first}{more}")
            }
            _ => String::new(),
        };
        let run = test.run;
        let trial = Trial::test(test.name.trim_start_matches("reference::"), move || {
            if !reason.is_empty() {
                return Err(Failed::from(format!("missing: {reason}")));
            }
            run();
            Ok(())
        });
        trials.push(trial.with_kind(kind).with_ignored_flag(ignored));
    }
    let code = libtest_mimic::run(&arguments, trials).exit_code();
    if !arguments.list && !without.is_empty() {
        tell(&without);
    }
    code
}

/// Says on standard error how many tests were ignored for which reason.
fn tell(without: &BTreeMap<String, usize>) {
    let mut text = format!(
        "{} tests are ignored because they need what is missing here (reference data is looked for in {}):\n",
        without.values().sum::<usize>(),
        root().display()
    );
    for (reason, tests) in without {
        text += &format!("{tests:5}  {reason}\n");
    }
    text += "docs/testing.md says how to obtain it.\n\n";
    let _ = std::io::stderr().write_all(text.as_bytes());
}
