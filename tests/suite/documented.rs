//! Every registered part has a unique name and stands in its page of `docs/`.

use kvreplay::autoscale::planner::predictor::PREDICTORS;
use kvreplay::autoscale::policy::POLICIES;
use kvreplay::autoscale::signals::{FLEET_SIGNALS, SIGNALS};
use kvreplay::base::registry::{Named, Registry};
use kvreplay::cache::engine::ENGINES;
use kvreplay::cache::eviction;
use kvreplay::sim::latency::MODELS;
use kvreplay::sim::replica::SCHEDULERS;
use kvreplay::sim::router::ROUTERS;
use kvreplay::trace::format::FORMATS;

fn page(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    std::fs::read_to_string(path).expect("a page of docs/")
}

/// Names are unique and lower case, summaries are one line, and the page has every name in a table or a list.
fn check<T: Named>(registry: &Registry<T>) {
    let kind = registry.kind();
    let text = page(registry.page());
    let mut names = Vec::new();
    for card in registry.cards() {
        for name in std::iter::once(&card.name).chain(card.aliases) {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
            assert!(name.chars().all(plain), "{kind} `{name}`");
            names.push(name.replace('_', "-"));
        }
        let summary = card.summary;
        assert!(
            !summary.is_empty() && !summary.contains('\n'),
            "{}",
            card.name
        );
        let known = text.contains(&format!("`{}`", card.name))
            || text.contains(&format!("`{}:", card.name));
        assert!(
            known,
            "docs/{} lacks {kind} `{}`",
            registry.page(),
            card.name
        );
        assert!(
            registry
                .find(card.name)
                .is_ok_and(|part| part.name() == card.name)
        );
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "a {kind} has a name twice");
}

#[test]
fn every_part_is_documented_and_has_its_own_name() {
    check(&POLICIES);
    check(&eviction::POLICIES);
    check(&ENGINES);
    check(&ROUTERS);
    check(&MODELS);
    check(&SCHEDULERS);
    check(&PREDICTORS);
    check(&FORMATS);
}

#[test]
fn every_policy_and_signal_has_a_row_in_the_page() {
    let page = page("autoscaling.md");
    for name in POLICIES.names() {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    let signals = SIGNALS.iter().map(|signal| (signal.name, signal.meaning));
    let fleets = FLEET_SIGNALS
        .iter()
        .map(|signal| (signal.name, signal.meaning));
    for (name, meaning) in signals.chain(fleets) {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")) && line.contains(meaning));
        assert!(row.is_some(), "{name}: {meaning}");
    }
}
