//! Pages name everything that can be asked for.

use kvreplay::autoscale::policy::POLICIES;
use kvreplay::autoscale::signals::{FLEET_SIGNALS, SIGNALS};

#[test]
fn every_policy_and_signal_is_in_the_page() {
    let page = include_str!("../../docs/autoscaling.md");
    let names = POLICIES.iter().map(|policy| policy.name);
    let signals = SIGNALS.iter().map(|signal| (signal.name, signal.meaning));
    let fleets = FLEET_SIGNALS
        .iter()
        .map(|signal| (signal.name, signal.meaning));
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    for (name, meaning) in signals.chain(fleets) {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")) && line.contains(meaning));
        assert!(row.is_some(), "{name}: {meaning}");
    }
}
