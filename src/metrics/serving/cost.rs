//! Cost of a run's instances, each from its request until it is gone.

use serde::Serialize;

use crate::sim::{InstanceRecord, PoolResources};

/// Hours, dollars and energy of all instances, including start-up and draining.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Cost {
    /// Instance hours, from each instance's request until it is gone.
    pub instance_hours: f64,
    /// GPU hours; `None` if the number of GPUs per instance is unknown.
    pub gpu_hours: Option<f64>,
    /// Cost in dollars; `None` unless the price of every GPU is known.
    pub dollars: Option<f64>,
    /// Energy of the GPUs in watt-hours; `None` unless the power of every GPU is known.
    pub gpu_watt_hours: Option<f64>,
}

impl Cost {
    /// Adds up the instances; `resources` has the GPUs, price and power of their pools.
    pub fn of(instances: &[InstanceRecord], resources: &[PoolResources]) -> Self {
        let mut cost = Self {
            instance_hours: 0.0,
            gpu_hours: Some(0.0),
            dollars: Some(0.0),
            gpu_watt_hours: Some(0.0),
        };
        let add = |sum: &mut Option<f64>, more: Option<f64>| {
            *sum = sum.zip(more).map(|(sum, more)| sum + more);
        };
        for instance in instances {
            let hours = (instance.gone - instance.created).as_secs_f64() / 3600.0;
            let pool = resources.iter().find(|pool| pool.pool == instance.pool);
            let gpu_hours = pool.map(|pool| hours * f64::from(pool.gpus));
            let price = pool.and_then(|pool| pool.hour_cost);
            let energy = pool.and_then(|pool| {
                let [idle, prefill, decode] = pool.watts?;
                let busy = instance.busy.as_secs_f64() / 3600.0;
                let prompts = instance.busy_prefill.as_secs_f64() / 3600.0;
                let watts = idle * (hours - busy) + prefill * prompts + decode * (busy - prompts);
                Some(watts * f64::from(pool.gpus))
            });
            cost.instance_hours += hours;
            add(&mut cost.gpu_hours, gpu_hours);
            add(
                &mut cost.dollars,
                gpu_hours.zip(price).map(|(hours, price)| price * hours),
            );
            add(&mut cost.gpu_watt_hours, energy);
        }
        cost
    }
}

#[cfg(test)]
pub(super) mod testing {
    use crate::sim::{InstanceRecord, PoolResources, Role};
    use crate::trace::Nanos;

    /// The record of an instance, with times in seconds.
    pub(in crate::metrics::serving) fn instance(
        role: Role,
        [created, ready]: [f64; 2],
        draining: Option<f64>,
        gone: f64,
    ) -> InstanceRecord {
        let at = Nanos::from_secs_f64;
        InstanceRecord {
            pool: match role {
                Role::Prefill => "prefill",
                Role::Decode => "decode",
                Role::Mixed => "mixed",
                Role::Aggregated => "all",
            }
            .to_owned(),
            role,
            created: at(created),
            ready: at(ready),
            draining: draining.map(at),
            gone: at(gone),
            ..InstanceRecord::default()
        }
    }

    /// A pool whose instances have two GPUs at 3 dollars per hour.
    pub(in crate::metrics::serving) fn pool(name: &str) -> PoolResources {
        PoolResources {
            pool: name.to_owned(),
            sku: "h100-80gb".to_owned(),
            gpus: 2,
            blocks: 1000,
            hour_cost: Some(3.0),
            watts: Some([100.0, 700.0, 400.0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::serving::cost::testing::{instance, pool};
    use crate::metrics::serving::cost::*;
    use crate::sim::Role;
    use crate::trace::Nanos;

    #[test]
    fn start_up_and_draining_are_paid() {
        // Requested at 600 s, ready at 1200 s, draining from 3000 s, gone at 4200 s: 3600 s, 1 hour.
        let mut one = instance(Role::Prefill, [600.0, 1200.0], Some(3000.0), 4200.0);
        one.busy = Nanos::from_secs_f64(1800.0);
        one.busy_prefill = Nanos::from_secs_f64(1440.0);
        let found = Cost::of(&[one], &[pool("prefill")]);
        assert!((found.instance_hours - 1.0).abs() < 1e-12);
        // 2 GPUs at 3 dollars per hour: 6 dollars.
        assert_eq!((found.gpu_hours, found.dollars), (Some(2.0), Some(6.0)));
        // 0.5 h busy, of which 0.4 h with prompts: 0.5 x 100 + 0.4 x 700 + 0.1 x 400 = 370 W h a GPU, 740 of two.
        assert!((found.gpu_watt_hours.expect("powers") - 740.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_known_of_one_pool_is_not_known_of_all() {
        let instances = [
            instance(Role::Prefill, [0.0, 0.0], None, 3600.0),
            instance(Role::Decode, [0.0, 0.0], None, 1800.0),
        ];
        let cheap = PoolResources {
            hour_cost: None,
            watts: None,
            ..pool("decode")
        };
        let found = Cost::of(&instances, &[pool("prefill"), cheap]);
        // 1 h and 0.5 h, of 2 GPUs each.
        assert_eq!((found.instance_hours, found.gpu_hours), (1.5, Some(3.0)));
        assert_eq!((found.dollars, found.gpu_watt_hours), (None, None));
        let unknown = Cost::of(&instances, &[pool("prefill")]);
        assert_eq!((unknown.instance_hours, unknown.gpu_hours), (1.5, None));
    }
}
