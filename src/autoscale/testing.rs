//! Signals made by hand.

use super::signals::{Fleet, FleetKind, Member, Sample, Signals};

/// Ready prefill and decode instances, and nothing else.
pub(super) fn signals(prefill: u32, decode: u32) -> Signals {
    Signals {
        window: 10.0,
        fleets: vec![
            fleet(FleetKind::Prefill, prefill),
            fleet(FleetKind::Decode, decode),
        ],
        ..Signals::empty()
    }
}

/// Ready instances of one kind.
pub(super) fn fleet(kind: FleetKind, ready: u32) -> Fleet {
    let member = |instance| Member {
        instance,
        ..Member::default()
    };
    Fleet {
        ready,
        members: (0..ready).map(member).collect(),
        ..Fleet::none(kind)
    }
}

/// A latency that all requests of the window had.
pub(super) fn all(seconds: f64) -> Sample {
    Sample::new(vec![seconds; 3])
}
