//! The log of an autoscaler: signals and decisions.

use serde::Serialize;

use super::signals::{FLEET_SIGNALS, FleetKind, SIGNALS, Signals};

/// Kind of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// No change.
    Hold,
    /// Scale-out: some fleets grow.
    ScaleOut,
    /// Scale-in: some fleets shrink.
    ScaleIn,
    /// Rebalance: some fleets grow and some shrink.
    Rebalance,
}

impl Action {
    /// The kind of a set of changes.
    pub(super) fn of(moves: &[Move]) -> Self {
        let grows = moves.iter().any(|one| one.to > one.from);
        let shrinks = moves.iter().any(|one| one.to < one.from);
        match (grows, shrinks) {
            (true, true) => Self::Rebalance,
            (true, false) => Self::ScaleOut,
            (false, true) => Self::ScaleIn,
            (false, false) => Self::Hold,
        }
    }

    /// Name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::ScaleOut => "scale_out",
            Self::ScaleIn => "scale_in",
            Self::Rebalance => "rebalance",
        }
    }
}

/// Change of a fleet's size, starting instances included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Fleet.
    pub kind: FleetKind,
    /// Size before.
    pub from: u32,
    /// Size that the policy decided.
    pub wanted: u32,
    /// Size after bounds were applied.
    pub to: u32,
}

/// One control interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Time in seconds.
    pub time: f64,
    /// Kind of the decision.
    pub action: Action,
    /// Changes by fleet.
    pub moves: Vec<Move>,
    /// Reason for the decision, and the bounds that took effect.
    pub reason: String,
    /// Values of [`SIGNALS`], in order.
    pub signals: Vec<f64>,
    /// Values of [`FLEET_SIGNALS`] of each fleet, in order.
    pub fleets: Vec<Vec<f64>>,
}

impl Tick {
    /// A control interval with signals and no decision yet.
    pub(super) fn new(signals: &Signals) -> Self {
        Self {
            time: signals.time,
            action: Action::Hold,
            moves: Vec::new(),
            reason: String::new(),
            signals: SIGNALS.iter().map(|signal| (signal.get)(signals)).collect(),
            fleets: signals
                .fleets
                .iter()
                .map(|fleet| FLEET_SIGNALS.iter().map(|s| (s.get)(fleet)).collect())
                .collect(),
        }
    }
}

/// Counts that only the autoscaler has; changes of the cluster's size are computed with the other figures of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ScalingCounts {
    /// Control intervals.
    pub ticks: u64,
    /// Instances that were parked.
    pub parked: u64,
    /// Parked instances that returned to routing.
    pub reinstated: u64,
    /// Instances that could not be started because no site had room.
    pub no_room: u64,
}

/// The complete log of an autoscaler.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingLog {
    /// Name of the policy.
    pub policy: String,
    /// Fleets, in the order of all vectors by fleet.
    pub fleets: Vec<FleetKind>,
    /// Control intervals, in order.
    pub ticks: Vec<Tick>,
    /// Counts.
    pub counts: ScalingCounts,
}
