//! Utilisation and KV usage of each pool.

use serde::Serialize;

use crate::sim::{InstanceRecord, PoolResources};

/// Figures of one pool: its resources and their use. Means weight each instance by its time from ready to gone; a pool
/// without such time has none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolUse {
    /// Name of the pool.
    pub pool: String,
    /// Name of the GPU.
    pub sku: String,
    /// GPUs per instance.
    pub gpus: u32,
    /// KV blocks per instance.
    pub blocks: u32,
    /// Price of a GPU in dollars per hour, if known.
    pub gpu_hour_cost: Option<f64>,
    /// Number of instances that existed at any time.
    pub instances: u64,
    /// Fraction of their time in which the instances computed.
    pub utilisation: Option<f64>,
    /// Fraction of their blocks held by requests, mean over time.
    pub mean_kv_usage: Option<f64>,
    /// Largest fraction of one instance's blocks held by requests.
    pub peak_kv_usage: Option<f64>,
}

impl PoolUse {
    /// Computes the figures of each pool, in order.
    pub fn of(instances: &[InstanceRecord], resources: &[PoolResources]) -> Vec<Self> {
        resources
            .iter()
            .map(|pool| Self::of_pool(instances, pool))
            .collect()
    }

    fn of_pool(instances: &[InstanceRecord], pool: &PoolResources) -> Self {
        let members: Vec<&InstanceRecord> =
            instances.iter().filter(|i| i.pool == pool.pool).collect();
        let lifetime = |i: &InstanceRecord| (i.gone - i.ready).as_secs_f64();
        let lifetimes: f64 = members.iter().map(|i| lifetime(i)).sum();
        let mean = |value: &dyn Fn(&InstanceRecord) -> f64| {
            (lifetimes > 0.0).then(|| members.iter().map(|i| value(i)).sum::<f64>() / lifetimes)
        };
        Self {
            pool: pool.pool.clone(),
            sku: pool.sku.clone(),
            gpus: pool.gpus,
            blocks: pool.blocks,
            gpu_hour_cost: pool.hour_cost,
            instances: members.len() as u64,
            utilisation: mean(&|i| i.busy.as_secs_f64()),
            mean_kv_usage: mean(&|i| i.mean_kv_usage * lifetime(i)),
            peak_kv_usage: members
                .iter()
                .map(|i| i.peak_kv_usage)
                .max_by(f64::total_cmp),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::serving::cost::testing::{instance, pool};
    use crate::metrics::serving::pools::*;
    use crate::sim::Role;
    use crate::trace::Nanos;

    #[test]
    fn instances_weigh_by_their_time() {
        let mut instances = [
            instance(Role::Prefill, [0.0, 0.0], None, 100.0),
            instance(Role::Prefill, [20.0, 60.0], None, 100.0),
            instance(Role::Decode, [0.0, 0.0], None, 100.0),
        ];
        for (one, [busy, mean, peak]) in
            instances
                .iter_mut()
                .zip([[70.0, 0.5, 0.9], [14.0, 0.25, 0.6], [1.0, 1.0, 1.0]])
        {
            one.busy = Nanos::from_secs_f64(busy);
            one.mean_kv_usage = mean;
            one.peak_kv_usage = peak;
        }
        let found = PoolUse::of(&instances, &[pool("prefill"), pool("spare")]);
        // Ready for 100 s and 40 s, busy for 70 + 14 of 140 s: 0.6.
        assert_eq!(found[0].instances, 2);
        assert!((found[0].utilisation.expect("it lived") - 0.6).abs() < 1e-12);
        // (0.5 x 100 + 0.25 x 40) / 140 = 60 / 140.
        assert!((found[0].mean_kv_usage.expect("it lived") - 60.0 / 140.0).abs() < 1e-12);
        assert_eq!(found[0].peak_kv_usage, Some(0.9));
        // The other pool had no instance.
        assert_eq!(found[1].instances, 0);
        assert_eq!(
            (
                found[1].utilisation,
                found[1].mean_kv_usage,
                found[1].peak_kv_usage
            ),
            (None, None, None)
        );
    }
}
