//! Signals for tests.

use super::signals::{Fleet, FleetKind, Member, Sample, Signals};

/// A number of ready prefill and decode instances, and no other values.
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

/// A number of ready instances of one kind.
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

/// A latency that is the same for all requests of the window.
pub(super) fn all(seconds: f64) -> Sample {
    Sample::new(vec![seconds; 3])
}
