//! Applies bounds and the GPU budget to the numbers of instances.

use super::config::{BudgetRule, PlannerConfig};

/// Bounds of both roles, and the GPU budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// GPU budget; `None` is no limit.
    pub gpus: Option<u32>,
    /// How numbers are reduced to the budget.
    pub rule: BudgetRule,
    /// GPUs per instance: prefill, decode.
    pub per_instance: [u32; 2],
    /// Fewest instances: prefill, decode.
    pub min: [u32; 2],
    /// Most instances: prefill, decode.
    pub max: [u32; 2],
    /// Whether decode never exceeds its demand.
    pub cap_decode: bool,
}

impl Budget {
    /// The limits of a configuration.
    pub fn new(config: &PlannerConfig) -> Self {
        Self {
            gpus: u32::try_from(config.max_gpu_budget).ok(),
            rule: config.budget_rule(),
            per_instance: [
                config.prefill_gpus_per_instance,
                config.decode_gpus_per_instance,
            ],
            min: [config.min_prefill_instances, config.min_decode_instances],
            max: [config.max_prefill_instances, config.max_decode_instances],
            cap_decode: config.holds(config.cap_decode_at_demand),
        }
    }

    /// GPUs of these numbers of instances.
    pub fn cost(&self, [prefill, decode]: [u32; 2]) -> u64 {
        u64::from(prefill) * u64::from(self.per_instance[0])
            + u64::from(decode) * u64::from(self.per_instance[1])
    }

    /// Clamps both numbers to their bounds.
    pub fn bound(&self, wanted: [u32; 2]) -> [u32; 2] {
        [0, 1].map(|role| wanted[role].clamp(self.min[role], self.max[role]))
    }

    /// Reduces both numbers to the budget. `wanted` must be within bounds.
    ///
    /// With scale = budget / cost, prefill is scaled and rounded, and decode gets the remaining GPUs: Dynamo's
    /// `core/budget.py` (`floor`) and `planner_core.py` of 0.7 (`round`).
    pub fn fit(&self, wanted: [u32; 2]) -> [u32; 2] {
        let cost = self.cost(wanted);
        let Some(gpus) = self.gpus else {
            return wanted;
        };
        if cost <= u64::from(gpus) {
            return wanted;
        }
        let scale = f64::from(gpus) / cost as f64;
        let scaled = f64::from(wanted[0]) * scale;
        let [prefill_gpus, decode_gpus] = self.per_instance;
        let prefill = match self.rule {
            BudgetRule::Floor => {
                let room = gpus.saturating_sub(self.min[1] * decode_gpus) / prefill_gpus;
                room.min(scaled as u32)
            }
            BudgetRule::Round => scaled.round_ties_even() as u32,
            BudgetRule::Int => scaled as u32,
        }
        .max(self.min[0]);
        let rest = (f64::from(gpus) - f64::from(prefill * prefill_gpus)) / f64::from(decode_gpus);
        let decode = match self.rule {
            BudgetRule::Floor | BudgetRule::Int => rest as u32,
            BudgetRule::Round => rest.round_ties_even() as u32,
        };
        let most = if self.cap_decode {
            wanted[1]
        } else {
            self.max[1]
        };
        [prefill, decode.min(most).max(self.min[1])]
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::planner::budget::*;
    use proptest::prelude::*;

    fn budget(rule: BudgetRule, gpus: u32, per_instance: [u32; 2], cap_decode: bool) -> Budget {
        Budget {
            gpus: Some(gpus),
            rule,
            per_instance,
            min: [1, 1],
            max: [10, 20],
            cap_decode,
        }
    }

    #[test]
    fn what_fits_is_left() {
        let budget = budget(BudgetRule::Floor, 32, [4, 1], false);
        assert_eq!(budget.fit([5, 12]), [5, 12]);
    }

    #[test]
    fn rules_by_hand() {
        // 8 x 4 + 20 = 52 GPUs of 32: scale 0.615. Prefill 4.92; 4 leave 16, 5 leave 12.
        let wanted = [8, 20];
        for (rule, expected) in [
            (BudgetRule::Floor, [4, 16]),
            (BudgetRule::Int, [4, 16]),
            (BudgetRule::Round, [5, 12]),
        ] {
            assert_eq!(budget(rule, 32, [4, 1], false).fit(wanted), expected);
        }
        // 3 x 1 + 3 x 4 = 15 of 7: scale 0.467, prefill 1.4; the remaining 6 make 1.5 decode instances: half to even is 2,
        // which exceeds the budget by 2.
        assert_eq!(
            budget(BudgetRule::Round, 7, [1, 4], false).fit([3, 3]),
            [1, 2]
        );
        assert_eq!(
            budget(BudgetRule::Floor, 7, [1, 4], false).fit([3, 3]),
            [1, 1]
        );
        // 9 x 1 + 1 x 4 of 8: prefill 5.5; floor leaves decode its 4 GPUs.
        assert_eq!(
            budget(BudgetRule::Floor, 8, [1, 4], false).fit([9, 1]),
            [4, 1]
        );
        assert_eq!(
            budget(BudgetRule::Int, 8, [1, 4], false).fit([9, 1]),
            [5, 1]
        );
    }

    #[test]
    fn decode_does_not_rise_by_being_clamped() {
        // 3 x 4 + 1 = 13 of 12: prefill 2, and 4 GPUs left, of which decode wanted 1.
        assert_eq!(
            budget(BudgetRule::Floor, 12, [4, 1], false).fit([3, 1]),
            [2, 4]
        );
        assert_eq!(
            budget(BudgetRule::Floor, 12, [4, 1], true).fit([3, 1]),
            [2, 1]
        );
    }

    proptest! {
        #[test]
        fn never_above_budget_or_bounds(
            wanted in [0_u32..40, 0_u32..60],
            per_instance in [1_u32..9, 1_u32..9],
            min in [0_u32..3, 0_u32..3],
            more in 0_u32..60,
            cap_decode: bool,
        ) {
            let least = min[0] * per_instance[0] + min[1] * per_instance[1];
            let budget = Budget {
                gpus: Some(least + more),
                rule: BudgetRule::Floor,
                per_instance,
                min,
                max: [10, 20],
                cap_decode,
            };
            let bound = budget.bound(wanted);
            let fitted = budget.fit(bound);
            prop_assert!(budget.cost(fitted) <= u64::from(least + more));
            for role in [0, 1] {
                prop_assert!(fitted[role] >= min[role] && fitted[role] <= budget.max[role]);
            }
            prop_assert!(fitted[0] <= bound[0]);
            if cap_decode {
                prop_assert!(fitted[1] <= bound[1]);
            }
            // A result within the budget stays unchanged.
            prop_assert_eq!(budget.fit(fitted), fitted);
        }
    }
}
