//! The report of a study of policies.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::report::render::number::{or_dash, percent, seconds};
use crate::report::render::table::table;
use crate::sim::Objectives;
use crate::tune::study::{Capacity, LONGEST_HOLD, PolicyStudy, Trial};

/// The results of a study, with its objectives and its validation.
#[derive(Debug)]
pub struct Paper<'a> {
    /// The results.
    pub study: &'a PolicyStudy,
    /// The chosen settings on other traces, by trace.
    pub validated: &'a [(String, Vec<Trial>)],
    /// The objectives.
    pub slo: &'a Objectives,
    /// Fraction of the requests that must meet the objectives.
    pub attainment: f64,
    /// The trace by which the settings were chosen.
    pub trace: &'a str,
    /// The cluster.
    pub cluster: &'a str,
    /// The command line.
    pub command: &'a str,
}

const TRIAL: [&str; 8] = [
    "policy",
    "setting",
    "SLO met",
    "GPU-hours",
    "TTFT p90",
    "TBT p90",
    "scaling events",
    "flaps",
];

fn row(trial: &Trial) -> Vec<String> {
    vec![
        trial.policy.clone(),
        trial.setting.clone(),
        or_dash(trial.attainment, percent),
        format!("{:.2}", trial.gpu_hours),
        or_dash(trial.ttft_p90, seconds),
        or_dash(trial.tbt_p90, seconds),
        trial.scaling_events.to_string(),
        trial.flaps.to_string(),
    ]
}

const CAPACITY: [&str; 9] = [
    "prefill",
    "decode",
    "requests/s",
    "per GPU",
    "held for",
    "profile's ceiling",
    "decode tokens/s",
    "prefill busy",
    "decode KV",
];

fn capacity(capacity: &Capacity) -> Vec<String> {
    let seen = &capacity.seen;
    vec![
        capacity.prefill.to_string(),
        capacity.decode.to_string(),
        format!("{:.2}", capacity.rate),
        format!("{:.3}", capacity.rate_per_gpu),
        seconds(capacity.held_seconds),
        capacity
            .ceiling
            .map_or("-".to_owned(), |ceiling| format!("{ceiling:.2}")),
        format!("{:.0}", seen.get("decode_tps")),
        percent(seen.get("prefill_busy")),
        percent(seen.get("decode_kv_usage")),
    ]
}

fn markdown(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

impl Paper<'_> {
    /// The answer in one or two sentences.
    pub fn verdict(&self) -> String {
        let Some(first) = self.study.choices.first() else {
            return "No policy was tried.".to_owned();
        };
        let best = &first.trial;
        if !first.keeps {
            return format!(
                "No policy keeps the objectives for {} of the requests that arrived; the nearest is `{}` ({}), which does for {}.",
                percent(self.attainment),
                best.policy,
                best.setting,
                or_dash(best.attainment, percent)
            );
        }
        let mut text = format!(
            "Take `{}` ({}): {:.2} GPU-hours, with {} of the requests that arrived within the objectives.",
            best.policy,
            best.setting,
            best.gpu_hours,
            or_dash(best.attainment, percent)
        );
        let fixed = self.study.choices.iter();
        let mut fixed = fixed.filter(|choice| choice.trial.policy == "no_autoscaling");
        if let Some(fixed) = fixed.next().filter(|fixed| fixed.keeps)
            && best.policy != "no_autoscaling"
        {
            let saved = 1.0 - best.gpu_hours / fixed.trial.gpu_hours;
            let _ = write!(
                text,
                " A fleet of fixed size that does as well ({}) takes {:.2}: {} are saved.",
                fixed.trial.setting,
                fixed.trial.gpu_hours,
                percent(saved)
            );
        }
        text
    }

    fn choices(&self) -> Vec<Vec<String>> {
        let rows = self.study.choices.iter();
        rows.map(|choice| row(&choice.trial)).collect()
    }

    fn capacities(&self) -> Vec<Vec<String>> {
        self.study.capacities.iter().map(capacity).collect()
    }

    /// Formats the results for the terminal.
    pub fn text(&self) -> String {
        let mut parts = vec![
            "Highest request rate of fixed fleets within the objectives, best per GPU first"
                .to_owned(),
            table(&CAPACITY, &self.capacities()),
            "The best setting of each policy, those that meet the objectives first".to_owned(),
            table(&TRIAL, &self.choices()),
        ];
        for (trace, trials) in self.validated {
            parts.push(format!("The same on {trace}"));
            let rows: Vec<Vec<String>> = trials.iter().map(row).collect();
            parts.push(table(&TRIAL, &rows));
        }
        parts.push(self.verdict());
        parts.join("\n\n")
    }

    /// Builds the page.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# Study of `{}` on `{}`\n\n{}\n\n",
            self.trace,
            self.cluster,
            self.verdict()
        );
        let _ = write!(
            text,
            "Objectives: TTFT within {}, mean TBT within {}",
            seconds(self.slo.ttft_seconds),
            seconds(self.slo.tbt_seconds)
        );
        if let Some(whole) = self.slo.e2e_seconds {
            let _ = write!(text, ", E2E within {}", seconds(whole));
        }
        let _ = write!(
            text,
            ", for {} of the requests that came. Made by\n\n```sh\n{}\n```\n\n",
            percent(self.attainment),
            self.command
        );
        let _ = write!(
            text,
            "## Load test\n\nThe trace's requests at a constant rate, on fleets of fixed size: the highest rate at which the \
             objectives are met and the number of requests in flight is stationary, how long it was held (at most {LONGEST_HOLD} \
             times the first hold), the most that the instances' profile allows, and the metrics at that rate. Policies are tuned by \
             the first line.\n\n{}\n",
            markdown(&CAPACITY, &self.capacities())
        );
        let _ = write!(
            text,
            "## Choices\n\nThe cheapest setting of each policy that keeps the objectives, or else the nearest to them; \
             `tuned/POLICY.toml` has each whole.\n\n{}\n",
            markdown(&TRIAL, &self.choices())
        );
        for (trace, trials) in self.validated {
            let rows: Vec<Vec<String>> = trials.iter().map(row).collect();
            let _ = write!(
                text,
                "## On `{trace}`, which they were not chosen by\n\n{}\n",
                markdown(&TRIAL, &rows)
            );
        }
        let rows: Vec<Vec<String>> = self.study.trials.iter().map(row).collect();
        let _ = write!(text, "## All that was tried\n\n{}", markdown(&TRIAL, &rows));
        text
    }

    /// Returns the results as JSON.
    pub fn json(&self) -> Value {
        json!({
            "version": crate::base::version::VERSION,
            "command": self.command,
            "trace": self.trace,
            "cluster": self.cluster,
            "slo": self.slo,
            "attainment": self.attainment,
            "verdict": self.verdict(),
            "answer": self.verdict(),
            "capacities": self.study.capacities,
            "choices": self.study.choices.iter().map(|choice| json!({
                "keeps": choice.keeps, "trial": choice.trial,
            })).collect::<Vec<_>>(),
            "validated": self.validated.iter().map(|(trace, trials)| json!({
                "trace": trace, "trials": trials,
            })).collect::<Vec<_>>(),
            "trials": self.study.trials,
        })
    }
}
