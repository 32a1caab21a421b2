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

/// How often what was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ScalingCounts {
    /// Looks.
    pub ticks: u64,
    /// Looks at which fleets grew, and none shrank.
    pub scale_out: u64,
    /// Looks at which fleets shrank, and none grew.
    pub scale_in: u64,
    /// Looks at which some grew and some shrank.
    pub rebalance: u64,
    /// Instances asked for.
    pub instances_started: u64,
    /// Instances told to finish.
    pub instances_drained: u64,
    /// Instances put out of routing, and kept.
    pub parked: u64,
    /// Of these, those that came back.
    pub reinstated: u64,
    /// Times that a fleet changed its direction within [`ScalingCounts::FLAP_SECONDS`].
    pub flaps: u64,
    /// Instances that were wanted and that no site had room for.
    pub no_room: u64,
}

impl ScalingCounts {
    /// A change of direction counts as flapping within so many seconds of the change before.
    pub const FLAP_SECONDS: f64 = 300.0;

    /// All looks that changed something.
    pub fn changes(&self) -> u64 {
        self.scale_out + self.scale_in + self.rebalance
    }
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
