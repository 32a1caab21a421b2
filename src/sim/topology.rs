//! Where instances stand, and how fast KV moves between two places.

use serde::{Deserialize, Serialize};

/// A network domain that instances share (HeteroScale, section 3.3: S0).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// As configuration and results name it.
    pub name: String,
    /// The switch above it (S1).
    pub minipod: String,
    /// The switch above that (S2).
    pub bigpod: String,
    /// GPUs that stand here, by kind.
    #[serde(default)]
    pub gpus: Vec<Stock>,
}

/// GPUs of one kind at a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stock {
    /// Which.
    pub sku: String,
    /// How many.
    pub count: u32,
}

/// How near two instances must be to serve a request together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// At one site.
    Site,
    /// Under one S1 switch.
    #[default]
    Minipod,
    /// Under one S2 switch.
    Bigpod,
    /// Anywhere.
    Anywhere,
}

/// All sites, and what distance costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// Places; without any there is one without bounds.
    pub site: Vec<Site>,
    /// A deployment group's prefill and decode instances are this near: outputs stay within, where anybody there serves them,
    /// and new instances are placed so that both roles are there.
    pub group: Level,
    /// Part of `transfer.gb_per_second` between instances of one site.
    pub same_site: f64,
    /// Of one minipod.
    pub same_minipod: f64,
    /// Of one bigpod.
    pub same_bigpod: f64,
    /// Anywhere else.
    pub apart: f64,
}

impl Default for Topology {
    /// HeteroScale found about a fifth less bandwidth between instances under different switches.
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
    /// The nearest level that two sites share.
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

    /// Part of a link's bandwidth between two sites.
    pub fn bandwidth(&self, a: u32, b: u32) -> f64 {
        match self.level(a, b) {
            Level::Site => self.same_site,
            Level::Minipod => self.same_minipod,
            Level::Bigpod => self.same_bigpod,
            Level::Anywhere => self.apart,
        }
    }

    /// Whether two sites are of one deployment group.
    pub fn together(&self, a: u32, b: u32) -> bool {
        self.level(a, b) <= self.group
    }

    /// How precious a site's network domain is (HeteroScale's RDMA subgroups): 0 where the bigpod has one kind of GPU, 1 where
    /// its minipod has one, 2 where even the minipod has several.
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
        // m1 of b1 mixes; m2 does not, but its bigpod does; b2 has one kind.
        assert_eq!(
            [0, 1, 2, 3].map(|site| topology.priority(site)),
            [2, 2, 1, 0]
        );
        // Without sites all is one place.
        assert_eq!(Topology::default().bandwidth(0, 0), 1.0);
    }
}
