//! Sites of instances, and the bandwidth between two sites.

use serde::{Deserialize, Serialize};

/// A network domain that instances share (HeteroScale, section 3.3: S0).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Name in configuration and results.
    pub name: String,
    /// The switch above the site (S1).
    pub minipod: String,
    /// The switch above that one (S2).
    pub bigpod: String,
    /// GPUs at this site, by kind.
    #[serde(default)]
    pub gpus: Vec<Stock>,
}

/// GPUs of one kind at a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stock {
    /// Kind of GPU.
    pub sku: String,
    /// Number of GPUs.
    pub count: u32,
}

/// Largest distance between two instances that serve a request together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Same site.
    Site,
    /// Same S1 switch.
    #[default]
    Minipod,
    /// Same S2 switch.
    Bigpod,
    /// Any.
    Anywhere,
}

/// All sites, and the bandwidth by distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// Sites; without any there is a single one of unlimited size.
    pub site: Vec<Site>,
    /// Extent of a deployment group: outputs stay in the group of their prompt if an instance there is ready, and new
    /// instances are placed so that each group has both roles.
    pub group: Level,
    /// Fraction of `transfer.gb_per_second` between instances of one site.
    pub same_site: f64,
    /// The same within one minipod.
    pub same_minipod: f64,
    /// The same within one bigpod.
    pub same_bigpod: f64,
    /// The same for any other distance.
    pub apart: f64,
}

impl Default for Topology {
    /// HeteroScale measured about a fifth less bandwidth between instances under different switches.
    fn default() -> Self {
        Self {
            site: Vec::new(),
            group: Level::Minipod,
            same_site: 1.0,
            same_minipod: 1.0,
            same_bigpod: 0.8,
            apart: 0.8,
        }
    }
}

impl Topology {
    /// The lowest level that two sites share.
    pub fn level(&self, a: u32, b: u32) -> Level {
        let (Some(here), Some(there)) = (self.site.get(a as usize), self.site.get(b as usize))
        else {
            return Level::Site;
        };
        if a == b {
            Level::Site
        } else if here.bigpod == there.bigpod && here.minipod == there.minipod {
            Level::Minipod
        } else if here.bigpod == there.bigpod {
            Level::Bigpod
        } else {
            Level::Anywhere
        }
    }

    /// Fraction of a link's bandwidth between two sites.
    pub fn bandwidth(&self, a: u32, b: u32) -> f64 {
        match self.level(a, b) {
            Level::Site => self.same_site,
            Level::Minipod => self.same_minipod,
            Level::Bigpod => self.same_bigpod,
            Level::Anywhere => self.apart,
        }
    }

    /// Whether two sites are in the same deployment group.
    pub fn together(&self, a: u32, b: u32) -> bool {
        self.level(a, b) <= self.group
    }

    /// Rank of a site's network domain (HeteroScale's RDMA subgroups), where higher ranks are scarcer and are used last: 0
    /// if the bigpod has one kind of GPU, 1 if its minipod has one, 2 if even the minipod has several.
    pub fn priority(&self, site: u32) -> u8 {
        let kinds = |level: Level| {
            let near =
                (0..self.site.len() as u32).filter(|other| self.level(site, *other) <= level);
            let mut skus: Vec<&str> = near
                .flat_map(|other| &self.site[other as usize].gpus)
                .filter(|stock| stock.count > 0)
                .map(|stock| stock.sku.as_str())
                .collect();
            skus.sort_unstable();
            skus.dedup();
            skus.len()
        };
        match (kinds(Level::Minipod), kinds(Level::Bigpod)) {
            (_, 0 | 1) => 0,
            (0 | 1, _) => 1,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::topology::*;

    #[test]
    fn levels_and_priorities_by_hand() {
        let site = |name: &str, minipod: &str, bigpod: &str, skus: &[&str]| Site {
            name: name.to_owned(),
            minipod: minipod.to_owned(),
            bigpod: bigpod.to_owned(),
            gpus: skus
                .iter()
                .map(|sku| Stock {
                    sku: (*sku).to_owned(),
                    count: 8,
                })
                .collect(),
        };
        let topology = Topology {
            site: vec![
                site("a", "m1", "b1", &["h100", "a100"]),
                site("b", "m1", "b1", &["h100"]),
                site("c", "m2", "b1", &["h100"]),
                site("d", "m1", "b2", &["h100"]),
            ],
            apart: 0.5,
            ..Topology::default()
        };
        assert_eq!(
            [1, 2, 3].map(|other| topology.level(0, other)),
            [Level::Minipod, Level::Bigpod, Level::Anywhere]
        );
        assert_eq!(
            [0, 2, 3].map(|other| topology.bandwidth(0, other)),
            [1.0, 0.8, 0.5]
        );
        // m1 of b1 has two kinds; m2 has one, but its bigpod has two; b2 has one.
        assert_eq!(
            [0, 1, 2, 3].map(|site| topology.priority(site)),
            [2, 2, 1, 0]
        );
        // Without sites there is a single place.
        assert_eq!(Topology::default().bandwidth(0, 0), 1.0);
    }
}
