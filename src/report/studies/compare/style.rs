//! Colour, sign and line pattern of a policy, the same in every picture and page.

use crate::autoscale::policy;
use crate::report::render::chart::{BLUE, GREY, Look, ORANGE, SKY, VERMILLION};

/// Okabe and Ito's colours, then darker ones (Tol's muted); signs and patterns tell apart what colours do not.
const COLORS: [&str; 13] = [
    GREY, BLUE, VERMILLION, "#009E73", "#CC79A7", ORANGE, SKY, "#B8A800", "#882255", "#332288",
    "#117733", "#661100", "#999999",
];

/// Policies with a fixed colour, in the order of tables and legends. Others follow by name.
fn known() -> impl Iterator<Item = &'static str> {
    let names = policy::POLICIES.iter().map(|policy| policy.name);
    names.take(COLORS.len())
}

/// Colours and signs of a comparison's policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Styles {
    /// Policies without a fixed colour, by name.
    others: Vec<String>,
}

impl Styles {
    /// Takes all policies of a comparison.
    pub fn new<'a>(policies: impl Iterator<Item = &'a str>) -> Self {
        let mut others: Vec<String> = policies
            .filter(|policy| known().all(|known| known != *policy))
            .map(str::to_owned)
            .collect();
        others.sort();
        others.dedup();
        Self { others }
    }

    /// The policy's place in tables and legends.
    pub fn rank(&self, policy: &str) -> usize {
        match known().position(|known| known == policy) {
            Some(place) => place,
            None => COLORS.len() + self.others.partition_point(|other| other.as_str() < policy),
        }
    }

    /// Its colour.
    pub fn color(&self, policy: &str) -> &'static str {
        // Policies without a fixed colour start with the darker ones, away from those of the usual baselines.
        let rank = self.rank(policy);
        let shift = if rank < COLORS.len() { 0 } else { 8 };
        COLORS[(rank + shift) % COLORS.len()]
    }

    /// Its sign and line pattern.
    pub fn look(&self, policy: &str) -> Look {
        Look::of(self.rank(policy), true)
    }
}

#[cfg(test)]
mod tests {
    use crate::report::studies::compare::style::*;

    #[test]
    fn a_policy_looks_the_same_whoever_stands_beside_it() {
        let few = Styles::new(["queue", "heteroscale"].into_iter());
        let many = Styles::new(["mine", "heteroscale", "queue", "also_mine"].into_iter());
        for policy in ["queue", "heteroscale", "no_autoscaling"] {
            assert_eq!(few.color(policy), many.color(policy));
            assert_eq!(few.look(policy), many.look(policy));
        }
        assert_eq!((many.rank("also_mine"), many.rank("mine")), (13, 14));
        // Colours come again, and then the signs differ.
        assert_eq!(many.color("also_mine"), many.color("queue"));
        assert_ne!(many.look("also_mine"), many.look("queue"));
    }
}
