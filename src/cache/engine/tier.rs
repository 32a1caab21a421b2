//! Cache tiers as users specify them: `hbm:40GiB`, `dram:200GiB@64GB/s`, `ssd:inf`.

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::units::parse_bytes;
use crate::cache::capacity::{Asked, ModelConfig};

use super::{Capacity, TierCounts, Tiered};

/// A tier as users specify it: name, size and bandwidth.
#[derive(Debug, Clone, PartialEq)]
pub struct TierSpec {
    name: String,
    size: Asked,
    /// Bandwidth of reads and of writes, in bytes per second.
    bandwidth: Option<f64>,
}

/// A tier of known size.
#[derive(Debug, Clone, PartialEq)]
pub struct Tier {
    /// Name given by the user.
    pub name: String,
    /// Number of blocks that fit.
    pub capacity: Capacity,
    /// Bandwidth of reads and of writes, in bytes per second; `None` if unknown.
    pub bandwidth: Option<f64>,
}

impl Tier {
    /// Total capacity of all tiers in blocks, reached if no block is in two tiers.
    pub fn together(tiers: &[Self]) -> Capacity {
        tiers.iter().fold(Capacity::Blocks(0), |sum, tier| {
            match (sum, tier.capacity) {
                (Capacity::Blocks(sum), Capacity::Blocks(more)) => {
                    Capacity::Blocks(sum.saturating_add(more))
                }
                _ => Capacity::Unbounded,
            }
        })
    }
}

impl TierSpec {
    /// Parses `NAME:SIZE` or `NAME:SIZE@BANDWIDTH`.
    ///
    /// # Errors
    /// [`Error::Usage`] for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |problem: &str| {
            Error::usage(
                format!("tier {text} {problem}"),
                "give name:size, e.g. hbm:40GiB or hbm:2048, or name:size@bandwidth, e.g. dram:200GiB@64GB/s",
            )
        };
        let (name, rest) = text.split_once(':').ok_or_else(|| refuse("has no size"))?;
        if name.trim().is_empty() {
            return Err(refuse("has no name"));
        }
        let (size, bandwidth) = match rest.split_once('@') {
            Some((size, bandwidth)) => (size, Some(bandwidth)),
            None => (rest, None),
        };
        let size = Asked::parse(size).map_err(|_| refuse("has a size that is none"))?;
        let bandwidth = bandwidth
            .map(|text| {
                let bytes = text.trim().strip_suffix("/s").and_then(parse_bytes);
                bytes.ok_or_else(|| refuse("has a bandwidth that is none"))
            })
            .transpose()?;
        Ok(Self {
            name: name.trim().to_owned(),
            size,
            bandwidth,
        })
    }

    /// Converts sizes to blocks, for a trace of `distinct` blocks.
    ///
    /// # Errors
    /// [`Error::Usage`] for two tiers of one name, a size in bytes or a bandwidth without a model, or a bandwidth of
    /// the first tier.
    pub fn resolve(
        specs: &[Self],
        block_size: u32,
        distinct: u32,
        model: Option<&ModelConfig>,
    ) -> Result<Vec<Tier>> {
        let mut tiers: Vec<Tier> = Vec::with_capacity(specs.len());
        for spec in specs {
            if tiers.iter().any(|tier| tier.name == spec.name) {
                return Err(Error::usage(
                    format!("two tiers have the name `{}`", spec.name),
                    "give each its own name",
                ));
            }
            if tiers.is_empty() && spec.bandwidth.is_some() {
                return Err(Error::usage(
                    format!(
                        "tier `{}` is the first, from which nothing is copied",
                        spec.name
                    ),
                    "give a bandwidth to the tiers below it",
                ));
            }
            if spec.bandwidth.is_some() && model.is_none() {
                return Err(Error::usage(
                    format!(
                        "the bandwidth of tier `{}` needs the size of a block in bytes",
                        spec.name
                    ),
                    "set `model` to a built-in model, or `model_config` to a config.json",
                ));
            }
            tiers.push(Tier {
                name: spec.name.clone(),
                capacity: spec.size.resolve(block_size, distinct, model)?,
                bandwidth: spec.bandwidth,
            });
        }
        Ok(tiers)
    }
}

/// Counts of one tier, with bytes and times where they are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TierSummary {
    /// Name given by the user.
    pub name: String,
    /// Number of blocks that fit; `None` if unbounded.
    pub capacity_blocks: Option<u32>,
    /// Prompt blocks that were found in this tier and in no tier above.
    pub hits: u64,
    /// Prompt tokens in the hit blocks.
    pub hit_tokens: u64,
    /// Blocks that were added.
    pub blocks_in: u64,
    /// Blocks that were evicted.
    pub blocks_out: u64,
    /// Blocks that were read from this tier into the first tier.
    pub blocks_read: u64,
    /// Blocks that were written to this tier from the tier above.
    pub blocks_written: u64,
    /// Blocks in this tier at the end.
    pub resident_blocks: u64,
    /// Bytes read; known only with a model.
    pub bytes_read: Option<u64>,
    /// Bytes written; known only with a model.
    pub bytes_written: Option<u64>,
    /// Time to read the blocks one after another; known only with a bandwidth.
    pub seconds_read: Option<f64>,
    /// Time to write the blocks one after another; known only with a bandwidth.
    pub seconds_written: Option<f64>,
}

impl TierSummary {
    /// Summarises all tiers, with bytes and times if the size of a block is known.
    pub fn of(tiers: &[Tier], engine: &Tiered, block_bytes: Option<u64>) -> Vec<Self> {
        let counts = engine.counts();
        let of = |(index, (tier, counts)): (usize, (&Tier, &TierCounts))| {
            let written = if index == 0 { 0 } else { counts.blocks_in };
            let bytes = |blocks: u64| block_bytes.map(|bytes| blocks * bytes);
            let seconds = |blocks: u64| Some(bytes(blocks)? as f64 / tier.bandwidth?);
            Self {
                name: tier.name.clone(),
                capacity_blocks: match tier.capacity {
                    Capacity::Unbounded => None,
                    Capacity::Blocks(blocks) => Some(blocks),
                },
                hits: counts.hits,
                hit_tokens: counts.hit_tokens,
                blocks_in: counts.blocks_in,
                blocks_out: counts.blocks_out,
                blocks_read: counts.blocks_read,
                blocks_written: written,
                resident_blocks: counts.resident,
                bytes_read: bytes(counts.blocks_read),
                bytes_written: bytes(written),
                seconds_read: seconds(counts.blocks_read),
                seconds_written: seconds(written),
            }
        };
        tiers.iter().zip(&counts).enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::engine::tier::*;

    #[test]
    fn tiers_as_users_write_them() {
        let tier = TierSpec::parse("dram:200GiB@64GB/s").expect("parses");
        assert_eq!(tier.name, "dram");
        assert_eq!(tier.size, Asked::Bytes(200.0 * 1_073_741_824.0));
        assert_eq!(tier.bandwidth, Some(64e9));
        let tier = TierSpec::parse("hbm:2048").expect("parses");
        assert_eq!((tier.size, tier.bandwidth), (Asked::Blocks(2048), None));
        for text in [
            "hbm",
            ":5",
            "hbm:",
            "hbm:0",
            "hbm:1GiB@",
            "hbm:1GiB@64GB",
            "hbm:1GiB@x/s",
        ] {
            let error = TierSpec::parse(text).expect_err("refused").to_string();
            assert!(
                error.contains(text) && error.contains("hbm:40GiB"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_cannot_be_together() {
        let resolve = |texts: &[&str]| {
            let specs: Vec<_> = texts
                .iter()
                .map(|text| TierSpec::parse(text).expect("parses"))
                .collect();
            TierSpec::resolve(&specs, 16, 100, None)
        };
        assert_eq!(
            resolve(&["a:50%", "b:inf"]).expect("fits")[0].capacity,
            Capacity::Blocks(50)
        );
        assert!(resolve(&["a:5", "a:6"]).is_err());
        assert!(resolve(&["a:5GiB"]).is_err());
        assert!(resolve(&["a:5", "b:6@1GB/s"]).is_err());
        assert!(resolve(&["a:5@1GB/s"]).is_err());
    }
}
