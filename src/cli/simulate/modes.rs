//! The options that are valid for each kind of configuration. An option that is not valid is rejected, not ignored.

use super::SimulateArgs;
use crate::base::error::{Error, Result};

/// The simulator whose rules apply, and the kind of configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A TOML file or preset under this simulator's own rules.
    Accurate,
    /// A TOML file with `compat = "splitwise"`.
    SplitwiseToml,
    /// SplitwiseSim's config.yaml.
    SplitwiseYaml,
    /// Vidur's config.json.
    Vidur,
}

use Mode::{Accurate, SplitwiseToml, SplitwiseYaml, Vidur};

/// An option, the kinds of configuration for which it is valid, and the reason why it is not valid for the others.
struct Restricted {
    flag: &'static str,
    given: fn(&SimulateArgs) -> bool,
    modes: &'static [Mode],
    why: &'static str,
}

const RESTRICTED: [Restricted; 13] = [
    Restricted {
        flag: "--ttft-slo",
        given: |args| args.slo.ttft_slo.is_some(),
        modes: &[Accurate],
        why: "its objectives are those of its own program",
    },
    Restricted {
        flag: "--tbt-slo",
        given: |args| args.slo.tbt_slo.is_some(),
        modes: &[Accurate],
        why: "its objectives are those of its own program",
    },
    Restricted {
        flag: "--e2e-slo",
        given: |args| args.slo.e2e_slo.is_some(),
        modes: &[Accurate],
        why: "its objectives are those of its own program",
    },
    Restricted {
        flag: "--autoscaler",
        given: |args| args.autoscaler.is_some(),
        modes: &[Accurate],
        why: "its clusters have a fixed size",
    },
    Restricted {
        flag: "--set",
        given: |args| !args.cluster.set.is_empty(),
        modes: &[Accurate, SplitwiseToml],
        why: "overrides are for the keys of a TOML file; edit the configuration itself",
    },
    Restricted {
        flag: "--block-size",
        given: |args| args.block_size.is_some(),
        modes: &[Accurate],
        why: "it has no prefix cache, and its own configuration decides the size of blocks",
    },
    Restricted {
        flag: "--format",
        given: |args| args.format.is_some(),
        modes: &[Accurate, Vidur],
        why: "it reads traces in its own format only",
    },
    Restricted {
        flag: "--tokenizer",
        given: |args| args.tokenizer.is_some(),
        modes: &[Accurate],
        why: "its traces hold lengths, not text",
    },
    Restricted {
        flag: "--seeds",
        given: |args| !args.seeds.is_empty(),
        modes: &[Accurate, SplitwiseToml, SplitwiseYaml],
        why: "the seed is a key of its configuration",
    },
    Restricted {
        flag: "--metrics",
        given: |args| args.metrics.is_some(),
        modes: &[Accurate, Vidur],
        why: "its steps are not recorded",
    },
    Restricted {
        flag: "--chrome-trace",
        given: |args| args.chrome_trace.is_some(),
        modes: &[Accurate, Vidur],
        why: "its steps are not recorded",
    },
    Restricted {
        flag: "--perf-model",
        given: |args| args.perf_model.is_some(),
        modes: &[SplitwiseToml, SplitwiseYaml],
        why: "only SplitwiseSim's rules read that table; a TOML configuration names its own under [latency]",
    },
    Restricted {
        flag: "--vidur-tables",
        given: |args| args.vidur_tables.is_some(),
        modes: &[Vidur],
        why: "only Vidur's rules read that folder; a TOML configuration names its own under [latency]",
    },
];

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Accurate => "a TOML configuration by this simulator's own rules",
            SplitwiseToml => "a configuration with compat = \"splitwise\"",
            SplitwiseYaml => "SplitwiseSim's config.yaml",
            Vidur => "Vidur's config.json",
        }
    }
}

impl SimulateArgs {
    /// Rejects options that would have no effect.
    pub(super) fn refuse_meaningless(&self, mode: Mode) -> Result<()> {
        if mode == Vidur && self.print_config {
            return Err(Error::usage(
                "--print-config cannot be combined with Vidur's config.json",
                "that file is the effective configuration",
            ));
        }
        let found = RESTRICTED
            .iter()
            .find(|option| (option.given)(self) && !option.modes.contains(&mode));
        match found {
            None => Ok(()),
            Some(option) => Err(Error::usage(
                format!("{} cannot be combined with {}", option.flag, mode.name()),
                format!("leave it out: {}", option.why),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use crate::cli::simulate::SimulateArgs;
    use crate::cli::simulate::modes::RESTRICTED;

    /// Options that are valid for every kind of configuration, or that determine the kind.
    const GENERAL: [&str; 8] = [
        "trace",
        "config",
        "preset",
        "results",
        "output_dir",
        "print_config",
        "list_presets",
        "list_policies",
    ];

    #[test]
    fn every_option_is_general_or_restricted() {
        let command = SimulateArgs::augment_args(Command::new("simulate"));
        let mut restricted = 0;
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            let flag = format!("--{}", id.replace('_', "-"));
            let known = RESTRICTED.iter().any(|option| option.flag == flag);
            restricted += usize::from(known);
            assert!(
                known != GENERAL.contains(&id),
                "{flag}: say for which configurations it has a meaning"
            );
        }
        assert_eq!(restricted, RESTRICTED.len());
    }
}
