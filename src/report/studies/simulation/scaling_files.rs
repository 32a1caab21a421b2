//! Files about an autoscaler: `scaling/0.csv` with one line per control interval, `scaling/instances.csv` with every change of
//! an instance's state, and `scaling_app_0.log` with both as text.

use std::fmt::Write as _;
use std::path::Path;

use crate::autoscale::signals::{FLEET_SIGNALS, SIGNALS};
use crate::autoscale::{Action, ScalingLog, Tick};
use crate::base::error::Result;
use crate::base::io::write_file;
use crate::base::table::{CsvFile, float};
use crate::metrics::serving::ScalingFigures;
use crate::sim::{Records, State, StateChange};

/// Writes the files into the folder of a run.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write(
    records: &Records,
    log: &ScalingLog,
    figures: &ScalingFigures,
    folder: &Path,
) -> Result<()> {
    intervals(log, &folder.join("scaling/0.csv"))?;
    state_changes(records, &folder.join("scaling/instances.csv"))?;
    write_file(
        folder.join("scaling_app_0.log"),
        text(log, figures, records).as_bytes(),
    )
}

/// Writes one line per control interval: action, reason, sizes of each fleet, and all signals.
fn intervals(log: &ScalingLog, path: &Path) -> Result<()> {
    let mut head: Vec<String> = ["time", "policy", "action", "reason"]
        .map(str::to_owned)
        .to_vec();
    for kind in &log.fleets {
        let name = kind.name();
        head.extend(["current", "wanted", "target"].map(|what| format!("{name}_{what}")));
    }
    head.extend(SIGNALS.iter().map(|signal| signal.name.to_owned()));
    for kind in &log.fleets {
        let own = FLEET_SIGNALS.iter();
        head.extend(own.map(|signal| format!("{}_{}", kind.name(), signal.name)));
    }
    let names: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut csv = CsvFile::create(path, &names)?;
    for tick in &log.ticks {
        let mut row = vec![
            float(tick.time),
            log.policy.clone(),
            tick.action.name().to_owned(),
            tick.reason.clone(),
        ];
        for one in &tick.moves {
            row.extend([one.from, one.wanted, one.to].map(|count| count.to_string()));
        }
        row.extend(tick.signals.iter().map(|value| float(*value)));
        row.extend(tick.fleets.iter().flatten().map(|value| float(*value)));
        csv.row(row)?;
    }
    csv.finish()
}

/// Names of states in files.
const STATES: [(State, &str); 5] = [
    (State::Starting, "starting"),
    (State::Ready, "ready"),
    (State::Parked, "parked"),
    (State::Draining, "draining"),
    (State::Gone, "gone"),
];

fn state(event: &StateChange) -> &'static str {
    let found = STATES.iter().find(|(state, _)| *state == event.state);
    found.map_or("", |(_, name)| name)
}

/// Returns the state of a name.
pub(in crate::report::studies) fn state_of_name(name: &str) -> Option<State> {
    let found = STATES.iter().find(|(_, known)| *known == name);
    found.map(|(state, _)| *state)
}

/// Writes one line per change of an instance's state.
fn state_changes(records: &Records, path: &Path) -> Result<()> {
    let mut csv = CsvFile::create(path, &["time", "instance", "pool", "state"])?;
    for event in &records.state_changes {
        csv.row([
            event.time.to_string(),
            event.instance.to_string(),
            records.instances[event.instance as usize].pool.clone(),
            state(event).to_owned(),
        ])?;
    }
    csv.finish()
}

/// The log: decisions that changed the cluster or were limited, and state changes of instances, in order of time.
fn text(log: &ScalingLog, figures: &ScalingFigures, records: &Records) -> String {
    let mut text = String::new();
    let changes = figures.changes;
    let _ = writeln!(
        text,
        "policy {}: {} control intervals, {} scale-outs, {} scale-ins, {} with both; {} instances asked for, {} drained, {} flaps",
        log.policy,
        log.counts.ticks,
        changes.scale_out,
        changes.scale_in,
        changes.rebalance,
        figures.instances_started,
        figures.instances_drained,
        changes.flaps,
    );
    let mut events = records.state_changes.iter().peekable();
    let mut until = |time: f64, text: &mut String| {
        while let Some(event) = events.next_if(|event| event.time.as_secs_f64() <= time) {
            let pool = &records.instances[event.instance as usize].pool;
            let _ = writeln!(
                text,
                "{:>12.3}  {pool} {} {}",
                event.time.as_secs_f64(),
                event.instance,
                state(event)
            );
        }
    };
    for tick in &log.ticks {
        // State changes before the decision; those caused by the decision follow it.
        until(tick.time - 1e-9, &mut text);
        if tick.action != Action::Hold || tick.moves.iter().any(|one| one.wanted != one.to) {
            let _ = writeln!(text, "{:>12.3}  {}", tick.time, decision(tick));
        }
    }
    until(f64::INFINITY, &mut text);
    text
}

fn decision(tick: &Tick) -> String {
    let moves: Vec<String> = tick
        .moves
        .iter()
        .map(|one| {
            let mut text = format!("{} {} -> {}", one.kind.name(), one.from, one.to);
            if one.wanted != one.to {
                let _ = write!(text, " (wanted {})", one.wanted);
            }
            text
        })
        .collect();
    format!(
        "{}: {}: {}",
        tick.action.name(),
        moves.join(", "),
        tick.reason
    )
}
