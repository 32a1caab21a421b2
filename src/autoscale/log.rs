//! What an autoscaler saw and did.

use serde::Serialize;

use super::signals::{FLEET_SIGNALS, FleetKind, SIGNALS, Signals};

/// What one look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing changes.
    Hold,
    /// Some fleets grow.
    ScaleOut,
    /// Some fleets shrink.
    ScaleIn,
    /// Some grow and some shrink.
    Rebalance,
}

impl Action {
    /// What changes of size come to.
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

    /// As the log has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::ScaleOut => "scale_out",
            Self::ScaleIn => "scale_in",
            Self::Rebalance => "rebalance",
        }
    }
}

/// A fleet's size before a look and after it, those that start included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Which.
    pub kind: FleetKind,
    /// Before.
    pub from: u32,
    /// What the policy wanted.
    pub wanted: u32,
    /// What it came to.
    pub to: u32,
}

/// One look.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// When, in seconds.
    pub time: f64,
    /// What it came to.
    pub action: Action,
    /// By fleet.
    pub moves: Vec<Move>,
    /// Why, and what bounds did to it.
    pub reason: String,
    /// [`SIGNALS`], in order.
    pub signals: Vec<f64>,
    /// [`FLEET_SIGNALS`] of each fleet, in order.
    pub fleets: Vec<Vec<f64>>,
}

impl Tick {
    /// What was seen, and nothing decided yet.
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

/// What only the autoscaler can count; changes of the cluster's size are computed with the other figures of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ScalingCounts {
    /// Control intervals.
    pub ticks: u64,
    /// Instances taken out of routing and kept.
    pub parked: u64,
    /// Parked instances that came back.
    pub reinstated: u64,
    /// Instances that were wanted and that no site had room for.
    pub no_room: u64,
}

/// Everything an autoscaler leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingLog {
    /// The policy's name.
    pub policy: String,
    /// Fleets, in the order of all that is by fleet.
    pub fleets: Vec<FleetKind>,
    /// Looks, in order.
    pub ticks: Vec<Tick>,
    /// How often what was done.
    pub counts: ScalingCounts,
}
