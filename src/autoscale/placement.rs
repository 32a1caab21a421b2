//! Placement of new instances (HeteroScale, section 3.3): near the role with which they serve, in domains that more
//! demanding services do not need, and only on GPUs that were free at the start of the control interval.

use super::signals::FleetKind;
use crate::sim::topology::Topology;
use crate::sim::{ClusterView, Instance, State};

/// Requirements of a pool's instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolNeeds {
    /// Role.
    pub kind: FleetKind,
    /// Kind of GPU.
    pub sku: String,
    /// Number of GPUs.
    pub gpus: u32,
}

/// Whether the group is new, its crowding, the scarcity of its domain, free GPUs, pool: smaller is better.
type Rank = (bool, f64, u8, u32, u32);

/// Selects sites for new instances, one control interval after another.
#[derive(Debug, Clone)]
pub struct Placer {
    topology: Topology,
    pools: Vec<PoolNeeds>,
    /// Free GPUs by site and stock, less those assigned in this control interval.
    free: Vec<Vec<u32>>,
    /// Instances by site and role, including those placed in this control interval.
    there: Vec<[u32; 4]>,
}

impl Placer {
    /// A placer for pools, in their order.
    pub fn new(topology: &Topology, pools: Vec<PoolNeeds>) -> Self {
        let stock = |site: &crate::sim::topology::Site| -> Vec<u32> {
            site.gpus.iter().map(|stock| stock.count).collect()
        };
        Self {
            free: topology.site.iter().map(stock).collect(),
            there: vec![[0; 4]; topology.site.len()],
            topology: topology.clone(),
            pools,
        }
    }

    /// GPUs of one instance by fleet; of the largest pool if a fleet has several.
    pub(super) fn gpus(&self, fleets: &[FleetKind]) -> Vec<u32> {
        let largest = |kind: &FleetKind| {
            let pools = self.pools.iter().filter(|pool| pool.kind == *kind);
            pools.map(|pool| pool.gpus).max().unwrap_or(1)
        };
        fleets.iter().map(largest).collect()
    }

    /// Starts a control interval: GPUs that are free now can be assigned. GPUs freed by its own decisions cannot.
    pub(super) fn begin(&mut self, view: &ClusterView<'_, '_>) {
        let fresh = Self::new(&self.topology, std::mem::take(&mut self.pools));
        *self = fresh;
        let held = |instance: &&Instance| instance.state != State::Gone;
        for instance in view.instances.iter().filter(held) {
            self.take(
                instance.pool,
                instance.site,
                instance.state != State::Draining,
            );
        }
    }

    fn take(&mut self, pool: u32, site: u32, serves: bool) {
        let needs = &self.pools[pool as usize];
        let Some(place) = self.topology.site.get(site as usize) else {
            return;
        };
        let stock = place.gpus.iter().position(|stock| stock.sku == needs.sku);
        if let Some(stock) = stock {
            let free = &mut self.free[site as usize][stock];
            *free = free.saturating_sub(needs.gpus);
        }
        if serves {
            self.there[site as usize][needs.kind as usize] += 1;
        }
    }

    /// Instances of a role in a site's deployment group.
    fn near(&self, site: u32, kind: FleetKind) -> u32 {
        let sites = 0..self.topology.site.len() as u32;
        let near = sites.filter(|other| self.topology.together(site, *other));
        near.map(|other| self.there[other as usize][kind as usize])
            .sum()
    }

    /// Pool and site for one more instance of a role, if any site has room.
    pub fn next(&mut self, kind: FleetKind) -> Option<(u32, u32)> {
        let pools =
            (0..self.pools.len() as u32).filter(|pool| self.pools[*pool as usize].kind == kind);
        if self.topology.site.is_empty() {
            return pools.min().map(|pool| (pool, 0));
        }
        let mut best: Option<(Rank, (u32, u32))> = None;
        for pool in pools {
            for site in 0..self.topology.site.len() as u32 {
                if let Some(rank) = self.rank(pool, site)
                    && best.is_none_or(|(least, _)| rank < least)
                {
                    best = Some((rank, (pool, site)));
                }
            }
        }
        let (_, (pool, site)) = best?;
        self.take(pool, site, true);
        Some((pool, site))
    }

    /// Site for one more instance of a pool, if any site has room.
    pub fn next_of(&mut self, pool: u32) -> Option<u32> {
        if self.topology.site.is_empty() {
            return Some(0);
        }
        let sites = 0..self.topology.site.len() as u32;
        let ranked = sites.filter_map(|site| self.rank(pool, site).map(|rank| (rank, site)));
        let (_, site) =
            ranked.min_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))?;
        self.take(pool, site, true);
        Some(site)
    }

    /// Rank of a site for an instance of a pool; smaller is better, `None` if there is no room.
    ///
    /// Existing groups come first, and among these the one where this role is scarcest relative to the other; then the
    /// least scarce domain; then the fuller site, so that free GPUs stay together.
    fn rank(&self, pool: u32, site: u32) -> Option<Rank> {
        let needs = &self.pools[pool as usize];
        let place = &self.topology.site[site as usize];
        let stock = place.gpus.iter().position(|stock| stock.sku == needs.sku)?;
        let free = self.free[site as usize][stock];
        if free < needs.gpus {
            return None;
        }
        let other = match needs.kind {
            FleetKind::Prefill => FleetKind::Decode,
            FleetKind::Decode => FleetKind::Prefill,
            kind => kind,
        };
        let (own, partners) = (self.near(site, needs.kind), self.near(site, other));
        let alone = partners == 0;
        let crowding = f64::from(own) / f64::from(partners.max(1));
        Some((alone, crowding, self.topology.priority(site), free, pool))
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::placement::*;
    use crate::sim::topology::{Site, Stock};

    fn site(minipod: &str, gpus: &[(&str, u32)]) -> Site {
        Site {
            name: minipod.to_owned(),
            minipod: minipod.to_owned(),
            bigpod: "b".to_owned(),
            gpus: gpus
                .iter()
                .map(|(sku, count)| Stock {
                    sku: (*sku).to_owned(),
                    count: *count,
                })
                .collect(),
        }
    }

    fn needs(kind: FleetKind, sku: &str, gpus: u32) -> PoolNeeds {
        PoolNeeds {
            kind,
            sku: sku.to_owned(),
            gpus,
        }
    }

    #[test]
    fn roles_stay_together() {
        let topology = Topology {
            site: vec![site("m1", &[("h100", 4)]), site("m2", &[("h100", 4)])],
            ..Topology::default()
        };
        let pools = vec![
            needs(FleetKind::Prefill, "h100", 1),
            needs(FleetKind::Decode, "h100", 1),
        ];
        let mut placer = Placer::new(&topology, pools);
        // The first instance goes to the first site, and its partner beside it; 4 GPUs fill the first group, then a second
        // one begins.
        let kinds = [FleetKind::Prefill, FleetKind::Decode];
        let places: Vec<_> = (0..8)
            .filter_map(|n| placer.next(kinds[n % 2]).map(|(_, site)| site))
            .collect();
        assert_eq!(places, [0, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(placer.next(FleetKind::Decode), None);
    }

    #[test]
    fn precious_domains_last() {
        // This service needs one kind of GPU: the minipod with two kinds is kept for services that need both.
        let topology = Topology {
            site: vec![
                site("m1", &[("h100", 2), ("a100", 2)]),
                site("m2", &[("h100", 2)]),
            ],
            ..Topology::default()
        };
        let mut placer = Placer::new(&topology, vec![needs(FleetKind::Aggregated, "h100", 1)]);
        let places: Vec<_> = (0..4)
            .filter_map(|_| placer.next(FleetKind::Aggregated).map(|(_, site)| site))
            .collect();
        assert_eq!(places, [1, 1, 0, 0]);
        // Prompts on H100 and outputs on A100 need the minipod with both.
        let pools = vec![
            needs(FleetKind::Prefill, "h100", 1),
            needs(FleetKind::Decode, "a100", 1),
        ];
        let mut placer = Placer::new(&topology, pools);
        assert_eq!(placer.next(FleetKind::Decode), Some((1, 0)));
        assert_eq!(placer.next(FleetKind::Prefill), Some((0, 0)));
    }
}
