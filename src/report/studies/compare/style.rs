//! Colour, marker and line pattern of a policy, the same in every chart and page.

use crate::autoscale::policy::POLICIES;
use crate::report::render::chart::{GREY, Look};

/// The first of the registered policies' colours that unregistered policies use: the darker ones, which differ from the usual
/// baselines.
const DARKER: usize = 8;

/// Colours and markers of a comparison's policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Styles {
    /// Policies that are not registered, by name.
    others: Vec<String>,
}

impl Styles {
    /// Collects all policies of a comparison.
    pub fn new<'a>(policies: impl Iterator<Item = &'a str>) -> Self {
        let mut others: Vec<String> = policies
            .filter(|policy| POLICIES.place(policy).is_none())
            .map(str::to_owned)
            .collect();
        others.sort();
        others.dedup();
        Self { others }
    }

    /// The policy's position in tables and legends.
    pub fn rank(&self, policy: &str) -> usize {
        match POLICIES.place(policy) {
            Some(place) => place,
            None => {
                POLICIES.iter().len() + self.others.partition_point(|other| other.as_str() < policy)
            }
        }
    }

    /// The policy's colour.
    pub fn color(&self, policy: &str) -> &'static str {
        let rank = self.rank(policy);
        let own = POLICIES.iter().nth(rank);
        let mut others = POLICIES.iter().cycle().skip(DARKER + rank);
        let policy = own.or_else(|| others.next());
        policy.map_or(GREY, |policy| policy.color)
    }

    /// The policy's marker and line pattern.
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
        let registered = POLICIES.names().len();
        let ranks = (many.rank("also_mine"), many.rank("mine"));
        assert_eq!(ranks, (registered, registered + 1));
        // Colours repeat after the last one; the markers of such policies differ.
        assert_eq!(many.color("also_mine"), many.color("queue"));
        assert_ne!(many.look("also_mine"), many.look("queue"));
    }
}
